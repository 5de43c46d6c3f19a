//! Custom roles, and who is given which: never more than the giver has.

use serde_json::json;

use super::{
    ceiling::Ceiling,
    groups, members,
    note::note,
    refused::{TenancyRefused, expect_version},
    settings::set,
};
use crate::{
    audit::By,
    base::{AssignmentId, GroupId, Moment, RoleId, UserId},
    store::OrgTx,
    tenancy::{Permissions, Role, RoleAssignment, store::roles},
};

/// What shall be other; `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct RoleChange {
    /// The name.
    pub name: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// What it permits.
    pub permissions: Option<Permissions>,
}

/// Makes a role of this transaction's organization.
///
/// # Errors
/// [`TenancyRefused::BeyondOwn`] when it permits more than `ceiling`; see there.
pub async fn create(
    tx: &mut OrgTx,
    (name, description): (&str, &str),
    permissions: Permissions,
    (ceiling, by): (Ceiling, By),
) -> Result<Role, TenancyRefused> {
    if !ceiling.covers(permissions) {
        return Err(TenancyRefused::BeyondOwn);
    }
    let id = RoleId::new(by.now);
    roles::insert_role(tx, id, name, description, permissions).await?;
    let details = json!({ "name": name, "permissions": permissions });
    note(tx, by, "role.create", ("role", id.uuid()), details).await?;
    find(tx, id).await
}

/// Returns a role.
///
/// # Errors
/// [`TenancyRefused::NotFound`].
pub async fn find(tx: &mut OrgTx, id: RoleId) -> Result<Role, TenancyRefused> {
    roles::find_role(tx, id)
        .await?
        .ok_or(TenancyRefused::NotFound)
}

/// Returns a role of the organization's own that may be changed by whom `ceiling` describes.
async fn lock(
    tx: &mut OrgTx,
    id: RoleId,
    expected: Option<Moment>,
    ceiling: Ceiling,
) -> Result<Role, TenancyRefused> {
    let found = roles::lock_role(tx, id).await?;
    let role = found.ok_or(TenancyRefused::NotFound)?;
    if role.is_system {
        return Err(TenancyRefused::SystemRole);
    }
    expect_version(expected, role.updated_at)?;
    if !ceiling.covers(role.permissions) {
        return Err(TenancyRefused::BeyondOwn);
    }
    Ok(role)
}

/// Changes a role and returns it; whoever has it may at once what it says.
///
/// # Errors
/// [`TenancyRefused::BeyondOwn`] when it permitted, or is to permit, more than `ceiling`; see there.
pub async fn change(
    tx: &mut OrgTx,
    id: RoleId,
    change: RoleChange,
    expected: Option<Moment>,
    (ceiling, by): (Ceiling, By),
) -> Result<Role, TenancyRefused> {
    let before = lock(tx, id, expected, ceiling).await?;
    let mut after = before.clone();
    set(&mut after.name, change.name);
    set(&mut after.description, change.description);
    set(&mut after.permissions, change.permissions);
    if !ceiling.covers(after.permissions) {
        return Err(TenancyRefused::BeyondOwn);
    }
    after.updated_at = roles::update_role(tx, &after).await?;
    let details = json!({
        "before": { "name": before.name, "permissions": before.permissions },
        "after": { "name": after.name, "permissions": after.permissions },
    });
    note(tx, by, "role.change", ("role", id.uuid()), details).await?;
    Ok(after)
}

/// Deletes a role and takes it from everybody who has it.
///
/// # Errors
/// See [`TenancyRefused`].
pub async fn delete(
    tx: &mut OrgTx,
    id: RoleId,
    expected: Option<Moment>,
    (ceiling, by): (Ceiling, By),
) -> Result<(), TenancyRefused> {
    let role = lock(tx, id, expected, ceiling).await?;
    let taken = roles::delete_role(tx, id).await?;
    let details = json!({ "name": role.name, "taken_from": taken });
    Ok(note(tx, by, "role.delete", ("role", id.uuid()), details).await?)
}

/// Gives a member a role, in a group or in the whole organization.
///
/// # Errors
/// [`TenancyRefused::BeyondOwn`] when the role permits more than `ceiling`, [`TenancyRefused::SystemRole`] for a rank's,
/// which is given as a rank; see there.
pub async fn assign(
    tx: &mut OrgTx,
    user: UserId,
    role: RoleId,
    group: Option<GroupId>,
    (ceiling, by): (Ceiling, By),
) -> Result<RoleAssignment, TenancyRefused> {
    let role = find(tx, role).await?;
    members::find(tx, user).await?;
    if let Some(group) = group {
        groups::find(tx, group).await?;
    }
    if role.is_system {
        return Err(TenancyRefused::SystemRole);
    }
    if !ceiling.covers(role.permissions) {
        return Err(TenancyRefused::BeyondOwn);
    }
    let id = AssignmentId::new(by.now);
    roles::insert_assignment(tx, id, user, role.id, group).await?;
    let details = json!({ "role": role.name, "role_id": role.id, "group_id": group });
    note(tx, by, "role.assign", ("user", user.uuid()), details).await?;
    find_assignment(tx, id).await
}

/// Returns a role assignment.
///
/// # Errors
/// [`TenancyRefused::NotFound`].
pub async fn find_assignment(
    tx: &mut OrgTx,
    id: AssignmentId,
) -> Result<RoleAssignment, TenancyRefused> {
    let found = roles::find_assignment(tx, id).await?;
    found.ok_or(TenancyRefused::NotFound)
}

/// Takes a role back.
///
/// # Errors
/// [`TenancyRefused::BeyondOwn`] when it permits more than `ceiling`; see there.
pub async fn unassign(
    tx: &mut OrgTx,
    id: AssignmentId,
    (ceiling, by): (Ceiling, By),
) -> Result<(), TenancyRefused> {
    let assignment = find_assignment(tx, id).await?;
    let role = find(tx, assignment.role_id).await?;
    if !ceiling.covers(role.permissions) {
        return Err(TenancyRefused::BeyondOwn);
    }
    roles::delete_assignment(tx, id).await?;
    let details = json!({
        "role": role.name, "role_id": role.id, "group_id": assignment.group_id,
    });
    Ok(note(
        tx,
        by,
        "role.unassign",
        ("user", assignment.user_id.uuid()),
        details,
    )
    .await?)
}
