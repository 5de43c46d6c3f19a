//! The outermost layer: every request gets an id, is counted, and leaves one line in the log.

use std::{sync::Arc, time::Instant};

use axum::{
    RequestExt,
    extract::{Request, State},
    http::{HeaderName, HeaderValue},
    middleware::Next,
    response::Response,
};

use super::{Plane, access::Operation, extract::Origin};
use crate::{
    audit::{Source, UserAgent},
    base::RequestId,
};

/// The header that names a request. It is always ours.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Names a request, lets it through, and tells how it went.
pub async fn observe(State(plane): State<Plane>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = RequestId::new(plane.clock.now());
    let source = source(&plane, &mut request, id).await;
    request.extensions_mut().insert(id);
    request.extensions_mut().insert(source);
    let operation = request.extensions().get::<Arc<Operation>>();
    let operation = operation.map_or("none".to_owned(), |operation| operation.id.clone());
    let mut response = next.run(request).await;
    let status = response.status();
    plane.metrics.answered(&operation, status, began.elapsed());
    tracing::info!(
        exchange.id = %id,
        operation,
        status = status.as_u16(),
        ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        "answered"
    );
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

async fn source(plane: &Plane, request: &mut Request, id: RequestId) -> Source {
    let origin = request.extract_parts_with_state::<Origin, _>(plane).await;
    let origin = origin.ok();
    let agent = origin
        .as_ref()
        .and_then(|origin| origin.user_agent.as_deref());
    Source {
        address: origin.as_ref().map(|origin| origin.address),
        request_id: Some(id),
        user_agent: agent.and_then(UserAgent::new),
    }
}
