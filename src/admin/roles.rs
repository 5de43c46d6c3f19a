//! Roles: the system's, an organization's own, and who is given which.

use axum::{extract::State, response::IntoResponse};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Plane,
    error::ApiError,
    etag::{IfMatch, Tagged},
    extract::{Created, Json, Member, NoContent, Path, Query},
    list::{ListQuery, Listed, paging},
    openapi::Problems,
};
use crate::{
    base::{AssignmentId, GroupId, Moment, Order, OrganizationId, RoleId, UserId},
    control::roles::{self, RoleChange},
    tenancy::{
        Permission, Role, RoleAssignment,
        store::roles::{self as store, AssignmentFilter},
    },
};

/// A named set of permissions.
#[derive(Serialize, ToSchema)]
pub struct RoleView {
    /// Its id.
    id: RoleId,
    /// The name, unique in the organization.
    name: String,
    /// What it is for.
    description: String,
    /// Whether it is a rank's, the same for every organization.
    is_system: bool,
    /// What it permits.
    permissions: Vec<Permission>,
    /// When it was made.
    created_at: Moment,
    /// When it was last changed.
    updated_at: Moment,
}

impl From<Role> for RoleView {
    fn from(role: Role) -> Self {
        Self {
            id: role.id,
            name: role.name,
            description: role.description,
            is_system: role.is_system,
            permissions: role.permissions.iter().collect(),
            created_at: role.created_at,
            updated_at: role.updated_at,
        }
    }
}

/// A role that somebody was given.
#[derive(Serialize, ToSchema)]
pub struct RoleAssignmentView {
    /// Its id.
    id: AssignmentId,
    /// To whom.
    user_id: UserId,
    /// Which role.
    role_id: RoleId,
    /// What the role is called.
    role_name: String,
    /// In which group; null in the whole organization.
    group_id: Option<GroupId>,
    /// When.
    created_at: Moment,
}

impl From<RoleAssignment> for RoleAssignmentView {
    fn from(assignment: RoleAssignment) -> Self {
        Self {
            id: assignment.id,
            user_id: assignment.user_id,
            role_id: assignment.role_id,
            role_name: assignment.role_name,
            group_id: assignment.group_id,
            created_at: assignment.created_at,
        }
    }
}

/// A role to be made.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateRole {
    /// The name: lower-case letters, digits, hyphens and underscores.
    #[garde(length(min = 1, max = 63))]
    #[schema(pattern = "^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$")]
    name: String,
    /// What it is for.
    #[serde(default)]
    #[garde(length(chars, max = 2000))]
    description: String,
    /// What it permits; never more than who asks may.
    #[garde(length(max = 100))]
    permissions: Vec<Permission>,
}

/// What shall be other; absent fields stay.
#[derive(Default, Deserialize, Validate, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ChangeRole {
    /// The name.
    #[garde(length(min = 1, max = 63))]
    #[schema(pattern = "^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$")]
    name: Option<String>,
    /// What it is for.
    #[garde(length(chars, max = 2000))]
    description: Option<String>,
    /// What it permits; never more than who asks may.
    #[garde(inner(length(max = 100)))]
    permissions: Option<Vec<Permission>>,
}

/// A role to be given.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AssignRole {
    /// To whom.
    #[garde(skip)]
    user_id: UserId,
    /// Which role of the organization's own.
    #[garde(skip)]
    role_id: RoleId,
    /// In which group; absent in the whole organization.
    #[garde(skip)]
    group_id: Option<GroupId>,
}

/// Which role assignments are listed.
#[derive(Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AssignmentQuery {
    /// How many at most; 50 when absent.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
    /// Which end comes first: the newest (`desc`) when absent.
    #[param(inline)]
    order: Option<Order>,
    /// Of one member.
    user_id: Option<UserId>,
    /// Of one role.
    role_id: Option<RoleId>,
}

/// List roles
///
/// The system's, which are the ranks, and the organization's own.
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/roles",
    tag = "roles",
    params(("organization_id" = OrganizationId, Path, description = "The organization."), ListQuery),
    responses((status = 200, description = "A page of roles.", body = Listed<RoleView>), Problems)
)]
pub async fn list_roles(
    State(plane): State<Plane>,
    member: Member,
    Query(query): Query<ListQuery>,
) -> Result<Json<Listed<RoleView>>, ApiError> {
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    let page = store::list_roles(&mut tx, query.paging()?).await?;
    Ok(Json(Listed::of(page, RoleView::from)))
}

/// Make a role
#[utoipa::path(
    post,
    path = "/api/v1/organizations/{organization_id}/roles",
    tag = "roles",
    params(("organization_id" = OrganizationId, Path, description = "The organization.")),
    request_body = CreateRole,
    responses((status = 201, description = "The role.", body = RoleView), Problems)
)]
pub async fn create_role(
    State(plane): State<Plane>,
    member: Member,
    Json(body): Json<CreateRole>,
) -> Result<impl IntoResponse, ApiError> {
    let named = (body.name.as_str(), body.description.as_str());
    let permissions = body.permissions.into_iter().collect();
    let actor = (member.ceiling(), member.by());
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    let role = roles::create(&mut tx, named, permissions, actor).await?;
    tx.commit().await?;
    let organization = member.scope.organization();
    let location = format!("/api/v1/organizations/{organization}/roles/{}", role.id);
    Ok(Created(
        location,
        Tagged(role.updated_at, RoleView::from(role)),
    ))
}

/// Tell about a role
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/roles/{role_id}",
    tag = "roles",
    params(
        ("organization_id" = OrganizationId, Path, description = "The organization."),
        ("role_id" = RoleId, Path, description = "The role.")),
    responses((status = 200, description = "The role.", body = RoleView), Problems)
)]
pub async fn show_role(
    State(plane): State<Plane>,
    member: Member,
    Path((_organization, role)): Path<(OrganizationId, RoleId)>,
) -> Result<impl IntoResponse, ApiError> {
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    let role = roles::find(&mut tx, role).await?;
    Ok(Tagged(role.updated_at, RoleView::from(role)))
}

/// Change a role
///
/// Whoever has it may at once what it says.
#[utoipa::path(
    patch,
    path = "/api/v1/organizations/{organization_id}/roles/{role_id}",
    tag = "roles",
    params(
        ("organization_id" = OrganizationId, Path, description = "The organization."),
        ("role_id" = RoleId, Path, description = "The role."),
        IfMatch),
    request_body = ChangeRole,
    responses((status = 200, description = "The role as it is now.", body = RoleView), Problems)
)]
pub async fn change_role(
    State(plane): State<Plane>,
    member: Member,
    Path((_organization, role)): Path<(OrganizationId, RoleId)>,
    IfMatch(expected): IfMatch,
    Json(body): Json<ChangeRole>,
) -> Result<impl IntoResponse, ApiError> {
    let change = RoleChange {
        name: body.name,
        description: body.description,
        permissions: body.permissions.map(|list| list.into_iter().collect()),
    };
    let actor = (member.ceiling(), member.by());
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    let role = roles::change(&mut tx, role, change, expected, actor).await?;
    tx.commit().await?;
    Ok(Tagged(role.updated_at, RoleView::from(role)))
}

/// Delete a role
///
/// It is taken from everybody who has it.
#[utoipa::path(
    delete,
    path = "/api/v1/organizations/{organization_id}/roles/{role_id}",
    tag = "roles",
    params(
        ("organization_id" = OrganizationId, Path, description = "The organization."),
        ("role_id" = RoleId, Path, description = "The role."),
        IfMatch),
    responses((status = 204, description = "It is deleted."), Problems)
)]
pub async fn delete_role(
    State(plane): State<Plane>,
    member: Member,
    Path((_organization, role)): Path<(OrganizationId, RoleId)>,
    IfMatch(expected): IfMatch,
) -> Result<NoContent, ApiError> {
    let actor = (member.ceiling(), member.by());
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    roles::delete(&mut tx, role, expected, actor).await?;
    tx.commit().await?;
    Ok(NoContent)
}

/// List who was given which role
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/role-assignments",
    tag = "roles",
    params(("organization_id" = OrganizationId, Path, description = "The organization."), AssignmentQuery),
    responses((status = 200, description = "A page of role assignments.", body = Listed<RoleAssignmentView>), Problems)
)]
pub async fn list_role_assignments(
    State(plane): State<Plane>,
    member: Member,
    Query(query): Query<AssignmentQuery>,
) -> Result<Json<Listed<RoleAssignmentView>>, ApiError> {
    let paging = paging(query.limit, query.cursor.as_deref(), query.order)?;
    let filter = AssignmentFilter {
        user: query.user_id,
        role: query.role_id,
    };
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    let page = store::list_assignments(&mut tx, filter, paging).await?;
    Ok(Json(Listed::of(page, RoleAssignmentView::from)))
}

/// Give somebody a role
///
/// In a group it counts below that group's paths only.
#[utoipa::path(
    post,
    path = "/api/v1/organizations/{organization_id}/role-assignments",
    tag = "roles",
    params(("organization_id" = OrganizationId, Path, description = "The organization.")),
    request_body = AssignRole,
    responses((status = 201, description = "The role assignment.", body = RoleAssignmentView), Problems)
)]
pub async fn create_role_assignment(
    State(plane): State<Plane>,
    member: Member,
    Json(body): Json<AssignRole>,
) -> Result<impl IntoResponse, ApiError> {
    let actor = (member.ceiling(), member.by());
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    let given = roles::assign(&mut tx, body.user_id, body.role_id, body.group_id, actor).await?;
    tx.commit().await?;
    let organization = member.scope.organization();
    let location = format!(
        "/api/v1/organizations/{organization}/role-assignments/{}",
        given.id
    );
    Ok(Created(location, Json(RoleAssignmentView::from(given))))
}

/// Tell about a role assignment
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/role-assignments/{assignment_id}",
    tag = "roles",
    params(
        ("organization_id" = OrganizationId, Path, description = "The organization."),
        ("assignment_id" = AssignmentId, Path, description = "The role assignment.")),
    responses((status = 200, description = "The role assignment.", body = RoleAssignmentView), Problems)
)]
pub async fn show_role_assignment(
    State(plane): State<Plane>,
    member: Member,
    Path((_organization, assignment)): Path<(OrganizationId, AssignmentId)>,
) -> Result<Json<RoleAssignmentView>, ApiError> {
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    Ok(Json(
        roles::find_assignment(&mut tx, assignment).await?.into(),
    ))
}

/// Take a role back
#[utoipa::path(
    delete,
    path = "/api/v1/organizations/{organization_id}/role-assignments/{assignment_id}",
    tag = "roles",
    params(
        ("organization_id" = OrganizationId, Path, description = "The organization."),
        ("assignment_id" = AssignmentId, Path, description = "The role assignment.")),
    responses((status = 204, description = "They no longer have it."), Problems)
)]
pub async fn delete_role_assignment(
    State(plane): State<Plane>,
    member: Member,
    Path((_organization, assignment)): Path<(OrganizationId, AssignmentId)>,
) -> Result<NoContent, ApiError> {
    let actor = (member.ceiling(), member.by());
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    roles::unassign(&mut tx, assignment, actor).await?;
    tx.commit().await?;
    Ok(NoContent)
}
