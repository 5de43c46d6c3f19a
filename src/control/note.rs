//! One line of the audit log, in the transaction of the change.

use serde_json::Value;
use uuid::Uuid;

use crate::{
    audit::{self, By, Event},
    store::{Conn, StoreError},
};

/// Writes what was done (`noun.verb`) to which thing of which kind.
///
/// # Errors
/// When it cannot be written; the change must not be kept then.
pub(super) async fn note(
    conn: &mut Conn,
    by: By,
    action: &'static str,
    (target_kind, target_id): (&'static str, Uuid),
    details: Value,
) -> Result<(), StoreError> {
    let event = Event {
        action,
        target_kind,
        target_id: Some(target_id),
        details,
    };
    audit::store::record(conn, by, &event).await
}
