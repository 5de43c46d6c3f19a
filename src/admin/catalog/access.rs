//! What an organization uses of what the platform shares, over the API.

use axum::extract::State;
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    admin::{
        Plane,
        error::ApiError,
        extract::{Json, Member, NoContent, Path, Query},
        list::{ListQuery, Listed},
        openapi::Problems,
    },
    base::{Moment, OrganizationId},
    catalog::store::{self, access::Access},
    control::catalog::access as control,
    store::OwnerTx,
};

/// Whether an organization's members may use a model.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModelAccessView {
    /// Which model; null is every model that is not named.
    model_id: Option<Uuid>,
    /// Its name; null for every model that is not named.
    model: Option<String>,
    /// Whether it may be used.
    is_allowed: bool,
    /// When it was said.
    created_at: Moment,
    /// When it was last changed.
    updated_at: Moment,
}

impl ModelAccessView {
    fn of(access: Access) -> Self {
        Self {
            model_id: access.subject,
            model: access.subject.map(|_| access.name),
            is_allowed: access.is_allowed,
            created_at: access.created_at,
            updated_at: access.updated_at,
        }
    }
}

/// Whether an organization uses a provider of the platform.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProviderAccessView {
    /// Which provider.
    provider_id: Option<Uuid>,
    /// Its name.
    provider: String,
    /// Whether it may be used.
    is_allowed: bool,
    /// When it was said.
    created_at: Moment,
    /// When it was last changed.
    updated_at: Moment,
}

impl ProviderAccessView {
    fn of(access: Access) -> Self {
        Self {
            provider_id: access.subject,
            provider: access.name,
            is_allowed: access.is_allowed,
            created_at: access.created_at,
            updated_at: access.updated_at,
        }
    }
}

/// Whether something may be used.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct SetAccess {
    /// Whether it may be used.
    is_allowed: bool,
}

/// Which model.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct AtModel {
    model_id: Uuid,
}

/// Which provider.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct AtProvider {
    provider_id: Uuid,
}

async fn begin(plane: &Plane, member: &Member) -> Result<OwnerTx, ApiError> {
    let organization = member.scope.organization();
    Ok(plane.postgres.begin_for_owner(Some(organization)).await?)
}

/// List the models the organization allows or hides
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/model-access",
    tag = "catalog",
    params(("organization_id" = OrganizationId, Path), ListQuery),
    responses((status = 200, description = "A page.", body = Listed<ModelAccessView>), Problems)
)]
pub async fn list_model_access(
    State(plane): State<Plane>,
    member: Member,
    Query(query): Query<ListQuery>,
) -> Result<Json<Listed<ModelAccessView>>, ApiError> {
    let paging = query.paging()?;
    let mut tx = begin(&plane, &member).await?;
    let all = store::access::models(&mut tx, member.scope.organization(), &paging).await?;
    let page = paging.page(all, |access| (access.created_at, access.id));
    Ok(Json(Listed::of(page, ModelAccessView::of)))
}

/// Allow or hide a model
#[utoipa::path(
    put,
    path = "/api/v1/organizations/{organization_id}/model-access/{model_id}",
    tag = "catalog",
    request_body = SetAccess,
    params(("organization_id" = OrganizationId, Path), ("model_id" = Uuid, Path)),
    responses((status = 204, description = "It counts."), Problems)
)]
pub async fn set_model_access(
    State(plane): State<Plane>,
    member: Member,
    Path(path): Path<AtModel>,
    Json(request): Json<SetAccess>,
) -> Result<NoContent, ApiError> {
    set_model(&plane, &member, Some(path.model_id), request.is_allowed).await
}

/// Treat a model like those that are not named
#[utoipa::path(
    delete,
    path = "/api/v1/organizations/{organization_id}/model-access/{model_id}",
    tag = "catalog",
    params(("organization_id" = OrganizationId, Path), ("model_id" = Uuid, Path)),
    responses((status = 204, description = "Forgotten."), Problems)
)]
pub async fn forget_model_access(
    State(plane): State<Plane>,
    member: Member,
    Path(path): Path<AtModel>,
) -> Result<NoContent, ApiError> {
    forget_model(&plane, &member, Some(path.model_id)).await
}

/// Allow or hide every model that is not named
#[utoipa::path(
    put,
    path = "/api/v1/organizations/{organization_id}/model-access-default",
    tag = "catalog",
    request_body = SetAccess,
    params(("organization_id" = OrganizationId, Path)),
    responses((status = 204, description = "It counts."), Problems)
)]
pub async fn set_default_model_access(
    State(plane): State<Plane>,
    member: Member,
    Json(request): Json<SetAccess>,
) -> Result<NoContent, ApiError> {
    set_model(&plane, &member, None, request.is_allowed).await
}

async fn set_model(
    plane: &Plane,
    member: &Member,
    model: Option<Uuid>,
    is_allowed: bool,
) -> Result<NoContent, ApiError> {
    let organization = member.scope.organization();
    let mut tx = begin(plane, member).await?;
    control::set_model(&mut tx, organization, model, is_allowed, member.by()).await?;
    tx.commit().await?;
    Ok(NoContent)
}

async fn forget_model(
    plane: &Plane,
    member: &Member,
    model: Option<Uuid>,
) -> Result<NoContent, ApiError> {
    let organization = member.scope.organization();
    let mut tx = begin(plane, member).await?;
    control::forget_model(&mut tx, organization, model, member.by()).await?;
    tx.commit().await?;
    Ok(NoContent)
}

/// List the platform's providers the organization does without
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/provider-access",
    tag = "catalog",
    params(("organization_id" = OrganizationId, Path), ListQuery),
    responses((status = 200, description = "A page.", body = Listed<ProviderAccessView>), Problems)
)]
pub async fn list_provider_access(
    State(plane): State<Plane>,
    member: Member,
    Query(query): Query<ListQuery>,
) -> Result<Json<Listed<ProviderAccessView>>, ApiError> {
    let paging = query.paging()?;
    let mut tx = begin(&plane, &member).await?;
    let all = store::access::providers(&mut tx, member.scope.organization(), &paging).await?;
    let page = paging.page(all, |access| (access.created_at, access.id));
    Ok(Json(Listed::of(page, ProviderAccessView::of)))
}

/// Use a provider of the platform, or do without it
#[utoipa::path(
    put,
    path = "/api/v1/organizations/{organization_id}/provider-access/{provider_id}",
    tag = "catalog",
    request_body = SetAccess,
    params(("organization_id" = OrganizationId, Path), ("provider_id" = Uuid, Path)),
    responses((status = 204, description = "It counts."), Problems)
)]
pub async fn set_provider_access(
    State(plane): State<Plane>,
    member: Member,
    Path(path): Path<AtProvider>,
    Json(request): Json<SetAccess>,
) -> Result<NoContent, ApiError> {
    let (organization, provider) = (member.scope.organization(), path.provider_id);
    let is_allowed = request.is_allowed;
    let mut tx = begin(&plane, &member).await?;
    control::set_provider(&mut tx, organization, provider, is_allowed, member.by()).await?;
    tx.commit().await?;
    Ok(NoContent)
}

/// Use a provider as the platform says
#[utoipa::path(
    delete,
    path = "/api/v1/organizations/{organization_id}/provider-access/{provider_id}",
    tag = "catalog",
    params(("organization_id" = OrganizationId, Path), ("provider_id" = Uuid, Path)),
    responses((status = 204, description = "Forgotten."), Problems)
)]
pub async fn forget_provider_access(
    State(plane): State<Plane>,
    member: Member,
    Path(path): Path<AtProvider>,
) -> Result<NoContent, ApiError> {
    let (organization, provider) = (member.scope.organization(), path.provider_id);
    let mut tx = begin(&plane, &member).await?;
    control::forget_provider(&mut tx, organization, provider, member.by()).await?;
    tx.commit().await?;
    Ok(NoContent)
}
