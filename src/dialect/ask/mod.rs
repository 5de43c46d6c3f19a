//! `Ask`: what one request body asks for, and where in it the few things stand that may be changed on the way.
//!
//! One pass over the body. What is not acted on passes unread; what is acted on and wrong is refused by its name.

mod reader;
mod scalars;

use serde_json::value::RawValue;

use self::reader::Reader;
use super::{
    endpoint::Endpoint,
    fault::{self, Fault},
    json::{Broken, Cursor, DEPTH},
    pieces::Stop,
};
use crate::catalog::Abilities;

/// What one request body asks for.
#[derive(Debug)]
pub struct Ask {
    /// Where it came in.
    pub endpoint: Endpoint,
    /// The model as the caller wrote it.
    pub model: String,
    /// Whether the answer is to be streamed.
    pub is_stream: bool,
    /// Whether the caller asked for usage at the end of a stream.
    pub wants_usage: bool,
    /// The most tokens one choice may have, when the caller said so.
    pub requested_output: Option<u64>,
    /// How many answers are written: `n` or `best_of`, times the prompts of a completion.
    pub choices: u64,
    /// Bytes of text the model is to read, tool and answer schemas included.
    pub text_bytes: u64,
    /// Messages, items or prompts.
    pub messages: u64,
    /// Tokens of pictures, sound, documents, and of prompts given as tokens.
    pub media_tokens: u64,
    /// What an offer must be able to do.
    pub abilities: Abilities,
    /// The caller's `user`, when short enough to keep.
    pub user: Option<String>,
    /// The caller's `metadata`, when small enough to keep.
    pub metadata: Option<Box<RawValue>>,
    /// Whether it builds on something one provider's account stores: an earlier response, a conversation, a file.
    pub has_previous_response: bool,
    /// Where the things stand that may be changed.
    pub(super) spans: Spans,
}

/// Where something stands in the body: its first byte, and the one after its last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
}

/// A top-level field: its quoted key and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) key: Span,
    pub(super) value: Span,
}

/// Where the things stand that may be changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Spans {
    /// All top-level fields, in their order.
    pub(super) fields: Vec<Field>,
    /// Which of them is `model`.
    pub(super) model: usize,
    /// Which of them limit the output, and to what.
    pub(super) limits: Vec<OutputLimit>,
    /// What is said about `stream_options`.
    pub(super) stream_options: StreamOptions,
}

/// One of the fields that limit the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OutputLimit {
    pub(super) field: usize,
    /// `None` is an explicit `null`.
    pub(super) tokens: Option<u64>,
}

/// What is said about `stream_options`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum StreamOptions {
    #[default]
    Absent,
    /// An explicit `null`.
    Null { field: usize },
    /// An object without `include_usage`: where its inside begins, and whether anything is in it.
    Silent { inside: usize, is_empty: bool },
    /// An object with `include_usage`, which stands here.
    Said { value: Span, is_true: bool },
}

/// Reads a request body.
///
/// # Errors
/// The caller's fault, with the field it lies in.
pub fn read(endpoint: Endpoint, body: &[u8]) -> Result<Ask, Fault> {
    if let Err(error) = simdutf8::compat::from_utf8(body) {
        return Err(fault::invalid_json(error.valid_up_to(), None));
    }
    let mut reader = Reader::new(endpoint);
    let mut cursor = Cursor::new(body);
    match reader.whole(&mut cursor) {
        Ok(()) => reader.ask(body),
        Err(Stop::Fault(fault)) => Err(fault),
        Err(Stop::Broken(Broken::Syntax(at))) => Err(fault::invalid_json(at, None)),
        Err(Stop::Broken(Broken::TooDeep(_))) => {
            Err(fault::too_deep(reader.field.as_deref(), DEPTH))
        }
    }
}

#[cfg(test)]
mod tests;
