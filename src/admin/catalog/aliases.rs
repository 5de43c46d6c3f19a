//! Aliases over the API: names callers use for models, tried in order.

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
    base::{Moment, OrganizationId},
    catalog::{
        Row,
        store::{self, aliases::AliasRow},
    },
    control::catalog::aliases::{self as control, AliasPatch},
};

/// A name callers use for models.
#[derive(Debug, Serialize, ToSchema)]
pub struct AliasView {
    /// Its id.
    id: Uuid,
    /// Whose it is.
    owner: OwnerWord,
    /// The name.
    name: String,
    /// The models, in the order they are tried.
    targets: Vec<AliasTarget>,
    /// Whether it is used.
    is_enabled: bool,
    /// When it was made.
    created_at: Moment,
    /// When it was last changed.
    updated_at: Moment,
}

/// A model an alias stands for.
#[derive(Debug, Serialize, ToSchema)]
pub struct AliasTarget {
    /// Which model.
    model_id: Uuid,
    /// Its name.
    model: String,
}

impl AliasView {
    fn of(row: Row<AliasRow>) -> Self {
        let AliasRow { entry, models } = row.entry;
        let targets = models.into_iter().zip(entry.models);
        let targets = targets.map(|(model_id, model)| AliasTarget { model_id, model });
        Self {
            id: row.id,
            owner: OwnerWord::of(row.owner),
            name: entry.name,
            targets: targets.collect(),
            is_enabled: entry.enabled,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// An alias to be added.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateAlias {
    /// The name: 1 to 200 letters, no spaces.
    #[garde(skip)]
    name: String,
    /// The models, in the order they are tried: when every offer of the first is out, the second is.
    #[garde(length(min = 1, max = 100))]
    #[schema(min_items = 1, max_items = 100)]
    model_ids: Vec<Uuid>,
    /// Whether it is used; true when absent.
    #[serde(default)]
    #[garde(skip)]
    is_enabled: Option<bool>,
}

/// What is to change of an alias; what is absent stays.
#[derive(Debug, Default, Deserialize, Validate, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ChangeAlias {
    /// The name.
    #[garde(skip)]
    name: Option<String>,
    /// The models, in the order they are tried.
    #[garde(length(min = 1, max = 100))]
    #[schema(min_items = 1, max_items = 100)]
    model_ids: Option<Vec<Uuid>>,
    /// Whether it is used.
    #[garde(skip)]
    is_enabled: Option<bool>,
}

/// Which alias.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct At {
    alias_id: Uuid,
}

/// List the aliases an organization may use: its own and the platform's
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/aliases",
    tag = "catalog",
    params(("organization_id" = OrganizationId, Path), CatalogQuery),
    responses((status = 200, description = "A page.", body = Listed<AliasView>), Problems)
)]
pub async fn list_aliases(
    State(plane): State<Plane>,
    owner: Owner,
    Query(query): Query<CatalogQuery>,
) -> Result<Json<Listed<AliasView>>, ApiError> {
    let sought = query.sought(&owner)?;
    let mut tx = owner.begin(&plane).await?;
    let rows = store::aliases::list(&mut tx, owner.id, &sought).await?;
    let page = sought.paging.page(rows, |row| (row.created_at, row.id));
    Ok(Json(Listed::of(page, AliasView::of)))
}

/// List the platform's aliases
#[utoipa::path(
    get,
    path = "/api/v1/platform/aliases",
    tag = "catalog",
    params(CatalogQuery),
    responses((status = 200, description = "A page.", body = Listed<AliasView>), Problems)
)]
pub async fn list_platform_aliases(
    State(plane): State<Plane>,
    owner: Owner,
    Query(query): Query<CatalogQuery>,
) -> Result<Json<Listed<AliasView>>, ApiError> {
    list_aliases(State(plane), owner, Query(query)).await
}

/// Add an alias of the organization's own
#[utoipa::path(
    post,
    path = "/api/v1/organizations/{organization_id}/aliases",
    tag = "catalog",
    request_body = CreateAlias,
    params(("organization_id" = OrganizationId, Path)),
    responses((status = 201, description = "Made.", body = AliasView), Problems)
)]
pub async fn create_alias(
    State(plane): State<Plane>,
    owner: Owner,
    Json(request): Json<CreateAlias>,
) -> Result<Created<Tagged<AliasView>>, ApiError> {
    let is_enabled = request.is_enabled.unwrap_or(true);
    let (name, targets) = (request.name, request.model_ids);
    let mut tx = owner.begin(&plane).await?;
    let row = control::create(&mut tx, name, &targets, is_enabled, owner.by).await?;
    tx.commit().await?;
    let location = owner.location("aliases", row.id);
    Ok(Created(
        location,
        Tagged(row.updated_at, AliasView::of(row)),
    ))
}

/// Add an alias for everybody
#[utoipa::path(
    post,
    path = "/api/v1/platform/aliases",
    tag = "catalog",
    request_body = CreateAlias,
    responses((status = 201, description = "Made.", body = AliasView), Problems)
)]
pub async fn create_platform_alias(
    State(plane): State<Plane>,
    owner: Owner,
    Json(request): Json<CreateAlias>,
) -> Result<Created<Tagged<AliasView>>, ApiError> {
    create_alias(State(plane), owner, Json(request)).await
}

/// Show an alias
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/aliases/{alias_id}",
    tag = "catalog",
    params(("organization_id" = OrganizationId, Path), ("alias_id" = Uuid, Path)),
    responses((status = 200, description = "As it is.", body = AliasView), Problems)
)]
pub async fn show_alias(
    State(plane): State<Plane>,
    owner: Owner,
    Path(path): Path<At>,
) -> Result<Tagged<AliasView>, ApiError> {
    let mut tx = owner.begin(&plane).await?;
    let row = control::one(&mut tx, path.alias_id).await?;
    Ok(Tagged(row.updated_at, AliasView::of(row)))
}

/// Show an alias of the platform
#[utoipa::path(
    get,
    path = "/api/v1/platform/aliases/{alias_id}",
    tag = "catalog",
    params(("alias_id" = Uuid, Path)),
    responses((status = 200, description = "As it is.", body = AliasView), Problems)
)]
pub async fn show_platform_alias(
    State(plane): State<Plane>,
    owner: Owner,
    Path(path): Path<At>,
) -> Result<Tagged<AliasView>, ApiError> {
    show_alias(State(plane), owner, Path(path)).await
}

/// Change an alias of the organization's own
#[utoipa::path(
    patch,
    path = "/api/v1/organizations/{organization_id}/aliases/{alias_id}",
    tag = "catalog",
    request_body = ChangeAlias,
    params(("organization_id" = OrganizationId, Path), ("alias_id" = Uuid, Path), IfMatch),
    responses((status = 200, description = "Changed.", body = AliasView), Problems)
)]
pub async fn change_alias(
    State(plane): State<Plane>,
    owner: Owner,
    Path(path): Path<At>,
    IfMatch(seen): IfMatch,
    Json(request): Json<ChangeAlias>,
) -> Result<Tagged<AliasView>, ApiError> {
    let patch = AliasPatch {
        name: request.name,
        targets: request.model_ids,
        is_enabled: request.is_enabled,
    };
    let mut tx = owner.begin(&plane).await?;
    let row = control::change(&mut tx, path.alias_id, seen, patch, owner.by).await?;
    tx.commit().await?;
    Ok(Tagged(row.updated_at, AliasView::of(row)))
}

/// Change an alias of the platform
#[utoipa::path(
    patch,
    path = "/api/v1/platform/aliases/{alias_id}",
    tag = "catalog",
    request_body = ChangeAlias,
    params(("alias_id" = Uuid, Path), IfMatch),
    responses((status = 200, description = "Changed.", body = AliasView), Problems)
)]
pub async fn change_platform_alias(
    State(plane): State<Plane>,
    owner: Owner,
    Path(path): Path<At>,
    IfMatch(seen): IfMatch,
    Json(request): Json<ChangeAlias>,
) -> Result<Tagged<AliasView>, ApiError> {
    change_alias(
        State(plane),
        owner,
        Path(path),
        IfMatch(seen),
        Json(request),
    )
    .await
}

/// Take an alias of the organization's own out of the catalog
#[utoipa::path(
    delete,
    path = "/api/v1/organizations/{organization_id}/aliases/{alias_id}",
    tag = "catalog",
    params(("organization_id" = OrganizationId, Path), ("alias_id" = Uuid, Path), IfMatch),
    responses((status = 204, description = "Gone."), Problems)
)]
pub async fn remove_alias(
    State(plane): State<Plane>,
    owner: Owner,
    Path(path): Path<At>,
    IfMatch(seen): IfMatch,
) -> Result<NoContent, ApiError> {
    let mut tx = owner.begin(&plane).await?;
    control::remove(&mut tx, path.alias_id, seen, owner.by).await?;
    tx.commit().await?;
    Ok(NoContent)
}

/// Take an alias of the platform out of the catalog
#[utoipa::path(
    delete,
    path = "/api/v1/platform/aliases/{alias_id}",
    tag = "catalog",
    params(("alias_id" = Uuid, Path), IfMatch),
    responses((status = 204, description = "Gone."), Problems)
)]
pub async fn remove_platform_alias(
    State(plane): State<Plane>,
    owner: Owner,
    Path(path): Path<At>,
    IfMatch(seen): IfMatch,
) -> Result<NoContent, ApiError> {
    remove_alias(State(plane), owner, Path(path), IfMatch(seen)).await
}
