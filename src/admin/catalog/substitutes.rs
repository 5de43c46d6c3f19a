//! Substitutes over the API: the platform proposes which model may stand in for which, an organization accepts.

use axum::extract::State;
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    owner::{CatalogQuery, Owner, OwnerWord},
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
    base::{Moment, OrganizationId},
    catalog::{
        Row,
        file::SubstituteEntry,
        store::{self, substitutes::SubstituteRow},
    },
    control::catalog::substitutes as control,
};

/// A model that may stand in for another.
#[derive(Debug, Serialize, ToSchema)]
pub struct SubstituteView {
    /// Its id.
    id: Uuid,
    /// Whose it is: the platform's is a proposal, an organization's own is accepted.
    owner: OwnerWord,
    /// For which model.
    model_id: Uuid,
    /// That model's name.
    model: String,
    /// Which model.
    substitute_id: Uuid,
    /// Its name.
    substitute: String,
    /// Lower is tried first.
    position: i32,
    /// Why it may, or with what loss.
    note: String,
    /// When it was made.
    created_at: Moment,
    /// When it was last changed.
    updated_at: Moment,
}

impl SubstituteView {
    fn of(row: Row<SubstituteRow>) -> Self {
        let SubstituteRow {
            model_id,
            substitute_id,
            entry,
        } = row.entry;
        Self {
            id: row.id,
            owner: OwnerWord::of(row.owner),
            model_id,
            model: entry.model,
            substitute_id,
            substitute: entry.substitute,
            position: entry.position,
            note: entry.note,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// A substitute to be added.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct CreateSubstitute {
    /// For which model.
    model_id: Uuid,
    /// Which model: its offers are tried behind those of the other.
    substitute_id: Uuid,
    /// Lower is tried first.
    #[serde(default)]
    position: i32,
    /// Why it may, or with what loss.
    #[serde(default)]
    note: String,
}

/// What is to change of a substitute; what is absent stays.
#[derive(Debug, Default, Deserialize, Validate, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct ChangeSubstitute {
    /// Lower is tried first.
    position: Option<i32>,
    /// Why it may, or with what loss.
    note: Option<String>,
}

/// Which substitute.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct At {
    substitute_id: Uuid,
}

/// List the substitutes an organization may use: its own and the platform's
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/substitutes",
    tag = "catalog",
    params(("organization_id" = OrganizationId, Path), CatalogQuery),
    responses((status = 200, description = "A page.", body = Listed<SubstituteView>), Problems)
)]
pub async fn list_substitutes(
    State(plane): State<Plane>,
    owner: Owner,
    Query(query): Query<CatalogQuery>,
) -> Result<Json<Listed<SubstituteView>>, ApiError> {
    let sought = query.sought(&owner)?;
    let mut tx = owner.begin(&plane).await?;
    let rows = store::substitutes::list(&mut tx, owner.id, &sought).await?;
    let page = sought.paging.page(rows, |row| (row.created_at, row.id));
    Ok(Json(Listed::of(page, SubstituteView::of)))
}

/// List the platform's substitutes
#[utoipa::path(
    get,
    path = "/api/v1/platform/substitutes",
    tag = "catalog",
    params(CatalogQuery),
    responses((status = 200, description = "A page.", body = Listed<SubstituteView>), Problems)
)]
pub async fn list_platform_substitutes(
    State(plane): State<Plane>,
    owner: Owner,
    Query(query): Query<CatalogQuery>,
) -> Result<Json<Listed<SubstituteView>>, ApiError> {
    list_substitutes(State(plane), owner, Query(query)).await
}

/// Add a substitute of the organization's own
#[utoipa::path(
    post,
    path = "/api/v1/organizations/{organization_id}/substitutes",
    tag = "catalog",
    request_body = CreateSubstitute,
    params(("organization_id" = OrganizationId, Path)),
    responses((status = 201, description = "Made.", body = SubstituteView), Problems)
)]
pub async fn create_substitute(
    State(plane): State<Plane>,
    owner: Owner,
    Json(request): Json<CreateSubstitute>,
) -> Result<Created<Tagged<SubstituteView>>, ApiError> {
    let CreateSubstitute {
        model_id,
        substitute_id,
        position,
        note,
    } = request;
    let mut tx = owner.begin(&plane).await?;
    let row = control::create(&mut tx, model_id, substitute_id, position, note, owner.by).await?;
    tx.commit().await?;
    let location = owner.location("substitutes", row.id);
    Ok(Created(
        location,
        Tagged(row.updated_at, SubstituteView::of(row)),
    ))
}

/// Add a substitute for everybody
#[utoipa::path(
    post,
    path = "/api/v1/platform/substitutes",
    tag = "catalog",
    request_body = CreateSubstitute,
    responses((status = 201, description = "Made.", body = SubstituteView), Problems)
)]
pub async fn create_platform_substitute(
    State(plane): State<Plane>,
    owner: Owner,
    Json(request): Json<CreateSubstitute>,
) -> Result<Created<Tagged<SubstituteView>>, ApiError> {
    create_substitute(State(plane), owner, Json(request)).await
}

/// Show a substitute
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/substitutes/{substitute_id}",
    tag = "catalog",
    params(("organization_id" = OrganizationId, Path), ("substitute_id" = Uuid, Path)),
    responses((status = 200, description = "As it is.", body = SubstituteView), Problems)
)]
pub async fn show_substitute(
    State(plane): State<Plane>,
    owner: Owner,
    Path(path): Path<At>,
) -> Result<Tagged<SubstituteView>, ApiError> {
    let mut tx = owner.begin(&plane).await?;
    let row = control::one(&mut tx, path.substitute_id).await?;
    Ok(Tagged(row.updated_at, SubstituteView::of(row)))
}

/// Show a substitute of the platform
#[utoipa::path(
    get,
    path = "/api/v1/platform/substitutes/{substitute_id}",
    tag = "catalog",
    params(("substitute_id" = Uuid, Path)),
    responses((status = 200, description = "As it is.", body = SubstituteView), Problems)
)]
pub async fn show_platform_substitute(
    State(plane): State<Plane>,
    owner: Owner,
    Path(path): Path<At>,
) -> Result<Tagged<SubstituteView>, ApiError> {
    show_substitute(State(plane), owner, Path(path)).await
}

/// Change a substitute of the organization's own
#[utoipa::path(
    patch,
    path = "/api/v1/organizations/{organization_id}/substitutes/{substitute_id}",
    tag = "catalog",
    request_body = ChangeSubstitute,
    params(("organization_id" = OrganizationId, Path), ("substitute_id" = Uuid, Path), IfMatch),
    responses((status = 200, description = "Changed.", body = SubstituteView), Problems)
)]
pub async fn change_substitute(
    State(plane): State<Plane>,
    owner: Owner,
    Path(path): Path<At>,
    IfMatch(seen): IfMatch,
    Json(request): Json<ChangeSubstitute>,
) -> Result<Tagged<SubstituteView>, ApiError> {
    let mut tx = owner.begin(&plane).await?;
    let patch = |entry: &mut SubstituteEntry| {
        set(&mut entry.position, request.position);
        set(&mut entry.note, request.note);
    };
    let row = control::change(&mut tx, path.substitute_id, seen, patch, owner.by).await?;
    tx.commit().await?;
    Ok(Tagged(row.updated_at, SubstituteView::of(row)))
}

/// Change a substitute of the platform
#[utoipa::path(
    patch,
    path = "/api/v1/platform/substitutes/{substitute_id}",
    tag = "catalog",
    request_body = ChangeSubstitute,
    params(("substitute_id" = Uuid, Path), IfMatch),
    responses((status = 200, description = "Changed.", body = SubstituteView), Problems)
)]
pub async fn change_platform_substitute(
    State(plane): State<Plane>,
    owner: Owner,
    Path(path): Path<At>,
    IfMatch(seen): IfMatch,
    Json(request): Json<ChangeSubstitute>,
) -> Result<Tagged<SubstituteView>, ApiError> {
    change_substitute(
        State(plane),
        owner,
        Path(path),
        IfMatch(seen),
        Json(request),
    )
    .await
}

/// Take a substitute of the organization's own out of the catalog
#[utoipa::path(
    delete,
    path = "/api/v1/organizations/{organization_id}/substitutes/{substitute_id}",
    tag = "catalog",
    params(("organization_id" = OrganizationId, Path), ("substitute_id" = Uuid, Path), IfMatch),
    responses((status = 204, description = "Gone."), Problems)
)]
pub async fn remove_substitute(
    State(plane): State<Plane>,
    owner: Owner,
    Path(path): Path<At>,
    IfMatch(seen): IfMatch,
) -> Result<NoContent, ApiError> {
    let mut tx = owner.begin(&plane).await?;
    control::remove(&mut tx, path.substitute_id, seen, owner.by).await?;
    tx.commit().await?;
    Ok(NoContent)
}

/// Take a substitute of the platform out of the catalog
#[utoipa::path(
    delete,
    path = "/api/v1/platform/substitutes/{substitute_id}",
    tag = "catalog",
    params(("substitute_id" = Uuid, Path), IfMatch),
    responses((status = 204, description = "Gone."), Problems)
)]
pub async fn remove_platform_substitute(
    State(plane): State<Plane>,
    owner: Owner,
    Path(path): Path<At>,
    IfMatch(seen): IfMatch,
) -> Result<NoContent, ApiError> {
    remove_substitute(State(plane), owner, Path(path), IfMatch(seen)).await
}
