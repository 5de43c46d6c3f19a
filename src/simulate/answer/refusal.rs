//! How a provider says no, in all the shapes that occur.

use serde_json::{Value, json};

use crate::{
    dialect::{
        Dialect, Endpoint,
        fault::{Refused, render, render_stream},
    },
    simulate::fault::Shape,
};

/// A no with its status.
#[derive(Clone, Debug)]
pub(in crate::simulate) struct Refusal {
    pub(in crate::simulate) status: u16,
    pub(in crate::simulate) code: &'static str,
    pub(in crate::simulate) message: String,
    /// Seconds to wait.
    pub(in crate::simulate) retry_after: Option<u64>,
}

impl Refusal {
    pub(in crate::simulate) fn new(
        status: u16,
        code: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            retry_after: None,
        }
    }

    /// The caller's own fault.
    pub(in crate::simulate) fn invalid(message: &str) -> Self {
        Self::new(400, "invalid_request", message)
    }

    /// What a fault's status means.
    pub(in crate::simulate) fn of_status(status: u16, retry_after: Option<u64>) -> Self {
        let (code, message) = match status {
            400 => ("invalid_value", "The request is invalid (simulated)."),
            401 => ("invalid_api_key", "Incorrect API key provided (simulated)."),
            402 => ("insufficient_quota", "Insufficient balance (simulated)."),
            403 => (
                "permission_denied",
                "You are not allowed to do this (simulated).",
            ),
            404 => ("model_not_found", "The model does not exist (simulated)."),
            413 => ("request_too_large", "The request is too large (simulated)."),
            429 => ("rate_limit_exceeded", "Rate limit reached (simulated)."),
            503 | 529 => (
                "overloaded",
                "The engine is currently overloaded (simulated).",
            ),
            _ => ("server_error", "The server had an error (simulated)."),
        };
        Self {
            retry_after,
            ..Self::new(status, code, message)
        }
    }

    fn kind(&self) -> &'static str {
        match self.status {
            401 => "authentication_error",
            402 => "insufficient_quota",
            429 => "requests",
            500.. => "server_error",
            _ => "invalid_request_error",
        }
    }

    fn refused<'a>(&'a self, request_id: &'a str) -> Refused<'a> {
        Refused {
            status: self.status,
            code: self.code,
            kind: self.kind(),
            message: &self.message,
            param: None,
            request_id,
        }
    }
}

/// Returns an error's body and its content type.
pub(in crate::simulate) fn body_of_shape(
    refusal: &Refusal,
    shape: Shape,
    request_id: &str,
) -> (Vec<u8>, &'static str) {
    const JSON: &str = "application/json";
    match shape {
        Shape::Openai => (render(Dialect::Openai, &refusal.refused(request_id)), JSON),
        Shape::Anthropic => (
            render(Dialect::Anthropic, &refusal.refused(request_id)),
            JSON,
        ),
        Shape::Gemini => (gemini(refusal).to_string().into_bytes(), JSON),
        Shape::Text => (refusal.message.clone().into_bytes(), "text/plain"),
        Shape::Html => {
            let page = format!(
                "<html><head><title>{0}</title></head><body><h1>{0}</h1></body></html>",
                refusal.status
            );
            (page.into_bytes(), "text/html")
        }
        Shape::Empty => (Vec::new(), "text/plain"),
    }
}

/// Returns the event that ends a stream with an error.
pub(in crate::simulate) fn event_of_error(endpoint: Endpoint) -> Vec<u8> {
    render_stream(
        endpoint,
        &Refusal::of_status(500, None).refused("simulated"),
    )
}

fn gemini(refusal: &Refusal) -> Value {
    let wait = refusal.retry_after.map(|seconds| {
        json!([
            {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]},
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": format!("{seconds}s")},
        ])
    });
    json!([{"error": {"code": refusal.status, "message": refusal.message, "status": "RESOURCE_EXHAUSTED", "details": wait}}])
}
