//! Every way the gateway says no, and how it sounds before and during a stream.

use std::time::Duration;

use http::StatusCode;

use crate::{
    catalog::Dialect,
    dialect::{
        Endpoint, Fault,
        fault::{self, Refused},
    },
    quota::Meter,
};

/// Every way the gateway says no.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("the request is malformed: {what}")]
    Malformed { what: &'static str },
    #[error("two different API keys were given")]
    TwoKeys,
    #[error("{}", .0.message)]
    Fault(Fault),
    #[error("the request could never fit the {meter} limit of {amount} it is held to")]
    RequestExceedsLimit { meter: &'static str, amount: u64 },
    #[error("the request is longer than any model here reads: {message}")]
    ContextTooLong { message: String },
    #[error("no offer of `{model}` can do what `{param}` asks for")]
    NothingAble { model: String, param: &'static str },
    #[error("the stored object this request names is not kept here")]
    StoredObject,

    #[error("no valid API key was given")]
    UnknownKey,
    #[error("the API key has expired")]
    ExpiredKey,
    #[error("the API key was revoked")]
    RevokedKey,
    #[error("the API key may not ask for `{model}`")]
    ModelDenied { model: String },
    #[error("no offer of `{model}` is within the bounds of the routing strategy that holds here")]
    OutOfBounds { model: String },
    #[error("the API key may not be used from this address")]
    AddressNotAllowed,
    #[error("the API key may not be used for this operation")]
    ScopeDenied,
    #[error("the organization is suspended")]
    OrganizationSuspended,
    #[error("the model `{model}` does not exist{}", did_you_mean(.closest))]
    UnknownModel { model: String, closest: Vec<String> },
    #[error("there is nothing at this path")]
    UnknownPath,

    #[error("the body did not come fast enough")]
    BodyTooSlow,
    #[error("the body ended before it was complete")]
    BodyCut,
    #[error("the caller left")]
    CallerGone,
    #[error("the body is larger than {limit_bytes} bytes")]
    TooLarge { limit_bytes: u64 },
    #[error("compressed request bodies are not accepted")]
    UnsupportedEncoding,

    #[error("the limit of {amount} {} is reached", meter_words(*.meter))]
    LimitReached {
        meter: Meter,
        amount: u64,
        wait: Duration,
    },
    #[error("a call with this Idempotency-Key is still being answered")]
    Duplicate,
    #[error("every provider of `{model}` has reached its limit")]
    ProvidersLimited { model: String, wait: Duration },

    #[error("the upstream failed: {message}")]
    UpstreamFailed { message: String },
    #[error("no upstream answered in time")]
    UpstreamTimeout,
    #[error("{message}")]
    RefusedUpstream {
        status: u16,
        code: String,
        message: String,
        param: Option<String>,
    },

    #[error("no provider of `{model}` can be reached now")]
    NoCapacity { model: String, wait: Duration },
    #[error("keys cannot be checked now")]
    KeysUnavailable,
    #[error("limits cannot be checked now")]
    QuotaUnavailable,
    #[error("what calls cost cannot be written down now")]
    BooksFull,
    #[error("this gateway is going away; ask again")]
    Draining,
}

/// How one refusal is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// The HTTP status.
    pub(super) status: StatusCode,
    /// The stable word SDKs and metrics go by.
    pub(super) code: &'static str,
    /// OpenAI's `type`.
    pub(super) kind: &'static str,
}

/// Beyond this wait an SDK should not try again by itself.
const WORTH_RETRYING: Duration = Duration::from_secs(60);

const INVALID: &str = "invalid_request_error";
const LIMITED: &str = "rate_limit_error";
const OURS: &str = "server_error";

impl Refusal {
    pub(super) const fn malformed(what: &'static str) -> Self {
        Self::Malformed { what }
    }

    /// What the caller sees, and the label it is counted under.
    #[must_use]
    pub(super) fn answer(&self) -> Answer {
        let (status, code, kind) = match self {
            Self::Malformed { .. } | Self::TwoKeys => (400, "invalid_value", INVALID),
            Self::Fault(fault) => (400, fault.code, INVALID),
            Self::RequestExceedsLimit { .. } => (400, "request_exceeds_limit", INVALID),
            Self::ContextTooLong { .. } => (400, "context_length_exceeded", INVALID),
            Self::NothingAble { .. } => (400, "unsupported_parameter", INVALID),
            Self::BodyCut => (400, "invalid_json", INVALID),
            Self::UnknownKey => (401, "invalid_api_key", INVALID),
            Self::ExpiredKey => (401, "expired_api_key", INVALID),
            Self::RevokedKey => (401, "revoked_api_key", INVALID),
            Self::ModelDenied { .. } => (403, "model_access_denied", "permission_error"),
            Self::OutOfBounds { .. } => (403, "model_access_denied", "permission_error"),
            Self::AddressNotAllowed => (403, "address_not_allowed", "permission_error"),
            Self::ScopeDenied => (403, "scope_denied", "permission_error"),
            Self::OrganizationSuspended => (403, "organization_suspended", "permission_error"),
            Self::UnknownModel { .. } => (404, "model_not_found", INVALID),
            Self::UnknownPath | Self::StoredObject => (404, "unknown_path", INVALID),
            Self::BodyTooSlow => (408, "request_timeout", INVALID),
            Self::Duplicate => (409, "idempotency_key_in_use", INVALID),
            Self::TooLarge { .. } => (413, "request_too_large", INVALID),
            Self::UnsupportedEncoding => (415, "unsupported_encoding", INVALID),
            Self::LimitReached {
                meter: Meter::NanoUsd,
                ..
            } => (429, "budget_exceeded", "insufficient_quota"),
            Self::LimitReached { .. } | Self::ProvidersLimited { .. } => {
                (429, "rate_limit_exceeded", LIMITED)
            }
            Self::CallerGone => (499, "caller_gone", INVALID),
            Self::UpstreamFailed { .. } => (502, "upstream_error", OURS),
            Self::UpstreamTimeout => (504, "upstream_timeout", OURS),
            Self::RefusedUpstream { status, .. } => (*status, "refused_upstream", INVALID),
            Self::NoCapacity { .. } | Self::KeysUnavailable | Self::BooksFull => {
                (503, "no_capacity", OURS)
            }
            Self::QuotaUnavailable => (503, "quota_unavailable", OURS),
            Self::Draining => (503, "draining", OURS),
        };
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
        Answer { status, code, kind }
    }

    /// Returns how long to wait before the same request may pass, when waiting helps.
    #[must_use]
    pub(super) fn wait(&self) -> Option<Duration> {
        match self {
            Self::LimitReached { wait, .. }
            | Self::ProvidersLimited { wait, .. }
            | Self::NoCapacity { wait, .. } => Some(*wait),
            Self::KeysUnavailable | Self::QuotaUnavailable | Self::BooksFull | Self::Draining => {
                Some(Duration::from_secs(1))
            }
            _ => None,
        }
    }

    /// Says whether an SDK that retries by itself would only burn its retries.
    #[must_use]
    pub(super) fn is_not_worth_retrying(&self) -> bool {
        self.answer().status == StatusCode::TOO_MANY_REQUESTS
            && self.wait().is_some_and(|wait| WORTH_RETRYING < wait)
    }

    /// Returns the body of the answer, in the caller's dialect.
    #[must_use]
    pub(super) fn body(&self, dialect: Dialect, request_id: &str) -> Vec<u8> {
        self.in_words(request_id, |refused| fault::render(dialect, refused))
    }

    /// Returns the event that ends a stream, in the caller's dialect.
    #[must_use]
    pub(super) fn event(&self, endpoint: Endpoint, request_id: &str) -> Vec<u8> {
        self.in_words(request_id, |refused| {
            fault::render_stream(endpoint, refused)
        })
    }

    fn in_words(&self, request_id: &str, say: impl FnOnce(&Refused<'_>) -> Vec<u8>) -> Vec<u8> {
        let Answer { status, code, kind } = self.answer();
        let message = self.to_string();
        let (code, param) = match self {
            Self::Fault(fault) => (code, fault.param.as_deref()),
            Self::RefusedUpstream { code, param, .. } => (code.as_str(), param.as_deref()),
            Self::NothingAble { param, .. } => (code, Some(*param)),
            Self::UnknownModel { .. } | Self::ModelDenied { .. } | Self::OutOfBounds { .. } => {
                (code, Some("model"))
            }
            _ => (code, None),
        };
        say(&Refused {
            status: status.as_u16(),
            code,
            kind,
            message: &message,
            param,
            request_id,
        })
    }
}

fn did_you_mean(closest: &[String]) -> String {
    match closest {
        [] => String::new(),
        names => format!("; the closest are {}", names.join(", ")),
    }
}

pub(super) fn meter_words(meter: Meter) -> &'static str {
    match meter {
        Meter::Requests => "requests",
        Meter::InputTokens => "input tokens",
        Meter::OutputTokens => "output tokens",
        Meter::TotalTokens => "tokens",
        Meter::NanoUsd => "nano-dollars",
        Meter::Concurrent => "concurrent requests",
        Meter::Credits => "credits",
    }
}
