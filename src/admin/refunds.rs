//! Giving back what a call was charged.

use axum::extract::State;
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Plane,
    error::ApiError,
    extract::{Json, Path, PlatformAdmin},
    openapi::Problems,
};
use crate::{
    base::{NanoUsd, OrganizationId, RequestId},
    control::refunds::{self, NotRefunded},
    store::Scope,
};

/// How much is given back, and why.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RefundRequest {
    /// How much, in billionths of a dollar; all that is left when absent.
    #[serde(default)]
    #[garde(inner(range(min = 1, max = 9_007_199_254_740_992)))]
    amount_nano_usd: Option<u64>,
    /// Why; it stands in the audit log.
    #[garde(length(chars, min = 1, max = 500))]
    reason: String,
}

/// What was given back of a call.
#[derive(Serialize, ToSchema)]
pub struct RefundView {
    /// The call.
    request_id: RequestId,
    /// What was given back now, in billionths of a dollar.
    given_nano_usd: u64,
    /// What was given back of it in all.
    refunded_nano_usd: u64,
    /// What of its cost is left.
    remaining_nano_usd: u64,
}

/// Give back what a call was charged
///
/// The call's entry stays as it is. What is given back moves in the ledger from settled to released, and limits of
/// money that the call still counts in have it again within a minute or two.
#[utoipa::path(
    post,
    path = "/api/v1/platform/tenants/{organization_id}/requests/{request_id}/refund",
    tag = "platform",
    params(("organization_id" = OrganizationId, Path, description = "The tenant."), ("request_id" = RequestId, Path, description = "The call.")),
    request_body = RefundRequest,
    responses((status = 200, description = "What was given back.", body = RefundView), Problems)
)]
pub async fn refund_request(
    State(plane): State<Plane>,
    admin: PlatformAdmin,
    Path((organization, call)): Path<(OrganizationId, RequestId)>,
    Json(body): Json<RefundRequest>,
) -> Result<Json<RefundView>, ApiError> {
    let amount = body.amount_nano_usd.map(NanoUsd);
    let mut tx = plane.postgres.begin_for(Scope::of(organization)).await?;
    let refund = refunds::refund(&mut tx, call, amount, &body.reason, admin.by()).await?;
    tx.commit().await?;
    Ok(Json(RefundView {
        request_id: call,
        given_nano_usd: refund.given.unwrap_or_default().0,
        refunded_nano_usd: refund.refunded.0,
        remaining_nano_usd: refund.remaining.0,
    }))
}

impl From<NotRefunded> for ApiError {
    fn from(refused: NotRefunded) -> Self {
        match refused {
            NotRefunded::NotFound => Self::NotFound,
            NotRefunded::TooMuch { .. } => {
                Self::unprocessable("refund_too_large", refused.to_string())
            }
            NotRefunded::Store(error) => error.into(),
        }
    }
}
