//! What an organization asks of its members' sign-in.

use axum::extract::State;
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Plane,
    error::ApiError,
    etag::{IfMatch, Tagged},
    extract::{Json, Member},
    openapi::Problems,
};
use crate::{
    base::{Moment, OrganizationId},
    control::identity::policy::{self as control, PolicyRefused},
    identity::store::policy::{self, PasswordPolicy},
};

/// What an organization asks of its members' sign-in.
#[derive(Serialize, ToSchema)]
pub struct PasswordPolicyView {
    /// The fewest characters of a password; null is what the platform asks for: 15.
    min_length: Option<i32>,
    /// How many passwords before the present one may not come back.
    history: i32,
    /// Is a second factor needed to reach the organization?
    second_factor_required: bool,
    /// When the organization's settings last changed.
    updated_at: Moment,
}

/// What an organization is to ask for.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetPasswordPolicy {
    /// The fewest characters of a password; null is what the platform asks for: 15. Fewer need a second factor.
    #[garde(range(min = 8, max = 128))]
    min_length: Option<i32>,
    /// How many passwords before the present one may not come back.
    #[garde(range(min = 0, max = 10))]
    history: i32,
    /// Is a second factor needed to reach the organization?
    #[garde(skip)]
    second_factor_required: bool,
}

impl PasswordPolicyView {
    fn tagged(policy: &PasswordPolicy) -> Tagged<Self> {
        let view = Self {
            min_length: policy.min_length,
            history: policy.history,
            second_factor_required: policy.is_second_factor_required,
            updated_at: policy.updated_at,
        };
        Tagged(policy.updated_at, view)
    }
}

/// Show the password policy
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/password-policy",
    tag = "organizations",
    params(("organization_id" = OrganizationId, Path, description = "The organization.")),
    responses((status = 200, description = "The policy.", body = PasswordPolicyView), Problems)
)]
pub async fn show_password_policy(
    State(plane): State<Plane>,
    member: Member,
) -> Result<Tagged<PasswordPolicyView>, ApiError> {
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    let policy = policy::find(&mut tx).await?;
    policy
        .map(|policy| PasswordPolicyView::tagged(&policy))
        .ok_or(ApiError::NotFound)
}

/// Set the password policy
///
/// Passwords are judged by it when they are next chosen; a second factor is asked for at once.
#[utoipa::path(
    put,
    path = "/api/v1/organizations/{organization_id}/password-policy",
    tag = "organizations",
    params(("organization_id" = OrganizationId, Path, description = "The organization."), IfMatch),
    request_body = SetPasswordPolicy,
    responses((status = 200, description = "The policy.", body = PasswordPolicyView), Problems)
)]
pub async fn set_password_policy(
    State(plane): State<Plane>,
    member: Member,
    IfMatch(expected): IfMatch,
    Json(body): Json<SetPasswordPolicy>,
) -> Result<Tagged<PasswordPolicyView>, ApiError> {
    let wanted = PasswordPolicy {
        min_length: body.min_length,
        history: body.history,
        is_second_factor_required: body.second_factor_required,
        updated_at: member.person.now,
    };
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    let session = member.person.session;
    let policy = control::set(&mut tx, &wanted, session, expected, member.by()).await?;
    tx.commit().await?;
    Ok(PasswordPolicyView::tagged(&policy))
}

impl From<PolicyRefused> for ApiError {
    fn from(error: PolicyRefused) -> Self {
        match error {
            PolicyRefused::TooShort => Self::invalid("min_length", error.to_string()),
            PolicyRefused::LacksOwn => Self::conflict("second_factor_missing", error.to_string()),
            PolicyRefused::NotExpected => Self::PreconditionFailed,
            PolicyRefused::Store(error) => error.into(),
        }
    }
}
