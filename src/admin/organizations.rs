//! Organizations: made by whoever is signed in, seen and changed by their own people.

use axum::{extract::State, response::IntoResponse};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Plane,
    error::ApiError,
    etag::{IfMatch, Tagged},
    extract::{Created, Json, Member, NoContent, Path, Person, Query},
    list::{Listed, paging},
    openapi::Problems,
    patch::given,
};
use crate::{
    base::{GroupId, Moment, Order, OrganizationId},
    control::{
        TenancyRefused,
        organizations::{self, NewOrganization, OrganizationChange, OrganizationRefused},
    },
    store::Scope,
    tenancy::{
        Organization, OrganizationStatus, OwnOrganization, Rank, store::organizations as store,
    },
};

/// An organization.
#[derive(Serialize, ToSchema)]
pub struct OrganizationView {
    /// Its id.
    id: OrganizationId,
    /// The short name in addresses.
    slug: String,
    /// The name on contracts.
    legal_name: String,
    /// The name people read.
    display_name: String,
    /// Whether it is served.
    status: OrganizationStatus,
    /// When the platform stopped it.
    suspended_at: Option<Moment>,
    /// Why.
    suspended_reason: Option<String>,
    /// What it pays for.
    plan_tier: String,
    /// Whom to ask.
    contact_email: Option<String>,
    /// Where invoices go.
    billing_email: Option<String>,
    /// What tax offices know it by.
    tax_id: Option<String>,
    /// When it was made.
    created_at: Moment,
    /// When it was last changed.
    updated_at: Moment,
}

impl From<Organization> for OrganizationView {
    fn from(organization: Organization) -> Self {
        Self {
            id: organization.id,
            slug: organization.slug,
            legal_name: organization.legal_name,
            display_name: organization.display_name,
            status: organization.status,
            suspended_at: organization.suspended_at,
            suspended_reason: organization.suspended_reason,
            plan_tier: organization.plan_tier,
            contact_email: organization.contact_email,
            billing_email: organization.billing_email,
            tax_id: organization.tax_id,
            created_at: organization.created_at,
            updated_at: organization.updated_at,
        }
    }
}

/// An organization and what the asking person is in it.
#[derive(Serialize, ToSchema)]
pub struct OwnOrganizationView {
    /// Its id.
    id: OrganizationId,
    /// The short name in addresses.
    slug: String,
    /// The name people read.
    display_name: String,
    /// Whether it is served.
    status: OrganizationStatus,
    /// What it pays for.
    plan_tier: String,
    /// What the person may do there.
    role: Rank,
    /// When it was made.
    created_at: Moment,
    /// When it was deleted; its owners can bring it back.
    deleted_at: Option<Moment>,
}

impl From<OwnOrganization> for OwnOrganizationView {
    fn from(own: OwnOrganization) -> Self {
        Self {
            id: own.id,
            slug: own.slug,
            display_name: own.display_name,
            status: own.status,
            plan_tier: own.plan_tier,
            role: own.rank,
            created_at: own.created_at,
            deleted_at: own.deleted_at,
        }
    }
}

/// An organization to be made; its owner is who asks.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateOrganization {
    /// The name people read.
    #[garde(length(chars, min = 1, max = 200))]
    display_name: String,
    /// The short name in addresses; made from the name when absent.
    #[garde(length(min = 1, max = 63))]
    #[schema(pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
    slug: Option<String>,
    /// The name on contracts; the other name when absent.
    #[garde(length(chars, min = 1, max = 200))]
    legal_name: Option<String>,
    /// Whom to ask.
    #[garde(email, length(max = 320))]
    contact_email: Option<String>,
    /// Where invoices go.
    #[garde(email, length(max = 320))]
    billing_email: Option<String>,
    /// What tax offices know it by.
    #[garde(length(chars, max = 64))]
    tax_id: Option<String>,
}

/// An organization that was just made.
#[derive(Serialize, ToSchema)]
pub struct CreatedOrganizationView {
    /// The organization.
    #[serde(flatten)]
    organization: OrganizationView,
    /// The group everybody belongs to.
    default_group_id: GroupId,
}

/// What shall be other; absent fields stay, null takes a value away.
#[derive(Default, Deserialize, Validate, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ChangeOrganization {
    /// The short name in addresses.
    #[garde(length(min = 1, max = 63))]
    #[schema(pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
    slug: Option<String>,
    /// The name on contracts.
    #[garde(length(chars, min = 1, max = 200))]
    legal_name: Option<String>,
    /// The name people read.
    #[garde(length(chars, min = 1, max = 200))]
    display_name: Option<String>,
    /// Whom to ask.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    #[garde(inner(inner(email, length(max = 320))))]
    contact_email: Option<Option<String>>,
    /// Where invoices go.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    #[garde(inner(inner(email, length(max = 320))))]
    billing_email: Option<Option<String>>,
    /// What tax offices know it by.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    #[garde(inner(inner(length(chars, max = 64))))]
    tax_id: Option<Option<String>>,
}

/// Which of one's organizations are listed.
#[derive(Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct OwnQuery {
    /// How many at most; 50 when absent.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
    /// Which end comes first: the newest (`desc`) when absent.
    #[param(inline)]
    order: Option<Order>,
    /// Those one owned that are deleted, instead of those one is in.
    deleted: bool,
}

impl From<TenancyRefused> for ApiError {
    fn from(refused: TenancyRefused) -> Self {
        let message = refused.to_string();
        let code = match refused {
            TenancyRefused::Store(error) => return error.into(),
            TenancyRefused::NotFound => return Self::NotFound,
            TenancyRefused::NotExpected => return Self::PreconditionFailed,
            TenancyRefused::BeyondOwn => return Self::Forbidden,
            TenancyRefused::WrongSlug => return Self::invalid("slug", message),
            TenancyRefused::WrongName => return Self::invalid("name", message),
            TenancyRefused::SlugTaken => "slug_taken",
            TenancyRefused::NameTaken => "name_taken",
            TenancyRefused::LastOwner => "last_owner",
            TenancyRefused::DefaultGroup => "default_group",
            TenancyRefused::SystemRole => "system_role",
            TenancyRefused::MembersFull => "max_users_reached",
            TenancyRefused::GroupsFull => "max_groups_reached",
            TenancyRefused::AlreadyMember => "already_member",
            TenancyRefused::AlreadyInvited => "already_invited",
            TenancyRefused::AlreadyAssigned => "already_assigned",
            TenancyRefused::NotOpen => "invitation_closed",
            TenancyRefused::RanOut => "invitation_expired",
            TenancyRefused::OtherAddress => "invitation_to_another",
            TenancyRefused::HasAccount => "account_exists",
            TenancyRefused::NotDeleted => "not_deleted",
            TenancyRefused::NoChange => "no_change",
        };
        Self::conflict(code, message)
    }
}

impl From<OrganizationRefused> for ApiError {
    fn from(refused: OrganizationRefused) -> Self {
        let message = refused.to_string();
        match refused {
            OrganizationRefused::SlugTaken => Self::conflict("slug_taken", message),
            OrganizationRefused::WrongSlug => Self::invalid("slug", message),
            OrganizationRefused::WrongName => Self::invalid("display_name", message),
            OrganizationRefused::NoOwner | OrganizationRefused::NoOrganization => Self::NotFound,
            OrganizationRefused::Limit(refused) => refused.into(),
            OrganizationRefused::Store(error) => error.into(),
        }
    }
}

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
