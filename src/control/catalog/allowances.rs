//! What providers give, as people change it.

use serde_json::json;
use uuid::Uuid;

use super::{
    offers, providers,
    refused::{CatalogRefused, own, visible},
    trail::record,
};
use crate::{
    audit::By,
    base::{AllowanceId, Fault, Moment},
    catalog::{
        Row, Sought,
        file::{AllowanceEntry, judge::faults_of_allowance},
        store::{self, allowances::AllowanceRow},
    },
    store::OwnerTx,
};

/// Adds an allowance of one of the owner's offers or, without one, of each free offer it has of the provider.
///
/// # Errors
/// See [`CatalogRefused`]; `Taken` when there is one of the same meter and window.
pub async fn create(
    tx: &mut OwnerTx,
    provider: Uuid,
    offer: Option<Uuid>,
    entry: AllowanceEntry,
    by: By,
) -> Result<Row<AllowanceRow>, CatalogRefused> {
    store::wait_for_others(tx).await?;
    CatalogRefused::unless_sound(faults_of_allowance(&entry))?;
    providers::named(tx, "provider_id", provider).await?;
    if let Some(offer) = offer {
        must_sell(tx, provider, offer).await?;
    }
    if has_such(tx, provider, offer, &entry).await? {
        return Err(CatalogRefused::Taken);
    }
    let id = AllowanceId::new(by.now).uuid();
    store::allowances::put(tx, id, provider, offer, &entry).await?;
    let details = json!({ "provider": provider, "offer": offer, "allowance": entry });
    record(tx, by, ("allowance.create", "allowance", id), details).await?;
    one(tx, id).await
}

async fn must_sell(tx: &mut OwnerTx, provider: Uuid, offer: Uuid) -> Result<(), CatalogRefused> {
    let row = offers::own_offer(tx, offer, None).await;
    match row {
        Ok(row) if row.entry.provider_id == provider => Ok(()),
        Ok(_) => {
            let fault = Fault::new(
                "offer_id",
                "is another provider's",
                "name one of this provider's",
            );
            Err(CatalogRefused::Faulty(vec![fault]))
        }
        Err(CatalogRefused::Missing) => Err(CatalogRefused::NoSuch("offer_id")),
        Err(refused) => Err(refused),
    }
}

async fn has_such(
    tx: &mut OwnerTx,
    provider: Uuid,
    offer: Option<Uuid>,
    entry: &AllowanceEntry,
) -> Result<bool, CatalogRefused> {
    let owner = tx.owner();
    let sought = Sought {
        is_own: Some(true),
        provider: Some(provider),
        ..Sought::default()
    };
    let rows = store::allowances::list(tx, owner, &sought).await?;
    Ok(rows.iter().any(|row| {
        let held = &row.entry;
        held.offer_id == offer
            && (held.entry.meter, held.entry.window) == (entry.meter, entry.window)
    }))
}

/// Changes how much an allowance is and how it is counted; what it counts stays, and so does its count.
///
/// # Errors
/// See [`CatalogRefused`].
pub async fn change(
    tx: &mut OwnerTx,
    id: Uuid,
    expected: Option<Moment>,
    patch: impl FnOnce(&mut AllowanceEntry),
    by: By,
) -> Result<Row<AllowanceRow>, CatalogRefused> {
    store::wait_for_others(tx).await?;
    let old = own_allowance(tx, id, expected).await?;
    let mut entry = old.entry.entry.clone();
    patch(&mut entry);
    CatalogRefused::unless_sound(faults_of_allowance(&entry))?;
    let AllowanceRow {
        provider_id,
        offer_id,
        ..
    } = old.entry;
    store::allowances::put(tx, id, provider_id, offer_id, &entry).await?;
    let details = json!({ "was": old.entry.entry, "is": entry });
    record(tx, by, ("allowance.change", "allowance", id), details).await?;
    one(tx, id).await
}

/// Takes an allowance away: it is not counted any more.
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
    let old = own_allowance(tx, id, expected).await?;
    store::allowances::retire(tx, id).await?;
    let details = json!({ "allowance": old.entry.entry });
    Ok(record(tx, by, ("allowance.remove", "allowance", id), details).await?)
}

/// Returns one allowance, the owner's or one the platform shares.
///
/// # Errors
/// `Missing` when there is none.
pub async fn one(tx: &mut OwnerTx, id: Uuid) -> Result<Row<AllowanceRow>, CatalogRefused> {
    let owner = tx.owner();
    visible(store::allowances::list(tx, owner, &Sought::one(id)).await?)
}

async fn own_allowance(
    tx: &mut OwnerTx,
    id: Uuid,
    expected: Option<Moment>,
) -> Result<Row<AllowanceRow>, CatalogRefused> {
    let owner = tx.owner();
    let rows = store::allowances::list(tx, owner, &Sought::one(id)).await?;
    own(tx, rows, expected)
}
