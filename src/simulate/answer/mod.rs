//! What a simulated model answers: pure functions of the question, in every language it is asked in.

mod chat;
mod completions;
mod embeddings;
mod messages;
mod models;
mod other;
mod question;
mod refusal;
mod responses;
mod speech;
mod usage;

pub(super) use models::{list, one};
pub(super) use question::Question;
pub(super) use refusal::{Refusal, body_of_shape, event_of_error};

use serde_json::Value;

use super::fault::Lie;
use crate::dialect::Endpoint;

/// An answer, before anything goes wrong with it.
#[derive(Debug)]
pub(super) enum Answer {
    /// One body.
    Whole { body: Value, tokens: u64 },
    /// Events, in order.
    Stream(Vec<Event>),
}

/// One event of a stream.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) name: Option<&'static str>,
    pub(super) data: String,
    /// How many tokens it delivers.
    pub(super) tokens: u64,
    /// Whether it says that the stream is over.
    pub(super) is_last: bool,
}

impl Event {
    /// An event without a name, as OpenAI's chat has them.
    fn plain(data: &Value, tokens: u64) -> Self {
        Self {
            name: None,
            data: data.to_string(),
            tokens,
            is_last: false,
        }
    }

    /// An event named after its `type`, as the newer interfaces have them.
    fn named(name: &'static str, data: &Value, tokens: u64) -> Self {
        Self {
            name: Some(name),
            ..Self::plain(data, tokens)
        }
    }

    /// Chat's last event.
    fn done() -> Self {
        Self {
            name: None,
            data: "[DONE]".to_owned(),
            tokens: 0,
            is_last: true,
        }
    }

    fn last(self) -> Self {
        Self {
            is_last: true,
            ..self
        }
    }
}

/// What an answer carries besides what was asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    /// Tells two answers to one question apart.
    pub(super) serial: u64,
    /// When it is made, in seconds since 1970.
    pub(super) created: i64,
    /// What it says about usage.
    pub(super) lie: Lie,
}

impl Stamp {
    fn id(&self, beginning: &str) -> String {
        format!("{beginning}{:016x}", super::fault::scatter(self.serial))
    }
}

/// Answers a question.
pub(super) fn answer(question: &Question, stamp: &Stamp) -> Answer {
    match question.endpoint {
        Endpoint::ChatCompletions => chat::answer(question, stamp),
        Endpoint::Completions => completions::answer(question, stamp),
        Endpoint::Embeddings => embeddings::answer(question, stamp),
        Endpoint::Responses => responses::answer(question, stamp),
        Endpoint::Messages => messages::answer(question, stamp),
        Endpoint::Other => other::answer(question, stamp),
    }
}
