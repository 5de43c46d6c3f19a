//! Providers' keys over the API: given, tried, replaced, taken away; never shown.

pub mod platform;
pub mod view;

use axum::extract::State;
use serde::Deserialize;
use uuid::Uuid;

use self::view::{
    ChangeCredential, CreateCredential, CredentialFindingView, CredentialView, RotateCredential,
    TestCredential,
};
use super::owner::{CatalogQuery, Owner};
use crate::{
    admin::{
        Plane,
        error::ApiError,
        etag::{IfMatch, Tagged},
        extract::{Created, Json, NoContent, Path, Query},
        list::Listed,
        openapi::Problems,
    },
    base::OrganizationId,
    catalog::store::{self},
    control::catalog::credentials::{self as control, CredentialPatch, NewKey, Which},
};

/// Which key.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct At {
    credential_id: Uuid,
}

/// List the providers' keys of the organization, without the keys themselves
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/credentials",
    tag = "catalog",
    params(("organization_id" = OrganizationId, Path), CatalogQuery),
    responses((status = 200, description = "A page.", body = Listed<CredentialView>), Problems)
)]
pub async fn list_credentials(
    State(plane): State<Plane>,
    owner: Owner,
    Query(query): Query<CatalogQuery>,
) -> Result<Json<Listed<CredentialView>>, ApiError> {
    let sought = query.sought(&owner)?;
    let mut tx = owner.begin(&plane).await?;
    let rows = store::credentials::list(&mut tx, owner.id, &sought).await?;
    let page = sought.paging.page(rows, |row| (row.created_at, row.id));
    Ok(Json(Listed::of(page, CredentialView::of)))
}

/// Add a provider's key of the organization's own
#[utoipa::path(
    post,
    path = "/api/v1/organizations/{organization_id}/credentials",
    tag = "catalog",
    request_body = CreateCredential,
    params(("organization_id" = OrganizationId, Path)),
    responses((status = 201, description = "Made.", body = CredentialView), Problems)
)]
pub async fn create_credential(
    State(plane): State<Plane>,
    owner: Owner,
    Json(request): Json<CreateCredential>,
) -> Result<Created<Tagged<CredentialView>>, ApiError> {
    let new = NewKey {
        provider: request.provider_id,
        name: request.name.unwrap_or_else(|| "default".to_owned()),
        position: request.position,
        is_enabled: request.is_enabled.unwrap_or(true),
        secret: request.secret,
    };
    let mut tx = owner.begin(&plane).await?;
    let row = control::create(&mut tx, &plane.vault, new, owner.by).await?;
    tx.commit().await?;
    let location = owner.location("credentials", row.id);
    Ok(Created(
        location,
        Tagged(row.updated_at, CredentialView::of(row)),
    ))
}

/// Show a provider's key
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/credentials/{credential_id}",
    tag = "catalog",
    params(("organization_id" = OrganizationId, Path), ("credential_id" = Uuid, Path)),
    responses((status = 200, description = "As it is.", body = CredentialView), Problems)
)]
pub async fn show_credential(
    State(plane): State<Plane>,
    owner: Owner,
    Path(path): Path<At>,
) -> Result<Tagged<CredentialView>, ApiError> {
    let mut tx = owner.begin(&plane).await?;
    let row = control::one(&mut tx, path.credential_id).await?;
    Ok(Tagged(row.updated_at, CredentialView::of(row)))
}

/// Change a provider's key of the organization's own
#[utoipa::path(
    patch,
    path = "/api/v1/organizations/{organization_id}/credentials/{credential_id}",
    tag = "catalog",
    request_body = ChangeCredential,
    params(("organization_id" = OrganizationId, Path), ("credential_id" = Uuid, Path), IfMatch),
    responses((status = 200, description = "Changed.", body = CredentialView), Problems)
)]
pub async fn change_credential(
    State(plane): State<Plane>,
    owner: Owner,
    Path(path): Path<At>,
    IfMatch(seen): IfMatch,
    Json(request): Json<ChangeCredential>,
) -> Result<Tagged<CredentialView>, ApiError> {
    let patch = CredentialPatch {
        name: request.name,
        position: request.position,
        is_enabled: request.is_enabled,
    };
    let mut tx = owner.begin(&plane).await?;
    let row = control::change(&mut tx, path.credential_id, seen, patch, owner.by).await?;
    tx.commit().await?;
    Ok(Tagged(row.updated_at, CredentialView::of(row)))
}

/// Take a provider's key of the organization's own out of the catalog
#[utoipa::path(
    delete,
    path = "/api/v1/organizations/{organization_id}/credentials/{credential_id}",
    tag = "catalog",
    params(("organization_id" = OrganizationId, Path), ("credential_id" = Uuid, Path), IfMatch),
    responses((status = 204, description = "Gone."), Problems)
)]
pub async fn remove_credential(
    State(plane): State<Plane>,
    owner: Owner,
    Path(path): Path<At>,
    IfMatch(seen): IfMatch,
) -> Result<NoContent, ApiError> {
    let mut tx = owner.begin(&plane).await?;
    control::remove(&mut tx, path.credential_id, seen, owner.by).await?;
    tx.commit().await?;
    Ok(NoContent)
}

/// Try a key with a call that costs nothing
#[utoipa::path(
    post,
    path = "/api/v1/organizations/{organization_id}/credentials/{credential_id}/test",
    tag = "catalog",
    request_body = TestCredential,
    params(("organization_id" = OrganizationId, Path), ("credential_id" = Uuid, Path)),
    responses((status = 200, description = "What was found.", body = CredentialFindingView), Problems)
)]
pub async fn test_credential(
    State(plane): State<Plane>,
    owner: Owner,
    Path(path): Path<At>,
    Json(request): Json<TestCredential>,
) -> Result<Json<CredentialFindingView>, ApiError> {
    let which = if request.is_pending {
        Which::Pending
    } else {
        Which::Current
    };
    let means = (plane.vault.as_ref(), plane.egress.as_ref());
    let wanted = (path.credential_id, which);
    let finding = control::test(&plane.postgres, owner.id, means, wanted, owner.by).await?;
    Ok(Json(CredentialFindingView::of(owner.by.now, finding)))
}

/// Lay a new key beside the one in use, which goes on until the switch
#[utoipa::path(
    post,
    path = "/api/v1/organizations/{organization_id}/credentials/{credential_id}/rotate",
    tag = "catalog",
    request_body = RotateCredential,
    params(("organization_id" = OrganizationId, Path), ("credential_id" = Uuid, Path)),
    responses((status = 200, description = "It waits.", body = CredentialView), Problems)
)]
pub async fn rotate_credential(
    State(plane): State<Plane>,
    owner: Owner,
    Path(path): Path<At>,
    Json(request): Json<RotateCredential>,
) -> Result<Tagged<CredentialView>, ApiError> {
    let mut tx = owner.begin(&plane).await?;
    let (id, secret) = (path.credential_id, &request.secret);
    let row = control::rotate(&mut tx, &plane.vault, id, secret, owner.by).await?;
    tx.commit().await?;
    Ok(Tagged(row.updated_at, CredentialView::of(row)))
}

/// Put the new key in the place of the one in use, which is forgotten
#[utoipa::path(
    post,
    path = "/api/v1/organizations/{organization_id}/credentials/{credential_id}/switch",
    tag = "catalog",
    params(("organization_id" = OrganizationId, Path), ("credential_id" = Uuid, Path)),
    responses((status = 200, description = "The new one is in use.", body = CredentialView), Problems)
)]
pub async fn switch_credential(
    State(plane): State<Plane>,
    owner: Owner,
    Path(path): Path<At>,
) -> Result<Tagged<CredentialView>, ApiError> {
    let mut tx = owner.begin(&plane).await?;
    let row = control::switch(&mut tx, path.credential_id, owner.by).await?;
    tx.commit().await?;
    Ok(Tagged(row.updated_at, CredentialView::of(row)))
}

/// Forget the new key; the one in use stays
#[utoipa::path(
    post,
    path = "/api/v1/organizations/{organization_id}/credentials/{credential_id}/cancel-rotation",
    tag = "catalog",
    params(("organization_id" = OrganizationId, Path), ("credential_id" = Uuid, Path)),
    responses((status = 200, description = "As it was.", body = CredentialView), Problems)
)]
pub async fn cancel_credential_rotation(
    State(plane): State<Plane>,
    owner: Owner,
    Path(path): Path<At>,
) -> Result<Tagged<CredentialView>, ApiError> {
    let mut tx = owner.begin(&plane).await?;
    let row = control::cancel_rotation(&mut tx, path.credential_id, owner.by).await?;
    tx.commit().await?;
    Ok(Tagged(row.updated_at, CredentialView::of(row)))
}
