//! Whether agents may change somebody's routes: what holds, and who says so.

use axum::extract::State;
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Plane,
    error::ApiError,
    extract::{Json, Member, Path},
    openapi::Problems,
};
use crate::{
    base::{GroupId, OrganizationId, UserId},
    control::{
        TenancyRefused, groups,
        members::{self, MemberChange},
    },
    tenancy::{Permission, SwitchSource, Switches, store::members as store},
};

/// Whether agents may change somebody's routes.
#[derive(Serialize, ToSchema)]
pub struct AutoOptimizationView {
    /// What holds.
    effective: bool,
    /// Who says so.
    source: SwitchSource,
    /// What the person says; null leaves it to the group.
    user: Option<bool>,
    /// What the group says; null leaves it to the organization.
    group: Option<bool>,
    /// What the organization says; null leaves it to the platform.
    organization: Option<bool>,
}

impl From<Switches> for AutoOptimizationView {
    fn from(switches: Switches) -> Self {
        let (effective, source) = switches.effective();
        Self {
            effective,
            source,
            user: switches.user,
            group: switches.group,
            organization: switches.organization,
        }
    }
}

/// What a person says.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetAutoOptimization {
    /// Whether agents may change the routes; null leaves it to the group.
    #[schema(required = true)]
    #[serde(deserialize_with = "Option::deserialize")]
    #[garde(skip)]
    user: Option<bool>,
}

/// Everybody sees and sets their own; others' as the permission says.
fn may(member: &Member, user: UserId, permission: Permission) -> Result<(), ApiError> {
    if member.person.id == user || member.may(permission) {
        Ok(())
    } else {
        Err(ApiError::Forbidden)
    }
}

/// Tell whether agents may change a member's routes
///
/// Everybody sees their own; others' with `members:read`.
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/members/{user_id}/auto-optimization",
    tag = "members",
    params(
        ("organization_id" = OrganizationId, Path, description = "The organization."),
        ("user_id" = UserId, Path, description = "The member.")),
    responses((status = 200, description = "What holds, and why.", body = AutoOptimizationView), Problems)
)]
pub async fn show_member_auto_optimization(
    State(plane): State<Plane>,
    member: Member,
    Path((_organization, user)): Path<(OrganizationId, UserId)>,
) -> Result<Json<AutoOptimizationView>, ApiError> {
    may(&member, user, Permission::MembersRead)?;
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    let switches = store::switches_of_member(&mut tx, user).await?;
    let switches = switches.ok_or(ApiError::NotFound)?;
    Ok(Json(switches.into()))
}

/// Set whether agents may change a member's routes
///
/// Everybody sets their own; others' with `members:write`.
#[utoipa::path(
    put,
    path = "/api/v1/organizations/{organization_id}/members/{user_id}/auto-optimization",
    tag = "members",
    params(
        ("organization_id" = OrganizationId, Path, description = "The organization."),
        ("user_id" = UserId, Path, description = "The member.")),
    request_body = SetAutoOptimization,
    responses((status = 200, description = "What holds now, and why.", body = AutoOptimizationView), Problems)
)]
pub async fn set_member_auto_optimization(
    State(plane): State<Plane>,
    member: Member,
    Path((_organization, user)): Path<(OrganizationId, UserId)>,
    Json(body): Json<SetAutoOptimization>,
) -> Result<Json<AutoOptimizationView>, ApiError> {
    may(&member, user, Permission::MembersWrite)?;
    let change = MemberChange {
        auto_optimization: Some(body.user),
        ..MemberChange::default()
    };
    let actor = (member.ceiling(), member.by());
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    members::change(&mut tx, user, change, None, actor).await?;
    let switches = store::switches_of_member(&mut tx, user).await?;
    tx.commit().await?;
    let switches = switches.ok_or(TenancyRefused::NotFound)?;
    Ok(Json(switches.into()))
}

/// Tell whether agents may change a group's routes
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/groups/{group_id}/auto-optimization",
    tag = "groups",
    params(
        ("organization_id" = OrganizationId, Path, description = "The organization."),
        ("group_id" = GroupId, Path, description = "The group.")),
    responses((status = 200, description = "What holds, and why.", body = AutoOptimizationView), Problems)
)]
pub async fn show_group_auto_optimization(
    State(plane): State<Plane>,
    member: Member,
    Path((_organization, group)): Path<(OrganizationId, GroupId)>,
) -> Result<Json<AutoOptimizationView>, ApiError> {
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    Ok(Json(groups::switches(&mut tx, group).await?.into()))
}
