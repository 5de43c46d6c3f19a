//! What the audits of security found, and who tried to get in.

pub mod sign_ins;
pub mod views;

use axum::extract::State;

use self::views::{FindingQuery, FindingView};
use super::{
    Plane,
    error::ApiError,
    extract::{Json, Member, PlatformAdmin, Query},
    list::{Listed, paging},
    openapi::Problems,
};
use crate::{
    audit::finding::{self, FindingFilter},
    base::OrganizationId,
    store::Whose,
};

/// List what weakens the organization
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/security-findings",
    tag = "audit",
    params(("organization_id" = OrganizationId, Path, description = "The organization."), FindingQuery),
    responses((status = 200, description = "A page of findings.", body = Listed<FindingView>), Problems)
)]
pub async fn list_security_findings(
    State(plane): State<Plane>,
    member: Member,
    Query(query): Query<FindingQuery>,
) -> Result<Json<Listed<FindingView>>, ApiError> {
    let whose = Whose::Organization(member.scope.organization());
    list(&plane, whose, &query).await.map(Json)
}

/// List what weakens the platform itself
#[utoipa::path(
    get,
    path = "/api/v1/platform/security-findings",
    tag = "audit",
    params(FindingQuery),
    responses((status = 200, description = "A page of findings.", body = Listed<FindingView>), Problems)
)]
pub async fn list_platform_security_findings(
    State(plane): State<Plane>,
    _: PlatformAdmin,
    Query(query): Query<FindingQuery>,
) -> Result<Json<Listed<FindingView>>, ApiError> {
    list(&plane, Whose::Platform, &query).await.map(Json)
}

async fn list(
    plane: &Plane,
    whose: Whose,
    query: &FindingQuery,
) -> Result<Listed<FindingView>, ApiError> {
    let paging = paging(query.limit, query.cursor.as_deref(), query.order)?;
    let filter = FindingFilter {
        severity: query.severity.map(|severity| severity.as_str().to_owned()),
        is_open: query.is_open,
    };
    let mut tx = plane.postgres.begin_as(whose).await?;
    let page = finding::store::page(&mut tx, whose, &filter, &paging).await?;
    Ok(Listed::of(page, FindingView::from))
}
