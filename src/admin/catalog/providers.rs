//! Providers over the API.

use axum::extract::State;
use chrono::NaiveDate;
use garde::Validate;
use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    owner::{CatalogQuery, Owner, OwnerWord},
    patch::{given, set},
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
    base::{Moment, OrganizationId},
    catalog::{Deadlines, Dialect, Quirks, Row, file::ProviderEntry, store},
    control::catalog::providers::{self as control, Reachable},
};

/// Somebody who serves models.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProviderView {
    /// Its id.
    id: Uuid,
    /// Whose it is.
    owner: OwnerWord,
    /// Its short name, as in `x-synaxis-provider` and `provider/model`.
    name: String,
    /// The language it speaks.
    dialect: Dialect,
    /// What stands before the path of a call.
    base_url: String,
    /// How it departs from its dialect.
    quirks: Quirks,
    /// How long it may take.
    deadlines: Deadlines,
    /// Whether it may train its models on what it is sent.
    trains_on_data: bool,
    /// Whether it serves nobody who has no key for it.
    requires_key: bool,
    /// Whether it is used.
    is_enabled: bool,
    /// What people should know of it.
    note: String,
    /// Where this was read.
    source: String,
    /// When it was read there.
    stated_on: Option<NaiveDate>,
    /// When it was made.
    created_at: Moment,
    /// When it was last changed.
    updated_at: Moment,
}

impl ProviderView {
    fn of(row: Row<ProviderEntry>) -> Self {
        Self {
            id: row.id,
            owner: OwnerWord::of(row.owner),
            name: row.entry.name,
            dialect: row.entry.dialect,
            base_url: row.entry.base_url.into(),
            quirks: row.entry.quirks,
            deadlines: row.entry.deadlines,
            trains_on_data: row.entry.trains_on_data,
            requires_key: row.entry.requires_key,
            is_enabled: row.entry.enabled,
            note: row.entry.note,
            source: row.entry.source,
            stated_on: row.entry.stated_on,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// A provider to be added.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct CreateProvider {
    /// Its short name: up to 63 of `a-z 0-9 . _ -`, a letter or digit first.
    name: String,
    /// The language it speaks.
    dialect: Dialect,
    /// What stands before the path of a call, `/v1` included where the provider has one: https and a public host.
    #[schema(format = "uri")]
    base_url: String,
    /// How it departs from its dialect.
    #[serde(default)]
    quirks: Quirks,
    /// How long it may take.
    #[serde(default)]
    deadlines: Deadlines,
    /// Whether it may train its models on what it is sent.
    #[serde(default)]
    trains_on_data: bool,
    /// Whether it serves nobody who has no key for it.
    #[serde(default)]
    requires_key: bool,
    /// Whether it is used; true when absent.
    #[serde(default)]
    is_enabled: Option<bool>,
    /// What people should know of it.
    #[serde(default)]
    note: String,
    /// Where this was read.
    #[serde(default)]
    source: String,
    /// When it was read there.
    #[serde(default)]
    stated_on: Option<NaiveDate>,
}

/// What is to change of a provider; what is absent stays, null clears.
#[derive(Debug, Default, Deserialize, Validate, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct ChangeProvider {
    /// Its short name.
    name: Option<String>,
    /// What stands before the path of a call. A provider with keys stays at its host.
    #[schema(format = "uri")]
    base_url: Option<String>,
    /// How it departs from its dialect, as a whole.
    quirks: Option<Quirks>,
    /// How long it may take, as a whole.
    deadlines: Option<Deadlines>,
    /// Whether it may train its models on what it is sent.
    trains_on_data: Option<bool>,
    /// Whether it serves nobody who has no key for it.
    requires_key: Option<bool>,
    /// Whether it is used.
    is_enabled: Option<bool>,
    /// What people should know of it.
    note: Option<String>,
    /// Where this was read.
    source: Option<String>,
    /// When it was read there.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<NaiveDate>)]
    stated_on: Option<Option<NaiveDate>>,
}

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
