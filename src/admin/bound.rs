//! What bounds every request: its size, its time, and that a fault of ours stays one answer.

use std::any::Any;

use axum::{
    extract::{Request, State},
    http::header,
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{Plane, error::ApiError, extract::BODY_LIMIT};

/// Refuses a body that says it is too large before reading it, and a request that takes too long.
///
/// # Errors
/// 413 or 408.
pub async fn bound(
    State(plane): State<Plane>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| BODY_LIMIT < length) {
        return Err(ApiError::TooLarge);
    }
    tokio::time::timeout(plane.settings.deadline(), next.run(request))
        .await
        .map_err(|_| ApiError::TimedOut)
}

/// Answers for a handler that panicked. What it said may hold anything, so nobody is told.
pub fn recover(_: Box<dyn Any + Send>) -> Response {
    tracing::error!("a handler panicked");
    ApiError::Internal.into_response()
}
