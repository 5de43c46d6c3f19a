//! Providers over the API.

pub mod platform;
pub mod view;

use axum::extract::State;
use serde::Deserialize;
use url::Url;
use uuid::Uuid;

use self::view::{ChangeProvider, CreateProvider, ProviderView};
use super::{
    owner::{CatalogQuery, Owner},
    patch::set,
};
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
    catalog::{file::ProviderEntry, store},
    control::catalog::providers::{self as control, Reachable},
};

/// Which provider.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct At {
    provider_id: Uuid,
}

fn url_of(text: &str) -> Result<Url, ApiError> {
    text.parse()
        .map_err(|_| ApiError::invalid("base_url", "is no URL: write https://host/path"))
}

/// List the providers an organization may use: its own and the platform's
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/providers",
    tag = "catalog",
    params(("organization_id" = OrganizationId, Path), CatalogQuery),
    responses((status = 200, description = "A page.", body = Listed<ProviderView>), Problems)
)]
pub async fn list_providers(
    State(plane): State<Plane>,
    owner: Owner,
    Query(query): Query<CatalogQuery>,
) -> Result<Json<Listed<ProviderView>>, ApiError> {
    let sought = query.sought(&owner)?;
    let mut tx = owner.begin(&plane).await?;
    let rows = store::providers::list(&mut tx, owner.id, &sought).await?;
    let page = sought.paging.page(rows, |row| (row.created_at, row.id));
    Ok(Json(Listed::of(page, ProviderView::of)))
}

/// Add a provider of the organization's own
#[utoipa::path(
    post,
    path = "/api/v1/organizations/{organization_id}/providers",
    tag = "catalog",
    request_body = CreateProvider,
    params(("organization_id" = OrganizationId, Path)),
    responses((status = 201, description = "Made.", body = ProviderView), Problems)
)]
pub async fn create_provider(
    State(plane): State<Plane>,
    owner: Owner,
    Json(request): Json<CreateProvider>,
) -> Result<Created<Tagged<ProviderView>>, ApiError> {
    let base_url = url_of(&request.base_url)?;
    let reachable = Reachable::judge(&plane.egress, &base_url).await?;
    let entry = ProviderEntry {
        name: request.name,
        dialect: request.dialect,
        base_url,
        trains_on_data: request.trains_on_data,
        requires_key: request.requires_key,
        enabled: request.is_enabled.unwrap_or(true),
        note: request.note,
        source: request.source,
        stated_on: request.stated_on,
        quirks: request.quirks,
        deadlines: request.deadlines,
        allowances: Vec::new(),
    };
    let mut tx = owner.begin(&plane).await?;
    let row = control::create(&mut tx, entry, reachable, owner.by).await?;
    tx.commit().await?;
    let location = owner.location("providers", row.id);
    Ok(Created(
        location,
        Tagged(row.updated_at, ProviderView::of(row)),
    ))
}

/// Show a provider
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/providers/{provider_id}",
    tag = "catalog",
    params(("organization_id" = OrganizationId, Path), ("provider_id" = Uuid, Path)),
    responses((status = 200, description = "As it is.", body = ProviderView), Problems)
)]
pub async fn show_provider(
    State(plane): State<Plane>,
    owner: Owner,
    Path(path): Path<At>,
) -> Result<Tagged<ProviderView>, ApiError> {
    let mut tx = owner.begin(&plane).await?;
    let row = control::one(&mut tx, path.provider_id).await?;
    Ok(Tagged(row.updated_at, ProviderView::of(row)))
}

/// Change a provider of the organization's own
#[utoipa::path(
    patch,
    path = "/api/v1/organizations/{organization_id}/providers/{provider_id}",
    tag = "catalog",
    request_body = ChangeProvider,
    params(("organization_id" = OrganizationId, Path), ("provider_id" = Uuid, Path), IfMatch),
    responses((status = 200, description = "Changed.", body = ProviderView), Problems)
)]
pub async fn change_provider(
    State(plane): State<Plane>,
    owner: Owner,
    Path(path): Path<At>,
    IfMatch(seen): IfMatch,
    Json(request): Json<ChangeProvider>,
) -> Result<Tagged<ProviderView>, ApiError> {
    let base_url = request.base_url.as_deref().map(url_of).transpose()?;
    let reachable = match &base_url {
        Some(url) => Some(Reachable::judge(&plane.egress, url).await?),
        None => None,
    };
    let mut tx = owner.begin(&plane).await?;
    let patch = |entry: &mut ProviderEntry| {
        set(&mut entry.name, request.name);
        set(&mut entry.base_url, base_url);
        set(&mut entry.quirks, request.quirks);
        set(&mut entry.deadlines, request.deadlines);
        set(&mut entry.trains_on_data, request.trains_on_data);
        set(&mut entry.requires_key, request.requires_key);
        set(&mut entry.enabled, request.is_enabled);
        set(&mut entry.note, request.note);
        set(&mut entry.source, request.source);
        set(&mut entry.stated_on, request.stated_on);
    };
    let id = path.provider_id;
    let row = control::change(&mut tx, id, seen, patch, reachable, owner.by).await?;
    tx.commit().await?;
    Ok(Tagged(row.updated_at, ProviderView::of(row)))
}

/// Take a provider of the organization's own out of the catalog
#[utoipa::path(
    delete,
    path = "/api/v1/organizations/{organization_id}/providers/{provider_id}",
    tag = "catalog",
    params(("organization_id" = OrganizationId, Path), ("provider_id" = Uuid, Path), IfMatch),
    responses((status = 204, description = "Gone."), Problems)
)]
pub async fn remove_provider(
    State(plane): State<Plane>,
    owner: Owner,
    Path(path): Path<At>,
    IfMatch(seen): IfMatch,
) -> Result<NoContent, ApiError> {
    let mut tx = owner.begin(&plane).await?;
    control::remove(&mut tx, path.provider_id, seen, owner.by).await?;
    tx.commit().await?;
    Ok(NoContent)
}
