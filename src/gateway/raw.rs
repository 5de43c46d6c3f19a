//! WebSockets and bodies that stream through unread: carried by Pingora's own phases, under the same key, limits
//! and booking. There is one attempt: what has streamed away cannot be sent again.

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use memchr::memmem;
use pingora::{
    http::{RequestHeader, ResponseHeader},
    protocols::http::ServerSession,
    upstreams::peer::HttpPeer,
};
use serde_json::Map;
use tokio::time::{Instant, timeout_at};

use super::{
    Gateway,
    admit::admit,
    authenticate::Caller,
    body::{self, BodyBounds},
    call::{Then, body_bounds, path_and_query},
    exchange::Exchange,
    meter::Tally,
    path, pool,
    refuse::Refusal,
    route::route,
    settle::{Attribution, Booking},
    upstream::{self, Failure},
    verdict,
};
use crate::{
    base::{Tokens, Usage},
    catalog::{Abilities, Ability, Dialect},
    dialect::{self, Endpoint, Fault, fault},
    routing::Candidate,
    snapshot::{Demand, Size},
    usage::Finish,
};

/// How far into a multipart body its `model` may stand; SDKs write it first.
const MODEL_WITHIN: usize = 48 * 1024;

/// The name of the part we act on.
const MODEL: &[u8] = b"model";

/// How far before it the word that makes it a name may begin, and how much of a piece is kept to see that.
const LOOKED_BACK: usize = 32;

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
    upload: Upload,
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
    bounds: BodyBounds,
}

/// The body as it streams through: its size, its pace, and that it names no second model.
struct Upload {
    bounds: BodyBounds,
    began: Instant,
    received: u64,
    /// The last bytes that passed: a name may lie across two pieces.
    tail: Vec<u8>,
    /// Why it was broken off.
    refusal: Option<Refusal>,
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
    let is_model =
        |pair: &&str| path::decoded(pair.split('=').next().unwrap_or_default()) == "model";
    let mut named = query.split('&').filter(is_model);
    let model = named
        .next()
        .and_then(|pair| Some(path::decoded(pair.split_once('=')?.1)))
        .filter(|model| !model.is_empty())
        .ok_or_else(missing_model)?;
    if named.next().is_some() {
        return Err(two_models());
    }
    let opening = Opening {
        model: &model,
        bytes: 0,
        is_socket: true,
        bounds: body_bounds(gateway, caller),
    };
    let mut call = open(gateway, exchange, caller, &opening).await?;
    let renamed = format!("model={}", call.candidate.offer.upstream_name);
    let query: Vec<&str> = query
        .split('&')
        .map(|pair| {
            if is_model(&pair) {
                renamed.as_str()
            } else {
                pair
            }
        })
        .collect();
    let query = query.join("&");
    call.path = path_and_query(uri.path(), Some(&query));
    exchange.raw = Some(Box::new(call));
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
    let delimiter = delimiter(&session.req_header().headers).ok_or_else(missing_model)?;
    body::promise_continue(session).await?;
    let read = read_beginning(session, &delimiter, bounds.time).await?;
    let place = find_model(&read, &delimiter).ok_or_else(missing_model)?;
    if 1 < models_named(&read, 0) {
        return Err(two_models());
    }
    let written = read.get(place.clone()).unwrap_or_default();
    let model = std::str::from_utf8(written)
        .map_err(|_| missing_model())?
        .to_owned();
    let opening = Opening {
        model: &model,
        bytes,
        is_socket: false,
        bounds,
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
    exchange.raw = Some(Box::new(call));
    Ok(Then::PassThrough)
}

/// Reads until the model's name must have come; Pingora sends what it buffered, so no more than it buffers.
async fn read_beginning(
    session: &mut ServerSession,
    delimiter: &[u8],
    patience: std::time::Duration,
) -> Result<Bytes, Refusal> {
    session.enable_retry_buffering();
    let mut read = BytesMut::new();
    let ends = Instant::now() + patience;
    while read.len() < MODEL_WITHIN && find_model(&read, delimiter).is_none() {
        let piece = timeout_at(ends, session.read_request_body())
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

/// Returns what stands between the parts of a multipart body.
fn delimiter(headers: &HeaderMap) -> Option<Vec<u8>> {
    let mut kinds = headers.get_all(header::CONTENT_TYPE).into_iter();
    let kind = kinds.next()?.to_str().ok()?;
    let mut parameters = kind.split(';').map(str::trim);
    let is_form = parameters
        .next()?
        .eq_ignore_ascii_case("multipart/form-data");
    let (name, boundary) = parameters.next()?.split_once('=')?;
    let is_alone = parameters.next().is_none() && kinds.next().is_none();
    let boundary = boundary.trim_matches('"');
    let is_boundary = is_form && is_alone && name.eq_ignore_ascii_case("boundary");
    (is_boundary && !boundary.is_empty()).then(|| format!("--{boundary}\r\n").into_bytes())
}

/// Returns where the value of the part named `model` stands: a true part, not words within another one.
fn find_model(body: &[u8], delimiter: &[u8]) -> Option<std::ops::Range<usize>> {
    let parts = memmem::find_iter(body, delimiter).filter(|at| {
        let before = body.get(..*at).unwrap_or_default();
        before.is_empty() || before.ends_with(b"\r\n")
    });
    parts.map(|at| at + delimiter.len()).find_map(|head| {
        let length = memmem::find(body.get(head..)?, b"\r\n\r\n")?;
        let lines = body.get(head..head + length)?.to_ascii_lowercase();
        let rest = lines.strip_prefix(b"content-disposition:")?;
        let rest = rest.trim_ascii_start().strip_prefix(b"form-data;")?;
        let rest = rest.trim_ascii_start().strip_prefix(b"name=\"model\"")?;
        let is_plain = rest.is_empty() || rest.starts_with(b"\r\n");
        let value = head + length + 4;
        let length = memmem::find(body.get(value..)?, b"\r\n")?;
        (is_plain && 0 < length).then_some(value..value + length)
    })
}

/// Counts what some server could take for the head of a part named `model`, of those that end behind `from`.
fn models_named(body: &[u8], from: usize) -> usize {
    let is_named = |at: &usize| {
        let end = at + MODEL.len();
        // Whether a name at the very end is a longer one, the next piece tells.
        let is_whole = body
            .get(end)
            .is_some_and(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_');
        let before = body.get(at.saturating_sub(LOOKED_BACK)..*at);
        from <= end && is_whole && before.is_some_and(ends_with_name)
    };
    memmem::find_iter(body, MODEL).filter(is_named).count()
}

/// Says whether this ends with `name=`, in any spelling of it.
fn ends_with_name(before: &[u8]) -> bool {
    let lower = before.to_ascii_lowercase();
    let trimmed = |mut text: &'_ [u8]| {
        while let Some((b' ' | b'\t' | b'"' | b'\'' | b'*', rest)) = text.split_last() {
            text = rest;
        }
        text.len()
    };
    let end = trimmed(&lower);
    let text = lower.get(..end).unwrap_or_default();
    let text = text.strip_suffix(b"utf-8").unwrap_or(text);
    let Some(text) = text
        .get(..trimmed(text))
        .and_then(|text| text.strip_suffix(b"="))
    else {
        return false;
    };
    text.get(..trimmed(text))
        .is_some_and(|text| text.ends_with(b"name"))
}

fn two_models() -> Refusal {
    Refusal::Fault(Fault {
        code: "invalid_value",
        param: Some("model".to_owned()),
        message: "`model` is given twice.".to_owned(),
    })
}

impl Upload {
    fn new(bounds: BodyBounds) -> Self {
        Self {
            bounds,
            began: Instant::now(),
            received: 0,
            tail: Vec::new(),
            refusal: None,
        }
    }

    /// Takes note of a piece; one that may not pass says why.
    fn pass(&mut self, piece: &[u8], is_beginning: bool) -> Result<(), Refusal> {
        let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        self.received = self.received.saturating_add(length);
        if self.bounds.bytes < self.received {
            let limit_bytes = self.bounds.bytes;
            return Err(Refusal::TooLarge { limit_bytes });
        }
        if self.bounds.patience(self.received) < self.began.elapsed() {
            return Err(Refusal::BodyTooSlow);
        }
        let fresh = piece
            .get(..piece.len().min(LOOKED_BACK))
            .unwrap_or_default();
        let passed = self.tail.len();
        self.tail.extend_from_slice(fresh);
        if !is_beginning && 0 < models_named(piece, 0) + models_named(&self.tail, passed) {
            return Err(two_models());
        }
        let kept = piece.len().saturating_sub(LOOKED_BACK);
        if LOOKED_BACK <= piece.len() {
            self.tail.clear();
            self.tail
                .extend_from_slice(piece.get(kept..).unwrap_or_default());
        } else {
            let surplus = self.tail.len().saturating_sub(LOOKED_BACK);
            self.tail.drain(..surplus);
        }
        Ok(())
    }
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
    let plan = route(
        &view,
        caller,
        &demand,
        &size,
        &gateway.health,
        (exchange.id, now),
    )?;
    let ledger = &gateway.books.ledger;
    let admission = admit(ledger, exchange, caller, &plan, &size).await;
    let admission = admission.map_err(|denied| exchange.denied(denied))?;
    let candidate = plan
        .candidates
        .get(admission.candidate)
        .ok_or(Refusal::QuotaUnavailable)?;
    let (books, expected) = (&gateway.books, size.expected());
    let attribution = opening.attribution(exchange.client_request_id.clone());
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
    booking.begin(candidate, &admission.limits)?;
    Ok(RawCall {
        candidate: candidate.clone(),
        booking,
        address,
        path: String::new(),
        beginning: None,
        length: None,
        is_socket: opening.is_socket,
        expected,
        upload: Upload::new(opening.bounds),
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

    fn attribution(&self, client_request_id: Option<String>) -> Attribution {
        Attribution {
            client_request_id,
            tags: serde_json::Value::Object(Map::new()),
            requested_model: self.model.to_owned(),
            is_stream: self.is_socket,
        }
    }
}

fn unreachable() -> Refusal {
    verdict::refusal(&Failure::Connect, "")
}

impl RawCall {
    /// Returns where Pingora should connect.
    pub(super) fn peer(&self) -> HttpPeer {
        let offer = &self.candidate.offer;
        let mut peer = pool::peer(
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
        for name in KEY_HEADERS {
            head.remove_header(name);
        }
        if let Some((name, value)) = upstream::authorization(provider.quirks.auth, credential)? {
            head.insert_header(name, value).ok()?;
        }
        head.insert_header("x-request-id", request_id).ok()?;
        head.insert_header(header::ACCEPT_ENCODING, "identity")
            .ok()?;
        if let Some(length) = self.length {
            head.insert_header(header::CONTENT_LENGTH, length).ok()?;
        }
        Some(())
    }

    /// Swaps in the beginning that names the provider's model, the first time a piece goes out; a body that grows
    /// too large, comes too slowly or names a second model goes no further.
    pub(super) fn rewrite_body(&mut self, piece: &mut Option<Bytes>) -> Option<()> {
        if !self.is_socket {
            let bytes = piece.as_deref().unwrap_or_default();
            if let Err(refusal) = self.upload.pass(bytes, self.beginning.is_some()) {
                self.upload.refusal = Some(refusal);
                return None;
            }
        }
        if let Some(beginning) = self.beginning.take() {
            *piece = Some(beginning);
        } else if piece.as_ref().is_some_and(Bytes::is_empty) {
            // An empty piece is written as the end of a chunked body, twice (pingora #935).
            *piece = None;
        }
        Some(())
    }

    /// Returns why the gateway broke the body off, if it did.
    pub(super) fn refusal(&self) -> Option<&Refusal> {
        self.upload.refusal.as_ref()
    }

    /// Lets everybody who would try next know how the provider did.
    pub(super) fn teach(&self, gateway: &Gateway, failure: &Failure) {
        if self.is_socket && self.status == 101 {
            // A conversation may end without a farewell.
            return;
        }
        gateway.metrics.attempted(failure.outcome());
        verdict::teach(
            &gateway.health,
            &self.candidate,
            failure,
            gateway.clock.now(),
        );
    }

    /// Takes note of the provider's answer.
    pub(super) fn answered(&mut self, gateway: &Gateway, head: &ResponseHeader, ms: u32) {
        let status = head.status.as_u16();
        self.status = status;
        if status < 400 {
            let id = self.candidate.credential.as_ref().map(|key| key.id);
            let (offer, now) = (self.candidate.offer.id, gateway.clock.now());
            gateway.health.succeeded(offer, id, ms, now);
            gateway.metrics.attempted("ok");
            return;
        }
        let mut fault = fault::upstream(status, b"");
        let seconds = head.headers.get(header::RETRY_AFTER);
        let seconds = seconds.and_then(|text| text.to_str().ok()?.parse().ok());
        fault.retry_after = seconds.map(std::time::Duration::from_secs);
        let told = Box::default();
        self.teach(
            gateway,
            &Failure::Status {
                status,
                fault,
                told,
            },
        );
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
            let refused = self.refusal().map(|refusal| refusal.answer().status);
            let status = refused.map_or(502, |status| status.as_u16());
            return self.booking.give_up(Finish::Failed, status);
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

/// Where callers put their keys.
const KEY_HEADERS: [&str; 4] = ["authorization", "x-api-key", "api-key", "x-goog-api-key"];

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

        let place = find_model(body, b"--x\r\n").unwrap();

        assert_eq!(&body[place], b"whisper-1");
    }

    #[test]
    fn a_model_within_another_part_is_not_the_model() {
        let body = b"--x\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\n\r\n\
            Content-Disposition: form-data; name=\"model\"\r\n\r\ncheap\r\n--x--\r\n";

        assert_eq!(find_model(body, b"--x\r\n"), None);
    }

    #[test]
    fn a_second_model_is_seen_however_it_is_spelled_and_cut() {
        for second in [
            "name=\"model\"",
            "NAME=model\r\n",
            "name*=utf-8''model;",
            "name = 'model'",
        ] {
            let body = format!("--x\r\nContent-Disposition: form-data; {second}\r\n\r\nz");
            for cut in 0..body.len() {
                let bounds = BodyBounds {
                    bytes: 1_000,
                    time: std::time::Duration::from_secs(9),
                    bytes_per_second: 1,
                };
                let mut upload = Upload::new(bounds);
                let (first, rest) = body.as_bytes().split_at(cut);
                let passed = upload
                    .pass(first, false)
                    .and_then(|()| upload.pass(rest, false));
                assert!(passed.is_err(), "{second} cut at {cut}");
            }
        }
        let other = b"the name of the model; name=\"models\"; ";
        assert_eq!(models_named(other, 0), 0);
    }
}
