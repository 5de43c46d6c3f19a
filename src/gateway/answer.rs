//! Answers of our own making: their heads, their framing, what they tell of limits.

use std::{fmt::Write, time::Duration};

use bytes::Bytes;
use chrono::SecondsFormat;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use pingora::protocols::http::ServerSession;

use super::{
    exchange::Exchange,
    head::{self, Head},
    refuse::Refusal,
};
use crate::{
    base::Moment,
    catalog::Dialect,
    quota::{Limit, Meter, Mode, Standing},
};

/// Begins the head of any answer.
pub(super) fn head(request_id: &str, client_request_id: Option<&str>) -> Head {
    let mut head = Head::new();
    head.text(&head::REQUEST_ID, request_id);
    if let Some(id) = client_request_id {
        head.text(&head::CLIENT_REQUEST_ID, id);
    }
    head
}

/// Frames an answer whose length nobody knows yet.
pub(super) fn frame_as_stream(session: &ServerSession, head: &mut Head) {
    // HTTP/1.0 knows no chunks: the end of the connection is the end of the answer.
    if session.req_header().version == http::Version::HTTP_11 {
        head.word(&header::TRANSFER_ENCODING, "chunked");
    }
}

/// Writes a whole answer.
pub(super) async fn write(
    session: &mut ServerSession,
    status: StatusCode,
    mut head: Head,
    body: Bytes,
) -> pingora::Result<()> {
    head.set(&header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    let is_bare = session.req_header().method == Method::HEAD || body.is_empty();
    let head = Box::new(head.answer(status));
    session.write_response_header(head).await?;
    if is_bare {
        session.finish_body().await
    } else {
        session.write_response_body(body, true).await
    }
}

/// Writes JSON.
pub(super) async fn write_json(
    session: &mut ServerSession,
    status: StatusCode,
    mut head: Head,
    body: Vec<u8>,
) -> pingora::Result<()> {
    head.word(&header::CONTENT_TYPE, "application/json");
    write(session, status, head, Bytes::from(body)).await
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
    let mut head = head(request_id, exchange.client_request_id.as_deref());
    let is_anthropic = dialect == Dialect::Anthropic;
    if is_anthropic {
        head.text(&head::ANTHROPIC_REQUEST_ID, request_id);
    }
    let at = is_anthropic.then_some(exchange.began);
    let left = &exchange.left;
    insert_limits(&mut head, &left.limits, &left.standings, at);
    if let Some(wait) = refusal.wait() {
        head.number(&header::RETRY_AFTER, whole_seconds(wait))
            .number(&head::RETRY_AFTER_MS, millis(wait));
    }
    if refusal.is_not_worth_retrying() {
        head.word(&head::SHOULD_RETRY, "false");
    }
    write_json(session, status, head, refusal.body(dialect, request_id)).await
}

/// Says what is left of the tightest limit of requests and of tokens, to Anthropic's callers in their words too.
pub(super) fn insert_limits(
    head: &mut Head,
    limits: &[Limit],
    standings: &[Standing],
    anthropic_at: Option<Moment>,
) {
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
            let [limit_name, remaining_name, reset_name] = anthropic;
            let reset = now.plus(standing.reset).utc();
            let reset = reset.to_rfc3339_opts(SecondsFormat::Secs, true);
            head.number(limit_name, limit.amount)
                .number(remaining_name, standing.remaining)
                .text(reset_name, &reset);
        }
        let [limit_name, remaining_name, reset_name] = openai;
        head.number(limit_name, limit.amount)
            .number(remaining_name, standing.remaining)
            .text(reset_name, &spelled(standing.reset));
    }
}

/// OpenAI's names and Anthropic's, each of the limit, what remains and the reset.
static LIMIT_HEADERS_OF_REQUESTS: [[HeaderName; 3]; 2] = [
    [
        HeaderName::from_static("x-ratelimit-limit-requests"),
        HeaderName::from_static("x-ratelimit-remaining-requests"),
        HeaderName::from_static("x-ratelimit-reset-requests"),
    ],
    [
        HeaderName::from_static("anthropic-ratelimit-requests-limit"),
        HeaderName::from_static("anthropic-ratelimit-requests-remaining"),
        HeaderName::from_static("anthropic-ratelimit-requests-reset"),
    ],
];
static LIMIT_HEADERS_OF_TOKENS: [[HeaderName; 3]; 2] = [
    [
        HeaderName::from_static("x-ratelimit-limit-tokens"),
        HeaderName::from_static("x-ratelimit-remaining-tokens"),
        HeaderName::from_static("x-ratelimit-reset-tokens"),
    ],
    [
        HeaderName::from_static("anthropic-ratelimit-tokens-limit"),
        HeaderName::from_static("anthropic-ratelimit-tokens-remaining"),
        HeaderName::from_static("anthropic-ratelimit-tokens-reset"),
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
            Meter::NanoUsd | Meter::Concurrent | Meter::Credits => None,
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
