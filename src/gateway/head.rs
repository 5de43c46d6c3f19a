//! Heads of our own making. Their names are made once: Pingora parses and copies a name each time one is inserted.

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use pingora::http::{RequestHeader, ResponseHeader};

/// How many headers a head has room for before it grows.
const ROOM: usize = 24;

macro_rules! names {
    ($($name:ident $text:literal)*) => {$(
        pub(super) static $name: HeaderName = HeaderName::from_static($text);
    )*};
}

names! {
    REQUEST_ID "x-request-id"
    CLIENT_REQUEST_ID "x-client-request-id"
    ANTHROPIC_REQUEST_ID "request-id"
    PROVIDER "x-synaxis-provider"
    MODEL "x-synaxis-model"
    TIER "x-synaxis-tier"
    ATTEMPTS "x-synaxis-attempts"
    ROUTE "x-synaxis-route"
    COST "x-synaxis-cost-usd"
    SAVED "x-synaxis-saved-usd"
    QUOTA "x-synaxis-quota"
    ACCEL_BUFFERING "x-accel-buffering"
    SHOULD_RETRY "x-should-retry"
    RETRY_AFTER_MS "retry-after-ms"
    X_API_KEY "x-api-key"
    API_KEY "api-key"
    TAGS "x-synaxis-tags"
    IDEMPOTENCY_KEY "idempotency-key"
}

/// A head being written. A value that cannot stand in a header leaves it out.
#[derive(Debug)]
pub(super) struct Head {
    headers: HeaderMap,
}

impl Head {
    pub(super) fn new() -> Self {
        Self {
            headers: HeaderMap::with_capacity(ROOM),
        }
    }

    /// Sets a header.
    pub(super) fn set(&mut self, name: &HeaderName, value: HeaderValue) -> &mut Self {
        self.headers.insert(name, value);
        self
    }

    /// Sets a header to a word of ours.
    pub(super) fn word(&mut self, name: &HeaderName, word: &'static str) -> &mut Self {
        self.set(name, HeaderValue::from_static(word))
    }

    /// Sets a header to any text.
    pub(super) fn text(&mut self, name: &HeaderName, text: &str) -> &mut Self {
        if let Ok(value) = HeaderValue::from_str(text) {
            self.set(name, value);
        }
        self
    }

    /// Sets a header to a whole number.
    pub(super) fn number(&mut self, name: &HeaderName, number: u64) -> &mut Self {
        self.set(name, HeaderValue::from(number))
    }

    /// Makes it the head of an answer.
    pub(super) fn answer(self, status: StatusCode) -> ResponseHeader {
        let (mut parts, ()) = http::Response::new(()).into_parts();
        parts.status = status;
        parts.headers = self.headers;
        ResponseHeader::from(parts)
    }

    /// Makes it the head of a request; nothing when the target is none.
    pub(super) fn request(self, method: Method, target: &str) -> Option<RequestHeader> {
        let (mut parts, ()) = http::Request::new(()).into_parts();
        parts.method = method;
        parts.uri = target.parse::<Uri>().ok()?;
        parts.headers = self.headers;
        Some(RequestHeader::from(parts))
    }
}
