//! What an upstream's refusal means, whatever shape it came in: an OpenAI or Anthropic envelope, Gemini's array, a
//! bare string, an HTML page.

use std::time::Duration;

use serde_json::Value;

use super::{
    cap::{Cap, cap},
    scrub::scrub,
};
use crate::dialect::allowance_headers::duration;

/// How much of an error body is looked at.
const LOOKED_AT: usize = 64 * 1_024;

/// What an upstream's refusal means for the call, the offer and the credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The call is larger than the model's window: an offer with a larger one may serve it.
    ContextLength,
    /// The provider does not have the model.
    ModelMissing,
    /// A rate per minute or hour is used up.
    RateLimited,
    /// A day's (or month's) allowance is used up.
    DailyCap,
    /// The account has no money left.
    NoCredit,
    /// The credential is not accepted.
    BadCredential,
    /// The provider has no capacity now.
    Overloaded,
    /// The provider failed.
    Server,
    /// The provider gave up waiting.
    Timeout,
    /// The caller's own fault: returned, never retried.
    Invalid,
    /// Anything else.
    Other,
}

impl Kind {
    /// Returns the word for it in an entry's attempts and in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ContextLength => "context_length",
            Self::ModelMissing => "model_missing",
            Self::RateLimited => "rate_limited",
            Self::DailyCap => "daily_cap",
            Self::NoCredit => "no_credit",
            Self::BadCredential => "bad_credential",
            Self::Overloaded => "overloaded",
            Self::Server => "server_error",
            Self::Timeout => "upstream_timeout",
            Self::Invalid => "invalid_request",
            Self::Other => "other",
        }
    }
}

/// An upstream's refusal, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamFault {
    /// What it means.
    pub kind: Kind,
    /// What the upstream said, fit for a caller: no secret, no address, one line.
    pub message: String,
    /// The upstream's own word for it, when it is one.
    pub code: Option<String>,
    /// The field the upstream names.
    pub param: Option<String>,
    /// When the body says to come again.
    pub retry_after: Option<Duration>,
    /// Which allowance it says is used up.
    pub cap: Cap,
}

/// Reads an upstream's refusal.
#[must_use]
pub fn upstream(status: u16, body: &[u8]) -> UpstreamFault {
    let body = body.get(..LOOKED_AT).unwrap_or(body);
    match serde_json::from_slice::<Value>(body) {
        Ok(value) => read(status, &value),
        Err(_) => read_text(status, &String::from_utf8_lossy(body)),
    }
}

/// Reads an error that came as an event inside a stream (or inside a 200): the status is in it, if anywhere.
pub(in crate::dialect) fn of_event(event: &[u8]) -> (Option<u16>, UpstreamFault) {
    let Ok(value) = serde_json::from_slice::<Value>(event) else {
        return (None, read_text(0, &String::from_utf8_lossy(event)));
    };
    let error = envelope(&value);
    let status = ["code", "status", "status_code", "http_code"]
        .iter()
        .find_map(|name| error.get(name)?.as_u64())
        .and_then(|status| u16::try_from(status).ok())
        .filter(|status| (400..=599).contains(status));
    (status, read(status.unwrap_or_default(), &value))
}

fn read(status: u16, value: &Value) -> UpstreamFault {
    let error = envelope(value);
    let message = message_of(error)
        .or_else(|| message_of(value))
        .unwrap_or_default();
    let code = ["code", "status", "type"]
        .iter()
        .find_map(|name| word(error.get(name)?))
        .map(str::to_owned);
    let hints = hints(error, &message);
    UpstreamFault {
        kind: kind(status, &hints),
        cap: cap(&hints),
        retry_after: retry_after(error).or_else(|| wait_in(&message)),
        message: or_general(status, scrub(&message)),
        param: error.get("param").and_then(word).map(str::to_owned),
        code,
    }
}

fn read_text(status: u16, text: &str) -> UpstreamFault {
    let is_page = text.trim_start().starts_with('<');
    let message = if is_page { String::new() } else { scrub(text) };
    UpstreamFault {
        kind: kind(status, &message.to_lowercase()),
        cap: cap(&message.to_lowercase()),
        retry_after: wait_in(&message),
        message: or_general(status, message),
        code: None,
        param: None,
    }
}

/// Finds the error in whatever it is wrapped in.
fn envelope(value: &Value) -> &Value {
    let value = value
        .as_array()
        .and_then(|list| list.first())
        .unwrap_or(value);
    let inner = value
        .get("error")
        .or_else(|| value.get("response")?.get("error"))
        .or_else(|| value.get("errors")?.get(0))
        .filter(|inner| !inner.is_null());
    // Providers that resell others put the first error inside their own.
    let inner = inner.unwrap_or(value);
    inner
        .get("error")
        .filter(|nested| nested.is_object())
        .unwrap_or(inner)
}

fn message_of(error: &Value) -> Option<String> {
    if let Some(text) = error.as_str() {
        return Some(text.to_owned());
    }
    ["message", "detail", "error_message", "msg", "error"]
        .iter()
        .find_map(|name| match error.get(name)? {
            Value::String(text) => Some(text.clone()),
            Value::Array(list) => list.first().and_then(message_of),
            Value::Object(_) => message_of(error.get(name)?),
            Value::Null | Value::Bool(_) | Value::Number(_) => None,
        })
}

/// A word is short and of one piece: `rate_limit_exceeded`, `RESOURCE_EXHAUSTED`, `messages[0].role`.
fn word(value: &Value) -> Option<&str> {
    let word = value.as_str()?;
    let is_word = |letter: u8| {
        letter.is_ascii_alphanumeric() || matches!(letter, b'_' | b'-' | b'.' | b'[' | b']')
    };
    (!word.is_empty() && word.len() <= 128 && word.bytes().all(is_word)).then_some(word)
}

/// All words of an error that tell what kind it is, in lower case.
fn hints(error: &Value, message: &str) -> String {
    let mut hints = message.to_lowercase();
    for name in ["code", "type", "status", "reason"] {
        if let Some(text) = error.get(name).and_then(Value::as_str) {
            hints.push('\n');
            hints.push_str(&text.to_lowercase());
        }
    }
    for detail in error
        .get("details")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        for violation in detail
            .get("violations")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            for name in ["quotaId", "quotaMetric", "subject", "description"] {
                if let Some(text) = violation.get(name).and_then(Value::as_str) {
                    hints.push('\n');
                    hints.push_str(&text.to_lowercase());
                }
            }
        }
    }
    hints
}

const CONTEXT_LENGTH: [&str; 10] = [
    "context_length_exceeded",
    "maximum context length",
    "context length",
    "context window",
    "prompt is too long",
    "input is too long",
    "exceeds the maximum number of tokens",
    "reduce the length of the messages",
    "too many tokens in the prompt",
    "input token count",
];
const MODEL_MISSING: [&str; 7] = [
    "model_not_found",
    "model not found",
    "does not exist",
    "unknown model",
    "no such model",
    "not_found_error",
    "is not a valid model",
];
const NO_CREDIT: [&str; 6] = [
    "insufficient_quota",
    "insufficient balance",
    "insufficient credits",
    "credit balance",
    "billing",
    "payment required",
];
const DAILY: [&str; 8] = [
    "per day",
    "perday",
    "per-day",
    "(rpd)",
    "(tpd)",
    "daily",
    "per month",
    "permonth",
];
const OVERLOADED: [&str; 3] = ["overloaded", "no capacity", "at capacity"];
const BAD_CREDENTIAL: [&str; 4] = [
    "invalid_api_key",
    "authentication_error",
    "permission_error",
    "incorrect api key",
];
const RATE_LIMITED: [&str; 4] = [
    "rate_limit",
    "rate limit",
    "resource_exhausted",
    "too many requests",
];

fn kind(status: u16, hints: &str) -> Kind {
    let says = |words: &[&str]| words.iter().any(|word| hints.contains(word));
    match status {
        400 | 413 | 422 if says(&CONTEXT_LENGTH) => Kind::ContextLength,
        400 | 404 if hints.contains("model") && says(&MODEL_MISSING) => Kind::ModelMissing,
        400 if says(&["api key not valid", "api_key_invalid"]) => Kind::BadCredential,
        400 | 403 | 429 if says(&NO_CREDIT) && !says(&DAILY) => Kind::NoCredit,
        402 => Kind::NoCredit,
        401 | 403 => Kind::BadCredential,
        429 if says(&DAILY) => Kind::DailyCap,
        429 => Kind::RateLimited,
        408 | 504 => Kind::Timeout,
        503 | 529 => Kind::Overloaded,
        400..=499 => Kind::Invalid,
        500..=599 if says(&OVERLOADED) => Kind::Overloaded,
        500..=599 => Kind::Server,
        _ => kind_by_words(&says),
    }
}

/// The kind of an error that came without a status.
fn kind_by_words(says: &impl Fn(&[&str]) -> bool) -> Kind {
    if says(&CONTEXT_LENGTH) {
        Kind::ContextLength
    } else if says(&NO_CREDIT) {
        Kind::NoCredit
    } else if says(&RATE_LIMITED) {
        if says(&DAILY) {
            Kind::DailyCap
        } else {
            Kind::RateLimited
        }
    } else if says(&OVERLOADED) {
        Kind::Overloaded
    } else if says(&BAD_CREDENTIAL) {
        Kind::BadCredential
    } else if says(&["invalid_request"]) {
        Kind::Invalid
    } else if says(&["server_error", "api_error", "internal"]) {
        Kind::Server
    } else {
        Kind::Other
    }
}

/// Reads Gemini's `RetryInfo`, and `retry_after` in seconds where somebody writes it.
fn retry_after(error: &Value) -> Option<Duration> {
    let details = error.get("details").and_then(Value::as_array);
    let delay = details
        .into_iter()
        .flatten()
        .find_map(|detail| detail.get("retryDelay")?.as_str());
    if let Some(wait) = delay.and_then(duration) {
        return Some(wait);
    }
    match error.get("retry_after")? {
        Value::Number(seconds) => duration(&seconds.to_string()),
        Value::String(text) => duration(text),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Finds the wait in sentences like "Please try again in 7m12.5s."
fn wait_in(message: &str) -> Option<Duration> {
    let lower = message.to_ascii_lowercase();
    let after = ["try again in ", "retry in ", "retry after "]
        .iter()
        .find_map(|words| lower.split_once(words).map(|(_, after)| after))?;
    let mut words = after.split_whitespace();
    let first = words.next()?.trim_end_matches(['.', ',', ')']);
    if first
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.')
    {
        let unit = match words
            .next()
            .map(|unit| unit.trim_end_matches(['.', ',', ')']))
        {
            Some("millisecond" | "milliseconds" | "ms") => "ms",
            Some("minute" | "minutes") => "m",
            Some("hour" | "hours") => "h",
            _ => "s",
        };
        return duration(&format!("{first}{unit}"));
    }
    duration(first)
}

fn or_general(status: u16, message: String) -> String {
    if !message.is_empty() {
        return message;
    }
    match status {
        0 => "The provider reported an error.".to_owned(),
        _ => format!("The provider answered with status {status}."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Status, body, what it means, what a caller may read.
    const SHAPES: &[(u16, &str, Kind, &str)] = &[
        (
            400,
            r#"{"error":{"message":"This model's maximum context length is 8 tokens.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#,
            Kind::ContextLength,
            "This model's maximum context length is 8 tokens.",
        ),
        (
            400,
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 9 tokens > 8"}}"#,
            Kind::ContextLength,
            "prompt is too long: 9 tokens > 8",
        ),
        (
            404,
            r#"{"error":{"message":"The model `x` does not exist","code":"model_not_found"}}"#,
            Kind::ModelMissing,
            "The model `x` does not exist",
        ),
        (
            404,
            r#"{"type":"error","error":{"type":"not_found_error","message":"model: claude-9"}}"#,
            Kind::ModelMissing,
            "model: claude-9",
        ),
        (
            404,
            "<html>nginx</html>",
            Kind::Invalid,
            "The provider answered with status 404.",
        ),
        (
            429,
            r#"[{"error":{"code":429,"message":"You exceeded your current quota.","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaId":"GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]},{"retryDelay":"34s"}]}}]"#,
            Kind::DailyCap,
            "You exceeded your current quota.",
        ),
        (
            429,
            r#"{"error":{"message":"Rate limit reached for model `m` on tokens per day (TPD). Please try again in 7m12.5s.","code":"rate_limit_exceeded"}}"#,
            Kind::DailyCap,
            "Rate limit reached for model `m` on tokens per day (TPD). Please try again in 7m12.5s.",
        ),
        (
            429,
            r#"{"error":{"message":"You exceeded your current quota, please check your plan","code":"insufficient_quota"}}"#,
            Kind::NoCredit,
            "You exceeded your current quota, please check your plan",
        ),
        (
            429,
            r#"{"message":"slow down"}"#,
            Kind::RateLimited,
            "slow down",
        ),
        (
            402,
            r#"{"error":{"message":"Insufficient Balance"}}"#,
            Kind::NoCredit,
            "Insufficient Balance",
        ),
        (
            401,
            r#"{"detail":"Unauthorized"}"#,
            Kind::BadCredential,
            "Unauthorized",
        ),
        (
            422,
            r#"{"detail":[{"loc":["body","n"],"msg":"value is not valid"}]}"#,
            Kind::Invalid,
            "value is not valid",
        ),
        (
            529,
            r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
            Kind::Overloaded,
            "Overloaded",
        ),
        (
            500,
            "",
            Kind::Server,
            "The provider answered with status 500.",
        ),
        (
            502,
            "<!DOCTYPE html><html>",
            Kind::Server,
            "The provider answered with status 502.",
        ),
        (
            504,
            "upstream timed out",
            Kind::Timeout,
            "upstream timed out",
        ),
        (500, r#"{"error":"plain text"}"#, Kind::Server, "plain text"),
        (
            400,
            "\u{0}\u{1}",
            Kind::Invalid,
            "The provider answered with status 400.",
        ),
    ];

    #[test]
    fn every_shape_of_error_is_understood() {
        for &(status, body, kind, message) in SHAPES {
            let fault = upstream(status, body.as_bytes());
            assert_eq!(
                (fault.kind, fault.message.as_str()),
                (kind, message),
                "{body}"
            );
        }
    }

    #[test]
    fn the_wait_is_found_in_details_and_in_sentences() {
        for (body, millis) in [
            (r#"{"error":{"details":[{"retryDelay":"34.5s"}]}}"#, 34_500),
            (
                r#"{"error":{"message":"Please try again in 7m12.5s."}}"#,
                432_500,
            ),
            (r#"{"error":{"message":"Please try again in 20ms."}}"#, 20),
            (r#"{"error":{"message":"Retry after 3 seconds"}}"#, 3_000),
            (
                r#"{"error":{"message":"Please retry in 2 minutes."}}"#,
                120_000,
            ),
            (r#"{"error":{"retry_after":5}}"#, 5_000),
        ] {
            assert_eq!(
                upstream(429, body.as_bytes()).retry_after,
                Some(Duration::from_millis(millis)),
                "{body}"
            );
        }
        assert_eq!(
            upstream(429, br#"{"error":{"message":"try again in a while"}}"#).retry_after,
            None
        );
    }

    #[test]
    fn code_and_param_pass_only_when_they_are_words() {
        let fault = upstream(400, br#"{"error":{"message":"m","param":"messages[0].role","code":"unsupported_parameter"}}"#);
        assert_eq!(fault.param.as_deref(), Some("messages[0].role"));
        assert_eq!(fault.code.as_deref(), Some("unsupported_parameter"));

        let fault = upstream(
            400,
            br#"{"error":{"message":"m","param":"http://10.0.0.1/x","code":400}}"#,
        );
        assert_eq!((fault.param, fault.code), (None, None));
    }

    proptest::proptest! {
        #[test]
        fn no_body_makes_it_panic(status in 0_u16.., body in proptest::collection::vec(0_u8.., 0..300)) {
            let _ = upstream(status, &body);
        }
    }
}
