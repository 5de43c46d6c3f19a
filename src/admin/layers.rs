//! The layers around every handler, in the order a request meets them.

use axum::{
    Router,
    middleware::{from_fn, from_fn_with_state},
};
use tower_http::catch_panic::CatchPanicLayer;

use super::{
    Plane, bound, cors, csrf, doors::Table, gate, headers, idempotency, known, observe, throttle,
};

/// Wraps the operations: counted, let in, understood, done once. Read upwards: the last is met first.
pub fn around_operations(operations: Router<Plane>, plane: &Plane) -> Router<Plane> {
    operations
        .layer(from_fn_with_state(plane.clone(), idempotency::once))
        .layer(from_fn(known::refuse_unknown))
        .layer(from_fn_with_state(plane.clone(), gate::gate))
        .layer(from_fn_with_state(plane.clone(), throttle::throttle))
}

/// Wraps everything the public listener serves. Read upwards: the last is met first.
pub fn around_everything(router: Router<Plane>, table: Table, plane: &Plane) -> Router<Plane> {
    router
        .layer(from_fn_with_state(plane.clone(), csrf::guard))
        .layer(from_fn_with_state(plane.clone(), bound::bound))
        .layer(CatchPanicLayer::custom(bound::recover))
        .layer(from_fn_with_state(plane.clone(), cors::share))
        .layer(from_fn(headers::secure))
        .layer(from_fn_with_state(plane.clone(), observe::observe))
        .layer(from_fn_with_state(table, known::name_operation))
}
