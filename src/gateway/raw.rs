//! WebSockets and bodies that stream through unread: carried by Pingora's own phases, under the same key, limits
//! and booking. There is one attempt: what has streamed away cannot be sent again.

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use memchr::memmem;
use pingora::{http::RequestHeader, protocols::http::ServerSession, upstreams::peer::HttpPeer};
use serde_json::Map;

use super::{
    Gateway,
    admit::admit,
    authenticate::Caller,
    call::{Then, body_bounds, path_and_query},
    exchange::Exchange,
    meter::Tally,
    refuse::Refusal,
    route::{Demand, Size, route},
    settle::{Attribution, Booking},
    upstream::{self, Failure},
};
use crate::{
    base::{Tokens, Usage},
    catalog::{Abilities, Ability, Dialect},
    dialect::{self, Endpoint, Fault},
    routing::Candidate,
    usage::Finish,
};

/// How far into a multipart body its `model` may stand; SDKs write it first.
const MODEL_WITHIN: usize = 48 * 1024;

/// How much of an answer is kept to look for its usage.
const METERED: usize = 256 * 1024;

/// A call that Pingora's phases carry.
pub(super) struct RawCall {
    candidate: Candidate,
    booking: Booking,
    address: SocketAddr,
    path: String,
    /// The beginning of the body with the provider's model name in it, sent in place of what was read.
    beginning: Option<Bytes>,
    /// The whole body's length as the provider will see it, when the caller said.
    length: Option<usize>,
    is_socket: bool,
    expected: Usage,
    answer: BytesMut,
    answer_bytes: u64,
    status: u16,
    is_over: bool,
}

/// What is known of a call before anything of it is sent.
struct Opening<'a> {
    model: &'a str,
    bytes: u64,
    is_socket: bool,
}

/// Opens a WebSocket to a model named in the query.
pub(super) async fn open_socket(
    gateway: &Gateway,
    session: &mut ServerSession,
    exchange: &mut Exchange,
    caller: &Caller,
) -> Result<Then, Refusal> {
    if !session.is_upgrade_req() {
        return Err(Refusal::malformed("this is no WebSocket upgrade"));
    }
    let uri = session.req_header().uri.clone();
    let query = uri.query().unwrap_or_default();
    let model = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("model="));
    let model = model
        .filter(|model| !model.is_empty())
        .ok_or_else(missing_model)?;
    let opening = Opening {
        model,
        bytes: 0,
        is_socket: true,
    };
    let mut call = open(gateway, exchange, caller, &opening).await?;
    let renamed = format!("model={}", call.candidate.offer.upstream_name);
    let query = query.replacen(&format!("model={model}"), &renamed, 1);
    call.path = path_and_query(uri.path(), Some(&query));
    exchange.raw = Some(call);
    // A conversation may be silent for long; the phases' own deadline would cut it.
    session.set_read_timeout(None);
    Ok(Then::PassThrough)
}

/// Opens a call whose body streams through; its `model` stands in the first parts.
pub(super) async fn open_body(
    gateway: &Gateway,
    session: &mut ServerSession,
    exchange: &mut Exchange,
    caller: &Caller,
) -> Result<Then, Refusal> {
    let claimed: Option<usize> = session
        .get_header(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok());
    let bounds = body_bounds(gateway, caller);
    let bytes = claimed.map_or(0, |length| u64::try_from(length).unwrap_or(u64::MAX));
    if bounds.bytes < bytes {
        return Err(Refusal::TooLarge {
            limit_bytes: bounds.bytes,
        });
    }
    let read = read_beginning(session, bounds.time).await?;
    let place = find_model(&read).ok_or_else(missing_model)?;
    let written = read.get(place.clone()).unwrap_or_default();
    let model = std::str::from_utf8(written)
        .map_err(|_| missing_model())?
        .to_owned();
    let opening = Opening {
        model: &model,
        bytes,
        is_socket: false,
    };
    let mut call = open(gateway, exchange, caller, &opening).await?;
    let upstream_name = call.candidate.offer.upstream_name.as_bytes();
    let mut beginning = BytesMut::with_capacity(read.len() + upstream_name.len());
    beginning.extend_from_slice(read.get(..place.start).unwrap_or_default());
    beginning.extend_from_slice(upstream_name);
    beginning.extend_from_slice(read.get(place.end..).unwrap_or_default());
    call.length = claimed.map(|length| length + beginning.len() - read.len());
    call.beginning = Some(beginning.freeze());
    let uri = &session.req_header().uri;
    call.path = path_and_query(uri.path(), uri.query());
    exchange.raw = Some(call);
    Ok(Then::PassThrough)
}

/// Reads until the model's name must have come; Pingora sends what it buffered, so no more than it buffers.
async fn read_beginning(
    session: &mut ServerSession,
    patience: std::time::Duration,
) -> Result<Bytes, Refusal> {
    session.enable_retry_buffering();
    let mut read = BytesMut::new();
    while read.len() < MODEL_WITHIN && find_model(&read).is_none() {
        let piece = tokio::time::timeout(patience, session.read_request_body())
            .await
            .map_err(|_| Refusal::BodyTooSlow)?
            .map_err(|_| Refusal::BodyCut)?;
        match piece {
            Some(piece) => read.extend_from_slice(&piece),
            None => break,
        }
    }
    if session.retry_buffer_truncated() {
        return Err(missing_model());
    }
    Ok(read.freeze())
}

/// Returns where the value of the part named `model` stands.
fn find_model(body: &[u8]) -> Option<std::ops::Range<usize>> {
    let name = memmem::find(body, b"name=\"model\"")?;
    let blank = name + memmem::find(body.get(name..)?, b"\r\n\r\n")? + 4;
    let length = memmem::find(body.get(blank..)?, b"\r\n")?;
    (0 < length).then_some(blank..blank + length)
}

fn missing_model() -> Refusal {
    Refusal::Fault(Fault {
        code: "missing_required_field",
        param: Some("model".to_owned()),
        message: "you must name a model".to_owned(),
    })
}

async fn open(
    gateway: &Gateway,
    exchange: &mut Exchange,
    caller: &Caller,
    opening: &Opening<'_>,
) -> Result<RawCall, Refusal> {
    let size = Size::of_unread(opening.bytes, &caller.grant);
    let demand = opening.demand();
    let now = exchange.began;
    let view = gateway.view.load_full();
    let plan = route(&view.catalog, caller, &demand, &size, &gateway.health, now)?;
    let admission = admit(
        &gateway.books.ledger,
        exchange.id,
        caller,
        &plan,
        &size,
        now,
    )
    .await?;
    let candidate = plan
        .candidates
        .get(admission.candidate)
        .ok_or(Refusal::QuotaUnavailable)?;
    let (books, expected) = (&gateway.books, size.expected());
    let attribution = opening.attribution();
    let grant = &caller.grant;
    let mut booking = Booking::open(
        books,
        exchange,
        grant,
        attribution,
        admission.hold,
        &plan,
        expected,
    );
    exchange.call = Some(gateway.metrics.enter());
    let addresses = upstream::resolve(&gateway.egress, &candidate.offer.provider)
        .await
        .map_err(|_| unreachable())?;
    let address = addresses.first().copied().ok_or_else(unreachable)?;
    booking.begin(&candidate.offer)?;
    Ok(RawCall {
        candidate: candidate.clone(),
        booking,
        address,
        path: String::new(),
        beginning: None,
        length: None,
        is_socket: opening.is_socket,
        expected,
        answer: BytesMut::new(),
        answer_bytes: 0,
        status: 0,
        is_over: false,
    })
}

impl Opening<'_> {
    fn demand(&self) -> Demand<'_> {
        Demand {
            model: self.model,
            abilities: Abilities::NONE.with(Ability::Other),
            is_stream: self.is_socket,
            requested_output: None,
            needs_own_credential: false,
            dialect: Dialect::Openai,
        }
    }

    fn attribution(&self) -> Attribution {
        Attribution {
            client_request_id: None,
            tags: serde_json::Value::Object(Map::new()),
            requested_model: self.model.to_owned(),
            is_stream: self.is_socket,
        }
    }
}

fn unreachable() -> Refusal {
    super::verdict::refusal(&Failure::Connect, "")
}

impl RawCall {
    /// Returns where Pingora should connect.
    pub(super) fn peer(&self) -> HttpPeer {
        let offer = &self.candidate.offer;
        let mut peer = upstream::peer(
            &offer.provider,
            self.candidate.credential.as_deref(),
            self.address,
        );
        let deadlines = &offer.provider.deadlines;
        let millis = if self.is_socket {
            deadlines.total_ms
        } else {
            deadlines.whole_ms
        };
        peer.options.read_timeout = Some(std::time::Duration::from_millis(millis));
        peer.options.write_timeout = Some(std::time::Duration::from_millis(deadlines.gap_ms));
        // Neither a WebSocket nor a body of unknown length goes over HTTP/2.
        peer.options.set_http_version(1, 1);
        peer
    }

    /// Turns the caller's head into the one the provider gets.
    pub(super) fn rewrite(&self, head: &mut RequestHeader, request_id: &str) -> Option<()> {
        let provider = &self.candidate.offer.provider;
        let base = provider.base_url.path().trim_end_matches('/');
        head.set_raw_path(format!("{base}/{}", self.path).as_bytes())
            .ok()?;
        strip(head);
        head.insert_header(header::HOST, upstream::authority(provider))
            .ok()?;
        let credential = self.candidate.credential.as_deref();
        upstream::authorize(head, provider.quirks.auth, credential)?;
        head.insert_header("x-request-id", request_id).ok()?;
        head.insert_header(header::ACCEPT_ENCODING, "identity")
            .ok()?;
        if let Some(length) = self.length {
            head.insert_header(header::CONTENT_LENGTH, length).ok()?;
        }
        Some(())
    }

    /// Swaps in the beginning that names the provider's model, the first time a piece goes out.
    pub(super) fn rewrite_body(&mut self, piece: &mut Option<Bytes>) {
        if let Some(beginning) = self.beginning.take() {
            *piece = Some(beginning);
        } else if piece.as_ref().is_some_and(Bytes::is_empty) {
            // An empty piece is written as the end of a chunked body, twice (pingora #935).
            *piece = None;
        }
    }

    /// Takes note of the provider's status.
    pub(super) fn answered(&mut self, status: u16) {
        self.status = status;
    }

    /// Counts a piece of the answer.
    pub(super) fn meter(&mut self, piece: Option<&Bytes>, is_end: bool) {
        if let Some(piece) = piece {
            self.answer_bytes += u64::try_from(piece.len()).unwrap_or(0);
            let room = METERED.saturating_sub(self.answer.len()).min(piece.len());
            self.answer
                .extend_from_slice(piece.get(..room).unwrap_or_default());
        }
        if is_end {
            self.is_over = true;
        }
    }

    /// Books the call as it ended.
    pub(super) fn finish(&mut self, failed_upstream: bool) {
        if self.status == 0 {
            return self.booking.give_up(Finish::Failed, 502);
        }
        let told = dialect::usage_of(Dialect::Openai, Endpoint::Responses, &self.answer);
        let mut tally = Tally::of(told, self.expected.input, self.answer_bytes);
        if told.is_none() && !self.is_socket && (400..600).contains(&self.status) {
            tally.usage = Usage {
                input: Tokens(0),
                ..Usage::default()
            };
        }
        let finish = match (self.is_over, failed_upstream) {
            (true, _) if self.status < 400 => Finish::Complete,
            (true, _) => Finish::RefusedUpstream,
            (false, true) => Finish::UpstreamCut,
            (false, false) if self.is_socket => Finish::Complete,
            (false, false) => Finish::ClientGone,
        };
        let _receipt = self.booking.finish(finish, self.status, &tally);
    }
}

/// Removes what is the caller's, or ours, and no provider's business.
fn strip(head: &mut RequestHeader) {
    let is_private = |name: &str| {
        name.starts_with("x-stainless-")
            || name.starts_with("x-synaxis-")
            || name.starts_with("x-forwarded-")
            || matches!(
                name,
                "cookie" | "forwarded" | "x-real-ip" | "via" | "origin" | "referer"
            )
    };
    let names: Vec<String> = names_of(&head.headers)
        .filter(|name| is_private(name) || *name == "expect" || *name == "sec-websocket-extensions")
        .map(str::to_owned)
        .collect();
    for name in names {
        head.remove_header(name.as_str());
    }
    if let Some(protocols) = head.headers.get(header::SEC_WEBSOCKET_PROTOCOL).cloned() {
        let kept: Vec<&str> = protocols
            .to_str()
            .unwrap_or_default()
            .split(',')
            .map(str::trim)
            .filter(|protocol| !protocol.starts_with("openai-insecure-api-key."))
            .collect();
        if kept.is_empty() {
            head.remove_header(&header::SEC_WEBSOCKET_PROTOCOL);
        } else {
            let _legal = head.insert_header(header::SEC_WEBSOCKET_PROTOCOL, kept.join(", "));
        }
    }
}

fn names_of(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers.keys().map(http::HeaderName::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_of_a_multipart_body_is_found_in_its_part() {
        let body =
            b"--x\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n--x\r\n";

        let place = find_model(body).unwrap();

        assert_eq!(&body[place], b"whisper-1");
    }
}
