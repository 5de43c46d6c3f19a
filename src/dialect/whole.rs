//! A whole reply, read once: what it says was used, how much it says, and whether it is an error.

use super::{
    endpoint::Endpoint,
    json::{Broken, Cursor},
    reply::{Found, Language},
    stream::{StreamError, stream_error},
};
use crate::{base::Usage, catalog::Dialect};

/// What is in a whole reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whole {
    /// What the provider says was used.
    pub usage: Option<Usage>,
    /// Bytes of text and tool arguments, to estimate from when it says nothing.
    pub text_bytes: u64,
    /// The error it is, whatever its status says.
    pub error: Option<StreamError>,
}

/// Reads a whole reply; nothing when it is no JSON.
#[must_use]
pub fn whole(dialect: Dialect, endpoint: Endpoint, body: &[u8]) -> Option<Whole> {
    let mut found = Found::default();
    let mut cursor = Cursor::new(body);
    match found.read(Language::of(dialect, endpoint), &mut cursor) {
        Ok(()) if cursor.is_at_end() && simdutf8::basic::from_utf8(body).is_ok() => {}
        // Deeper than we read, and still a reply: what was found so far counts.
        Err(Broken::TooDeep(_)) => {
            serde_json::from_slice::<&serde_json::value::RawValue>(body).ok()?;
        }
        Ok(()) | Err(Broken::Syntax(_)) => return None,
    }
    let is_answer = 0 < found.choices || found.has_content;
    Some(Whole {
        usage: found.counts.usage(dialect, endpoint),
        text_bytes: found.text_bytes,
        error: (found.is_error && !is_answer).then(|| stream_error(body)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Option<Whole> {
        whole(Dialect::Openai, Endpoint::ChatCompletions, body.as_bytes())
    }

    #[test]
    fn what_is_no_json_is_no_reply() {
        for broken in ["", "<html>", "{\"choices\":[", "{} {}", "{\"a\":tru}"] {
            assert_eq!(read(broken), None, "{broken}");
        }
        assert_eq!(
            whole(
                Dialect::Openai,
                Endpoint::ChatCompletions,
                b"{\"a\":\"\xff\"}"
            ),
            None
        );
    }

    #[test]
    fn an_error_under_a_good_status_is_an_error_unless_the_model_spoke() {
        let error = r#"{"error":{"message":"busy","code":503}}"#;
        assert!(read(error).is_some_and(|reply| reply.error.is_some()));
        let spoke = r#"{"error":null,"choices":[{"message":{"content":"hi"}}]}"#;
        let spoke = read(spoke).expect("a reply");
        assert_eq!((spoke.error, spoke.text_bytes), (None, 2));
    }

    #[test]
    fn a_reply_deeper_than_we_read_is_still_one() {
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(80), "]".repeat(80));
        assert!(read(&deep).is_some());
    }
}
