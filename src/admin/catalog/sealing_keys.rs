//! Sealing keys over the API, by their fingerprints.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    admin::{
        Plane,
        error::ApiError,
        extract::{Json, PlatformAdmin},
        openapi::Problems,
    },
    base::Moment,
    catalog::store::sealing::{self, SealingKeyRow},
};

/// A sealing key that was ever used: nothing of the key itself.
#[derive(Debug, Serialize, ToSchema)]
pub struct SealingKeyView {
    /// Its fingerprint.
    id: String,
    /// The how manieth it is.
    version: i32,
    /// Whether it is the one that seals.
    is_current: bool,
    /// How many secrets it seals.
    uses: i64,
    /// When it was first used.
    created_at: Moment,
    /// Since when nothing is sealed with it, for good.
    retired_at: Option<Moment>,
}

/// Every sealing key that was ever used, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct SealingKeys {
    /// The keys.
    data: Vec<SealingKeyView>,
}

/// List the sealing keys and what each of them still seals
#[utoipa::path(
    get,
    path = "/api/v1/platform/sealing-keys",
    tag = "platform",
    responses((status = 200, description = "All of them.", body = SealingKeys), Problems)
)]
pub async fn list_sealing_keys(
    State(plane): State<Plane>,
    _admin: PlatformAdmin,
) -> Result<Json<SealingKeys>, ApiError> {
    let mut conn = plane.postgres.acquire().await?;
    let keys = sealing::list(&mut conn).await?;
    let current = plane.vault.sealing_key_id();
    let view = |key: SealingKeyRow| SealingKeyView {
        is_current: key.id == current,
        id: key.id,
        version: key.version,
        uses: key.uses,
        created_at: key.created_at,
        retired_at: key.retired_at,
    };
    let data = keys.into_iter().map(view).collect();
    Ok(Json(SealingKeys { data }))
}
