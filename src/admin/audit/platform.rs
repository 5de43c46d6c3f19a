//! The platform's own audit log.

use axum::{extract::State, response::Response};

use super::{
    ends, export, list, signed, verify,
    views::{AuditLogView, AuditQuery, CheckpointView, ExportQuery, VerificationView, VerifyQuery},
};
use crate::{
    admin::{
        Plane,
        error::ApiError,
        extract::{Json, PlatformAdmin, Query},
        list::Listed,
        openapi::Problems,
    },
    store::Whose,
};

/// List what was changed on the platform itself
#[utoipa::path(
    get,
    path = "/api/v1/platform/audit-logs",
    tag = "audit",
    params(AuditQuery),
    responses((status = 200, description = "A page of the log.", body = Listed<AuditLogView>), Problems)
)]
pub async fn list_platform_audit_logs(
    State(plane): State<Plane>,
    _: PlatformAdmin,
    Query(query): Query<AuditQuery>,
) -> Result<Json<Listed<AuditLogView>>, ApiError> {
    list(&plane, Whose::Platform, &query).await.map(Json)
}

/// Export what was changed on the platform itself, oldest first
#[utoipa::path(
    get,
    path = "/api/v1/platform/audit-logs/export",
    tag = "audit",
    params(ExportQuery),
    responses(
        (status = 200, description = "Every row that the filters let through, as they are read.",
            content((Vec<AuditLogView> = "application/json"), (String = "text/csv"))),
        Problems)
)]
pub async fn export_platform_audit_logs(
    State(plane): State<Plane>,
    _: PlatformAdmin,
    Query(query): Query<ExportQuery>,
) -> Result<Response, ApiError> {
    export::export(&plane, Whose::Platform, query).await
}

/// Verify the chain of the platform's own log
#[utoipa::path(
    get,
    path = "/api/v1/platform/audit-logs/verification",
    tag = "audit",
    params(VerifyQuery),
    responses((status = 200, description = "Whether it holds, and where not.", body = VerificationView), Problems)
)]
pub async fn verify_platform_audit_logs(
    State(plane): State<Plane>,
    _: PlatformAdmin,
    Query(query): Query<VerifyQuery>,
) -> Result<Json<VerificationView>, ApiError> {
    verify(&plane, Whose::Platform, &query).await.map(Json)
}

/// Sign where every log ends, to be kept outside
#[utoipa::path(
    get,
    path = "/api/v1/platform/audit-logs/checkpoint",
    tag = "audit",
    responses((status = 200, description = "The signed end of every log.", body = CheckpointView), Problems)
)]
pub async fn show_platform_audit_checkpoint(
    State(plane): State<Plane>,
    _: PlatformAdmin,
) -> Result<Json<CheckpointView>, ApiError> {
    signed(&plane, &ends(&plane, None).await?).map(Json)
}
