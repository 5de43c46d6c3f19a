//! Models, as people change them.

use serde_json::json;
use uuid::Uuid;

use super::{
    refused::{CatalogRefused, own, visible},
    trail::record,
};
use crate::{
    audit::By,
    base::{ModelId, Moment},
    catalog::{
        Row, Sought,
        file::{ModelEntry, judge::faults_of_model},
        store,
    },
    store::OwnerTx,
};

/// Adds a model.
///
/// # Errors
/// See [`CatalogRefused`].
pub async fn create(
    tx: &mut OwnerTx,
    entry: ModelEntry,
    by: By,
) -> Result<Row<ModelEntry>, CatalogRefused> {
    store::wait_for_others(tx).await?;
    CatalogRefused::unless_sound(faults_of_model(&entry))?;
    let id = ModelId::new(by.now).uuid();
    store::models::put(tx, id, &entry).await?;
    record(
        tx,
        by,
        ("model.create", "model", id),
        json!({ "model": entry }),
    )
    .await?;
    one(tx, id).await
}

/// Changes a model.
///
/// # Errors
/// See [`CatalogRefused`].
pub async fn change(
    tx: &mut OwnerTx,
    id: Uuid,
    expected: Option<Moment>,
    patch: impl FnOnce(&mut ModelEntry),
    by: By,
) -> Result<Row<ModelEntry>, CatalogRefused> {
    store::wait_for_others(tx).await?;
    let old = own_model(tx, id, expected).await?;
    let mut entry = old.entry.clone();
    patch(&mut entry);
    CatalogRefused::unless_sound(faults_of_model(&entry))?;
    store::models::put(tx, id, &entry).await?;
    let details = json!({ "was": old.entry, "is": entry });
    record(tx, by, ("model.change", "model", id), details).await?;
    one(tx, id).await
}

/// Takes a model out of the catalog; what hangs on it is not used any more.
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
    let old = own_model(tx, id, expected).await?;
    store::models::retire(tx, id).await?;
    let details = json!({ "model": old.entry.name });
    Ok(record(tx, by, ("model.remove", "model", id), details).await?)
}

/// Returns one model, the owner's or one the platform shares.
///
/// # Errors
/// `Missing` when there is none.
pub async fn one(tx: &mut OwnerTx, id: Uuid) -> Result<Row<ModelEntry>, CatalogRefused> {
    let owner = tx.owner();
    visible(store::models::list(tx, owner, &Sought::one(id)).await?)
}

/// Returns the model that a field of a change names.
pub(super) async fn named(
    tx: &mut OwnerTx,
    field: &'static str,
    id: Uuid,
) -> Result<Row<ModelEntry>, CatalogRefused> {
    one(tx, id).await.map_err(|refused| match refused {
        CatalogRefused::Missing => CatalogRefused::NoSuch(field),
        other => other,
    })
}

async fn own_model(
    tx: &mut OwnerTx,
    id: Uuid,
    expected: Option<Moment>,
) -> Result<Row<ModelEntry>, CatalogRefused> {
    let owner = tx.owner();
    let rows = store::models::list(tx, owner, &Sought::one(id)).await?;
    own(tx, rows, expected)
}
