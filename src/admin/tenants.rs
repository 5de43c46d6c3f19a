//! Tenants, as the platform's own people see and run them.

use axum::{extract::State, response::IntoResponse};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Plane,
    error::ApiError,
    etag::{IfMatch, Tagged},
    extract::{Json, Path, PlatformAdmin, Query},
    list::{Listed, paging},
    openapi::Problems,
    patch::given,
};
use crate::{
    base::{Moment, Order, OrganizationId, Paging},
    control::tenants::{self, PlanChange},
    store::Scope,
    tenancy::{
        OrganizationStatus, Tenant,
        store::organizations::{TenantFilter, find_tenants},
    },
};

/// An organization, as the platform's own people see it.
#[derive(Serialize, ToSchema)]
pub struct TenantView {
    /// Its id.
    id: OrganizationId,
    /// The short name in addresses.
    slug: String,
    /// The name on contracts.
    legal_name: String,
    /// The name people read.
    display_name: String,
    /// Whether it is served.
    status: OrganizationStatus,
    /// When it was stopped.
    suspended_at: Option<Moment>,
    /// Why.
    suspended_reason: Option<String>,
    /// What it pays for.
    plan_tier: String,
    /// How many members it may have; null is any number.
    max_users: Option<u32>,
    /// How many groups it may have; null is any number.
    max_groups: Option<u32>,
    /// How many members it has.
    members: u64,
    /// How many keys of it are not revoked.
    keys: u64,
    /// When it was made.
    created_at: Moment,
    /// When it was last changed.
    updated_at: Moment,
    /// When it was deleted; it can be brought back.
    deleted_at: Option<Moment>,
}

impl From<Tenant> for TenantView {
    fn from(tenant: Tenant) -> Self {
        Self {
            id: tenant.id,
            slug: tenant.slug,
            legal_name: tenant.legal_name,
            display_name: tenant.display_name,
            status: tenant.status,
            suspended_at: tenant.suspended_at,
            suspended_reason: tenant.suspended_reason,
            plan_tier: tenant.plan_tier,
            max_users: tenant.max_users,
            max_groups: tenant.max_groups,
            members: tenant.members,
            keys: tenant.keys,
            created_at: tenant.created_at,
            updated_at: tenant.updated_at,
            deleted_at: tenant.deleted_at,
        }
    }
}

/// Which tenants are listed.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TenantState {
    /// Those that are served.
    Active,
    /// Those that were stopped.
    Suspended,
    /// Those that are not served yet.
    Pending,
    /// Those that are not served any more.
    Deactivated,
    /// Those that were deleted.
    Deleted,
}

impl TenantState {
    const fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Pending => "pending",
            Self::Deactivated => "deactivated",
            Self::Deleted => "deleted",
        }
    }
}

/// Which tenants are listed.
#[derive(Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TenantQuery {
    /// How many at most; 50 when absent.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
    /// Which end comes first: the newest (`desc`) when absent.
    #[param(inline)]
    order: Option<Order>,
    /// Part of a name or slug, or an id.
    search: Option<String>,
    /// Those in one state; all but the deleted when absent.
    #[param(inline)]
    state: Option<TenantState>,
}

/// What shall be other; absent fields stay. Who is there stays, also above a new bound.
#[derive(Default, Deserialize, Validate, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ChangeTenant {
    /// What it pays for.
    #[garde(length(chars, min = 1, max = 40))]
    plan_tier: Option<String>,
    /// How many members it may have; null is any number.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 1_000_000)]
    #[garde(inner(inner(range(min = 1, max = 1_000_000))))]
    max_users: Option<Option<u32>>,
    /// How many groups it may have; null is any number.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 1_000_000)]
    #[garde(inner(inner(range(min = 1, max = 1_000_000))))]
    max_groups: Option<Option<u32>>,
}

/// Why a tenant is stopped.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SuspendTenant {
    /// Why; its own people read it.
    #[garde(length(chars, min = 1, max = 500))]
    reason: String,
}

/// List tenants
#[utoipa::path(
    get,
    path = "/api/v1/platform/tenants",
    tag = "platform",
    params(TenantQuery),
    responses((status = 200, description = "A page of tenants.", body = Listed<TenantView>), Problems)
)]
pub async fn list_tenants(
    State(plane): State<Plane>,
    _admin: PlatformAdmin,
    Query(query): Query<TenantQuery>,
) -> Result<Json<Listed<TenantView>>, ApiError> {
    let paging = paging(query.limit, query.cursor.as_deref(), query.order)?;
    let filter = TenantFilter {
        search: query.search.as_deref(),
        status: query.state.map(TenantState::word),
    };
    let mut conn = plane.postgres.acquire().await?;
    let page = find_tenants(&mut conn, filter, paging).await?;
    Ok(Json(Listed::of(page, TenantView::from)))
}

/// Finds a tenant, also a deleted one.
async fn find(plane: &Plane, id: OrganizationId) -> Result<Tenant, ApiError> {
    let text = id.to_string();
    let mut conn = plane.postgres.acquire().await?;
    for status in [None, Some("deleted")] {
        let filter = TenantFilter {
            search: Some(&text),
            status,
        };
        let page = find_tenants(&mut conn, filter, Paging::default()).await?;
        if let Some(tenant) = page.rows.into_iter().find(|tenant| tenant.id == id) {
            return Ok(tenant);
        }
    }
    Err(ApiError::NotFound)
}

async fn shown(plane: &Plane, id: OrganizationId) -> Result<Tagged<TenantView>, ApiError> {
    let tenant = find(plane, id).await?;
    Ok(Tagged(tenant.updated_at, TenantView::from(tenant)))
}

/// Tell about a tenant
#[utoipa::path(
    get,
    path = "/api/v1/platform/tenants/{organization_id}",
    tag = "platform",
    params(("organization_id" = OrganizationId, Path, description = "The tenant.")),
    responses((status = 200, description = "The tenant.", body = TenantView), Problems)
)]
pub async fn show_tenant(
    State(plane): State<Plane>,
    _admin: PlatformAdmin,
    Path(organization): Path<OrganizationId>,
) -> Result<impl IntoResponse, ApiError> {
    shown(&plane, organization).await
}

/// Change what a tenant pays for and may have
#[utoipa::path(
    patch,
    path = "/api/v1/platform/tenants/{organization_id}",
    tag = "platform",
    params(("organization_id" = OrganizationId, Path, description = "The tenant."), IfMatch),
    request_body = ChangeTenant,
    responses((status = 200, description = "The tenant as it is now.", body = TenantView), Problems)
)]
pub async fn change_tenant(
    State(plane): State<Plane>,
    admin: PlatformAdmin,
    Path(organization): Path<OrganizationId>,
    IfMatch(expected): IfMatch,
    Json(body): Json<ChangeTenant>,
) -> Result<impl IntoResponse, ApiError> {
    let change = PlanChange {
        plan_tier: body.plan_tier,
        max_users: body.max_users,
        max_groups: body.max_groups,
    };
    let mut tx = plane.postgres.begin_for(Scope::of(organization)).await?;
    tenants::change_plan(&mut tx, change, expected, admin.by()).await?;
    tx.commit().await?;
    shown(&plane, organization).await
}

/// Stop serving a tenant
///
/// Its keys are answered 403 `organization_suspended` within a second; its people can still read what it is.
#[utoipa::path(
    post,
    path = "/api/v1/platform/tenants/{organization_id}/suspend",
    tag = "platform",
    params(("organization_id" = OrganizationId, Path, description = "The tenant.")),
    request_body = SuspendTenant,
    responses((status = 200, description = "The tenant as it is now.", body = TenantView), Problems)
)]
pub async fn suspend_tenant(
    State(plane): State<Plane>,
    admin: PlatformAdmin,
    Path(organization): Path<OrganizationId>,
    Json(body): Json<SuspendTenant>,
) -> Result<impl IntoResponse, ApiError> {
    let mut tx = plane.postgres.begin_for(Scope::of(organization)).await?;
    tenants::suspend(&mut tx, &body.reason, admin.by()).await?;
    tx.commit().await?;
    shown(&plane, organization).await
}

/// Serve a tenant again
///
/// Takes back its deletion, with all that was deleted with it; or else its suspension.
#[utoipa::path(
    post,
    path = "/api/v1/platform/tenants/{organization_id}/restore",
    tag = "platform",
    params(("organization_id" = OrganizationId, Path, description = "The tenant.")),
    responses((status = 200, description = "The tenant as it is now.", body = TenantView), Problems)
)]
pub async fn restore_tenant(
    State(plane): State<Plane>,
    admin: PlatformAdmin,
    Path(organization): Path<OrganizationId>,
) -> Result<impl IntoResponse, ApiError> {
    let mut tx = plane.postgres.begin_for(Scope::of(organization)).await?;
    tenants::restore(&mut tx, admin.by()).await?;
    tx.commit().await?;
    shown(&plane, organization).await
}
