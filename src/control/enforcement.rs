//! The switch of all limits: what they would refuse is only counted while it is off.

use serde_json::json;

use super::{
    TenancyRefused,
    note::note,
    settings::{self, SettingsChange},
    store::switches,
};
use crate::{
    audit::{self, By, Event},
    base::Moment,
    store::{OrgTx, Postgres, StoreError},
};

/// How the switch stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enforcement {
    /// Whether limits refuse.
    pub is_on: bool,
    /// Since when.
    pub updated_at: Moment,
}

/// Tells how the switch stands.
///
/// # Errors
/// When the books do not answer.
pub async fn show(postgres: &Postgres) -> Result<Enforcement, StoreError> {
    let mut conn = postgres.acquire().await?;
    switches::enforcement(&mut conn).await
}

/// Turns the switch of this transaction's organization.
///
/// # Errors
/// See [`TenancyRefused`].
pub async fn set_for(
    tx: &mut OrgTx,
    is_on: bool,
    reason: &str,
    by: By,
) -> Result<(), TenancyRefused> {
    let change = SettingsChange {
        limits_enforced: Some(is_on),
        ..SettingsChange::default()
    };
    settings::change(tx, change, None, by).await?;
    let organization = tx.scope().organization().uuid();
    let details = json!({ "is_on": is_on, "reason": reason });
    note(
        tx,
        by,
        "limits.enforce",
        ("organization", organization),
        details,
    )
    .await?;
    Ok(())
}

/// Turns the switch, for every organization and every proxy.
///
/// # Errors
/// When the books do not answer, or it cannot be written down who did it.
pub async fn set(
    postgres: &Postgres,
    is_on: bool,
    reason: &str,
    by: By,
) -> Result<Enforcement, StoreError> {
    let mut tx = postgres.begin().await?;
    let updated_at = switches::enforce(&mut tx, is_on).await?;
    let event = Event {
        action: "limits.enforce",
        target_kind: "platform",
        target_id: None,
        details: json!({ "is_on": is_on, "reason": reason }),
    };
    audit::store::record(&mut tx, by, &event).await?;
    tx.commit().await?;
    Ok(Enforcement { is_on, updated_at })
}
