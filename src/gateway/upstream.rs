//! One exchange with one provider: connect, send, read the head; over a connection of the pool.

use std::{net::SocketAddr, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use pingora::{http::RequestHeader, protocols::http::client::HttpSession};
use tokio::time::timeout;
use url::Position;

use super::{
    decode::Decoder,
    head::{self, Head},
    pool::{Pool, Way},
};
use crate::{
    base::Moment,
    catalog::{Credential, Provider, provider::Auth},
    dialect::{
        StreamError,
        allowance_headers::{self, Learned},
        fault::{self, Kind, UpstreamFault},
    },
    egress::{Guard, NoAddress},
};

/// What of the caller's headers is a provider's business; everything else stays here.
static FORWARDED: [HeaderName; 6] = [
    HeaderName::from_static("openai-beta"),
    HeaderName::from_static("anthropic-beta"),
    HeaderName::from_static("anthropic-version"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    HeaderName::from_static("x-title"),
];

/// How much of an error's body is worth reading.
const ERROR_BODY: usize = 64 * 1024;

/// How long an error's body is waited for.
const ERROR_PATIENCE: Duration = Duration::from_secs(3);

/// How much a whole reply may weigh.
const REPLY_BODY: usize = 64 * 1024 * 1024;

/// How much of a request is copied into one write; beyond that the copy costs more than another write.
const JOINED_WRITE: usize = 32 * 1024;

/// How often a pooled connection may turn out to be dead before a fresh one is asked to prove itself.
const STALE_CONNECTIONS: usize = 3;

/// What the buffer of a socket with nothing in it takes, head included, on every system.
const TAKEN_AT_ONCE: usize = 8 * 1024;

/// How many of a provider's addresses are tried.
const ADDRESSES: usize = 2;

/// Why an attempt gave no answer.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// The provider's address may not be connected to.
    Forbidden,
    /// No connection came about.
    Connect,
    /// The first byte did not come in time.
    Timeout,
    /// The connection broke, or the stream ended, before anything was said.
    Broken,
    /// What came is no answer.
    Garbage,
    /// The provider said no.
    Status {
        status: u16,
        fault: UpstreamFault,
        /// What its headers say of allowances.
        told: Box<Learned>,
    },
}

impl From<&StreamError> for Failure {
    /// An error that came as an event, or under a good status, means what the same error means as a status.
    fn from(error: &StreamError) -> Self {
        let status = error.status.unwrap_or(match error.kind {
            Kind::ContextLength | Kind::Invalid => 400,
            Kind::BadCredential => 401,
            Kind::NoCredit => 402,
            Kind::ModelMissing => 404,
            Kind::RateLimited | Kind::DailyCap => 429,
            Kind::Overloaded => 503,
            Kind::Timeout => 504,
            Kind::Server | Kind::Other => 502,
        });
        let fault = UpstreamFault {
            kind: error.kind,
            message: error.message.clone(),
            code: None,
            param: None,
            retry_after: error.retry_after,
            cap: fault::Cap {
                per: (error.kind == Kind::DailyCap).then_some(allowance_headers::Per::Day),
                ..fault::Cap::default()
            },
        };
        let told = Box::default();
        Self::Status {
            status,
            fault,
            told,
        }
    }
}

/// What is sent, the same for every provider but for its own key, host and model name.
#[derive(Debug)]
pub(super) struct Outgoing<'a> {
    pub(super) method: Method,
    /// What stands behind the provider's base URL, query included.
    pub(super) path: &'a str,
    pub(super) forwarded: &'a HeaderMap,
    pub(super) request_id: &'a str,
    pub(super) is_stream: bool,
    pub(super) pieces: &'a [Bytes],
    /// When the attempt began, by the clock.
    pub(super) now: Moment,
}

/// A provider's answer, its head read and its body still to come.
pub(super) struct Upstream {
    session: HttpSession,
    way: Way,
    decoder: Decoder,
    gap: Duration,
}

impl Upstream {
    /// Sends the request and reads the answer's head; an error status is read to its end and is a failure.
    pub(super) async fn call(
        pool: &Pool,
        guard: &Guard,
        provider: &Provider,
        credential: Option<&Credential>,
        outgoing: &Outgoing<'_>,
    ) -> Result<Box<Self>, Failure> {
        let addresses = resolve(guard, provider).await?;
        let mut last = Failure::Connect;
        for address in addresses.iter().take(ADDRESSES) {
            let way = Way::to(provider, credential, *address);
            match Self::exchange(pool, provider, credential, way, outgoing).await {
                Err(Failure::Connect) => last = Failure::Connect,
                Ok(upstream) => {
                    return upstream
                        .judged(pool, &provider.quirks.header_family, outgoing.now)
                        .await;
                }
                Err(other) => return Err(other),
            }
        }
        Err(last)
    }

    async fn exchange(
        pool: &Pool,
        provider: &Provider,
        credential: Option<&Credential>,
        way: Way,
        outgoing: &Outgoing<'_>,
    ) -> Result<Box<Self>, Failure> {
        let deadlines = &provider.deadlines;
        let mut stale = 0;
        loop {
            let taken = pool.take(&way).await;
            let (mut session, is_reused) = taken.map_err(|_| Failure::Connect)?;
            session.set_write_timeout(write_time(outgoing.pieces));
            session.set_read_timeout(Some(deadlines.first_byte(outgoing.is_stream)));
            let head = request_head(provider, credential, outgoing).ok_or(Failure::Connect)?;
            match send(&mut session, head, outgoing.pieces).await {
                Ok(()) => {}
                // The provider closed a pooled connection while it lay idle: nobody has read this request.
                Err(Failure::Broken) if is_reused && stale < STALE_CONNECTIONS => {
                    stale += 1;
                    continue;
                }
                Err(failure) => return Err(failure),
            }
            let encoding = session
                .response_header()
                .and_then(|head| head.headers.get(header::CONTENT_ENCODING));
            let decoder = Decoder::of(encoding).ok_or(Failure::Garbage)?;
            let gap = Duration::from_millis(deadlines.gap_ms);
            session.set_read_timeout(Some(gap));
            // Boxed: it is handed on through many futures, and large.
            return Ok(Box::new(Self {
                session,
                way,
                decoder,
                gap,
            }));
        }
    }

    async fn judged(
        mut self: Box<Self>,
        pool: &Pool,
        family: &str,
        now: Moment,
    ) -> Result<Box<Self>, Failure> {
        let status = self.status();
        if status.is_success() {
            return Ok(self);
        }
        let told = self.told(family, now);
        let body = self.error_body().await;
        self.release(pool).await;
        let mut fault = fault::upstream(status.as_u16(), &body);
        fault.retry_after = told.retry_after.or(fault.retry_after);
        Err(Failure::Status {
            status: status.as_u16(),
            fault,
            told: Box::new(told),
        })
    }

    /// Returns the answer's status.
    pub(super) fn status(&self) -> StatusCode {
        self.session
            .response_header()
            .map_or(StatusCode::BAD_GATEWAY, |head| head.status)
    }

    /// Returns the answer's headers.
    pub(super) fn headers(&self) -> Option<&HeaderMap> {
        self.session.response_header().map(|head| &head.headers)
    }

    /// Returns what the answer's headers say of the provider's allowances.
    pub(super) fn told(&self, family: &str, now: Moment) -> Learned {
        let headers = self.headers().into_iter().flatten();
        let pairs = headers.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        allowance_headers::read(family, pairs, now)
    }

    /// Reads the next piece of the answer; `None` is its proper end.
    pub(super) async fn next(&mut self, left: Duration) -> Result<Option<Bytes>, Failure> {
        self.session.set_read_timeout(Some(self.gap.min(left)));
        loop {
            let piece = self
                .session
                .read_response_body()
                .await
                .map_err(|error| failed(&error))?;
            let Some(piece) = piece else {
                return if self.session.response_done() {
                    Ok(None)
                } else {
                    Err(Failure::Broken)
                };
            };
            let decoded = self.decoder.decode(piece).map_err(|_| Failure::Garbage)?;
            if !decoded.is_empty() {
                return Ok(Some(decoded));
            }
        }
    }

    /// Reads the answer to its end.
    pub(super) async fn whole(&mut self) -> Result<Bytes, Failure> {
        self.read_up_to(REPLY_BODY).await
    }

    /// Reads of an error's body what comes soon; its status alone says most of it.
    async fn error_body(&mut self) -> Bytes {
        let mut body = BytesMut::new();
        let read = async {
            while let Ok(Some(piece)) = self.next(ERROR_PATIENCE).await {
                body.extend_from_slice(&piece);
                if ERROR_BODY <= body.len() {
                    break;
                }
            }
        };
        let _as_much_as_came = timeout(ERROR_PATIENCE, read).await;
        body.freeze()
    }

    async fn read_up_to(&mut self, bound: usize) -> Result<Bytes, Failure> {
        let Some(first) = self.next(Duration::MAX).await? else {
            return Ok(Bytes::new());
        };
        let Some(second) = self.next(Duration::MAX).await? else {
            return Ok(first);
        };
        let mut body = BytesMut::from(&first[..]);
        body.extend_from_slice(&second);
        while let Some(piece) = self.next(Duration::MAX).await? {
            if bound < body.len().saturating_add(piece.len()) {
                return Err(Failure::Garbage);
            }
            body.extend_from_slice(&piece);
        }
        Ok(body.freeze())
    }

    /// Gives the connection back to the pool, when the answer was read to its end.
    pub(super) async fn release(mut self: Box<Self>, pool: &Pool) {
        if self.session.response_done() {
            pool.give_back(self.session, &self.way).await;
        } else {
            self.session.shutdown().await;
        }
    }

    /// Closes the connection: the provider should stop working for nobody.
    pub(super) async fn abort(mut self: Box<Self>) {
        self.session.shutdown().await;
    }
}

async fn send(
    session: &mut HttpSession,
    head: RequestHeader,
    pieces: &[Bytes],
) -> Result<(), Failure> {
    session
        .write_request_header(Box::new(head))
        .await
        .map_err(|error| failed(&error))?;
    let mut left = pieces;
    while let Some((piece, rest)) = next_write(left) {
        session
            .write_request_body(piece, rest.is_empty())
            .await
            .map_err(|error| failed(&error))?;
        left = rest;
    }
    if pieces.is_empty() {
        session
            .finish_request_body()
            .await
            .map_err(|error| failed(&error))?;
    }
    loop {
        session
            .read_response_header()
            .await
            .map_err(|error| failed(&error))?;
        // An interim answer (100, 103) is not the answer.
        if session
            .response_header()
            .is_none_or(|head| !head.status.is_informational())
        {
            return Ok(());
        }
    }
}

/// Returns what to write next, and the pieces after it: each write costs as much as copying many bytes.
fn next_write(pieces: &[Bytes]) -> Option<(Bytes, &[Bytes])> {
    let (first, mut rest) = pieces.split_first()?;
    if JOINED_WRITE < first.len() || rest.is_empty() {
        return Some((first.clone(), rest));
    }
    let mut joined = BytesMut::from(&first[..]);
    while let Some((next, after)) = rest.split_first() {
        if JOINED_WRITE < joined.len().saturating_add(next.len()) {
            break;
        }
        joined.extend_from_slice(next);
        rest = after;
    }
    Some((joined.freeze(), rest))
}

fn failed(error: &pingora::Error) -> Failure {
    use pingora::ErrorType;
    match error.etype() {
        ErrorType::ReadTimedout | ErrorType::WriteTimedout => Failure::Timeout,
        ErrorType::InvalidHTTPHeader => Failure::Garbage,
        _ => Failure::Broken,
    }
}

/// A whole body is one write to Pingora: a large one needs longer than a small one, and one that every socket takes
/// at once needs no bound.
fn write_time(pieces: &[Bytes]) -> Option<Duration> {
    let bytes: usize = pieces.iter().map(Bytes::len).sum();
    let mebibytes = u64::try_from(bytes / (1024 * 1024)).unwrap_or(u64::MAX);
    let time = Duration::from_secs(10_u64.saturating_add(mebibytes.saturating_mul(2)));
    (TAKEN_AT_ONCE < bytes).then_some(time)
}

pub(super) async fn resolve(
    guard: &Guard,
    provider: &Provider,
) -> Result<std::sync::Arc<[SocketAddr]>, Failure> {
    guard
        .resolve_url(&provider.base_url)
        .await
        .map_err(|none| match none {
            NoAddress::Forbidden(_) => Failure::Forbidden,
            NoAddress::Unresolvable => Failure::Connect,
        })
}

/// Writes the head of a request to `provider`.
fn request_head(
    provider: &Provider,
    credential: Option<&Credential>,
    outgoing: &Outgoing<'_>,
) -> Option<RequestHeader> {
    let base = provider.base_url.path().trim_end_matches('/');
    let target = [base, "/", outgoing.path].concat();
    let accept = if outgoing.is_stream {
        "text/event-stream"
    } else {
        "application/json"
    };
    let length: usize = outgoing.pieces.iter().map(Bytes::len).sum();
    let mut head = Head::new();
    head.text(&header::HOST, authority(provider))
        .word(&header::CONTENT_TYPE, "application/json")
        .word(&header::ACCEPT, accept)
        .word(&header::ACCEPT_ENCODING, "identity")
        .word(
            &header::USER_AGENT,
            concat!("synaxis/", env!("CARGO_PKG_VERSION")),
        )
        .text(&head::REQUEST_ID, outgoing.request_id)
        .set(&header::CONTENT_LENGTH, HeaderValue::from(length));
    if let Some((name, value)) = authorization(provider.quirks.auth, credential)? {
        head.set(&name, value);
    }
    for (name, value) in outgoing.forwarded {
        head.set(name, value.clone());
    }
    head.request(outgoing.method.clone(), &target)
}

/// Returns what of a caller's headers is a provider's business.
pub(super) fn forwarded(headers: &HeaderMap) -> HeaderMap {
    FORWARDED
        .iter()
        .filter_map(|name| Some((name.clone(), headers.get(name)?.clone())))
        .collect()
}

/// Returns the provider's key as the provider wants it; the outer nothing when it cannot stand in a header.
pub(super) fn authorization(
    auth: Auth,
    credential: Option<&Credential>,
) -> Option<Option<(HeaderName, HeaderValue)>> {
    let Some(credential) = credential else {
        return Some(None);
    };
    let key = credential.secret.expose();
    let (name, text) = match auth {
        Auth::Bearer => (header::AUTHORIZATION, ["Bearer ", key].concat()),
        Auth::XApiKey => (head::X_API_KEY.clone(), key.to_owned()),
        Auth::ApiKey => (head::API_KEY.clone(), key.to_owned()),
        Auth::None => return Some(None),
    };
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(Some((name, value)))
}

/// Returns the provider's `Host`: its name, and its port where the scheme's own is not meant.
pub(super) fn authority(provider: &Provider) -> &str {
    &provider.base_url[Position::BeforeHost..Position::AfterPort]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_written_in_order_and_small_ones_together() {
        let large = "b".repeat(JOINED_WRITE + 1);
        let pieces =
            ["{", "\"max_tokens\":1,", &large, "c", "}"].map(|piece| Bytes::from(piece.to_owned()));

        let mut writes = Vec::new();
        let mut left = pieces.as_slice();
        while let Some((write, rest)) = next_write(left) {
            writes.push(write);
            left = rest;
        }

        assert_eq!(writes, ["{\"max_tokens\":1,", large.as_str(), "c}"]);
        assert!(next_write(&[]).is_none());
    }
}
