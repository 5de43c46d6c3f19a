//! Somebody who was asked to join.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Rank;
use crate::base::{GroupId, InvitationId, Moment, OrganizationId, UserId};

/// What became of an invitation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum InvitationState {
    /// It waits for an answer.
    Pending,
    /// Nobody answered in time.
    Expired,
    /// They joined.
    Accepted,
    /// They do not want to.
    Declined,
    /// It was taken back.
    Cancelled,
}

/// Somebody who was asked to join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// Its id.
    pub id: InvitationId,
    /// Whom.
    pub email: String,
    /// What they would be.
    pub rank: Rank,
    /// The team they would join besides.
    pub group_id: Option<GroupId>,
    /// Who asked.
    pub invited_by: Option<UserId>,
    /// Until when they may answer.
    pub expires_at: Moment,
    /// When mail last went out.
    pub sent_at: Option<Moment>,
    /// When they joined.
    pub accepted_at: Option<Moment>,
    /// As whom.
    pub accepted_by: Option<UserId>,
    /// When they said no.
    pub declined_at: Option<Moment>,
    /// When it was taken back.
    pub cancelled_at: Option<Moment>,
    /// When it was made.
    pub created_at: Moment,
    /// When it was last changed.
    pub updated_at: Moment,
}

impl Invitation {
    /// Says what became of it by `now`.
    #[must_use]
    pub fn state(&self, now: Moment) -> InvitationState {
        if self.accepted_at.is_some() {
            InvitationState::Accepted
        } else if self.declined_at.is_some() {
            InvitationState::Declined
        } else if self.cancelled_at.is_some() {
            InvitationState::Cancelled
        } else if self.expires_at <= now {
            InvitationState::Expired
        } else {
            InvitationState::Pending
        }
    }
}

/// An invitation, as the invited see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    /// Its id.
    pub id: InvitationId,
    /// Into which organization.
    pub organization_id: OrganizationId,
    /// What it is called.
    pub organization_name: String,
    /// Who is asked.
    pub email: String,
    /// What they would be.
    pub rank: Rank,
    /// The team they would join besides.
    pub group_id: Option<GroupId>,
    /// Who asked.
    pub invited_by: Option<UserId>,
    /// Until when they may answer.
    pub expires_at: Moment,
    /// Whether nobody answered yet and it was not taken back.
    pub is_open: bool,
    /// The person who has that address, when there is one.
    pub account: Option<UserId>,
}

/// An invitation to be written.
#[derive(Clone, Debug)]
pub struct NewInvitation<'a> {
    /// Its id.
    pub id: InvitationId,
    /// Whom.
    pub email: &'a str,
    /// What they would be.
    pub rank: Rank,
    /// The team they would join besides.
    pub group_id: Option<Uuid>,
    /// SHA-256 of the token that the mail carries.
    pub token_hash: &'a [u8; 32],
    /// Who asks.
    pub invited_by: Option<UserId>,
    /// Until when they may answer.
    pub expires_at: Moment,
}
