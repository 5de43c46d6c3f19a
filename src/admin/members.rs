//! Members of an organization: their rank, their primary group, their end.

use axum::{extract::State, response::IntoResponse};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Plane,
    error::ApiError,
    etag::{IfMatch, Tagged},
    extract::{Json, Member, NoContent, Path, Query},
    list::{Listed, paging},
    openapi::Problems,
};
use crate::{
    base::{GroupId, Moment, Order, OrganizationId, UserId},
    control::members::{self, MemberChange},
    tenancy::{
        self, PersonStatus, Rank,
        store::members::{self as store, MemberFilter},
    },
};

/// Somebody in an organization.
#[derive(Serialize, ToSchema)]
pub struct MemberView {
    /// Who.
    user_id: UserId,
    /// Where mail reaches them.
    email: String,
    /// The name people read.
    display_name: String,
    /// Whether they may act at all.
    status: PersonStatus,
    /// What they may do here.
    role: Rank,
    /// The team their keys count for unless said otherwise.
    primary_group_id: Option<GroupId>,
    /// Whether agents may change their routes; null as the group says.
    auto_optimization: Option<bool>,
    /// When they last signed in anywhere.
    last_sign_in_at: Option<Moment>,
    /// Since when.
    joined_at: Moment,
    /// When their membership was last changed.
    updated_at: Moment,
}

impl From<tenancy::Member> for MemberView {
    fn from(member: tenancy::Member) -> Self {
        Self {
            user_id: member.user_id,
            email: member.email,
            display_name: member.display_name,
            status: member.status,
            role: member.rank,
            primary_group_id: member.primary_group_id,
            auto_optimization: member.auto_optimization,
            last_sign_in_at: member.last_sign_in_at,
            joined_at: member.joined_at,
            updated_at: member.updated_at,
        }
    }
}

/// Which members are listed.
#[derive(Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct MemberQuery {
    /// How many at most; 50 when absent.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
    /// Which end comes first: the newest (`desc`) when absent.
    #[param(inline)]
    order: Option<Order>,
    /// Of one rank.
    #[param(inline)]
    role: Option<Rank>,
    /// In one group.
    group_id: Option<GroupId>,
    /// Part of a name or address.
    search: Option<String>,
}

/// What shall be other; absent fields stay. The switch has a path of its own.
#[derive(Default, Deserialize, Validate, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ChangeMember {
    /// What they may do here; never more than who asks may.
    #[garde(skip)]
    role: Option<Rank>,
    /// The team their keys count for unless said otherwise.
    #[garde(skip)]
    primary_group_id: Option<GroupId>,
}

/// List members
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/members",
    tag = "members",
    params(("organization_id" = OrganizationId, Path, description = "The organization."), MemberQuery),
    responses((status = 200, description = "A page of members.", body = Listed<MemberView>), Problems)
)]
pub async fn list_members(
    State(plane): State<Plane>,
    member: Member,
    Query(query): Query<MemberQuery>,
) -> Result<Json<Listed<MemberView>>, ApiError> {
    let paging = paging(query.limit, query.cursor.as_deref(), query.order)?;
    let filter = MemberFilter {
        rank: query.role,
        group: query.group_id,
        search: query.search.as_deref(),
    };
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    let page = store::list_members(&mut tx, filter, paging).await?;
    Ok(Json(Listed::of(page, MemberView::from)))
}

/// Tell about a member
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/members/{user_id}",
    tag = "members",
    params(
        ("organization_id" = OrganizationId, Path, description = "The organization."),
        ("user_id" = UserId, Path, description = "The member.")),
    responses((status = 200, description = "The member.", body = MemberView), Problems)
)]
pub async fn show_member(
    State(plane): State<Plane>,
    member: Member,
    Path((_organization, user)): Path<(OrganizationId, UserId)>,
) -> Result<impl IntoResponse, ApiError> {
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    let found = members::find(&mut tx, user).await?;
    Ok(Tagged(found.updated_at, MemberView::from(found)))
}

/// Change a member
///
/// Nobody gives or takes a rank above their own, or raises themselves; an organization always keeps an owner.
#[utoipa::path(
    patch,
    path = "/api/v1/organizations/{organization_id}/members/{user_id}",
    tag = "members",
    params(
        ("organization_id" = OrganizationId, Path, description = "The organization."),
        ("user_id" = UserId, Path, description = "The member."),
        IfMatch),
    request_body = ChangeMember,
    responses((status = 200, description = "The member as they are now.", body = MemberView), Problems)
)]
pub async fn change_member(
    State(plane): State<Plane>,
    member: Member,
    Path((_organization, user)): Path<(OrganizationId, UserId)>,
    IfMatch(expected): IfMatch,
    Json(body): Json<ChangeMember>,
) -> Result<impl IntoResponse, ApiError> {
    let change = MemberChange {
        rank: body.role,
        primary_group: body.primary_group_id,
        ..MemberChange::default()
    };
    let actor = (member.ceiling(), member.by());
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    let changed = members::change(&mut tx, user, change, expected, actor).await?;
    tx.commit().await?;
    Ok(Tagged(changed.updated_at, MemberView::from(changed)))
}

/// Remove a member
///
/// Their keys are revoked; their groups, roles and limits end.
#[utoipa::path(
    delete,
    path = "/api/v1/organizations/{organization_id}/members/{user_id}",
    tag = "members",
    params(
        ("organization_id" = OrganizationId, Path, description = "The organization."),
        ("user_id" = UserId, Path, description = "The member."),
        IfMatch),
    responses((status = 204, description = "They are no member."), Problems)
)]
pub async fn remove_member(
    State(plane): State<Plane>,
    member: Member,
    Path((_organization, user)): Path<(OrganizationId, UserId)>,
    IfMatch(expected): IfMatch,
) -> Result<NoContent, ApiError> {
    let actor = (member.ceiling(), member.by());
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    members::remove(&mut tx, user, expected, actor).await?;
    tx.commit().await?;
    Ok(NoContent)
}

/// Leave an organization
///
/// One's own keys there are revoked. The last owner stays.
#[utoipa::path(
    post,
    path = "/api/v1/organizations/{organization_id}/leave",
    tag = "members",
    params(("organization_id" = OrganizationId, Path, description = "The organization.")),
    responses((status = 204, description = "You are no member."), Problems)
)]
pub async fn leave_organization(
    State(plane): State<Plane>,
    member: Member,
) -> Result<NoContent, ApiError> {
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    members::leave(&mut tx, member.person.id, member.by()).await?;
    tx.commit().await?;
    Ok(NoContent)
}
