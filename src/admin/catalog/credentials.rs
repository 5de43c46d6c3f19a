//! Providers' keys over the API: given, tried, replaced, taken away; never shown.

use axum::extract::State;
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::owner::{CatalogQuery, Owner, OwnerWord};
use crate::{
    admin::{
        Plane,
        error::ApiError,
        etag::{IfMatch, Tagged},
        extract::{Created, Json, NoContent, Path, Query},
        list::Listed,
        openapi::Problems,
    },
    base::{Moment, OrganizationId, Secret},
    catalog::{
        Row,
        probe::{Finding, Outcome},
        store::{self, credentials::CredentialRow},
    },
    control::catalog::credentials::{self as control, CredentialPatch, NewKey, Which},
};

/// A provider's key: everything but the key.
#[derive(Debug, Serialize, ToSchema)]
pub struct CredentialView {
    /// Its id.
    id: Uuid,
    /// Whose it is.
    owner: OwnerWord,
    /// Whose key it is.
    provider_id: Uuid,
    /// The provider's name.
    provider: String,
    /// What tells it from the provider's other keys.
    name: String,
    /// Lower is tried first.
    position: i32,
    /// Whether it is used.
    is_enabled: bool,
    /// Since when a new key waits to take its place; null when none does.
    pending_since: Option<Moment>,
    /// When it was last replaced.
    rotated_at: Option<Moment>,
    /// What was found when it was last tried; null when it never was.
    last_test: Option<CredentialFindingView>,
    /// Names the sealing key it is sealed with.
    sealing_key_id: String,
    /// When it was made.
    created_at: Moment,
    /// When it was last changed.
    updated_at: Moment,
}

/// What was found when a key was tried.
#[derive(Debug, Serialize, ToSchema)]
pub struct CredentialFindingView {
    /// When.
    tested_at: Moment,
    /// In one word.
    outcome: Outcome,
    /// The status the provider answered with; null when it did not answer.
    status: Option<u16>,
    /// In words.
    detail: String,
}

impl CredentialFindingView {
    fn of(tested_at: Moment, finding: Finding) -> Self {
        Self {
            tested_at,
            outcome: finding.outcome,
            status: finding.status,
            detail: finding.detail,
        }
    }
}

impl CredentialView {
    fn of(row: Row<CredentialRow>) -> Self {
        let entry = row.entry;
        let last_test = entry.tested;
        Self {
            id: row.id,
            owner: OwnerWord::of(row.owner),
            provider_id: entry.provider_id,
            provider: entry.provider,
            name: entry.name,
            position: entry.position,
            is_enabled: entry.is_enabled,
            pending_since: entry.pending_since,
            rotated_at: entry.rotated_at,
            last_test: last_test.map(|(at, finding)| CredentialFindingView::of(at, finding)),
            sealing_key_id: entry.sealing_key_id,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// A key to be given.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct CreateCredential {
    /// Whose key: the organization's provider, or one of the platform.
    provider_id: Uuid,
    /// What tells it from the provider's other keys; `default` when absent.
    #[serde(default)]
    name: Option<String>,
    /// Lower is tried first.
    #[serde(default)]
    position: i32,
    /// Whether it is used; true when absent.
    #[serde(default)]
    is_enabled: Option<bool>,
    /// The key. It is sealed and never shown again.
    secret: Secret,
}

/// What is to change of a key; what is absent stays.
#[derive(Debug, Default, Deserialize, Validate, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct ChangeCredential {
    /// What tells it from the provider's other keys.
    name: Option<String>,
    /// Lower is tried first.
    position: Option<i32>,
    /// Whether it is used.
    is_enabled: Option<bool>,
}

/// A key to be laid beside the one in use.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct RotateCredential {
    /// The new key. It is sealed and never shown again.
    secret: Secret,
}

/// Which of a credential's keys is to be tried.
#[derive(Debug, Default, Deserialize, Validate, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct TestCredential {
    /// The one that waits to take the other's place, rather than the one in use.
    is_pending: bool,
}

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

/// List the platform's providers' keys
#[utoipa::path(
    get,
    path = "/api/v1/platform/credentials",
    tag = "catalog",
    params(CatalogQuery),
    responses((status = 200, description = "A page.", body = Listed<CredentialView>), Problems)
)]
pub async fn list_platform_credentials(
    State(plane): State<Plane>,
    owner: Owner,
    Query(query): Query<CatalogQuery>,
) -> Result<Json<Listed<CredentialView>>, ApiError> {
    list_credentials(State(plane), owner, Query(query)).await
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

/// Add a provider's key for everybody
#[utoipa::path(
    post,
    path = "/api/v1/platform/credentials",
    tag = "catalog",
    request_body = CreateCredential,
    responses((status = 201, description = "Made.", body = CredentialView), Problems)
)]
pub async fn create_platform_credential(
    State(plane): State<Plane>,
    owner: Owner,
    Json(request): Json<CreateCredential>,
) -> Result<Created<Tagged<CredentialView>>, ApiError> {
    create_credential(State(plane), owner, Json(request)).await
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

/// Show a provider's key of the platform
#[utoipa::path(
    get,
    path = "/api/v1/platform/credentials/{credential_id}",
    tag = "catalog",
    params(("credential_id" = Uuid, Path)),
    responses((status = 200, description = "As it is.", body = CredentialView), Problems)
)]
pub async fn show_platform_credential(
    State(plane): State<Plane>,
    owner: Owner,
    Path(path): Path<At>,
) -> Result<Tagged<CredentialView>, ApiError> {
    show_credential(State(plane), owner, Path(path)).await
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

/// Change a provider's key of the platform
#[utoipa::path(
    patch,
    path = "/api/v1/platform/credentials/{credential_id}",
    tag = "catalog",
    request_body = ChangeCredential,
    params(("credential_id" = Uuid, Path), IfMatch),
    responses((status = 200, description = "Changed.", body = CredentialView), Problems)
)]
pub async fn change_platform_credential(
    State(plane): State<Plane>,
    owner: Owner,
    Path(path): Path<At>,
    IfMatch(seen): IfMatch,
    Json(request): Json<ChangeCredential>,
) -> Result<Tagged<CredentialView>, ApiError> {
    change_credential(
        State(plane),
        owner,
        Path(path),
        IfMatch(seen),
        Json(request),
    )
    .await
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

/// Take a provider's key of the platform out of the catalog
#[utoipa::path(
    delete,
    path = "/api/v1/platform/credentials/{credential_id}",
    tag = "catalog",
    params(("credential_id" = Uuid, Path), IfMatch),
    responses((status = 204, description = "Gone."), Problems)
)]
pub async fn remove_platform_credential(
    State(plane): State<Plane>,
    owner: Owner,
    Path(path): Path<At>,
    IfMatch(seen): IfMatch,
) -> Result<NoContent, ApiError> {
    remove_credential(State(plane), owner, Path(path), IfMatch(seen)).await
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

/// Try a key of the platform with a call that costs nothing
#[utoipa::path(
    post,
    path = "/api/v1/platform/credentials/{credential_id}/test",
    tag = "catalog",
    request_body = TestCredential,
    params(("credential_id" = Uuid, Path)),
    responses((status = 200, description = "What was found.", body = CredentialFindingView), Problems)
)]
pub async fn test_platform_credential(
    State(plane): State<Plane>,
    owner: Owner,
    Path(path): Path<At>,
    Json(request): Json<TestCredential>,
) -> Result<Json<CredentialFindingView>, ApiError> {
    test_credential(State(plane), owner, Path(path), Json(request)).await
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

/// Lay a new key beside the platform's one in use, which goes on until the switch
#[utoipa::path(
    post,
    path = "/api/v1/platform/credentials/{credential_id}/rotate",
    tag = "catalog",
    request_body = RotateCredential,
    params(("credential_id" = Uuid, Path)),
    responses((status = 200, description = "It waits.", body = CredentialView), Problems)
)]
pub async fn rotate_platform_credential(
    State(plane): State<Plane>,
    owner: Owner,
    Path(path): Path<At>,
    Json(request): Json<RotateCredential>,
) -> Result<Tagged<CredentialView>, ApiError> {
    rotate_credential(State(plane), owner, Path(path), Json(request)).await
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

/// Put the platform's new key in the place of the one in use, which is forgotten
#[utoipa::path(
    post,
    path = "/api/v1/platform/credentials/{credential_id}/switch",
    tag = "catalog",
    params(("credential_id" = Uuid, Path)),
    responses((status = 200, description = "The new one is in use.", body = CredentialView), Problems)
)]
pub async fn switch_platform_credential(
    State(plane): State<Plane>,
    owner: Owner,
    Path(path): Path<At>,
) -> Result<Tagged<CredentialView>, ApiError> {
    switch_credential(State(plane), owner, Path(path)).await
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

/// Forget the platform's new key; the one in use stays
#[utoipa::path(
    post,
    path = "/api/v1/platform/credentials/{credential_id}/cancel-rotation",
    tag = "catalog",
    params(("credential_id" = Uuid, Path)),
    responses((status = 200, description = "As it was.", body = CredentialView), Problems)
)]
pub async fn cancel_platform_credential_rotation(
    State(plane): State<Plane>,
    owner: Owner,
    Path(path): Path<At>,
) -> Result<Tagged<CredentialView>, ApiError> {
    cancel_credential_rotation(State(plane), owner, Path(path)).await
}
