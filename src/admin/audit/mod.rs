//! The audit log over the API: of an organization, for whoever may read it, and of the platform.

mod export;
pub mod platform;
pub mod views;

use axum::{extract::State, response::Response};

use self::views::{
    AuditLogView, AuditQuery, CheckpointView, ExportQuery, VerificationView, VerifyQuery,
};
use super::{
    Plane,
    error::ApiError,
    extract::{Json, Member, Query},
    list::Listed,
    openapi::Problems,
};
use crate::{
    audit::{
        self, AuditKeys,
        checkpoint::{self, Checkpoint},
        inspect::inspect,
        verify::Marks,
    },
    base::OrganizationId,
    store::{StoreError, Whose},
};

/// List what was changed
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/audit-logs",
    tag = "audit",
    params(("organization_id" = OrganizationId, Path, description = "The organization."), AuditQuery),
    responses((status = 200, description = "A page of the log.", body = Listed<AuditLogView>), Problems)
)]
pub async fn list_audit_logs(
    State(plane): State<Plane>,
    member: Member,
    Query(query): Query<AuditQuery>,
) -> Result<Json<Listed<AuditLogView>>, ApiError> {
    list(&plane, of(&member), &query).await.map(Json)
}

/// Export what was changed, oldest first
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/audit-logs/export",
    tag = "audit",
    params(("organization_id" = OrganizationId, Path, description = "The organization."), ExportQuery),
    responses(
        (status = 200, description = "Every row that the filters let through, as they are read.",
            content((Vec<AuditLogView> = "application/json"), (String = "text/csv"))),
        Problems)
)]
pub async fn export_audit_logs(
    State(plane): State<Plane>,
    member: Member,
    Query(query): Query<ExportQuery>,
) -> Result<Response, ApiError> {
    export::export(&plane, of(&member), query).await
}

/// Verify the chain of the log
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/audit-logs/verification",
    tag = "audit",
    params(("organization_id" = OrganizationId, Path, description = "The organization."), VerifyQuery),
    responses((status = 200, description = "Whether it holds, and where not.", body = VerificationView), Problems)
)]
pub async fn verify_audit_logs(
    State(plane): State<Plane>,
    member: Member,
    Query(query): Query<VerifyQuery>,
) -> Result<Json<VerificationView>, ApiError> {
    verify(&plane, of(&member), &query).await.map(Json)
}

/// Sign where the log ends, to be kept outside
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/audit-logs/checkpoint",
    tag = "audit",
    params(("organization_id" = OrganizationId, Path, description = "The organization.")),
    responses((status = 200, description = "The signed end of the log.", body = CheckpointView), Problems)
)]
pub async fn show_audit_checkpoint(
    State(plane): State<Plane>,
    member: Member,
) -> Result<Json<CheckpointView>, ApiError> {
    let ends = ends(&plane, Some(of(&member))).await?;
    signed(&plane, &ends).map(Json)
}

const fn of(member: &Member) -> Whose {
    Whose::Organization(member.scope.organization())
}

async fn list(
    plane: &Plane,
    whose: Whose,
    query: &AuditQuery,
) -> Result<Listed<AuditLogView>, ApiError> {
    let paging = query.paging()?;
    let mut tx = plane.postgres.begin_as(whose).await?;
    let page = audit::query::store::page(&mut tx, whose, &query.filter(), &paging).await?;
    Ok(Listed::of(page, AuditLogView::from))
}

async fn verify(
    plane: &Plane,
    whose: Whose,
    query: &VerifyQuery,
) -> Result<VerificationView, ApiError> {
    let keys = keys()?;
    let marks = marks(whose, query, keys)?;
    let outcome = inspect(&plane.postgres, whose, keys, marks).await?;
    Ok(VerificationView::from(outcome))
}

/// What the caller's own checkpoint vouches for.
fn marks(whose: Whose, query: &VerifyQuery, keys: &AuditKeys) -> Result<Marks, ApiError> {
    let Some(text) = &query.checkpoint else {
        return Ok(Marks::new());
    };
    let checkpoint = Checkpoint::read(text, keys);
    let checkpoint =
        checkpoint.map_err(|error| ApiError::invalid("checkpoint", error.to_string()))?;
    let mut all = checkpoint::marks(&[checkpoint]);
    Ok(all.remove(&whose).unwrap_or_default())
}

/// Reads where chains end: one, or all.
async fn ends(plane: &Plane, only: Option<Whose>) -> Result<Vec<audit::store::End>, ApiError> {
    let Some(whose) = only else {
        let mut conn = plane.postgres.acquire().await?;
        return Ok(audit::store::ends(&mut conn).await?);
    };
    let mut tx = plane.postgres.begin_as(whose).await?;
    let head = audit::store::find_head(&mut tx, whose).await?;
    let end = head.map(|head| audit::store::End {
        whose,
        seq: head.seq,
        hash: head.hash,
    });
    Ok(end.into_iter().collect())
}

fn signed(plane: &Plane, ends: &[audit::store::End]) -> Result<CheckpointView, ApiError> {
    let keys = keys()?;
    let line = Checkpoint::of(ends, plane.clock.now(), None).sign(keys);
    let checkpoint =
        line.map_err(|error| ApiError::internal("a checkpoint cannot be written", &error))?;
    Ok(CheckpointView {
        checkpoint,
        public_keys: keys.public_keys(),
    })
}

fn keys() -> Result<&'static AuditKeys, ApiError> {
    AuditKeys::installed().ok_or_else(|| StoreError::NoAuditKey.into())
}
