//! The word that a price in quarantine waits for.

use serde_json::json;
use uuid::Uuid;

use super::{refused::CatalogRefused, trail::record};
use crate::{
    audit::{Actor, By},
    base::{OfferId, UserId},
    catalog::{
        Sought,
        store::{
            self,
            prices::NewPrice,
            quarantine::{Fate, QuarantinedPrice},
        },
    },
    store::OwnerTx,
};

/// Lets a price count: from the moment it was stated for, or from now when that has passed.
///
/// # Errors
/// `Missing` when there is none, `Decided` when somebody said already, `Negative` for a price that cannot count.
pub async fn release(
    tx: &mut OwnerTx,
    id: Uuid,
    by: By,
) -> Result<QuarantinedPrice, CatalogRefused> {
    let held = waiting(tx, id).await?;
    let price = held.entry.quote.price().ok_or(CatalogRefused::Negative)?;
    let new = NewPrice {
        id: OfferId::new(by.now).uuid(),
        offer: held.offer_id,
        book: held.book_id,
        price: &price,
        source: &held.entry.source,
        stated_on: held.entry.stated_on,
        from: held.valid_from.filter(|from| by.now < *from),
    };
    store::prices::add(tx, new).await?;
    decide(tx, &held, Fate::Released, by).await
}

/// Throws a price away; the one in force stays.
///
/// # Errors
/// `Missing` when there is none, `Decided` when somebody said already.
pub async fn reject(
    tx: &mut OwnerTx,
    id: Uuid,
    by: By,
) -> Result<QuarantinedPrice, CatalogRefused> {
    let held = waiting(tx, id).await?;
    decide(tx, &held, Fate::Rejected, by).await
}

async fn waiting(tx: &mut OwnerTx, id: Uuid) -> Result<QuarantinedPrice, CatalogRefused> {
    store::wait_for_others(tx).await?;
    let held = one(tx, id).await?;
    match held.fate {
        Fate::Held => Ok(held),
        Fate::Released | Fate::Rejected => Err(CatalogRefused::Decided),
    }
}

async fn decide(
    tx: &mut OwnerTx,
    held: &QuarantinedPrice,
    fate: Fate,
    by: By,
) -> Result<QuarantinedPrice, CatalogRefused> {
    store::quarantine::decide(tx, held.id, fate, person(by)).await?;
    let action = match fate {
        Fate::Released => "price.release",
        Fate::Rejected | Fate::Held => "price.reject",
    };
    let details = json!({ "offer": held.offer, "price": held.entry, "reason": held.reason });
    record(tx, by, (action, "offer", held.offer_id), details).await?;
    one(tx, held.id).await
}

const fn person(by: By) -> Option<UserId> {
    match by.actor {
        Actor::User(user) => Some(user),
        Actor::Key(_) | Actor::Operator | Actor::Agent | Actor::System => None,
    }
}

/// Returns one of the owner's prices in quarantine.
///
/// # Errors
/// `Missing` when there is none.
pub async fn one(tx: &mut OwnerTx, id: Uuid) -> Result<QuarantinedPrice, CatalogRefused> {
    let owner = tx.owner();
    let found = store::quarantine::list(tx, owner, &Sought::one(id), None).await?;
    found.into_iter().next().ok_or(CatalogRefused::Missing)
}
