//! Groups and who is in them.

use axum::{extract::State, response::IntoResponse};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Plane,
    error::ApiError,
    etag::{IfMatch, Tagged},
    extract::{Created, Json, Member, NoContent, Path, Query},
    list::{ListQuery, Listed},
    openapi::Problems,
    patch::given,
};
use crate::{
    base::{GroupId, Moment, OrganizationId, UserId},
    control::groups::{self, GroupChange, NewGroup},
    tenancy::{Group, GroupMember, store::groups as store},
};

/// A team inside an organization.
#[derive(Serialize, ToSchema)]
pub struct GroupView {
    /// Its id.
    id: GroupId,
    /// The short name, unique in the organization.
    slug: String,
    /// The name people read.
    name: String,
    /// What it is for.
    description: String,
    /// Whether everybody without another one belongs to it.
    is_default: bool,
    /// Whether agents may change its routes; null as the organization says.
    auto_optimization: Option<bool>,
    /// When it was made.
    created_at: Moment,
    /// When it was last changed.
    updated_at: Moment,
}

impl From<Group> for GroupView {
    fn from(group: Group) -> Self {
        Self {
            id: group.id,
            slug: group.slug,
            name: group.name,
            description: group.description,
            is_default: group.is_default,
            auto_optimization: group.auto_optimization,
            created_at: group.created_at,
            updated_at: group.updated_at,
        }
    }
}

/// Somebody in a group.
#[derive(Serialize, ToSchema)]
pub struct GroupMemberView {
    /// Who.
    user_id: UserId,
    /// Where mail reaches them.
    email: String,
    /// The name people read.
    display_name: String,
    /// Since when.
    joined_at: Moment,
}

impl From<GroupMember> for GroupMemberView {
    fn from(member: GroupMember) -> Self {
        Self {
            user_id: member.user_id,
            email: member.email,
            display_name: member.display_name,
            joined_at: member.joined_at,
        }
    }
}

/// A group to be made.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateGroup {
    /// The name people read.
    #[garde(length(chars, min = 1, max = 200))]
    name: String,
    /// The short name; made from the name when absent.
    #[garde(length(min = 1, max = 63))]
    #[schema(pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
    slug: Option<String>,
    /// What it is for.
    #[serde(default)]
    #[garde(length(chars, max = 2000))]
    description: String,
    /// Whether agents may change its routes; null as the organization says.
    #[garde(skip)]
    auto_optimization: Option<bool>,
}

/// What shall be other; absent fields stay.
#[derive(Default, Deserialize, Validate, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ChangeGroup {
    /// The short name.
    #[garde(length(min = 1, max = 63))]
    #[schema(pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
    slug: Option<String>,
    /// The name people read.
    #[garde(length(chars, min = 1, max = 200))]
    name: Option<String>,
    /// What it is for.
    #[garde(length(chars, max = 2000))]
    description: Option<String>,
    /// Whether agents may change its routes; null leaves it to the organization.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<bool>)]
    #[garde(skip)]
    auto_optimization: Option<Option<bool>>,
}

/// List groups
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/groups",
    tag = "groups",
    params(("organization_id" = OrganizationId, Path, description = "The organization."), ListQuery),
    responses((status = 200, description = "A page of groups.", body = Listed<GroupView>), Problems)
)]
pub async fn list_groups(
    State(plane): State<Plane>,
    member: Member,
    Query(query): Query<ListQuery>,
) -> Result<Json<Listed<GroupView>>, ApiError> {
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    let page = store::list_groups(&mut tx, query.paging()?).await?;
    Ok(Json(Listed::of(page, GroupView::from)))
}

/// Make a group
#[utoipa::path(
    post,
    path = "/api/v1/organizations/{organization_id}/groups",
    tag = "groups",
    params(("organization_id" = OrganizationId, Path, description = "The organization.")),
    request_body = CreateGroup,
    responses((status = 201, description = "The group.", body = GroupView), Problems)
)]
pub async fn create_group(
    State(plane): State<Plane>,
    member: Member,
    Json(body): Json<CreateGroup>,
) -> Result<impl IntoResponse, ApiError> {
    let new = NewGroup {
        name: body.name,
        slug: body.slug,
        description: body.description,
        auto_optimization: body.auto_optimization,
    };
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    let group = groups::create(&mut tx, new, member.by()).await?;
    tx.commit().await?;
    let organization = member.scope.organization();
    let location = format!("/api/v1/organizations/{organization}/groups/{}", group.id);
    Ok(Created(
        location,
        Tagged(group.updated_at, GroupView::from(group)),
    ))
}

/// Tell about a group
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/groups/{group_id}",
    tag = "groups",
    params(
        ("organization_id" = OrganizationId, Path, description = "The organization."),
        ("group_id" = GroupId, Path, description = "The group.")),
    responses((status = 200, description = "The group.", body = GroupView), Problems)
)]
pub async fn show_group(
    State(plane): State<Plane>,
    member: Member,
    Path((_organization, group)): Path<(OrganizationId, GroupId)>,
) -> Result<impl IntoResponse, ApiError> {
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    let group = groups::find(&mut tx, group).await?;
    Ok(Tagged(group.updated_at, GroupView::from(group)))
}

/// Change a group
#[utoipa::path(
    patch,
    path = "/api/v1/organizations/{organization_id}/groups/{group_id}",
    tag = "groups",
    params(
        ("organization_id" = OrganizationId, Path, description = "The organization."),
        ("group_id" = GroupId, Path, description = "The group."),
        IfMatch),
    request_body = ChangeGroup,
    responses((status = 200, description = "The group as it is now.", body = GroupView), Problems)
)]
pub async fn change_group(
    State(plane): State<Plane>,
    member: Member,
    Path((_organization, group)): Path<(OrganizationId, GroupId)>,
    IfMatch(expected): IfMatch,
    Json(body): Json<ChangeGroup>,
) -> Result<impl IntoResponse, ApiError> {
    let change = GroupChange {
        slug: body.slug,
        name: body.name,
        description: body.description,
        auto_optimization: body.auto_optimization,
    };
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    let group = groups::change(&mut tx, group, change, expected, member.by()).await?;
    tx.commit().await?;
    Ok(Tagged(group.updated_at, GroupView::from(group)))
}

/// Delete a group
///
/// Its keys are revoked; whoever had it as their primary group gets the default one.
#[utoipa::path(
    delete,
    path = "/api/v1/organizations/{organization_id}/groups/{group_id}",
    tag = "groups",
    params(
        ("organization_id" = OrganizationId, Path, description = "The organization."),
        ("group_id" = GroupId, Path, description = "The group."),
        IfMatch),
    responses((status = 204, description = "It is deleted."), Problems)
)]
pub async fn delete_group(
    State(plane): State<Plane>,
    member: Member,
    Path((_organization, group)): Path<(OrganizationId, GroupId)>,
    IfMatch(expected): IfMatch,
) -> Result<NoContent, ApiError> {
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    groups::delete(&mut tx, group, expected, member.by()).await?;
    tx.commit().await?;
    Ok(NoContent)
}

/// List who is in a group
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/groups/{group_id}/members",
    tag = "groups",
    params(
        ("organization_id" = OrganizationId, Path, description = "The organization."),
        ("group_id" = GroupId, Path, description = "The group."), ListQuery),
    responses((status = 200, description = "A page of members.", body = Listed<GroupMemberView>), Problems)
)]
pub async fn list_group_members(
    State(plane): State<Plane>,
    member: Member,
    Path((_organization, group)): Path<(OrganizationId, GroupId)>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Listed<GroupMemberView>>, ApiError> {
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    groups::find(&mut tx, group).await?;
    let page = store::list_group_members(&mut tx, group, query.paging()?).await?;
    Ok(Json(Listed::of(page, GroupMemberView::from)))
}

/// Put a member into a group
#[utoipa::path(
    put,
    path = "/api/v1/organizations/{organization_id}/groups/{group_id}/members/{user_id}",
    tag = "groups",
    params(
        ("organization_id" = OrganizationId, Path, description = "The organization."),
        ("group_id" = GroupId, Path, description = "The group."),
        ("user_id" = UserId, Path, description = "The member.")),
    responses((status = 204, description = "They are in it."), Problems)
)]
pub async fn add_group_member(
    State(plane): State<Plane>,
    member: Member,
    Path((_organization, group, user)): Path<(OrganizationId, GroupId, UserId)>,
) -> Result<NoContent, ApiError> {
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    groups::add_member(&mut tx, group, user, member.by()).await?;
    tx.commit().await?;
    Ok(NoContent)
}

/// Take a member out of a group
///
/// The keys they had for it are revoked. From their primary group they go to the default one.
#[utoipa::path(
    delete,
    path = "/api/v1/organizations/{organization_id}/groups/{group_id}/members/{user_id}",
    tag = "groups",
    params(
        ("organization_id" = OrganizationId, Path, description = "The organization."),
        ("group_id" = GroupId, Path, description = "The group."),
        ("user_id" = UserId, Path, description = "The member.")),
    responses((status = 204, description = "They are not in it."), Problems)
)]
pub async fn remove_group_member(
    State(plane): State<Plane>,
    member: Member,
    Path((_organization, group, user)): Path<(OrganizationId, GroupId, UserId)>,
) -> Result<NoContent, ApiError> {
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    groups::remove_member(&mut tx, group, user, member.by()).await?;
    tx.commit().await?;
    Ok(NoContent)
}
