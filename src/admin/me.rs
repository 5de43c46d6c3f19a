//! A person's own account.

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Plane,
    auth::{Accepted, evenly},
    error::ApiError,
    etag::{IfMatch, Tagged},
    extract::{Json, NoContent, Person, Visitor},
    openapi::Problems,
    passwords::own_password,
};
use crate::{
    base::{Moment, Secret, UserId},
    control::identity::me::{self, AccountRefused},
    identity::store::person::Profile,
};

/// A person, as they see themselves.
#[derive(Serialize, ToSchema)]
pub struct MeView {
    /// Their id.
    id: UserId,
    /// Where mail reaches them.
    email: String,
    /// When the address was proved; null when an organization's provider vouches for it.
    email_verified_at: Option<Moment>,
    /// The name people read.
    display_name: String,
    /// May they change the platform itself?
    is_platform_admin: bool,
    /// When they last signed in.
    last_sign_in_at: Option<Moment>,
    /// When the account was made.
    created_at: Moment,
    /// When it last changed.
    updated_at: Moment,
}

impl MeView {
    fn tagged(profile: Profile) -> Tagged<Self> {
        let view = Self {
            id: profile.id,
            email: profile.email,
            email_verified_at: profile.email_verified_at,
            display_name: profile.display_name,
            is_platform_admin: profile.is_platform_admin,
            last_sign_in_at: profile.last_sign_in_at,
            created_at: profile.created_at,
            updated_at: profile.updated_at,
        };
        Tagged(profile.updated_at, view)
    }
}

/// What a person may change about themselves.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeMe {
    /// The name people read.
    #[garde(length(chars, max = 200))]
    display_name: String,
}

/// Another address.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeEmail {
    /// The address to have; it becomes theirs when the code that is sent there comes back.
    #[garde(email, length(max = 320))]
    email: String,
    /// The account's password.
    #[garde(skip)]
    password: Secret,
}

/// Proof that it is them.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnPassword {
    /// The account's password.
    #[garde(skip)]
    password: Secret,
}

/// Show one's own account
#[utoipa::path(
    get,
    path = "/api/v1/me",
    tag = "me",
    responses((status = 200, description = "The account.", body = MeView), Problems)
)]
pub async fn show_me(
    State(plane): State<Plane>,
    person: Person,
) -> Result<Tagged<MeView>, ApiError> {
    Ok(MeView::tagged(me::show(&plane.door, person.id).await?))
}

/// Change one's own account
#[utoipa::path(
    patch,
    path = "/api/v1/me",
    tag = "me",
    params(IfMatch),
    request_body = ChangeMe,
    responses((status = 200, description = "The account.", body = MeView), Problems)
)]
pub async fn change_me(
    State(plane): State<Plane>,
    Visitor(visit): Visitor,
    person: Person,
    IfMatch(expected): IfMatch,
    Json(body): Json<ChangeMe>,
) -> Result<Tagged<MeView>, ApiError> {
    let (id, name) = (person.id, body.display_name);
    let profile = me::rename(&plane.door, id, &name, expected, &visit).await?;
    Ok(MeView::tagged(profile))
}

/// Ask for another address
///
/// A code is sent there; `verify-email` takes it. The answer is the same whether or not somebody has the address.
#[utoipa::path(
    post,
    path = "/api/v1/me/email",
    tag = "me",
    request_body = ChangeEmail,
    responses((status = 202, description = "A letter is on its way.", body = Accepted), Problems)
)]
pub async fn change_email(
    State(plane): State<Plane>,
    Visitor(visit): Visitor,
    person: Person,
    Json(body): Json<ChangeEmail>,
) -> Result<Response, ApiError> {
    let (id, email) = (person.id, body.email);
    evenly(me::ask_for_email(
        &plane.door,
        id,
        &email,
        body.password,
        &visit,
    ))
    .await?;
    Ok(Accepted::answer())
}

/// Take one's own data along
///
/// All that is held about the person, as JSON. What may be without end is bounded: `usage` as totals by day (UTC) and
/// key of the last 400 days, `sign_in_attempts` and `actions` the last 10,000; `is_whole` says where that was too little.
#[utoipa::path(
    get,
    path = "/api/v1/me/export",
    tag = "me",
    responses((status = 200, description = "All that is held about the person.", body = serde_json::Value), Problems)
)]
pub async fn export_me(
    State(plane): State<Plane>,
    Visitor(visit): Visitor,
    person: Person,
) -> Result<Response, ApiError> {
    let export = me::export(&plane.door, person.id, &visit).await?;
    let name = "attachment; filename=\"synaxis-account.json\"";
    Ok(([(header::CONTENT_DISPOSITION, name)], Json(export)).into_response())
}

/// Erase one's own account
///
/// What the person did stays, under an id that names nobody; who they were does not. Refused while they are the only
/// owner of an organization.
#[utoipa::path(
    delete,
    path = "/api/v1/me",
    tag = "me",
    request_body = OwnPassword,
    responses((status = 204, description = "The account is gone."), Problems)
)]
pub async fn delete_me(
    State(plane): State<Plane>,
    Visitor(visit): Visitor,
    person: Person,
    Json(body): Json<OwnPassword>,
) -> Result<NoContent, ApiError> {
    me::erase(&plane.door, person.id, body.password, &visit).await?;
    Ok(NoContent)
}

impl From<AccountRefused> for ApiError {
    fn from(error: AccountRefused) -> Self {
        match error {
            AccountRefused::IsGone => Self::Unauthenticated,
            AccountRefused::NotExpected => Self::PreconditionFailed,
            AccountRefused::SoleOwner(organizations) => {
                let names: Vec<String> = organizations.iter().map(ToString::to_string).collect();
                let message =
                    "somebody else must own these organizations first, or they must be deleted";
                Self::conflict("sole_owner", format!("{message}: {}", names.join(", ")))
            }
            AccountRefused::Refused(refused) => own_password(refused),
        }
    }
}
