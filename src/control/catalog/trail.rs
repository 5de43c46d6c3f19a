//! The audit row of a change of the catalog.

use serde_json::Value;
use uuid::Uuid;

use crate::{
    audit::{self, By, Event},
    store::{OwnerTx, StoreError},
};

/// Writes what was done (`noun.verb`) to what kind of thing and to which one.
pub(super) async fn record(
    tx: &mut OwnerTx,
    by: By,
    (action, target_kind, id): (&'static str, &'static str, Uuid),
    details: Value,
) -> Result<(), StoreError> {
    let event = Event {
        action,
        target_kind,
        target_id: Some(id),
        details,
    };
    audit::store::record(tx, by, &event).await
}
