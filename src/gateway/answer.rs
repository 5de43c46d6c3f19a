//! Answers of our own making: their heads, their framing, what they tell of limits.

use std::{fmt::Write, time::Duration};

use bytes::Bytes;
use chrono::SecondsFormat;
use http::{HeaderValue, Method, StatusCode, header};
use pingora::{http::ResponseHeader, protocols::http::ServerSession};

use super::{exchange::Exchange, refuse::Refusal};
use crate::{
    base::Moment,
    catalog::Dialect,
    quota::{Limit, Meter, Mode, Standing},
};

/// Begins the head of any answer.
pub(super) fn head(
    status: StatusCode,
    request_id: &str,
    client_request_id: Option<&str>,
) -> Option<ResponseHeader> {
    let mut head = ResponseHeader::build_no_case(status, Some(20)).ok()?;
    head.insert_header("x-request-id", request_id).ok()?;
    if let Some(id) = client_request_id {
        head.insert_header("x-client-request-id", id).ok()?;
    }
    Some(head)
}

/// Frames an answer whose length nobody knows yet.
pub(super) fn frame_as_stream(session: &ServerSession, head: &mut ResponseHeader) {
    // HTTP/1.0 knows no chunks: the end of the connection is the end of the answer.
    if session.req_header().version == http::Version::HTTP_11 {
        let chunked = HeaderValue::from_static("chunked");
        let _always_a_legal_header = head.insert_header(header::TRANSFER_ENCODING, chunked);
    }
}

/// Writes a whole answer.
pub(super) async fn write(
    session: &mut ServerSession,
    mut head: ResponseHeader,
    body: Bytes,
) -> pingora::Result<()> {
    head.insert_header(header::CONTENT_LENGTH, body.len())?;
    let is_bare = session.req_header().method == Method::HEAD || body.is_empty();
    session.write_response_header(Box::new(head)).await?;
    if is_bare {
        session.finish_body().await
    } else {
        session.write_response_body(body, true).await
    }
}

/// Writes JSON.
pub(super) async fn write_json(
    session: &mut ServerSession,
    mut head: ResponseHeader,
    body: Vec<u8>,
) -> pingora::Result<()> {
    head.insert_header(header::CONTENT_TYPE, "application/json")?;
    write(session, head, Bytes::from(body)).await
}

/// Answers with a refusal, in the caller's dialect; once a stream is open, with an error event and its end.
pub(super) async fn refuse(
    session: &mut ServerSession,
    exchange: &Exchange,
    refusal: &Refusal,
) -> pingora::Result<()> {
    let (dialect, request_id) = (exchange.endpoint.dialect(), exchange.id_text.as_str());
    let is_open = session
        .response_written()
        .is_some_and(|head| !head.status.is_informational());
    if is_open {
        let event = Bytes::from(refusal.event(exchange.endpoint, request_id));
        session.write_response_body(event, false).await?;
        return session.write_response_body(Bytes::new(), true).await;
    }
    let status = refusal.answer().status;
    let Some(mut head) = head(status, request_id, None) else {
        return Ok(());
    };
    if dialect == Dialect::Anthropic {
        head.insert_header("request-id", request_id)?;
    }
    if let Some(wait) = refusal.wait() {
        head.insert_header("retry-after", whole_seconds(wait))?;
        head.insert_header("retry-after-ms", millis(wait))?;
    }
    if refusal.is_not_worth_retrying() {
        head.insert_header("x-should-retry", "false")?;
    }
    write_json(session, head, refusal.body(dialect, request_id)).await
}

/// Says what is left of the tightest limit of requests and of tokens, to Anthropic's callers in their words too.
pub(super) fn insert_limits(
    head: &mut ResponseHeader,
    limits: &[Limit],
    standings: &[Standing],
    anthropic_at: Option<Moment>,
) -> Option<()> {
    for (family, names) in [
        (Family::Requests, &LIMIT_HEADERS_OF_REQUESTS),
        (Family::Tokens, &LIMIT_HEADERS_OF_TOKENS),
    ] {
        let tightest = limits
            .iter()
            .zip(standings)
            .filter(|(limit, _)| {
                limit.mode == Mode::Enforce && Family::of(limit.meter) == Some(family)
            })
            .min_by_key(|(limit, standing)| share_left(limit, standing));
        let Some((limit, standing)) = tightest else {
            continue;
        };
        let [openai, anthropic] = names;
        if let Some(now) = anthropic_at {
            let [limit_name, remaining_name, reset_name] = *anthropic;
            let reset = now.plus(standing.reset).utc();
            let reset = reset.to_rfc3339_opts(SecondsFormat::Secs, true);
            head.insert_header(limit_name, limit.amount).ok()?;
            head.insert_header(remaining_name, standing.remaining)
                .ok()?;
            head.insert_header(reset_name, reset).ok()?;
        }
        let [limit_name, remaining_name, reset_name] = *openai;
        head.insert_header(limit_name, limit.amount).ok()?;
        head.insert_header(remaining_name, standing.remaining)
            .ok()?;
        head.insert_header(reset_name, spelled(standing.reset))
            .ok()?;
    }
    Some(())
}

/// OpenAI's names and Anthropic's, each of the limit, what remains and the reset.
const LIMIT_HEADERS_OF_REQUESTS: [[&str; 3]; 2] = [
    [
        "x-ratelimit-limit-requests",
        "x-ratelimit-remaining-requests",
        "x-ratelimit-reset-requests",
    ],
    [
        "anthropic-ratelimit-requests-limit",
        "anthropic-ratelimit-requests-remaining",
        "anthropic-ratelimit-requests-reset",
    ],
];
const LIMIT_HEADERS_OF_TOKENS: [[&str; 3]; 2] = [
    [
        "x-ratelimit-limit-tokens",
        "x-ratelimit-remaining-tokens",
        "x-ratelimit-reset-tokens",
    ],
    [
        "anthropic-ratelimit-tokens-limit",
        "anthropic-ratelimit-tokens-remaining",
        "anthropic-ratelimit-tokens-reset",
    ],
];

/// What a pair of rate-limit headers speaks of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Requests,
    Tokens,
}

impl Family {
    fn of(meter: Meter) -> Option<Self> {
        match meter {
            Meter::Requests => Some(Self::Requests),
            Meter::InputTokens | Meter::OutputTokens | Meter::TotalTokens => Some(Self::Tokens),
            Meter::NanoUsd | Meter::Concurrent => None,
        }
    }
}

/// Returns what is left in millionths of the limit, to compare limits of different sizes.
fn share_left(limit: &Limit, standing: &Standing) -> u128 {
    u128::from(standing.remaining) * 1_000_000 / u128::from(limit.amount.max(1))
}

/// Spells a duration as OpenAI does: `12ms`, `1s`, `6m0s`, `1h2m3s`.
pub(super) fn spelled(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds == 0 {
        return format!("{}ms", duration.subsec_millis());
    }
    let (hours, minutes) = (seconds / 3_600, seconds % 3_600 / 60);
    let mut text = String::new();
    if 0 < hours {
        let _always_fits = write!(text, "{hours}h");
    }
    if 0 < hours || 0 < minutes {
        let _always_fits = write!(text, "{minutes}m");
    }
    let _always_fits = write!(text, "{}s", seconds % 60);
    text
}

fn whole_seconds(wait: Duration) -> u64 {
    u64::try_from(wait.as_millis().div_ceil(1_000)).unwrap_or(u64::MAX)
}

fn millis(wait: Duration) -> u64 {
    u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_spelled_as_sdks_expect() {
        for (millis, text) in [
            (12, "12ms"),
            (1_000, "1s"),
            (360_000, "6m0s"),
            (3_723_000, "1h2m3s"),
        ] {
            assert_eq!(spelled(Duration::from_millis(millis)), text);
        }
    }
}
