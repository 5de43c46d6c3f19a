//! Invitations: sent, sent again, taken back, accepted, declined.
//!
//! A token is made here and mailed by whoever asked; the books keep its hash. What an invitation gives is judged again
//! when it is accepted: whoever invited must still be able to give it.

use std::time::Duration;

use serde_json::json;

use super::{ceiling::Ceiling, groups, note::note, refused::TenancyRefused};
use crate::{
    audit::By,
    base::{GroupId, InvitationId, Secret, UserId},
    identity::{
        opaque::{self, Opaque},
        store::standing,
    },
    store::{Conn, OrgTx, StoreError},
    tenancy::{
        Invitation, InvitationState, NewInvitation, Offered, Permission, Rank,
        store::{groups as group_store, invitations, members, roles, settings},
    },
};

/// How long an invitation counts when nobody says.
pub const LIFETIME: Duration = Duration::from_hours(7 * 24);

/// Somebody to be asked.
#[derive(Clone, Debug)]
pub struct Invite {
    /// Where mail reaches them.
    pub email: String,
    /// What they would be.
    pub rank: Rank,
    /// The team they would join besides.
    pub group: Option<GroupId>,
    /// How long they may think.
    pub lifetime: Duration,
}

/// Asks somebody to join this transaction's organization; returns the invitation and the token for their mail.
///
/// # Errors
/// [`TenancyRefused::BeyondOwn`] when the rank permits more than `ceiling`, [`TenancyRefused::MembersFull`] when members
/// and open invitations fill the organization; see there.
pub async fn create(
    tx: &mut OrgTx,
    invite: Invite,
    (ceiling, by): (Ceiling, By),
) -> Result<(Invitation, Secret), TenancyRefused> {
    let email = invite.email.trim();
    may_give(tx, invite.rank, ceiling).await?;
    if let Some(group) = invite.group {
        groups::find(tx, group).await?;
    }
    // Locked, so that two invitations at once are counted one after the other.
    let bounds = settings::lock_settings(tx).await?;
    let (is_member, taken) = invitations::occupancy(tx, email).await?;
    if is_member {
        return Err(TenancyRefused::AlreadyMember);
    }
    let most = bounds.and_then(|bounds| bounds.max_users);
    if most.is_some_and(|most| u64::from(most) <= taken) {
        return Err(TenancyRefused::MembersFull);
    }
    let token = Opaque::mint();
    let id = InvitationId::new(by.now);
    let new = NewInvitation {
        id,
        email,
        rank: invite.rank,
        group_id: invite.group.map(GroupId::uuid),
        token_hash: &token.hash,
        invited_by: by.person(),
        expires_at: by.now.plus(invite.lifetime),
    };
    invitations::insert_invitation(tx, &new).await?;
    let details = json!({ "role": invite.rank, "group_id": invite.group });
    note(
        tx,
        by,
        "invitation.create",
        ("invitation", id.uuid()),
        details,
    )
    .await?;
    Ok((find(tx, id).await?, token.text))
}

async fn may_give(tx: &mut OrgTx, rank: Rank, ceiling: Ceiling) -> Result<(), TenancyRefused> {
    let permitted = roles::permissions_of_rank(tx, rank).await?;
    if ceiling.covers_rank(rank, permitted) {
        Ok(())
    } else {
        Err(TenancyRefused::BeyondOwn)
    }
}

/// Returns an invitation of this transaction's organization.
///
/// # Errors
/// [`TenancyRefused::NotFound`].
pub async fn find(tx: &mut OrgTx, id: InvitationId) -> Result<Invitation, TenancyRefused> {
    let found = invitations::find_invitation(tx, id).await?;
    found.ok_or(TenancyRefused::NotFound)
}

/// Gives an invitation that nobody answered another token and more time; the token before no longer counts.
///
/// # Errors
/// [`TenancyRefused::NotOpen`] when it was answered or taken back; see there.
pub async fn resend(
    tx: &mut OrgTx,
    id: InvitationId,
    (ceiling, by): (Ceiling, By),
) -> Result<(Invitation, Secret), TenancyRefused> {
    let found = invitations::lock_invitation(tx, id).await?;
    let invitation = found.ok_or(TenancyRefused::NotFound)?;
    match invitation.state(by.now) {
        InvitationState::Pending | InvitationState::Expired => {}
        InvitationState::Accepted | InvitationState::Declined | InvitationState::Cancelled => {
            return Err(TenancyRefused::NotOpen);
        }
    }
    may_give(tx, invitation.rank, ceiling).await?;
    let token = Opaque::mint();
    let until = by.now.plus(LIFETIME);
    invitations::renew_invitation(tx, id, &token.hash, until).await?;
    note(
        tx,
        by,
        "invitation.resend",
        ("invitation", id.uuid()),
        json!({}),
    )
    .await?;
    Ok((find(tx, id).await?, token.text))
}

/// Takes an invitation back.
///
/// # Errors
/// [`TenancyRefused::NotOpen`] when it was answered or taken back.
pub async fn cancel(tx: &mut OrgTx, id: InvitationId, by: By) -> Result<(), TenancyRefused> {
    let found = invitations::lock_invitation(tx, id).await?;
    let invitation = found.ok_or(TenancyRefused::NotFound)?;
    match invitation.state(by.now) {
        InvitationState::Pending | InvitationState::Expired => {}
        InvitationState::Accepted | InvitationState::Declined | InvitationState::Cancelled => {
            return Err(TenancyRefused::NotOpen);
        }
    }
    invitations::mark_cancelled(tx, id).await?;
    Ok(note(
        tx,
        by,
        "invitation.cancel",
        ("invitation", id.uuid()),
        json!({}),
    )
    .await?)
}

/// Returns what a token offers. A token that was never given is as good as one whose organization is gone.
///
/// # Errors
/// [`TenancyRefused::NotFound`].
pub async fn offered(conn: &mut Conn, token: &Secret) -> Result<Offered, TenancyRefused> {
    let hash = opaque::hash_of(token).ok_or(TenancyRefused::NotFound)?;
    let found = invitations::find_by_token(conn, &hash).await?;
    found.ok_or(TenancyRefused::NotFound)
}

/// Returns the open invitations to a person's own address.
///
/// # Errors
/// When the books do not answer.
pub async fn offered_to(conn: &mut Conn, person: UserId) -> Result<Vec<Offered>, StoreError> {
    invitations::invitations_of(conn, person).await
}

/// Locks an invitation that is to be answered by `person`; the transaction is its organization's.
async fn answerable(
    tx: &mut OrgTx,
    offered: &Offered,
    by: By,
) -> Result<Invitation, TenancyRefused> {
    let found = invitations::lock_invitation(tx, offered.id).await?;
    let invitation = found.ok_or(TenancyRefused::NotFound)?;
    match invitation.state(by.now) {
        InvitationState::Pending => Ok(invitation),
        InvitationState::Expired => Err(TenancyRefused::RanOut),
        InvitationState::Accepted | InvitationState::Declined | InvitationState::Cancelled => {
            Err(TenancyRefused::NotOpen)
        }
    }
}

/// Makes the person an invitation was meant for a member; the transaction is the inviting organization's.
///
/// # Errors
/// [`TenancyRefused::OtherAddress`] when it is to somebody else, [`TenancyRefused::BeyondOwn`] when whoever invited can
/// no longer give the rank, [`TenancyRefused::MembersFull`]; see there.
pub async fn accept(
    tx: &mut OrgTx,
    offered: &Offered,
    person: UserId,
    by: By,
) -> Result<(), TenancyRefused> {
    if offered.account != Some(person) {
        return Err(TenancyRefused::OtherAddress);
    }
    let invitation = answerable(tx, offered, by).await?;
    still_given(tx, &invitation).await?;
    let row = UserId::new(by.now).uuid();
    if !members::admit_member(tx, row, person, invitation.rank).await? {
        return Err(TenancyRefused::AlreadyMember);
    }
    if let Some(group) = invitation.group_id
        && group_store::find_group(tx, group).await?.is_some()
    {
        let row = UserId::new(by.now).uuid();
        group_store::put_into_group(tx, row, group, person).await?;
    }
    invitations::mark_accepted(tx, invitation.id, person).await?;
    let details = json!({ "role": invitation.rank, "group_id": invitation.group_id });
    let target = ("invitation", invitation.id.uuid());
    Ok(note(tx, by, "invitation.accept", target, details).await?)
}

/// Judges whether whoever invited still may: an operator always may.
async fn still_given(tx: &mut OrgTx, invitation: &Invitation) -> Result<(), TenancyRefused> {
    let Some(inviter) = invitation.invited_by else {
        return Ok(());
    };
    let organization = tx.scope().organization();
    let standing = standing::find(tx, inviter, Some(organization), None).await?;
    let membership = standing.and_then(|standing| standing.membership);
    let membership = membership
        .filter(|membership| membership.permissions.holds(Permission::MembersWrite))
        .ok_or(TenancyRefused::BeyondOwn)?;
    let ceiling = Ceiling {
        rank: membership.rank,
        permissions: membership.permissions,
    };
    may_give(tx, invitation.rank, ceiling).await
}

/// Writes that an invitation is not wanted; the transaction is the inviting organization's.
///
/// # Errors
/// [`TenancyRefused::NotOpen`] when it was answered or taken back; see there.
pub async fn decline(tx: &mut OrgTx, offered: &Offered, by: By) -> Result<(), TenancyRefused> {
    let invitation = answerable(tx, offered, by).await?;
    invitations::mark_declined(tx, invitation.id).await?;
    let target = ("invitation", invitation.id.uuid());
    Ok(note(tx, by, "invitation.decline", target, json!({})).await?)
}
