//! Bytes coming back to what they came to: the provider's own count, or our estimate of what was delivered.

use crate::{
    base::{Tokens, Usage},
    catalog::Dialect,
    dialect::{self, Endpoint, StreamError},
    quota::estimate,
};

/// What one call read and wrote, as far as anybody can tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Tokens read and written.
    pub(super) usage: Usage,
    /// Whether the tokens are our estimate.
    pub(super) is_estimated: bool,
    /// From the call's beginning to the first byte of the answer.
    pub(super) first_byte_ms: Option<u32>,
}

impl Tally {
    /// Takes the provider's word, or estimates from the bytes of text that were delivered.
    pub(super) fn of(told: Option<Usage>, expected_input: Tokens, output_bytes: u64) -> Self {
        let estimated = || Usage {
            input: expected_input,
            output: estimate::expected_input(output_bytes, Tokens(0)),
            ..Usage::default()
        };
        Self {
            usage: told.unwrap_or_else(estimated),
            is_estimated: told.is_none(),
            first_byte_ms: None,
        }
    }
}

/// What a whole reply with a good status turns out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// An answer.
    Answer,
    /// An error that calls itself a success.
    Error(StreamError),
    /// Not what was asked for.
    Garbage,
}

/// Reads a whole reply: what it is, and what it came to. A path whose answers need not be JSON is believed.
pub(super) fn read(
    spoken: Dialect,
    endpoint: Endpoint,
    is_json: bool,
    body: &[u8],
    expected_input: Tokens,
) -> (Reply, Tally) {
    let must_be_json = is_json || endpoint != Endpoint::Other;
    match dialect::whole(spoken, endpoint, body) {
        Some(whole) => {
            let reply = whole.error.map_or(Reply::Answer, Reply::Error);
            let tally = Tally::of(whole.usage, expected_input, whole.text_bytes);
            (reply, tally)
        }
        None if must_be_json => (Reply::Garbage, Tally::default()),
        None => (Reply::Answer, Tally::of(None, expected_input, 0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_that_calls_itself_a_success_is_not_an_answer() {
        let chat = Endpoint::ChatCompletions;
        for (body, is_answer, is_error) in [
            (r#"{"id":"1","choices":[]}"#, true, false),
            (r#"{"id":"1","error":null}"#, true, false),
            (r#"{"error":{"message":"no"}}"#, false, true),
            ("<html>", false, false),
            ("", false, false),
        ] {
            let (reply, _) = read(Dialect::Openai, chat, true, body.as_bytes(), Tokens(1));
            assert_eq!(reply == Reply::Answer, is_answer, "{body}");
            assert_eq!(matches!(reply, Reply::Error(_)), is_error, "{body}");
        }
    }
}
