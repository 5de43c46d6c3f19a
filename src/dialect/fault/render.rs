//! How a no sounds: one refusal, in the words of the caller's own dialect, before and during a stream.

use serde::Serialize;

use crate::{catalog::Dialect, dialect::Endpoint};

/// A refusal, in no dialect yet.
#[derive(Clone, Copy, Debug)]
pub struct Refused<'a> {
    /// The HTTP status.
    pub status: u16,
    /// The stable word a program reads.
    pub code: &'a str,
    /// OpenAI's `type`; Anthropic's follows from the status.
    pub kind: &'a str,
    /// What a person reads.
    pub message: &'a str,
    /// The field at fault.
    pub param: Option<&'a str>,
    /// Our id of the request.
    pub request_id: &'a str,
}

#[derive(Serialize)]
struct Openai<'a> {
    error: OpenaiError<'a>,
}

#[derive(Serialize)]
struct OpenaiError<'a> {
    message: &'a str,
    r#type: &'a str,
    param: Option<&'a str>,
    code: &'a str,
}

/// An error event of the Responses API; clients that look for `error` alone find that too.
#[derive(Serialize)]
struct ResponsesError<'a> {
    r#type: &'a str,
    code: &'a str,
    message: &'a str,
    param: Option<&'a str>,
    error: OpenaiError<'a>,
}

#[derive(Serialize)]
struct Anthropic<'a> {
    r#type: &'a str,
    error: AnthropicError<'a>,
    request_id: &'a str,
}

#[derive(Serialize)]
struct AnthropicError<'a> {
    r#type: &'a str,
    message: &'a str,
}

/// Renders a refusal as the body of an answer.
#[must_use]
pub fn render(dialect: Dialect, refused: &Refused<'_>) -> Vec<u8> {
    match dialect {
        Dialect::Openai => json(&Openai {
            error: openai(refused),
        }),
        Dialect::Anthropic => json(&anthropic(refused)),
    }
}

/// Renders a refusal as the last event of a stream: no `[DONE]` follows.
///
/// It begins a line; when [`crate::dialect::StreamReader::is_mid_frame`] says so, a blank line must go first.
#[must_use]
pub fn render_stream(endpoint: Endpoint, refused: &Refused<'_>) -> Vec<u8> {
    match endpoint {
        Endpoint::Messages => event(Some("error"), &json(&anthropic(refused))),
        Endpoint::Responses => {
            let error = ResponsesError {
                r#type: "error",
                code: refused.code,
                message: refused.message,
                param: refused.param,
                error: openai(refused),
            };
            event(Some("error"), &json(&error))
        }
        Endpoint::ChatCompletions
        | Endpoint::Completions
        | Endpoint::Embeddings
        | Endpoint::Other => event(
            None,
            &json(&Openai {
                error: openai(refused),
            }),
        ),
    }
}

fn openai<'a>(refused: &Refused<'a>) -> OpenaiError<'a> {
    OpenaiError {
        message: refused.message,
        r#type: refused.kind,
        param: refused.param,
        code: refused.code,
    }
}

fn anthropic<'a>(refused: &Refused<'a>) -> Anthropic<'a> {
    let kind = match refused.status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 | 529 => "overloaded_error",
        504 => "timeout_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    };
    Anthropic {
        r#type: "error",
        error: AnthropicError {
            r#type: kind,
            message: refused.message,
        },
        request_id: refused.request_id,
    }
}

/// Writing plain text and numbers cannot fail; an empty body would still be an answer.
fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

fn event(name: Option<&str>, data: &[u8]) -> Vec<u8> {
    let mut event = Vec::with_capacity(data.len() + 24);
    if let Some(name) = name {
        event.extend_from_slice(b"event: ");
        event.extend_from_slice(name.as_bytes());
        event.push(b'\n');
    }
    event.extend_from_slice(b"data: ");
    event.extend_from_slice(data);
    event.extend_from_slice(b"\n\n");
    event
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSED: Refused<'static> = Refused {
        status: 429,
        code: "budget_exceeded",
        kind: "insufficient_quota",
        message: "The key's budget is \"spent\".",
        param: None,
        request_id: "r-1",
    };

    #[test]
    fn openai_callers_read_code_type_and_param() {
        let body = String::from_utf8(render(Dialect::Openai, &REFUSED)).unwrap();

        assert_eq!(
            body,
            r#"{"error":{"message":"The key's budget is \"spent\".","type":"insufficient_quota","param":null,"code":"budget_exceeded"}}"#
        );
    }

    #[test]
    fn anthropic_callers_read_their_own_types() {
        for (status, kind) in [
            (400, "invalid_request_error"),
            (401, "authentication_error"),
            (403, "permission_error"),
            (404, "not_found_error"),
            (413, "request_too_large"),
            (429, "rate_limit_error"),
            (502, "api_error"),
            (503, "overloaded_error"),
            (504, "timeout_error"),
        ] {
            let body = render(Dialect::Anthropic, &Refused { status, ..REFUSED });
            let value: serde_json::Value = serde_json::from_slice(&body).unwrap();

            assert_eq!(value["type"], "error");
            assert_eq!(value["error"]["type"], kind, "{status}");
            assert_eq!(value["request_id"], "r-1");
        }
    }

    #[test]
    fn a_stream_ends_with_an_error_event_and_no_done() {
        for endpoint in [
            Endpoint::ChatCompletions,
            Endpoint::Responses,
            Endpoint::Messages,
        ] {
            let event = String::from_utf8(render_stream(endpoint, &REFUSED)).unwrap();

            assert!(event.ends_with("}\n\n"), "{event}");
            assert!(!event.contains("[DONE]"));
            assert_eq!(
                event.starts_with("event: error\n"),
                endpoint != Endpoint::ChatCompletions
            );
        }
    }
}
