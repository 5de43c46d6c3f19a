//! Organizations: made by whoever is signed in, seen and changed by their own people.

pub mod ask;
pub mod view;

mod refusal;

use axum::{extract::State, response::IntoResponse};

use self::{
    ask::{ChangeOrganization, CreateOrganization, OwnQuery},
    view::{CreatedOrganizationView, OrganizationView, OwnOrganizationView},
};
use super::{
    Plane,
    error::ApiError,
    etag::{IfMatch, Tagged},
    extract::{Created, Json, Member, NoContent, Path, Person, Query},
    list::{Listed, paging},
    openapi::Problems,
};
use crate::{
    base::OrganizationId,
    control::organizations::{self, NewOrganization, OrganizationChange},
    store::Scope,
    tenancy::store::organizations as store,
};

/// Make an organization
///
/// With its settings, a default group and the limits a new one starts with. Its owner is who asks.
#[utoipa::path(
    post,
    path = "/api/v1/organizations",
    tag = "organizations",
    request_body = CreateOrganization,
    responses((status = 201, description = "The organization.", body = CreatedOrganizationView), Problems)
)]
pub async fn create_organization(
    State(plane): State<Plane>,
    person: Person,
    Json(body): Json<CreateOrganization>,
) -> Result<impl IntoResponse, ApiError> {
    let scope = Scope::of(OrganizationId::new(person.now));
    let mut tx = plane.postgres.begin_for(scope).await?;
    let new = NewOrganization {
        name: body.display_name,
        slug: body.slug,
        owner: Some(person.id),
        ..NewOrganization::default()
    };
    let created = organizations::create_in(&mut tx, new, person.by()).await?;
    let details = OrganizationChange {
        legal_name: body.legal_name,
        contact_email: body.contact_email.map(Some),
        billing_email: body.billing_email.map(Some),
        tax_id: body.tax_id.map(Some),
        ..OrganizationChange::default()
    };
    let organization = organizations::complete(&mut tx, details).await?;
    tx.commit().await?;
    let version = organization.updated_at;
    let view = CreatedOrganizationView {
        organization: organization.into(),
        default_group_id: created.default_group_id,
    };
    let location = format!("/api/v1/organizations/{}", created.id);
    Ok(Created(location, Tagged(version, view)))
}

/// List my organizations
#[utoipa::path(
    get,
    path = "/api/v1/organizations",
    tag = "organizations",
    params(OwnQuery),
    responses((status = 200, description = "A page of organizations.", body = Listed<OwnOrganizationView>), Problems)
)]
pub async fn list_organizations(
    State(plane): State<Plane>,
    person: Person,
    Query(query): Query<OwnQuery>,
) -> Result<Json<Listed<OwnOrganizationView>>, ApiError> {
    let paging = paging(query.limit, query.cursor.as_deref(), query.order)?;
    let mut conn = plane.postgres.acquire().await?;
    let page = store::organizations_of(&mut conn, person.id, query.deleted, paging).await?;
    Ok(Json(Listed::of(page, OwnOrganizationView::from)))
}

/// List the organizations I am in
///
/// The same as `GET /api/v1/organizations`, where whoever looks for their own things finds it.
#[utoipa::path(
    get,
    path = "/api/v1/me/organizations",
    tag = "me",
    params(OwnQuery),
    responses((status = 200, description = "A page of organizations.", body = Listed<OwnOrganizationView>), Problems)
)]
pub async fn list_my_organizations(
    state: State<Plane>,
    person: Person,
    query: Query<OwnQuery>,
) -> Result<Json<Listed<OwnOrganizationView>>, ApiError> {
    list_organizations(state, person, query).await
}

/// Tell about an organization
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}",
    tag = "organizations",
    params(("organization_id" = OrganizationId, Path, description = "The organization.")),
    responses((status = 200, description = "The organization.", body = OrganizationView), Problems)
)]
pub async fn show_organization(
    State(plane): State<Plane>,
    member: Member,
) -> Result<impl IntoResponse, ApiError> {
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    let found = store::find_organization(&mut tx).await?;
    let organization = found.ok_or(ApiError::NotFound)?;
    Ok(Tagged(
        organization.updated_at,
        OrganizationView::from(organization),
    ))
}

/// Change an organization
#[utoipa::path(
    patch,
    path = "/api/v1/organizations/{organization_id}",
    tag = "organizations",
    params(("organization_id" = OrganizationId, Path, description = "The organization."), IfMatch),
    request_body = ChangeOrganization,
    responses((status = 200, description = "The organization as it is now.", body = OrganizationView), Problems)
)]
pub async fn change_organization(
    State(plane): State<Plane>,
    member: Member,
    IfMatch(expected): IfMatch,
    Json(body): Json<ChangeOrganization>,
) -> Result<impl IntoResponse, ApiError> {
    let change = OrganizationChange {
        slug: body.slug,
        legal_name: body.legal_name,
        display_name: body.display_name,
        contact_email: body.contact_email,
        billing_email: body.billing_email,
        tax_id: body.tax_id,
    };
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    let organization = organizations::change(&mut tx, change, expected, member.by()).await?;
    tx.commit().await?;
    Ok(Tagged(
        organization.updated_at,
        OrganizationView::from(organization),
    ))
}

/// Delete an organization
///
/// With all that belongs to it; its keys stop within a second. Its owners can bring back all of it.
#[utoipa::path(
    delete,
    path = "/api/v1/organizations/{organization_id}",
    tag = "organizations",
    params(("organization_id" = OrganizationId, Path, description = "The organization."), IfMatch),
    responses((status = 204, description = "It is deleted."), Problems)
)]
pub async fn delete_organization(
    State(plane): State<Plane>,
    member: Member,
    IfMatch(expected): IfMatch,
) -> Result<NoContent, ApiError> {
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    organizations::delete(&mut tx, expected, member.by()).await?;
    tx.commit().await?;
    Ok(NoContent)
}

/// Bring a deleted organization back
///
/// With all that was deleted with it, and nothing that was deleted before. For those who owned it.
#[utoipa::path(
    post,
    path = "/api/v1/organizations/{organization_id}/restore",
    tag = "organizations",
    params(("organization_id" = OrganizationId, Path, description = "The organization.")),
    responses((status = 200, description = "The organization.", body = OrganizationView), Problems)
)]
pub async fn restore_organization(
    State(plane): State<Plane>,
    person: Person,
    Path(organization): Path<OrganizationId>,
) -> Result<impl IntoResponse, ApiError> {
    let mut tx = plane.postgres.begin_for(Scope::of(organization)).await?;
    if !store::was_owner(&mut tx, person.id).await? {
        return Err(ApiError::NotFound);
    }
    organizations::undelete(&mut tx, person.by()).await?;
    let found = store::find_organization(&mut tx).await?;
    tx.commit().await?;
    let organization = found.ok_or(ApiError::NotFound)?;
    Ok(Tagged(
        organization.updated_at,
        OrganizationView::from(organization),
    ))
}
