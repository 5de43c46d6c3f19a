//! Every other `POST` with a model: an answer that says what came in, and usage.

use serde_json::json;

use super::{Answer, Question, Stamp, usage};

pub(super) fn answer(question: &Question, stamp: &Stamp) -> Answer {
    let mut body = json!({
        "id": stamp.id("sim-"),
        "object": "simulated",
        "created": stamp.created,
        "model": question.model,
        "input_tokens": question.input_tokens,
    });
    usage::put(
        &mut body,
        usage::embeddings(question.input_tokens, stamp.lie),
    );
    Answer::Whole { body, tokens: 0 }
}
