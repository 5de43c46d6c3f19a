//! What operators ask of the sidecar: metrics, and whether it lives, has started, is ready.

use std::sync::atomic::Ordering;

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};

use super::Plane;

/// Whether the process lives, has started, and takes work.
pub fn probes() -> Router<Plane> {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/startupz", get(startup))
        .route("/readyz", get(readiness))
}

/// What is counted.
pub async fn metrics(State(plane): State<Plane>) -> impl IntoResponse {
    let kind = [(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)];
    (kind, plane.metrics.render())
}

/// Started once Postgres has answered, and from then on.
async fn startup(State(plane): State<Plane>) -> (StatusCode, &'static str) {
    if plane.has_started.load(Ordering::Relaxed) {
        return (StatusCode::OK, "ok\n");
    }
    match plane.postgres.acquire().await {
        Ok(_) => {
            plane.has_started.store(true, Ordering::Relaxed);
            (StatusCode::OK, "ok\n")
        }
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "postgres is away\n"),
    }
}

/// Ready while Postgres answers and nobody has told us to stop; says which is missing, never where it is.
async fn readiness(State(plane): State<Plane>) -> (StatusCode, &'static str) {
    if *plane.stopping.borrow() {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n");
    }
    match plane.postgres.acquire().await {
        Ok(_) => (StatusCode::OK, "ok\n"),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "postgres is away\n"),
    }
}
