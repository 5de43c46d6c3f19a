//! What the platform's own people do to a tenant: stop it, serve it again, say what it pays for and may have.

use serde_json::json;

use super::{
    note::note,
    organizations::undelete,
    refused::{TenancyRefused, expect_version},
    settings::set,
};
use crate::{
    audit::By,
    base::Moment,
    store::OrgTx,
    tenancy::{
        OrganizationStatus,
        store::{organizations, settings},
    },
};

/// Stops serving this transaction's organization; its keys are refused within a second.
///
/// # Errors
/// [`TenancyRefused::NoChange`] when it is stopped already.
pub async fn suspend(tx: &mut OrgTx, reason: &str, by: By) -> Result<(), TenancyRefused> {
    organizations::lock_organization(tx).await?;
    let found = organizations::find_organization(tx).await?;
    found.ok_or(TenancyRefused::NotFound)?;
    if !organizations::set_suspended(tx, true, Some(reason)).await? {
        return Err(TenancyRefused::NoChange);
    }
    let organization = tx.scope().organization().uuid();
    let details = json!({ "reason": reason });
    Ok(note(
        tx,
        by,
        "organization.suspend",
        ("organization", organization),
        details,
    )
    .await?)
}

/// Serves this transaction's organization again: takes back its deletion, or else its suspension.
///
/// # Errors
/// [`TenancyRefused::NoChange`] when it is neither deleted nor suspended.
pub async fn restore(tx: &mut OrgTx, by: By) -> Result<(), TenancyRefused> {
    let found = organizations::find_organization(tx).await?;
    let Some(found) = found else {
        return match undelete(tx, by).await {
            Err(TenancyRefused::NotDeleted) => Err(TenancyRefused::NotFound),
            other => other,
        };
    };
    if found.status != OrganizationStatus::Suspended
        || !organizations::set_suspended(tx, false, None).await?
    {
        return Err(TenancyRefused::NoChange);
    }
    let organization = tx.scope().organization().uuid();
    Ok(note(
        tx,
        by,
        "organization.resume",
        ("organization", organization),
        json!({}),
    )
    .await?)
}

/// What the platform says about a tenant; `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct PlanChange {
    /// What it pays for.
    pub plan_tier: Option<String>,
    /// How many members it may have; the inner `None` is any number.
    pub max_users: Option<Option<u32>>,
    /// How many groups it may have; the inner `None` is any number.
    pub max_groups: Option<Option<u32>>,
}

/// Changes what this transaction's organization pays for and may have. Who is there stays.
///
/// # Errors
/// See [`TenancyRefused`].
pub async fn change_plan(
    tx: &mut OrgTx,
    change: PlanChange,
    expected: Option<Moment>,
    by: By,
) -> Result<(), TenancyRefused> {
    organizations::lock_organization(tx).await?;
    let found = organizations::find_organization(tx).await?;
    let mut organization = found.ok_or(TenancyRefused::NotFound)?;
    expect_version(expected, organization.updated_at)?;
    let kept = settings::lock_settings(tx).await?;
    let mut bounds = kept.ok_or(TenancyRefused::NotFound)?;
    let before = json!({
        "plan_tier": organization.plan_tier, "max_users": bounds.max_users, "max_groups": bounds.max_groups,
    });
    set(&mut organization.plan_tier, change.plan_tier);
    set(&mut bounds.max_users, change.max_users);
    set(&mut bounds.max_groups, change.max_groups);
    organizations::update_organization(tx, &organization).await?;
    settings::update_settings(tx, &bounds).await?;
    let after = json!({
        "plan_tier": organization.plan_tier, "max_users": bounds.max_users, "max_groups": bounds.max_groups,
    });
    let details = json!({ "before": before, "after": after });
    let target = ("organization", organization.id.uuid());
    Ok(note(tx, by, "organization.change_plan", target, details).await?)
}
