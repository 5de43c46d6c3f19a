//! The keys that sign access tokens: seen, replaced, and revoked when one got out.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Plane,
    error::ApiError,
    extract::{Created, Json, NoContent, Path, PlatformAdmin},
    openapi::Problems,
};
use crate::{
    base::{Moment, SigningKeyId},
    control::identity::signing_keys::{self, KeyRefused},
    identity::signing::KeptKey,
};

/// What a key does.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SigningKeyState {
    /// It is published and does not sign yet.
    Next,
    /// It signs, or did; it verifies.
    Active,
    /// It verifies until it retires.
    Retiring,
}

/// A signing key; its secret is never shown.
#[derive(Serialize, ToSchema)]
pub struct SigningKeyView {
    /// Its id: the `kid` of its tokens.
    id: SigningKeyId,
    /// What it does.
    state: SigningKeyState,
    /// When it begins to sign.
    signs_from: Moment,
    /// When it stops to verify.
    retires_at: Option<Moment>,
    /// When it was made.
    created_at: Moment,
}

/// All signing keys; there are never many.
#[derive(Serialize, ToSchema)]
pub struct SigningKeysView {
    /// The keys, oldest first.
    data: Vec<SigningKeyView>,
}

impl SigningKeyView {
    fn of(key: &KeptKey, now: Moment) -> Self {
        let state = match key.retires_at {
            _ if now < key.signs_from => SigningKeyState::Next,
            Some(_) => SigningKeyState::Retiring,
            None => SigningKeyState::Active,
        };
        Self {
            id: key.id,
            state,
            signs_from: key.signs_from,
            retires_at: key.retires_at,
            created_at: key.created_at,
        }
    }
}

/// List the signing keys
///
/// Those that are not retired.
#[utoipa::path(
    get,
    path = "/api/v1/platform/signing-keys",
    tag = "platform",
    responses((status = 200, description = "The keys.", body = SigningKeysView), Problems)
)]
pub async fn list_signing_keys(
    State(plane): State<Plane>,
    admin: PlatformAdmin,
) -> Result<Json<SigningKeysView>, ApiError> {
    let now = admin.person.now;
    let keys = signing_keys::list(&plane.door, now).await?;
    let data = keys.iter().map(|key| SigningKeyView::of(key, now));
    Ok(Json(SigningKeysView {
        data: data.collect(),
    }))
}

/// Replace the signing key
///
/// The next one is published now and signs in five minutes; the present one verifies until its tokens have run out.
#[utoipa::path(
    post,
    path = "/api/v1/platform/signing-keys/rotate",
    tag = "platform",
    responses((status = 201, description = "The next key.", body = SigningKeyView), Problems)
)]
pub async fn rotate_signing_key(
    State(plane): State<Plane>,
    admin: PlatformAdmin,
) -> Result<Created<Json<SigningKeyView>>, ApiError> {
    let next = signing_keys::rotate(&plane.door, admin.by()).await?;
    plane.door.signer.reload().await?;
    let location = "/api/v1/platform/signing-keys".to_owned();
    let view = SigningKeyView::of(&next, admin.person.now);
    Ok(Created(location, Json(view)))
}

/// Revoke a signing key
///
/// Every token it signed is refused within seconds, everywhere: everybody signs in again or refreshes.
#[utoipa::path(
    post,
    path = "/api/v1/platform/signing-keys/{signing_key_id}/revoke",
    tag = "platform",
    params(("signing_key_id" = SigningKeyId, Path, description = "The key.")),
    responses((status = 204, description = "It verifies nothing."), Problems)
)]
pub async fn revoke_signing_key(
    State(plane): State<Plane>,
    admin: PlatformAdmin,
    Path(id): Path<SigningKeyId>,
) -> Result<NoContent, ApiError> {
    signing_keys::revoke(&plane.door, id, admin.by()).await?;
    plane.door.signer.reload().await?;
    Ok(NoContent)
}

impl From<KeyRefused> for ApiError {
    fn from(error: KeyRefused) -> Self {
        match error {
            KeyRefused::NoKey => Self::NotFound,
            KeyRefused::IsFollowed => Self::conflict("signing_key_is_followed", error.to_string()),
            KeyRefused::NotSealed(_) => Self::internal("a signing key cannot be sealed", &error),
            KeyRefused::Store(error) => error.into(),
        }
    }
}
