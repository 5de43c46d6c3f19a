//! Members: their rank, their primary group, their switch; and the end of a membership.

use serde_json::json;

use super::{
    ceiling::Ceiling,
    groups, keys,
    note::note,
    refused::{TenancyRefused, expect_version},
    settings::set,
};
use crate::{
    audit::{Actor, By},
    base::{GroupId, Moment, UserId},
    identity::store::standing,
    keys::store::KeysOf,
    store::OrgTx,
    tenancy::{
        Member, Permissions, Rank,
        store::{members, roles},
    },
};

/// What shall be other; `None` stays as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemberChange {
    /// What they may do.
    pub rank: Option<Rank>,
    /// The team their keys count for unless said otherwise.
    pub primary_group: Option<GroupId>,
    /// Whether agents may change their routes; the inner `None` leaves it to the group.
    pub auto_optimization: Option<Option<bool>>,
}

/// Returns a member.
///
/// # Errors
/// [`TenancyRefused::NotFound`].
pub async fn find(tx: &mut OrgTx, user: UserId) -> Result<Member, TenancyRefused> {
    let found = members::find_member(tx, user).await?;
    found.ok_or(TenancyRefused::NotFound)
}

/// Changes a member and returns them.
///
/// # Errors
/// [`TenancyRefused::BeyondOwn`] when it gives or takes more than `ceiling`, [`TenancyRefused::LastOwner`] when nobody
/// would be left to own the organization; see there.
pub async fn change(
    tx: &mut OrgTx,
    user: UserId,
    change: MemberChange,
    expected: Option<Moment>,
    (ceiling, by): (Ceiling, By),
) -> Result<Member, TenancyRefused> {
    let found = members::lock_member(tx, user).await?;
    let before = found.ok_or(TenancyRefused::NotFound)?;
    expect_version(expected, before.updated_at)?;
    if let Some(rank) = change.rank.filter(|rank| *rank != before.rank) {
        may_change_rank(tx, &before, rank, ceiling, by).await?;
    }
    if let Some(group) = change.primary_group {
        groups::find(tx, group).await?;
    }
    let mut after = before.clone();
    set(&mut after.rank, change.rank);
    set(&mut after.primary_group_id, change.primary_group.map(Some));
    set(&mut after.auto_optimization, change.auto_optimization);
    after.updated_at = members::update_member(tx, &after).await?;
    let details = json!({ "before": told(&before), "after": told(&after) });
    note(tx, by, "member.change", ("user", user.uuid()), details).await?;
    Ok(after)
}

fn told(member: &Member) -> serde_json::Value {
    json!({
        "role": member.rank, "primary_group_id": member.primary_group_id,
        "auto_optimization": member.auto_optimization,
    })
}

/// A rank is given by those who have as much, and taken by those who have as much; nobody raises themselves.
async fn may_change_rank(
    tx: &mut OrgTx,
    member: &Member,
    rank: Rank,
    ceiling: Ceiling,
    by: By,
) -> Result<(), TenancyRefused> {
    let is_raised = (rank as u8) < member.rank as u8;
    if is_raised && by.actor == Actor::User(member.user_id) {
        return Err(TenancyRefused::BeyondOwn);
    }
    for touched in [member.rank, rank] {
        let permitted = roles::permissions_of_rank(tx, touched).await?;
        if !ceiling.covers_rank(touched, permitted) {
            return Err(TenancyRefused::BeyondOwn);
        }
    }
    Ok(())
}

/// Returns all that a member may do.
async fn permissions(tx: &mut OrgTx, user: UserId) -> Result<Permissions, TenancyRefused> {
    let organization = tx.scope().organization();
    let standing = standing::find(tx, user, Some(organization), None).await?;
    let membership = standing.and_then(|standing| standing.membership);
    Ok(membership.map_or(Permissions::NONE, |membership| membership.permissions))
}

/// Ends a membership, with the groups, roles and limits that hung on it; the member's keys are revoked.
///
/// # Errors
/// [`TenancyRefused::BeyondOwn`] when they may more than `ceiling`, [`TenancyRefused::LastOwner`].
pub async fn remove(
    tx: &mut OrgTx,
    user: UserId,
    expected: Option<Moment>,
    (ceiling, by): (Ceiling, By),
) -> Result<(), TenancyRefused> {
    let found = members::lock_member(tx, user).await?;
    let member = found.ok_or(TenancyRefused::NotFound)?;
    expect_version(expected, member.updated_at)?;
    if !ceiling.covers_rank(member.rank, permissions(tx, user).await?) {
        return Err(TenancyRefused::BeyondOwn);
    }
    end(tx, &member, "member.remove", by).await
}

/// Ends one's own membership, as [`remove`] does another's.
///
/// # Errors
/// [`TenancyRefused::LastOwner`].
pub async fn leave(tx: &mut OrgTx, user: UserId, by: By) -> Result<(), TenancyRefused> {
    let found = members::lock_member(tx, user).await?;
    let member = found.ok_or(TenancyRefused::NotFound)?;
    end(tx, &member, "member.leave", by).await
}

async fn end(
    tx: &mut OrgTx,
    member: &Member,
    action: &'static str,
    by: By,
) -> Result<(), TenancyRefused> {
    let user = member.user_id;
    keys::revoke_all(tx, KeysOf::Member(user), "the member left", by).await?;
    members::remove_member(tx, user).await?;
    let details = json!({ "role": member.rank });
    Ok(note(tx, by, action, ("user", user.uuid()), details).await?)
}
