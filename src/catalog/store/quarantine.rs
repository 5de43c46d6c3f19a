//! Prices that wait for somebody's word, in the books.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    base::{Moment, OrganizationId, UserId},
    catalog::{
        quote::{PriceEntry, Quote, Suspicion},
        row::Sought,
        word::{of_word, word},
    },
    store::{Conn, OwnerTx, StoreError},
};

/// What became of a price that waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It waits.
    Held,
    /// It counts.
    Released,
    /// It does not.
    Rejected,
}

/// A price that waits, or waited, for somebody's word.
#[derive(Clone, Debug)]
pub struct QuarantinedPrice {
    /// Its id.
    pub id: Uuid,
    /// Whose price.
    pub offer_id: Uuid,
    /// The offer's name: provider, upstream name, tier.
    pub offer: String,
    /// The book it stands in.
    pub book_id: Uuid,
    /// Why it waits.
    pub reason: Suspicion,
    /// What it says.
    pub entry: PriceEntry,
    /// From when it is to hold; `None` is at once.
    pub valid_from: Option<Moment>,
    /// What became of it.
    pub fate: Fate,
    /// When somebody decided.
    pub decided_at: Option<Moment>,
    /// Who decided; `None` although decided: an operator.
    pub decided_by: Option<UserId>,
    /// Since when it waits.
    pub created_at: Moment,
}

/// A price to be kept waiting.
#[derive(Clone, Copy, Debug)]
pub struct NewQuarantined<'a> {
    /// Its id.
    pub id: Uuid,
    /// Whose price.
    pub offer: Uuid,
    /// The book it stands in.
    pub book: Uuid,
    /// Why it waits.
    pub reason: Suspicion,
    /// What it says.
    pub entry: &'a PriceEntry,
    /// From when it is to hold; `None` is at once.
    pub from: Option<Moment>,
}

/// Keeps a price waiting; one of the same offer that waited until now is rejected.
///
/// # Errors
/// When the books refuse or are away.
pub async fn hold(tx: &mut OwnerTx, new: NewQuarantined<'_>) -> Result<(), StoreError> {
    sqlx::query!(
        "
        update platform.quarantined_prices set status = 'rejected', decided_at = now()
        where offer_id = $1 and status = 'held'
        ",
        new.offer,
    )
    .execute(&mut **tx)
    .await?;
    let quote = new.entry.quote;
    let owner = tx.owner().map(OrganizationId::uuid);
    sqlx::query!(
        "
        insert into platform.quarantined_prices
            (id, organization_id, offer_id, price_book_id, reason, input, cached_input, cache_write, output, reasoning,
             per_request, source, stated_on, valid_from)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
        ",
        new.id,
        owner,
        new.offer,
        new.book,
        word(&new.reason)?,
        quote.input,
        quote.cached_input,
        quote.cache_write,
        quote.output,
        quote.reasoning,
        quote.per_request,
        new.entry.source,
        new.entry.stated_on as Option<NaiveDate>,
        new.from.map(Moment::utc),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Decides on a price that waits.
///
/// # Errors
/// When the books refuse or are away.
pub async fn decide(
    conn: &mut Conn,
    id: Uuid,
    fate: Fate,
    by: Option<UserId>,
) -> Result<(), StoreError> {
    sqlx::query!(
        "
        update platform.quarantined_prices set status = $2, decided_at = now(), decided_by = $3
        where id = $1 and status = 'held'
        ",
        id,
        word(&fate)?,
        by.map(UserId::uuid),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Returns the owner's prices that wait, or waited; the last of an offer comes first among its own.
///
/// # Errors
/// When the books are away, or a row does not hold what it should.
pub async fn list(
    conn: &mut Conn,
    owner: Option<OrganizationId>,
    sought: &Sought,
    fate: Option<Fate>,
) -> Result<Vec<QuarantinedPrice>, StoreError> {
    let paging = &sought.paging;
    let rows = sqlx::query!(
        r#"
        select q.id, q.offer_id, p.name || '/' || o.upstream_name || ' (' || o.tier || ')' as "offer!", q.price_book_id,
            q.reason, q.input, q.cached_input, q.cache_write, q.output, q.reasoning, q.per_request, q.source,
            q.stated_on, q.valid_from, q.status, q.decided_at, q.decided_by, q.created_at
        from platform.quarantined_prices q
        join platform.offers o on o.id = q.offer_id and o.deleted_at is null
        join platform.providers p on p.id = o.provider_id
        where q.organization_id is not distinct from $1
            and ($2::uuid is null or q.id = $2)
            and ($3::uuid is null or q.offer_id = $3)
            and ($4::text is null or q.status = $4)
            and ($5::uuid is null or (q.id < $5) = $6 and q.id <> $5)
        order by case when $6 then q.id end desc, q.id
        limit $7
        "#,
        owner.map(OrganizationId::uuid),
        sought.id,
        sought.offer,
        fate.map(|fate| word(&fate)).transpose()?,
        paging.after_id(),
        paging.is_descending(),
        paging.fetched(),
    )
    .fetch_all(conn)
    .await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        found.push(QuarantinedPrice {
            id: row.id,
            offer_id: row.offer_id,
            offer: row.offer,
            book_id: row.price_book_id,
            reason: of_word(row.reason)?,
            entry: PriceEntry {
                quote: Quote {
                    input: row.input,
                    cached_input: row.cached_input,
                    cache_write: row.cache_write,
                    output: row.output,
                    reasoning: row.reasoning,
                    per_request: row.per_request,
                },
                source: row.source,
                stated_on: row.stated_on,
            },
            valid_from: row.valid_from.map(Moment::from),
            fate: of_word(row.status)?,
            decided_at: row.decided_at.map(Moment::from),
            decided_by: row.decided_by.map(UserId),
            created_at: Moment::from(row.created_at),
        });
    }
    Ok(found)
}
