//! Every route of the sidecar, on one page.

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use serde::Serialize;

use super::{Plane, error::ApiError};

/// Returns what the public listener serves.
pub fn api(plane: Plane) -> Router {
    let api = Router::new().route("/api/v1/version", get(version));
    api.merge(health())
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .fallback(async || ApiError::NotFound)
        .with_state(plane)
}

/// Returns what the operations listener serves.
pub fn operations(plane: Plane) -> Router {
    // A scraper that was given the bare address finds the metrics too.
    let metrics = Router::new()
        .route("/metrics", get(metrics))
        .route("/", get(metrics));
    health()
        .merge(metrics)
        .fallback(async || ApiError::NotFound)
        .with_state(plane)
}

fn health() -> Router<Plane> {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readiness))
}

/// The answer to `GET /api/v1/version`.
#[derive(Serialize)]
struct Version {
    name: &'static str,
    version: &'static str,
}

async fn version() -> Json<Version> {
    Json(Version {
        name: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
    })
}

async fn metrics(State(plane): State<Plane>) -> impl IntoResponse {
    let kind = [(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)];
    (kind, plane.metrics.render())
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
