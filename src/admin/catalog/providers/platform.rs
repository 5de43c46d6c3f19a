//! The platform's providers: the same operations on other rows.

use axum::extract::State;

use super::{
    At, change_provider, create_provider, list_providers, remove_provider, show_provider,
    view::{ChangeProvider, CreateProvider, ProviderView},
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

/// List the platform's providers
#[utoipa::path(
    get,
    path = "/api/v1/platform/providers",
    tag = "catalog",
    params(CatalogQuery),
    responses((status = 200, description = "A page.", body = Listed<ProviderView>), Problems)
)]
pub async fn list_platform_providers(
    State(plane): State<Plane>,
    owner: Owner,
    Query(query): Query<CatalogQuery>,
) -> Result<Json<Listed<ProviderView>>, ApiError> {
    list_providers(State(plane), owner, Query(query)).await
}

/// Add a provider for everybody
#[utoipa::path(
    post,
    path = "/api/v1/platform/providers",
    tag = "catalog",
    request_body = CreateProvider,
    responses((status = 201, description = "Made.", body = ProviderView), Problems)
)]
pub async fn create_platform_provider(
    State(plane): State<Plane>,
    owner: Owner,
    Json(request): Json<CreateProvider>,
) -> Result<Created<Tagged<ProviderView>>, ApiError> {
    create_provider(State(plane), owner, Json(request)).await
}

/// Show a provider of the platform
#[utoipa::path(
    get,
    path = "/api/v1/platform/providers/{provider_id}",
    tag = "catalog",
    params(("provider_id" = Uuid, Path)),
    responses((status = 200, description = "As it is.", body = ProviderView), Problems)
)]
pub async fn show_platform_provider(
    State(plane): State<Plane>,
    owner: Owner,
    Path(path): Path<At>,
) -> Result<Tagged<ProviderView>, ApiError> {
    show_provider(State(plane), owner, Path(path)).await
}

/// Change a provider of the platform
#[utoipa::path(
    patch,
    path = "/api/v1/platform/providers/{provider_id}",
    tag = "catalog",
    request_body = ChangeProvider,
    params(("provider_id" = Uuid, Path), IfMatch),
    responses((status = 200, description = "Changed.", body = ProviderView), Problems)
)]
pub async fn change_platform_provider(
    State(plane): State<Plane>,
    owner: Owner,
    Path(path): Path<At>,
    IfMatch(seen): IfMatch,
    Json(request): Json<ChangeProvider>,
) -> Result<Tagged<ProviderView>, ApiError> {
    change_provider(
        State(plane),
        owner,
        Path(path),
        IfMatch(seen),
        Json(request),
    )
    .await
}

/// Take a provider of the platform out of the catalog
#[utoipa::path(
    delete,
    path = "/api/v1/platform/providers/{provider_id}",
    tag = "catalog",
    params(("provider_id" = Uuid, Path), IfMatch),
    responses((status = 204, description = "Gone."), Problems)
)]
pub async fn remove_platform_provider(
    State(plane): State<Plane>,
    owner: Owner,
    Path(path): Path<At>,
    IfMatch(seen): IfMatch,
) -> Result<NoContent, ApiError> {
    remove_provider(State(plane), owner, Path(path), IfMatch(seen)).await
}
