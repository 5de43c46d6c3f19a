//! Every way the sidecar says no, and its one envelope (RFC 9457).

use axum::{
    Json,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

/// A refusal, as the caller reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// Nothing answers at this path, or it is not the caller's.
    #[error("nothing is here")]
    NotFound,
    /// The path is known, the method is not.
    #[error("this path does not take this method")]
    MethodNotAllowed,
}

/// The envelope.
#[derive(Serialize)]
struct Problem {
    #[serde(rename = "type")]
    kind: &'static str,
    title: String,
    status: u16,
    code: &'static str,
}

impl ApiError {
    const fn answer(self) -> (StatusCode, &'static str) {
        match self {
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code) = self.answer();
        let problem = Problem {
            kind: "about:blank",
            title: self.to_string(),
            status: status.as_u16(),
            code,
        };
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        (status, kind, Json(problem)).into_response()
    }
}
