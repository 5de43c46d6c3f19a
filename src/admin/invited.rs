//! Invitations, as those who are invited see and answer them.

use axum::extract::State;
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Plane,
    error::ApiError,
    extract::{Json, NoContent, Path, Person, Visitor},
    list::Listed,
    openapi::Problems,
};
use crate::{
    audit::{Actor, By},
    base::{InvitationId, Moment, OrganizationId, Secret, UserId},
    control::{
        identity::invited::{self, InvitedRefused, Newcomer},
        invitations,
    },
    store::Scope,
    tenancy::{Offered, Rank},
};

/// An invitation, as the invited see it.
#[derive(Serialize, ToSchema)]
pub struct OfferedView {
    /// Its id.
    id: InvitationId,
    /// Into which organization.
    organization_id: OrganizationId,
    /// What it is called.
    organization_name: String,
    /// Who is asked.
    email: String,
    /// What they would be.
    role: Rank,
    /// Until when they may answer.
    expires_at: Moment,
    /// Whether they still may.
    state: OfferedState,
    /// Whether there is an account with the address: then sign in to accept, else register.
    has_account: bool,
}

/// Whether an invitation can still be answered.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OfferedState {
    /// It can.
    Open,
    /// It has run out.
    Expired,
    /// It was answered or taken back.
    Closed,
}

impl OfferedView {
    fn of(offered: Offered, now: Moment) -> Self {
        let state = if !offered.is_open {
            OfferedState::Closed
        } else if offered.expires_at <= now {
            OfferedState::Expired
        } else {
            OfferedState::Open
        };
        Self {
            state,
            id: offered.id,
            organization_id: offered.organization_id,
            organization_name: offered.organization_name,
            email: offered.email,
            role: offered.rank,
            expires_at: offered.expires_at,
            has_account: offered.account.is_some(),
        }
    }
}

/// What came by mail.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InvitationToken {
    /// The token from the letter.
    #[garde(skip)]
    token: Secret,
}

/// Somebody new who accepts.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RegisterInvited {
    /// The token from the letter.
    #[garde(skip)]
    token: Secret,
    /// 15 characters or more, and none that guessers try first.
    #[garde(skip)]
    password: Secret,
    /// The name people read.
    #[serde(default)]
    #[garde(length(chars, max = 200))]
    display_name: String,
}

/// What somebody became.
#[derive(Serialize, ToSchema)]
pub struct JoinedView {
    /// Who.
    user_id: UserId,
    /// Where.
    organization_id: OrganizationId,
    /// As what.
    role: Rank,
}

impl From<InvitedRefused> for ApiError {
    fn from(refused: InvitedRefused) -> Self {
        match refused {
            InvitedRefused::Invitation(refused) => refused.into(),
            InvitedRefused::Password(refused) => Self::invalid("password", refused.to_string()),
            InvitedRefused::Busy(_) => Self::Unavailable,
        }
    }
}

/// Tell what an invitation offers
#[utoipa::path(
    post,
    path = "/api/v1/invitations/show",
    tag = "invitations",
    request_body = InvitationToken,
    responses((status = 200, description = "What it offers.", body = OfferedView), Problems)
)]
pub async fn show_offered_invitation(
    State(plane): State<Plane>,
    Json(body): Json<InvitationToken>,
) -> Result<Json<OfferedView>, ApiError> {
    let mut conn = plane.postgres.acquire().await?;
    let offered = invitations::offered(&mut conn, &body.token).await?;
    Ok(Json(OfferedView::of(offered, plane.clock.now())))
}

/// Accept an invitation
///
/// As whom one is signed in; the invitation must be to that person's address.
#[utoipa::path(
    post,
    path = "/api/v1/invitations/accept",
    tag = "invitations",
    request_body = InvitationToken,
    responses((status = 200, description = "You are a member.", body = JoinedView), Problems)
)]
pub async fn accept_invitation(
    State(plane): State<Plane>,
    person: Person,
    Json(body): Json<InvitationToken>,
) -> Result<Json<JoinedView>, ApiError> {
    let mut conn = plane.postgres.acquire().await?;
    let offered = invitations::offered(&mut conn, &body.token).await?;
    drop(conn);
    accept(&plane, &offered, person).await
}

async fn accept(
    plane: &Plane,
    offered: &Offered,
    person: Person,
) -> Result<Json<JoinedView>, ApiError> {
    let scope = Scope::of(offered.organization_id);
    let mut tx = plane.postgres.begin_for(scope).await?;
    invitations::accept(&mut tx, offered, person.id, person.by()).await?;
    tx.commit().await?;
    Ok(Json(JoinedView {
        user_id: person.id,
        organization_id: offered.organization_id,
        role: offered.rank,
    }))
}

/// Accept an invitation as somebody new
///
/// The letter has proved the address: sign in with the password afterwards.
#[utoipa::path(
    post,
    path = "/api/v1/invitations/register",
    tag = "invitations",
    request_body = RegisterInvited,
    responses((status = 200, description = "You have an account and are a member.", body = JoinedView), Problems)
)]
pub async fn register_invited(
    State(plane): State<Plane>,
    Visitor(visit): Visitor,
    Json(body): Json<RegisterInvited>,
) -> Result<Json<JoinedView>, ApiError> {
    let newcomer = Newcomer {
        token: body.token,
        password: body.password,
        display_name: body.display_name,
    };
    let (user_id, offered) = invited::register(&plane.door, newcomer, &visit).await?;
    Ok(Json(JoinedView {
        user_id,
        organization_id: offered.organization_id,
        role: offered.rank,
    }))
}

/// Decline an invitation
#[utoipa::path(
    post,
    path = "/api/v1/invitations/decline",
    tag = "invitations",
    request_body = InvitationToken,
    responses((status = 204, description = "It no longer counts."), Problems)
)]
pub async fn decline_invitation(
    State(plane): State<Plane>,
    Visitor(visit): Visitor,
    Json(body): Json<InvitationToken>,
) -> Result<NoContent, ApiError> {
    let mut conn = plane.postgres.acquire().await?;
    let offered = invitations::offered(&mut conn, &body.token).await?;
    drop(conn);
    // Whoever has the letter speaks for the address; nobody else is known.
    let actor = offered.account.map_or(Actor::System, Actor::User);
    decline(
        &plane,
        &offered,
        By::new(actor, visit.now).from(visit.source),
    )
    .await
}

async fn decline(plane: &Plane, offered: &Offered, by: By) -> Result<NoContent, ApiError> {
    let scope = Scope::of(offered.organization_id);
    let mut tx = plane.postgres.begin_for(scope).await?;
    invitations::decline(&mut tx, offered, by).await?;
    tx.commit().await?;
    Ok(NoContent)
}

/// List the invitations to my address
///
/// Those I have not answered, at most 200, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/me/invitations",
    tag = "me",
    responses((status = 200, description = "The invitations.", body = Listed<OfferedView>), Problems)
)]
pub async fn list_my_invitations(
    State(plane): State<Plane>,
    person: Person,
) -> Result<Json<Listed<OfferedView>>, ApiError> {
    let mut conn = plane.postgres.acquire().await?;
    let offered = invitations::offered_to(&mut conn, person.id).await?;
    let data = offered
        .into_iter()
        .map(|one| OfferedView::of(one, person.now));
    Ok(Json(Listed {
        data: data.collect(),
        next_cursor: None,
    }))
}

async fn mine(plane: &Plane, person: Person, id: InvitationId) -> Result<Offered, ApiError> {
    let mut conn = plane.postgres.acquire().await?;
    let offered = invitations::offered_to(&mut conn, person.id).await?;
    let mut offered = offered.into_iter();
    offered.find(|one| one.id == id).ok_or(ApiError::NotFound)
}

/// Accept an invitation to my address
#[utoipa::path(
    post,
    path = "/api/v1/me/invitations/{invitation_id}/accept",
    tag = "me",
    params(("invitation_id" = InvitationId, Path, description = "The invitation.")),
    responses((status = 200, description = "You are a member.", body = JoinedView), Problems)
)]
pub async fn accept_my_invitation(
    State(plane): State<Plane>,
    person: Person,
    Path(invitation): Path<InvitationId>,
) -> Result<Json<JoinedView>, ApiError> {
    let offered = mine(&plane, person, invitation).await?;
    accept(&plane, &offered, person).await
}

/// Decline an invitation to my address
#[utoipa::path(
    post,
    path = "/api/v1/me/invitations/{invitation_id}/decline",
    tag = "me",
    params(("invitation_id" = InvitationId, Path, description = "The invitation.")),
    responses((status = 204, description = "It no longer counts."), Problems)
)]
pub async fn decline_my_invitation(
    State(plane): State<Plane>,
    person: Person,
    Path(invitation): Path<InvitationId>,
) -> Result<NoContent, ApiError> {
    let offered = mine(&plane, person, invitation).await?;
    decline(&plane, &offered, person.by()).await
}
