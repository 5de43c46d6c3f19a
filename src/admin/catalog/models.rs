//! Models over the API.

use axum::extract::State;
use chrono::NaiveDate;
use garde::Validate;
use serde::{Deserialize, Serialize};
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
    catalog::{Row, file::ModelEntry, store},
    control::catalog::models as control,
};

/// A model, whoever serves it.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModelView {
    /// Its id.
    id: Uuid,
    /// Whose it is.
    owner: OwnerWord,
    /// Its canonical name.
    name: String,
    /// Who made it.
    owned_by: String,
    /// How many tokens it reads and writes together, when known.
    context_window: Option<i64>,
    /// How many tokens it writes at most, when known.
    max_output: Option<i64>,
    /// Where its figures were read.
    source: String,
    /// When they were read there.
    stated_on: Option<NaiveDate>,
    /// When it was made.
    created_at: Moment,
    /// When it was last changed.
    updated_at: Moment,
}

impl ModelView {
    fn of(row: Row<ModelEntry>) -> Self {
        Self {
            id: row.id,
            owner: OwnerWord::of(row.owner),
            name: row.entry.name,
            owned_by: row.entry.owned_by,
            context_window: row.entry.context_window,
            max_output: row.entry.max_output,
            source: row.entry.source,
            stated_on: row.entry.stated_on,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// A model to be added.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct CreateModel {
    /// Its canonical name: 1 to 200 letters, no spaces.
    name: String,
    /// Who made it; `synaxis` when absent.
    #[serde(default)]
    owned_by: Option<String>,
    /// How many tokens it reads and writes together, when known.
    #[serde(default)]
    #[schema(minimum = 1)]
    context_window: Option<i64>,
    /// How many tokens it writes at most, when known.
    #[serde(default)]
    #[schema(minimum = 1)]
    max_output: Option<i64>,
    /// Where its figures were read.
    #[serde(default)]
    source: String,
    /// When they were read there.
    #[serde(default)]
    stated_on: Option<NaiveDate>,
}

/// What is to change of a model; what is absent stays, null clears.
#[derive(Debug, Default, Deserialize, Validate, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct ChangeModel {
    /// Its canonical name.
    name: Option<String>,
    /// Who made it.
    owned_by: Option<String>,
    /// How many tokens it reads and writes together.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<i64>, minimum = 1)]
    context_window: Option<Option<i64>>,
    /// How many tokens it writes at most.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<i64>, minimum = 1)]
    max_output: Option<Option<i64>>,
    /// Where its figures were read.
    source: Option<String>,
    /// When they were read there.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<NaiveDate>)]
    stated_on: Option<Option<NaiveDate>>,
}

/// Which model.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct At {
    model_id: Uuid,
}

/// List the models an organization may use: its own and the platform's
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/models",
    tag = "catalog",
    params(("organization_id" = OrganizationId, Path), CatalogQuery),
    responses((status = 200, description = "A page.", body = Listed<ModelView>), Problems)
)]
pub async fn list_models(
    State(plane): State<Plane>,
    owner: Owner,
    Query(query): Query<CatalogQuery>,
) -> Result<Json<Listed<ModelView>>, ApiError> {
    let sought = query.sought(&owner)?;
    let mut tx = owner.begin(&plane).await?;
    let rows = store::models::list(&mut tx, owner.id, &sought).await?;
    let page = sought.paging.page(rows, |row| (row.created_at, row.id));
    Ok(Json(Listed::of(page, ModelView::of)))
}

/// List the platform's models
#[utoipa::path(
    get,
    path = "/api/v1/platform/models",
    tag = "catalog",
    params(CatalogQuery),
    responses((status = 200, description = "A page.", body = Listed<ModelView>), Problems)
)]
pub async fn list_platform_models(
    State(plane): State<Plane>,
    owner: Owner,
    Query(query): Query<CatalogQuery>,
) -> Result<Json<Listed<ModelView>>, ApiError> {
    list_models(State(plane), owner, Query(query)).await
}

/// Add a model of the organization's own
#[utoipa::path(
    post,
    path = "/api/v1/organizations/{organization_id}/models",
    tag = "catalog",
    request_body = CreateModel,
    params(("organization_id" = OrganizationId, Path)),
    responses((status = 201, description = "Made.", body = ModelView), Problems)
)]
pub async fn create_model(
    State(plane): State<Plane>,
    owner: Owner,
    Json(request): Json<CreateModel>,
) -> Result<Created<Tagged<ModelView>>, ApiError> {
    let entry = ModelEntry {
        name: request.name,
        owned_by: request.owned_by.unwrap_or_else(|| "synaxis".to_owned()),
        context_window: request.context_window,
        max_output: request.max_output,
        source: request.source,
        stated_on: request.stated_on,
    };
    let mut tx = owner.begin(&plane).await?;
    let row = control::create(&mut tx, entry, owner.by).await?;
    tx.commit().await?;
    let location = owner.location("models", row.id);
    Ok(Created(
        location,
        Tagged(row.updated_at, ModelView::of(row)),
    ))
}

/// Add a model for everybody
#[utoipa::path(
    post,
    path = "/api/v1/platform/models",
    tag = "catalog",
    request_body = CreateModel,
    responses((status = 201, description = "Made.", body = ModelView), Problems)
)]
pub async fn create_platform_model(
    State(plane): State<Plane>,
    owner: Owner,
    Json(request): Json<CreateModel>,
) -> Result<Created<Tagged<ModelView>>, ApiError> {
    create_model(State(plane), owner, Json(request)).await
}

/// Show a model
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/models/{model_id}",
    tag = "catalog",
    params(("organization_id" = OrganizationId, Path), ("model_id" = Uuid, Path)),
    responses((status = 200, description = "As it is.", body = ModelView), Problems)
)]
pub async fn show_model(
    State(plane): State<Plane>,
    owner: Owner,
    Path(path): Path<At>,
) -> Result<Tagged<ModelView>, ApiError> {
    let mut tx = owner.begin(&plane).await?;
    let row = control::one(&mut tx, path.model_id).await?;
    Ok(Tagged(row.updated_at, ModelView::of(row)))
}

/// Show a model of the platform
#[utoipa::path(
    get,
    path = "/api/v1/platform/models/{model_id}",
    tag = "catalog",
    params(("model_id" = Uuid, Path)),
    responses((status = 200, description = "As it is.", body = ModelView), Problems)
)]
pub async fn show_platform_model(
    State(plane): State<Plane>,
    owner: Owner,
    Path(path): Path<At>,
) -> Result<Tagged<ModelView>, ApiError> {
    show_model(State(plane), owner, Path(path)).await
}

/// Change a model of the organization's own
#[utoipa::path(
    patch,
    path = "/api/v1/organizations/{organization_id}/models/{model_id}",
    tag = "catalog",
    request_body = ChangeModel,
    params(("organization_id" = OrganizationId, Path), ("model_id" = Uuid, Path), IfMatch),
    responses((status = 200, description = "Changed.", body = ModelView), Problems)
)]
pub async fn change_model(
    State(plane): State<Plane>,
    owner: Owner,
    Path(path): Path<At>,
    IfMatch(seen): IfMatch,
    Json(request): Json<ChangeModel>,
) -> Result<Tagged<ModelView>, ApiError> {
    let mut tx = owner.begin(&plane).await?;
    let patch = |entry: &mut ModelEntry| {
        set(&mut entry.name, request.name);
        set(&mut entry.owned_by, request.owned_by);
        set(&mut entry.context_window, request.context_window);
        set(&mut entry.max_output, request.max_output);
        set(&mut entry.source, request.source);
        set(&mut entry.stated_on, request.stated_on);
    };
    let row = control::change(&mut tx, path.model_id, seen, patch, owner.by).await?;
    tx.commit().await?;
    Ok(Tagged(row.updated_at, ModelView::of(row)))
}

/// Change a model of the platform
#[utoipa::path(
    patch,
    path = "/api/v1/platform/models/{model_id}",
    tag = "catalog",
    request_body = ChangeModel,
    params(("model_id" = Uuid, Path), IfMatch),
    responses((status = 200, description = "Changed.", body = ModelView), Problems)
)]
pub async fn change_platform_model(
    State(plane): State<Plane>,
    owner: Owner,
    Path(path): Path<At>,
    IfMatch(seen): IfMatch,
    Json(request): Json<ChangeModel>,
) -> Result<Tagged<ModelView>, ApiError> {
    change_model(
        State(plane),
        owner,
        Path(path),
        IfMatch(seen),
        Json(request),
    )
    .await
}

/// Take a model of the organization's own out of the catalog
#[utoipa::path(
    delete,
    path = "/api/v1/organizations/{organization_id}/models/{model_id}",
    tag = "catalog",
    params(("organization_id" = OrganizationId, Path), ("model_id" = Uuid, Path), IfMatch),
    responses((status = 204, description = "Gone."), Problems)
)]
pub async fn remove_model(
    State(plane): State<Plane>,
    owner: Owner,
    Path(path): Path<At>,
    IfMatch(seen): IfMatch,
) -> Result<NoContent, ApiError> {
    let mut tx = owner.begin(&plane).await?;
    control::remove(&mut tx, path.model_id, seen, owner.by).await?;
    tx.commit().await?;
    Ok(NoContent)
}

/// Take a model of the platform out of the catalog
#[utoipa::path(
    delete,
    path = "/api/v1/platform/models/{model_id}",
    tag = "catalog",
    params(("model_id" = Uuid, Path), IfMatch),
    responses((status = 204, description = "Gone."), Problems)
)]
pub async fn remove_platform_model(
    State(plane): State<Plane>,
    owner: Owner,
    Path(path): Path<At>,
    IfMatch(seen): IfMatch,
) -> Result<NoContent, ApiError> {
    remove_model(State(plane), owner, Path(path), IfMatch(seen)).await
}
