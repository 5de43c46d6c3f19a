//! Which model may stand in for which, as people change it: the platform proposes, an organization accepts.

use serde_json::json;
use uuid::Uuid;

use super::{
    models,
    refused::{CatalogRefused, own, visible},
    trail::record,
};
use crate::{
    audit::By,
    base::{ModelId, Moment},
    catalog::{
        Row, Sought,
        file::{SubstituteEntry, judge::faults_of_substitute},
        store::{self, substitutes::SubstituteRow},
    },
    store::OwnerTx,
};

/// Lets a model stand in for another.
///
/// # Errors
/// See [`CatalogRefused`].
pub async fn create(
    tx: &mut OwnerTx,
    model: Uuid,
    substitute: Uuid,
    position: i32,
    note: String,
    by: By,
) -> Result<Row<SubstituteRow>, CatalogRefused> {
    store::wait_for_others(tx).await?;
    let entry = SubstituteEntry {
        model: models::named(tx, "model_id", model).await?.entry.name,
        substitute: models::named(tx, "substitute_id", substitute)
            .await?
            .entry
            .name,
        position,
        note,
    };
    CatalogRefused::unless_sound(faults_of_substitute(&entry))?;
    let id = ModelId::new(by.now).uuid();
    store::substitutes::put(tx, id, model, substitute, &entry).await?;
    let details = json!({ "substitute": entry });
    record(tx, by, ("substitute.create", "substitute", id), details).await?;
    one(tx, id).await
}

/// Changes when a substitute is tried, and what is said of it.
///
/// # Errors
/// See [`CatalogRefused`].
pub async fn change(
    tx: &mut OwnerTx,
    id: Uuid,
    expected: Option<Moment>,
    patch: impl FnOnce(&mut SubstituteEntry),
    by: By,
) -> Result<Row<SubstituteRow>, CatalogRefused> {
    store::wait_for_others(tx).await?;
    let old = own_substitute(tx, id, expected).await?;
    let mut entry = old.entry.entry.clone();
    patch(&mut entry);
    CatalogRefused::unless_sound(faults_of_substitute(&entry))?;
    let SubstituteRow {
        model_id,
        substitute_id,
        ..
    } = old.entry;
    store::substitutes::put(tx, id, model_id, substitute_id, &entry).await?;
    let details = json!({ "was": old.entry.entry, "is": entry });
    record(tx, by, ("substitute.change", "substitute", id), details).await?;
    one(tx, id).await
}

/// Lets the model stand in no more.
///
/// # Errors
/// See [`CatalogRefused`].
pub async fn remove(
    tx: &mut OwnerTx,
    id: Uuid,
    expected: Option<Moment>,
    by: By,
) -> Result<(), CatalogRefused> {
    store::wait_for_others(tx).await?;
    let old = own_substitute(tx, id, expected).await?;
    store::substitutes::retire(tx, id).await?;
    let details = json!({ "substitute": old.entry.entry.key() });
    Ok(record(tx, by, ("substitute.remove", "substitute", id), details).await?)
}

/// Returns one substitute, the owner's or one the platform proposes.
///
/// # Errors
/// `Missing` when there is none.
pub async fn one(tx: &mut OwnerTx, id: Uuid) -> Result<Row<SubstituteRow>, CatalogRefused> {
    let owner = tx.owner();
    visible(store::substitutes::list(tx, owner, &Sought::one(id)).await?)
}

async fn own_substitute(
    tx: &mut OwnerTx,
    id: Uuid,
    expected: Option<Moment>,
) -> Result<Row<SubstituteRow>, CatalogRefused> {
    let owner = tx.owner();
    let rows = store::substitutes::list(tx, owner, &Sought::one(id)).await?;
    own(tx, rows, expected)
}
