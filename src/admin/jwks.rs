//! The public keys that verify our access tokens.

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Plane, error::ApiError, extract::Json, openapi::Problems};
use crate::identity::signing::Jwk;

/// How long others may keep the set: shorter than a key is published before it signs.
const KEPT: &str = "public, max-age=120";

/// A set of keys (RFC 7517).
#[derive(Serialize, ToSchema)]
pub struct JwkSet {
    /// The keys.
    keys: Vec<Jwk>,
}

/// List the keys that verify access tokens
#[utoipa::path(
    get,
    path = "/.well-known/jwks.json",
    tag = "sign-in",
    responses((status = 200, description = "The keys.", body = JwkSet), Problems)
)]
pub async fn show_jwks(State(plane): State<Plane>) -> Result<Response, ApiError> {
    let signer = &plane.door.signer;
    if signer.signing_key().is_none() {
        signer.reload().await?;
    }
    let kept = [(header::CACHE_CONTROL, KEPT)];
    let keys = signer.jwks();
    Ok((kept, Json(JwkSet { keys })).into_response())
}
