//! Every route of the sidecar, on one page, each with who may use it.

use axum::{
    Router,
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::get,
};
use utoipa::openapi::OpenApi;
use utoipa_axum::routes;

use super::{
    Plane,
    access::Access,
    catalog,
    doors::{Doors, Table},
    error::ApiError,
    gate::gate,
    version,
};

/// Every operation of the API. A new one is one line here.
fn doors() -> Doors {
    let doors = Doors::new().at(Access::Public, routes!(version::show_version));
    catalog::of_platform(catalog::of_organizations(doors))
}

/// Returns the OpenAPI document of all operations.
#[must_use]
pub fn document() -> OpenApi {
    let (_, _, document) = doors().open();
    document
}

/// Returns who may use which operation.
#[must_use]
pub fn table() -> Table {
    let (_, table, _) = doors().open();
    table
}

/// Returns what the public listener serves.
pub fn api(plane: Plane) -> Router {
    let (operations, table, document) = doors().open();
    let document = serde_json::to_string(&document).unwrap_or_default();
    let kind = [(header::CONTENT_TYPE, "application/json")];
    let serve_document = async move || (kind, document);
    let name = from_fn_with_state(table, name_operation);
    operations
        .layer(from_fn_with_state(plane.clone(), gate))
        .layer(name)
        .route("/api/openapi.json", get(serve_document))
        .merge(health())
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .fallback(async || ApiError::NotFound)
        .with_state(plane)
}

/// Tells the layers around a handler which operation it is.
async fn name_operation(
    State(table): State<Table>,
    path: axum::extract::MatchedPath,
    mut request: Request,
    next: Next,
) -> Response {
    if let Some(operation) = table.find(request.method(), path.as_str()) {
        request.extensions_mut().insert(operation);
    }
    next.run(request).await
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
