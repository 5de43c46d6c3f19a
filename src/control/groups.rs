//! Groups: made, changed, deleted; members put into them and taken out.

use serde_json::json;

use super::{
    keys,
    note::note,
    refused::{TenancyRefused, expect_version},
    settings::set,
};
use crate::{
    audit::By,
    base::{GroupId, Moment, UserId},
    keys::store::KeysOf,
    store::OrgTx,
    tenancy::{
        Group, Switches, slug_of,
        store::{groups, members, settings},
    },
};

/// A group to be made.
#[derive(Clone, Debug, Default)]
pub struct NewGroup {
    /// The name people read.
    pub name: String,
    /// The short name; made from the name when absent.
    pub slug: Option<String>,
    /// What it is for.
    pub description: String,
    /// Whether agents may change its routes; `None` as the organization says.
    pub auto_optimization: Option<bool>,
}

/// What shall be other; `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct GroupChange {
    /// The short name.
    pub slug: Option<String>,
    /// The name people read.
    pub name: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// Whether agents may change its routes; the inner `None` leaves it to the organization.
    pub auto_optimization: Option<Option<bool>>,
}

/// Makes a group of this transaction's organization.
///
/// # Errors
/// See [`TenancyRefused`].
pub async fn create(tx: &mut OrgTx, new: NewGroup, by: By) -> Result<Group, TenancyRefused> {
    let id = GroupId::new(by.now);
    let slug = new.slug.unwrap_or_else(|| slug_of(&new.name));
    let (name, description) = (&new.name, &new.description);
    groups::insert_group(tx, id, &slug, name, description, new.auto_optimization).await?;
    let details = json!({ "slug": slug, "name": name });
    note(tx, by, "group.create", ("group", id.uuid()), details).await?;
    find(tx, id).await
}

/// Returns a group.
///
/// # Errors
/// [`TenancyRefused::NotFound`].
pub async fn find(tx: &mut OrgTx, id: GroupId) -> Result<Group, TenancyRefused> {
    let found = groups::find_group(tx, id).await?;
    found.ok_or(TenancyRefused::NotFound)
}

/// Changes a group and returns it.
///
/// # Errors
/// See [`TenancyRefused`].
pub async fn change(
    tx: &mut OrgTx,
    id: GroupId,
    change: GroupChange,
    expected: Option<Moment>,
    by: By,
) -> Result<Group, TenancyRefused> {
    let found = groups::lock_group(tx, id).await?;
    let before = found.ok_or(TenancyRefused::NotFound)?;
    expect_version(expected, before.updated_at)?;
    let mut after = before.clone();
    set(&mut after.slug, change.slug);
    set(&mut after.name, change.name);
    set(&mut after.description, change.description);
    set(&mut after.auto_optimization, change.auto_optimization);
    after.updated_at = groups::update_group(tx, &after).await?;
    let details = json!({ "before": told(&before), "after": told(&after) });
    note(tx, by, "group.change", ("group", id.uuid()), details).await?;
    Ok(after)
}

fn told(group: &Group) -> serde_json::Value {
    json!({ "slug": group.slug, "name": group.name, "auto_optimization": group.auto_optimization })
}

/// Deletes a group; its keys are revoked, and whoever had it as their primary one gets the default one.
///
/// # Errors
/// [`TenancyRefused::DefaultGroup`]; see there.
pub async fn delete(
    tx: &mut OrgTx,
    id: GroupId,
    expected: Option<Moment>,
    by: By,
) -> Result<(), TenancyRefused> {
    let found = groups::lock_group(tx, id).await?;
    let group = found.ok_or(TenancyRefused::NotFound)?;
    expect_version(expected, group.updated_at)?;
    if group.is_default {
        return Err(TenancyRefused::DefaultGroup);
    }
    keys::revoke_all(tx, KeysOf::Group(id), "the group was deleted", by).await?;
    groups::delete_group(tx, id).await?;
    let details = json!({ "slug": group.slug, "name": group.name });
    Ok(note(tx, by, "group.delete", ("group", id.uuid()), details).await?)
}

/// Puts a member into a group; twice is as good as once.
///
/// # Errors
/// [`TenancyRefused::NotFound`] when there is no such group or member.
pub async fn add_member(
    tx: &mut OrgTx,
    id: GroupId,
    user: UserId,
    by: By,
) -> Result<(), TenancyRefused> {
    find(tx, id).await?;
    let member = members::find_member(tx, user).await?;
    member.ok_or(TenancyRefused::NotFound)?;
    let row = UserId::new(by.now).uuid();
    if groups::put_into_group(tx, row, id, user).await? {
        let details = json!({ "user_id": user });
        note(tx, by, "group.add_member", ("group", id.uuid()), details).await?;
    }
    Ok(())
}

/// Takes a member out of a group and revokes the keys they had for it. Somebody's primary group becomes the default one.
///
/// # Errors
/// [`TenancyRefused::NotFound`] when there is no such group, or they are not in it.
pub async fn remove_member(
    tx: &mut OrgTx,
    id: GroupId,
    user: UserId,
    by: By,
) -> Result<(), TenancyRefused> {
    let group = find(tx, id).await?;
    let found = members::lock_member(tx, user).await?;
    let mut member = found.ok_or(TenancyRefused::NotFound)?;
    let was_in = groups::take_out_of_group(tx, id, user).await?;
    let was_primary = member.primary_group_id == Some(id);
    if was_primary && group.is_default {
        return Err(TenancyRefused::DefaultGroup);
    }
    if !was_in && !was_primary {
        return Err(TenancyRefused::NotFound);
    }
    if was_primary {
        member.primary_group_id = groups::find_default_group(tx).await?;
        members::update_member(tx, &member).await?;
    }
    keys::revoke_all(
        tx,
        KeysOf::MemberInGroup(user, id),
        "the member left the group",
        by,
    )
    .await?;
    let details = json!({ "user_id": user });
    Ok(note(tx, by, "group.remove_member", ("group", id.uuid()), details).await?)
}

/// Returns the switches that decide for a group: its own, then the organization's.
///
/// # Errors
/// [`TenancyRefused::NotFound`].
pub async fn switches(tx: &mut OrgTx, id: GroupId) -> Result<Switches, TenancyRefused> {
    let group = find(tx, id).await?;
    let settings = settings::find_settings(tx).await?;
    Ok(Switches {
        user: None,
        group: group.auto_optimization,
        organization: settings.and_then(|settings| settings.auto_optimization),
    })
}
