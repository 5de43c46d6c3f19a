//! Every way the sidecar says no, and its one envelope (RFC 9457).

use std::time::Duration;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::store::StoreError;

/// The content type of a refusal.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// A refusal, as the caller reads it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// Nothing answers at this path, or it is not the caller's.
    #[error("nothing is here")]
    NotFound,
    /// The path is known, the method is not.
    #[error("this path does not take this method")]
    MethodNotAllowed,
    /// Fields or parameters are missing, unknown or out of range.
    #[error("the request is not valid")]
    Invalid(Vec<FieldFault>),
    /// A refusal of one resource, with a stable code of its own.
    #[error("{message}")]
    Refused {
        /// 400, 401, 403, 409 or 422.
        status: StatusCode,
        /// The stable word.
        code: &'static str,
        /// What to tell people.
        message: String,
    },
    /// Nobody is signed in.
    #[error("sign in first")]
    Unauthenticated,
    /// The person may not do this.
    #[error("you may not do this")]
    Forbidden,
    /// Somebody changed it since it was read.
    #[error("it was changed since you read it")]
    PreconditionFailed,
    /// Too often.
    #[error("too many requests")]
    TooManyRequests {
        /// When to try again.
        retry_after: Duration,
    },
    /// The body is too large.
    #[error("the body is too large")]
    TooLarge,
    /// The body is not JSON, or is compressed.
    #[error("send application/json, not compressed")]
    UnsupportedMediaType,
    /// It took too long.
    #[error("the request took too long")]
    TimedOut,
    /// Something we need is away.
    #[error("something we need is away; try again")]
    Unavailable,
    /// Our fault. Whoever makes this one has logged why.
    #[error("something went wrong on our side")]
    Internal,
}

/// One field or parameter at fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldFault {
    /// Where it is, such as `limits[0].amount`; empty for the body as a whole.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

impl FieldFault {
    /// Makes a fault.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            message: message.into(),
        }
    }
}

/// The envelope.
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    /// Always `about:blank`: `code` tells what happened.
    #[serde(rename = "type")]
    kind: &'static str,
    /// What happened, for people.
    title: String,
    /// The status of the answer.
    status: u16,
    /// What happened, for programs; it never changes.
    code: &'static str,
    /// Every field at fault.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldFault>,
}

impl ApiError {
    /// A refusal over one field.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldFault::new(field, message)])
    }

    /// A contradiction to what is there (409).
    pub fn conflict(code: &'static str, message: impl Into<String>) -> Self {
        Self::refused(StatusCode::CONFLICT, code, message)
    }

    /// Well-formed, but it cannot be done (422).
    pub fn unprocessable(code: &'static str, message: impl Into<String>) -> Self {
        Self::refused(StatusCode::UNPROCESSABLE_ENTITY, code, message)
    }

    /// A malformed request that is no single field's fault (400).
    pub fn malformed(code: &'static str, message: impl Into<String>) -> Self {
        Self::refused(StatusCode::BAD_REQUEST, code, message)
    }

    fn refused(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self::Refused {
            status,
            code,
            message: message.into(),
        }
    }

    /// Logs a fault of ours, once, and returns what the caller is told.
    pub fn internal(what: &str, error: &(dyn std::error::Error + 'static)) -> Self {
        let mut causes = vec![error.to_string()];
        let mut next = error.source();
        while let Some(cause) = next {
            causes.push(cause.to_string());
            next = cause.source();
        }
        tracing::error!(error = causes.join(": "), "{what}");
        Self::Internal
    }

    const fn answer(&self) -> (StatusCode, &'static str) {
        match self {
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::Invalid(_) => (StatusCode::BAD_REQUEST, "invalid_value"),
            Self::Refused { status, code, .. } => (*status, code),
            Self::Unauthenticated => (StatusCode::UNAUTHORIZED, "unauthenticated"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "insufficient_permissions"),
            Self::PreconditionFailed => (StatusCode::PRECONDITION_FAILED, "precondition_failed"),
            Self::TooManyRequests { .. } => (StatusCode::TOO_MANY_REQUESTS, "too_many_requests"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "request_too_large"),
            Self::UnsupportedMediaType => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type")
            }
            Self::TimedOut => (StatusCode::REQUEST_TIMEOUT, "timed_out"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        }
    }

    /// Returns the header some refusals are told with.
    fn header(&self) -> Option<(header::HeaderName, HeaderValue)> {
        match self {
            Self::Unauthenticated
            | Self::Refused {
                status: StatusCode::UNAUTHORIZED,
                ..
            } => Some((
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"synaxis\""),
            )),
            Self::TooManyRequests { retry_after } => {
                // A rest of a second still is a wait.
                let seconds = retry_after.as_millis().div_ceil(1_000).max(1);
                let seconds = u64::try_from(seconds).unwrap_or(u64::MAX);
                Some((header::RETRY_AFTER, HeaderValue::from(seconds)))
            }
            Self::Unavailable => Some((header::RETRY_AFTER, HeaderValue::from_static("1"))),
            _ => None,
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        if error.is_unreachable() {
            tracing::warn!(%error, "the books cannot be reached");
            return Self::Unavailable;
        }
        Self::internal("the books did not answer as they should", &error)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code) = self.answer();
        let header = self.header();
        let problem = Problem {
            kind: "about:blank",
            title: self.to_string(),
            status: status.as_u16(),
            code,
            errors: match self {
                Self::Invalid(faults) => faults,
                _ => Vec::new(),
            },
        };
        let kind = [(header::CONTENT_TYPE, PROBLEM_JSON)];
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response = (status, kind, body).into_response();
        if let Some((name, value)) = header {
            response.headers_mut().insert(name, value);
        }
        response
    }
}
