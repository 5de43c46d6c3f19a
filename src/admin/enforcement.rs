//! The switch of all limits: for operators, when limits themselves are what goes wrong.

use axum::extract::State;
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Plane,
    error::ApiError,
    extract::{Json, PlatformAdmin},
    openapi::Problems,
};
use crate::{
    base::Moment,
    control::enforcement::{self, Enforcement},
};

/// How the switch of all limits stands.
#[derive(Serialize, ToSchema)]
pub struct EnforcementView {
    /// Whether limits refuse; else they only count what they would have refused.
    is_on: bool,
    /// Since when.
    updated_at: Moment,
}

impl From<Enforcement> for EnforcementView {
    fn from(enforcement: Enforcement) -> Self {
        Self {
            is_on: enforcement.is_on,
            updated_at: enforcement.updated_at,
        }
    }
}

/// How the switch of all limits shall stand.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetEnforcement {
    /// Whether limits refuse.
    #[garde(skip)]
    is_on: bool,
    /// Why, for the audit log.
    #[garde(length(chars, min = 1, max = 500))]
    reason: String,
}

/// Tell whether limits are enforced
#[utoipa::path(
    get,
    path = "/api/v1/platform/limits/enforcement",
    tag = "platform",
    responses((status = 200, description = "How the switch stands.", body = EnforcementView), Problems)
)]
pub async fn show_limits_enforcement(
    State(plane): State<Plane>,
) -> Result<Json<EnforcementView>, ApiError> {
    let enforcement = enforcement::show(&plane.postgres).await?;
    Ok(Json(enforcement.into()))
}

/// Enforce limits, or only count
///
/// Of every organization, providers' allowances included. Every proxy knows within a second.
#[utoipa::path(
    put,
    path = "/api/v1/platform/limits/enforcement",
    tag = "platform",
    request_body = SetEnforcement,
    responses((status = 200, description = "How the switch stands now.", body = EnforcementView), Problems)
)]
pub async fn set_limits_enforcement(
    State(plane): State<Plane>,
    admin: PlatformAdmin,
    Json(body): Json<SetEnforcement>,
) -> Result<Json<EnforcementView>, ApiError> {
    let set = enforcement::set(&plane.postgres, body.is_on, &body.reason, admin.by()).await?;
    Ok(Json(set.into()))
}
