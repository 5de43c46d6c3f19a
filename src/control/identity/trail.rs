//! Where what a person does at the door is written down: in the log of each of their organizations.

use crate::{
    audit::{self, By, Event},
    base::OrganizationId,
    store::{PersonTx, StoreError},
};

/// Writes `event` into the log of each organization, in their order; without any, into the platform's.
pub(super) async fn record(
    tx: &mut PersonTx,
    organizations: &[OrganizationId],
    by: By,
    event: &Event,
) -> Result<(), StoreError> {
    if organizations.is_empty() {
        tx.look_at(None).await?;
        return audit::store::record(tx, by, event).await;
    }
    for organization in organizations {
        tx.look_at(Some(*organization)).await?;
        audit::store::record(tx, by, event).await?;
    }
    tx.look_at(None).await
}
