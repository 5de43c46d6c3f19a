//! What offers cost, as people change it: now, from a moment on, or not before somebody has looked at it.

use serde_json::json;
use uuid::Uuid;

use super::{book::content_hash, offers::own_offer, refused::CatalogRefused, trail::record};
use crate::{
    audit::By,
    base::{Fault, Moment, OfferId},
    catalog::{
        PriceEntry, Quote, Row, Sought, Suspicion, Tier,
        file::judge::faults_of_price,
        store::{
            self,
            offers::OfferRow,
            prices::{HeldPrice, NewPrice},
            quarantine::{Fate, NewQuarantined},
        },
    },
    store::{OwnerTx, StoreError},
};

/// A price as it was stated, with what it is judged by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stated<'a> {
    pub(super) offer: Uuid,
    pub(super) tier: Tier,
    pub(super) in_force: Option<&'a PriceEntry>,
    pub(super) entry: &'a PriceEntry,
    pub(super) book: Uuid,
    /// From when it is to hold; `None` is at once.
    pub(super) from: Option<Moment>,
}

/// What became of a stated price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It counts, or will; this is its id.
    Taken(Uuid),
    /// The amounts were those in force; where they were read is noted.
    Sourced,
    /// It waits for somebody's word; this is its id in quarantine, and why.
    Held(Uuid, Suspicion),
    /// It already waits, or was rejected before.
    Known,
}

impl Verdict {
    pub(super) fn told(&self, was: Option<&PriceEntry>, price: &PriceEntry) -> String {
        let is = &price.quote;
        let was = was
            .map(|was| format!("{} -> ", was.quote))
            .unwrap_or_default();
        match self {
            Self::Held(_, Suspicion::Jump) => format!("{was}{is} is a jump of more than ten times"),
            Self::Held(_, Suspicion::Zero) => format!("{was}{is} turns zero"),
            Self::Held(_, Suspicion::Negative) => format!("{was}{is} is negative"),
            Self::Taken(_) => format!("{was}{is}"),
            Self::Sourced => "read elsewhere or again".to_owned(),
            Self::Known => String::new(),
        }
    }
}

/// Lets a stated price count, or keeps it waiting.
pub(super) async fn take(
    tx: &mut OwnerTx,
    stated: Stated<'_>,
    now: Moment,
) -> Result<Verdict, StoreError> {
    let quote = &stated.entry.quote;
    let old = stated.in_force.map(|entry| &entry.quote);
    if old == Some(quote) && stated.from.is_none() {
        let PriceEntry {
            source, stated_on, ..
        } = stated.entry;
        store::prices::note_source(tx, stated.offer, source, *stated_on).await?;
        return Ok(Verdict::Sourced);
    }
    let suspicion = match stated.tier {
        Tier::Free => None,
        Tier::Paid => quote.suspicion(old),
    };
    let id = OfferId::new(now).uuid();
    match (suspicion, quote.price()) {
        (None, Some(price)) => {
            let new = NewPrice {
                id,
                offer: stated.offer,
                book: stated.book,
                price: &price,
                source: &stated.entry.source,
                stated_on: stated.entry.stated_on,
                from: stated.from,
            };
            store::prices::add(tx, new).await?;
            Ok(Verdict::Taken(id))
        }
        (suspicion, _) => {
            let reason = suspicion.unwrap_or(Suspicion::Negative);
            hold(tx, id, stated, reason).await
        }
    }
}

/// Keeps a price waiting, unless the last word on this offer was about the very same one.
async fn hold(
    tx: &mut OwnerTx,
    id: Uuid,
    stated: Stated<'_>,
    reason: Suspicion,
) -> Result<Verdict, StoreError> {
    let mut sought = Sought {
        offer: Some(stated.offer),
        ..Sought::default()
    };
    sought.paging.limit = 1;
    let owner = tx.owner();
    let last = store::quarantine::list(tx, owner, &sought, None).await?;
    let is_known = last.first().is_some_and(|last| {
        last.fate != Fate::Released
            && last.entry.quote == stated.entry.quote
            && last.valid_from == stated.from
    });
    if is_known {
        return Ok(Verdict::Known);
    }
    let new = NewQuarantined {
        id,
        offer: stated.offer,
        book: stated.book,
        reason,
        entry: stated.entry,
        from: stated.from,
    };
    store::quarantine::hold(tx, new).await?;
    Ok(Verdict::Held(id, reason))
}

/// Sets what an offer costs, from now or from a later moment on.
///
/// # Errors
/// `Missing` for an offer that is not the owner's, `Faulty` for an amount out of range or a moment gone by.
pub async fn set(
    tx: &mut OwnerTx,
    offer: Uuid,
    entry: &PriceEntry,
    from: Option<Moment>,
    by: By,
) -> Result<Verdict, CatalogRefused> {
    store::wait_for_others(tx).await?;
    let row = own_offer(tx, offer, None).await?;
    let tier = row.entry.entry.tier;
    let mut faults = faults_of_price(tier, entry);
    if from.is_some_and(|from| from <= by.now) {
        let what = "has passed: what was booked is not priced again";
        faults.push(Fault::new("valid_from", what, "leave it out for now"));
    }
    CatalogRefused::unless_sound(faults)?;
    Ok(taken(tx, &row, entry, from, by).await?)
}

/// Gives an offer that was just made its price.
pub(super) async fn first(
    tx: &mut OwnerTx,
    row: &Row<OfferRow>,
    entry: &PriceEntry,
    by: By,
) -> Result<Verdict, StoreError> {
    taken(tx, row, entry, None, by).await
}

async fn taken(
    tx: &mut OwnerTx,
    row: &Row<OfferRow>,
    entry: &PriceEntry,
    from: Option<Moment>,
    by: By,
) -> Result<Verdict, StoreError> {
    let in_force = row.entry.entry.price.as_ref();
    let stated = Stated {
        offer: row.id,
        tier: row.entry.entry.tier,
        in_force,
        entry,
        book: book_of(tx, row, &entry.quote, &entry.source, by.now).await?,
        from,
    };
    let verdict = take(tx, stated, by.now).await?;
    let details = json!({
        "offer": row.entry.entry.key(), "price": entry, "valid_from": from,
        "was": in_force, "verdict": verdict_word(&verdict),
    });
    record(tx, by, ("price.set", "offer", row.id), details).await?;
    Ok(verdict)
}

const fn verdict_word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Taken(_) => "taken",
        Verdict::Sourced => "unchanged",
        Verdict::Held(..) => "quarantined",
        Verdict::Known => "quarantined_before",
    }
}

async fn book_of(
    tx: &mut OwnerTx,
    row: &Row<OfferRow>,
    quote: &Quote,
    source: &str,
    now: Moment,
) -> Result<Uuid, StoreError> {
    let hash = content_hash(std::iter::once((row.entry.entry.key(), quote)));
    let id = OfferId::new(now).uuid();
    let source = if source.is_empty() {
        "set by hand"
    } else {
        source
    };
    store::price_books::known(tx, id, &hash, source).await
}

/// Takes back a price that has not begun to hold.
///
/// # Errors
/// `Missing` when the offer is not the owner's, or has no such price ahead.
pub async fn withdraw(
    tx: &mut OwnerTx,
    offer: Uuid,
    price: Uuid,
    by: By,
) -> Result<(), CatalogRefused> {
    store::wait_for_others(tx).await?;
    let row = own_offer(tx, offer, None).await?;
    if !store::prices::withdraw(tx, offer, price).await? {
        return Err(CatalogRefused::Missing);
    }
    let details = json!({ "offer": row.entry.entry.key(), "price": price });
    record(tx, by, ("price.withdraw", "offer", offer), details).await?;
    Ok(())
}

/// Returns a page of an offer's prices, the owner's or one the platform shares.
///
/// # Errors
/// `Missing` when there is no such offer.
pub async fn history(
    tx: &mut OwnerTx,
    offer: Uuid,
    sought: &Sought,
) -> Result<Vec<HeldPrice>, CatalogRefused> {
    let owner = tx.owner();
    let offers = store::offers::list(tx, owner, &Sought::one(offer)).await?;
    if offers.is_empty() {
        return Err(CatalogRefused::Missing);
    }
    Ok(store::prices::list(tx, offer, sought).await?)
}
