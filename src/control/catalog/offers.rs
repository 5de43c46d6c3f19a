//! Offers, as people change them.

use serde_json::json;
use uuid::Uuid;

use super::{
    models, prices, providers,
    refused::{CatalogRefused, own, visible},
    trail::record,
};
use crate::{
    audit::By,
    base::{Moment, OfferId},
    catalog::{
        Row, Sought,
        file::{OfferEntry, judge::faults_of_offer},
        store::{self, offers::OfferRow},
    },
    store::OwnerTx,
};

/// Adds an offer. The entry's provider and model are named by the ids; its price may be kept waiting.
///
/// # Errors
/// See [`CatalogRefused`].
pub async fn create(
    tx: &mut OwnerTx,
    provider: Uuid,
    model: Uuid,
    mut entry: OfferEntry,
    by: By,
) -> Result<Row<OfferRow>, CatalogRefused> {
    store::wait_for_others(tx).await?;
    entry.provider = providers::named(tx, "provider_id", provider)
        .await?
        .entry
        .name;
    entry.model = models::named(tx, "model_id", model).await?.entry.name;
    entry = entry.completed();
    CatalogRefused::unless_sound(faults_of_offer(&entry))?;
    let id = OfferId::new(by.now).uuid();
    store::offers::put(tx, id, provider, model, &entry).await?;
    record(
        tx,
        by,
        ("offer.create", "offer", id),
        json!({ "offer": entry }),
    )
    .await?;
    if let Some(price) = &entry.price {
        let row = one(tx, id).await?;
        prices::first(tx, &row, price, by).await?;
    }
    one(tx, id).await
}

/// Changes an offer; who sells it, and whether it is free, stay as they are.
///
/// # Errors
/// See [`CatalogRefused`].
pub async fn change(
    tx: &mut OwnerTx,
    id: Uuid,
    expected: Option<Moment>,
    model: Option<Uuid>,
    patch: impl FnOnce(&mut OfferEntry),
    by: By,
) -> Result<Row<OfferRow>, CatalogRefused> {
    store::wait_for_others(tx).await?;
    let old = own_offer(tx, id, expected).await?;
    let mut entry = old.entry.entry.clone();
    patch(&mut entry);
    let model = model.unwrap_or(old.entry.model_id);
    entry.model = models::named(tx, "model_id", model).await?.entry.name;
    entry = entry.completed();
    CatalogRefused::unless_sound(faults_of_offer(&entry))?;
    store::offers::put(tx, id, old.entry.provider_id, model, &entry).await?;
    let details = json!({ "was": old.entry.entry, "is": entry });
    record(tx, by, ("offer.change", "offer", id), details).await?;
    one(tx, id).await
}

/// Takes an offer out of the catalog.
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
    let old = own_offer(tx, id, expected).await?;
    store::offers::retire(tx, id).await?;
    let details = json!({ "offer": old.entry.entry.key() });
    Ok(record(tx, by, ("offer.remove", "offer", id), details).await?)
}

/// Returns one offer, the owner's or one the platform shares.
///
/// # Errors
/// `Missing` when there is none.
pub async fn one(tx: &mut OwnerTx, id: Uuid) -> Result<Row<OfferRow>, CatalogRefused> {
    let owner = tx.owner();
    visible(store::offers::list(tx, owner, &Sought::one(id)).await?)
}

/// Returns one of the owner's offers.
pub(super) async fn own_offer(
    tx: &mut OwnerTx,
    id: Uuid,
    expected: Option<Moment>,
) -> Result<Row<OfferRow>, CatalogRefused> {
    let owner = tx.owner();
    let rows = store::offers::list(tx, owner, &Sought::one(id)).await?;
    own(tx, rows, expected)
}
