//! Raises alerts, and says when what they told of is over.

use crate::{
    agents::{Fault, Mode, Waking},
    alerts::{self, Alert},
    store::{Conn, Whose},
    tenancy::Permission,
};

pub use crate::alerts::Severity;

/// Raises an alert in the transaction of what it tells; while it is open, it is the same one seen again. Says whether it
/// is new. Delivery follows from the alert, and so does its audit entry.
///
/// # Errors
/// When it is not permitted, or the books do not answer.
pub async fn raise(waking: &Waking, tx: &mut Conn, alert: &Alert) -> Result<bool, Fault> {
    if waking.permit(Permission::AlertsWrite)? == Mode::Dry {
        return Ok(false);
    }
    let raised = alerts::raise(tx, alert).await?;
    if raised.is_new {
        let details = serde_json::json!({ "kind": alert.kind, "fingerprint": alert.fingerprint });
        let target = ("alert", Some(raised.id.uuid()));
        super::audit::record(waking, tx, "alert.raise", target, details).await?;
    }
    Ok(raised.is_new)
}

/// Ends the alert of a fingerprint, if one is open.
///
/// # Errors
/// When it is not permitted, or the books do not answer.
pub async fn resolve(
    waking: &Waking,
    tx: &mut Conn,
    whose: Whose,
    fingerprint: &str,
) -> Result<(), Fault> {
    if waking.permit(Permission::AlertsWrite)? == Mode::Dry {
        return Ok(());
    }
    let organization = whose.organization().map(Into::into);
    alerts::resolve(tx, organization, fingerprint).await?;
    Ok(())
}
