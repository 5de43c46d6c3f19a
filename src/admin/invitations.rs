//! Invitations, as those who invite see them.

use std::time::Duration;

use axum::{extract::State, response::IntoResponse};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Plane,
    error::ApiError,
    extract::{Created, Json, Member, NoContent, Path, Query},
    list::{Listed, paging},
    openapi::Problems,
};
use crate::{
    base::{GroupId, InvitationId, Moment, Order, OrganizationId, Secret, UserId},
    control::invitations::{self, Invite, LIFETIME},
    identity::mail::letters,
    store::OrgTx,
    tenancy::{
        Invitation, InvitationState, Rank,
        store::{invitations as store, organizations},
    },
};

/// Somebody who was asked to join.
#[derive(Serialize, ToSchema)]
pub struct InvitationView {
    /// Its id.
    id: InvitationId,
    /// Whom.
    email: String,
    /// What they would be.
    role: Rank,
    /// The group they would join besides.
    group_id: Option<GroupId>,
    /// What became of it.
    state: InvitationState,
    /// Who asked.
    invited_by: Option<UserId>,
    /// Until when they may answer.
    expires_at: Moment,
    /// When mail last went out.
    sent_at: Option<Moment>,
    /// When they joined.
    accepted_at: Option<Moment>,
    /// As whom.
    accepted_by: Option<UserId>,
    /// When they said no.
    declined_at: Option<Moment>,
    /// When it was taken back.
    cancelled_at: Option<Moment>,
    /// When it was made.
    created_at: Moment,
    /// When it was last changed.
    updated_at: Moment,
}

impl InvitationView {
    fn of(invitation: Invitation, now: Moment) -> Self {
        Self {
            state: invitation.state(now),
            id: invitation.id,
            email: invitation.email,
            role: invitation.rank,
            group_id: invitation.group_id,
            invited_by: invitation.invited_by,
            expires_at: invitation.expires_at,
            sent_at: invitation.sent_at,
            accepted_at: invitation.accepted_at,
            accepted_by: invitation.accepted_by,
            declined_at: invitation.declined_at,
            cancelled_at: invitation.cancelled_at,
            created_at: invitation.created_at,
            updated_at: invitation.updated_at,
        }
    }
}

/// Somebody to be asked.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateInvitation {
    /// Where mail reaches them.
    #[garde(email, length(max = 320))]
    email: String,
    /// What they would be; never more than who asks is.
    #[serde(default = "member")]
    #[garde(skip)]
    role: Rank,
    /// The group they would join besides.
    #[garde(skip)]
    group_id: Option<GroupId>,
    /// How long they may think, in hours; a week when absent.
    #[garde(range(min = 1, max = 720))]
    expires_in_h: Option<u64>,
}

const fn member() -> Rank {
    Rank::Member
}

/// Which invitations are listed.
#[derive(Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct InvitationQuery {
    /// How many at most; 50 when absent.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
    /// Which end comes first: the newest (`desc`) when absent.
    #[param(inline)]
    order: Option<Order>,
    /// Those of which this became.
    #[param(inline)]
    state: Option<InvitationState>,
}

/// List invitations
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/invitations",
    tag = "invitations",
    params(("organization_id" = OrganizationId, Path, description = "The organization."), InvitationQuery),
    responses((status = 200, description = "A page of invitations.", body = Listed<InvitationView>), Problems)
)]
pub async fn list_invitations(
    State(plane): State<Plane>,
    member: Member,
    Query(query): Query<InvitationQuery>,
) -> Result<Json<Listed<InvitationView>>, ApiError> {
    let paging = paging(query.limit, query.cursor.as_deref(), query.order)?;
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    let page = store::list_invitations(&mut tx, query.state, paging).await?;
    let now = member.person.now;
    Ok(Json(Listed::of(page, |one| InvitationView::of(one, now))))
}

/// Invite somebody
///
/// By mail, to an address that is no member's and has no open invitation.
#[utoipa::path(
    post,
    path = "/api/v1/organizations/{organization_id}/invitations",
    tag = "invitations",
    params(("organization_id" = OrganizationId, Path, description = "The organization.")),
    request_body = CreateInvitation,
    responses((status = 201, description = "The invitation; a letter is on its way.", body = InvitationView), Problems)
)]
pub async fn create_invitation(
    State(plane): State<Plane>,
    member: Member,
    Json(body): Json<CreateInvitation>,
) -> Result<impl IntoResponse, ApiError> {
    let hours = body
        .expires_in_h
        .map(|hours| Duration::from_secs(hours * 3_600));
    let invite = Invite {
        email: body.email,
        rank: body.role,
        group: body.group_id,
        lifetime: hours.unwrap_or(LIFETIME),
    };
    let actor = (member.ceiling(), member.by());
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    let (invitation, token) = invitations::create(&mut tx, invite, actor).await?;
    post(&plane, tx, &invitation, (&token, member.person.now)).await?;
    let organization = member.scope.organization();
    let location = format!(
        "/api/v1/organizations/{organization}/invitations/{}",
        invitation.id
    );
    let view = InvitationView::of(invitation, member.person.now);
    Ok(Created(location, Json(view)))
}

/// Posts the letter and ends the transaction: nobody is invited to what was not written.
async fn post(
    plane: &Plane,
    mut tx: OrgTx,
    invitation: &Invitation,
    (token, now): (&Secret, Moment),
) -> Result<(), ApiError> {
    let found = organizations::find_organization(&mut tx).await?;
    let organization = found.ok_or(ApiError::NotFound)?;
    let letter = letters::invitation(
        &invitation.email,
        &organization.display_name,
        token,
        invitation.expires_at.since(now),
        &plane.door.settings.public_url,
    );
    plane.door.mailer.post(&mut tx, letter, now).await?;
    tx.commit().await?;
    plane.door.mailer.hurry();
    Ok(())
}

/// Tell about an invitation
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/invitations/{invitation_id}",
    tag = "invitations",
    params(
        ("organization_id" = OrganizationId, Path, description = "The organization."),
        ("invitation_id" = InvitationId, Path, description = "The invitation.")),
    responses((status = 200, description = "The invitation.", body = InvitationView), Problems)
)]
pub async fn show_invitation(
    State(plane): State<Plane>,
    member: Member,
    Path((_organization, invitation)): Path<(OrganizationId, InvitationId)>,
) -> Result<Json<InvitationView>, ApiError> {
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    let invitation = invitations::find(&mut tx, invitation).await?;
    Ok(Json(InvitationView::of(invitation, member.person.now)))
}

/// Take an invitation back
#[utoipa::path(
    delete,
    path = "/api/v1/organizations/{organization_id}/invitations/{invitation_id}",
    tag = "invitations",
    params(
        ("organization_id" = OrganizationId, Path, description = "The organization."),
        ("invitation_id" = InvitationId, Path, description = "The invitation.")),
    responses((status = 204, description = "It no longer counts."), Problems)
)]
pub async fn cancel_invitation(
    State(plane): State<Plane>,
    member: Member,
    Path((_organization, invitation)): Path<(OrganizationId, InvitationId)>,
) -> Result<NoContent, ApiError> {
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    invitations::cancel(&mut tx, invitation, member.by()).await?;
    tx.commit().await?;
    Ok(NoContent)
}

/// Send an invitation again
///
/// With another token and a week's time; the letter before no longer counts.
#[utoipa::path(
    post,
    path = "/api/v1/organizations/{organization_id}/invitations/{invitation_id}/resend",
    tag = "invitations",
    params(
        ("organization_id" = OrganizationId, Path, description = "The organization."),
        ("invitation_id" = InvitationId, Path, description = "The invitation.")),
    responses((status = 200, description = "The invitation; a letter is on its way.", body = InvitationView), Problems)
)]
pub async fn resend_invitation(
    State(plane): State<Plane>,
    member: Member,
    Path((_organization, invitation)): Path<(OrganizationId, InvitationId)>,
) -> Result<Json<InvitationView>, ApiError> {
    let actor = (member.ceiling(), member.by());
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    let (invitation, token) = invitations::resend(&mut tx, invitation, actor).await?;
    post(&plane, tx, &invitation, (&token, member.person.now)).await?;
    Ok(Json(InvitationView::of(invitation, member.person.now)))
}
