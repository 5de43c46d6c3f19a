//! The platform's keys: the same operations on other rows.

use axum::extract::State;

use super::{
    At, cancel_credential_rotation, change_credential, create_credential, list_credentials,
    remove_credential, rotate_credential, show_credential, switch_credential, test_credential,
    view::{
        ChangeCredential, CreateCredential, CredentialFindingView, CredentialView,
        RotateCredential, TestCredential,
    },
};
use crate::admin::{
    Plane,
    catalog::owner::{CatalogQuery, Owner},
    error::ApiError,
    etag::{IfMatch, Tagged},
    extract::{Created, Json, NoContent, Path, Query},
    list::Listed,
    openapi::Problems,
};

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
