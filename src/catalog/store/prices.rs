//! What offers cost, and when, in the books: a price is closed and followed, never changed.

use chrono::{DateTime, NaiveDate, Utc};
use uuid::Uuid;

use crate::{
    base::{Moment, OrganizationId},
    catalog::{
        price::Price,
        quote::{PriceEntry, Quote},
        row::Sought,
    },
    store::{Conn, OwnerTx, StoreError},
};

/// A price of an offer, with the time it holds.
#[derive(Clone, Debug)]
pub struct HeldPrice {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub offer: Uuid,
    /// What it says.
    pub entry: PriceEntry,
    /// The version of the price book it stands in.
    pub book: String,
    /// From when it holds.
    pub valid_from: Moment,
    /// Until when; `None` is until another follows.
    pub valid_to: Option<Moment>,
    /// When it was written down.
    pub created_at: Moment,
}

/// A price on its way into the books.
#[derive(Clone, Copy, Debug)]
pub struct NewPrice<'a> {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub offer: Uuid,
    /// The book it stands in.
    pub book: Uuid,
    /// What it says.
    pub price: &'a Price,
    /// Where it was read.
    pub source: &'a str,
    /// When it was read there.
    pub stated_on: Option<NaiveDate>,
    /// From when it holds; `None` is from now on.
    pub from: Option<Moment>,
}

/// Adds a price: the one that would hold then ends, and what is planned for later still follows.
///
/// # Errors
/// When the books refuse or are away.
pub async fn add(tx: &mut OwnerTx, new: NewPrice<'_>) -> Result<(), StoreError> {
    let from: DateTime<Utc> = match new.from {
        Some(from) => from.utc(),
        None => now(tx).await?,
    };
    let until = make_room(tx, new.offer, from).await?;
    let quote = Quote::from(new.price);
    let owner = tx.owner().map(OrganizationId::uuid);
    sqlx::query!(
        "
        insert into platform.offer_prices
            (id, organization_id, offer_id, price_book_id, input, cached_input, cache_write, output, reasoning,
             per_request, source, stated_on, valid_from, valid_to)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
        ",
        new.id,
        owner,
        new.offer,
        new.book,
        quote.input,
        quote.cached_input,
        quote.cache_write,
        quote.output,
        quote.reasoning,
        quote.per_request,
        new.source,
        new.stated_on,
        from,
        until,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The moment of the transaction, to the microsecond the books keep.
async fn now(conn: &mut Conn) -> Result<DateTime<Utc>, StoreError> {
    let now = sqlx::query_scalar!(r#"select now() as "now!""#)
        .fetch_one(conn)
        .await?;
    Ok(now)
}

/// Ends what holds at `from` and voids what begins at the same moment; returns when the next one begins.
async fn make_room(
    conn: &mut Conn,
    offer: Uuid,
    from: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, StoreError> {
    sqlx::query!(
        "update platform.offer_prices set valid_to = valid_from where offer_id = $1 and valid_from = $2",
        offer,
        from,
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "
        update platform.offer_prices set valid_to = $2
        where offer_id = $1 and valid_from < $2 and (valid_to is null or $2 < valid_to)
        ",
        offer,
        from,
    )
    .execute(&mut *conn)
    .await?;
    let next = sqlx::query_scalar!(
        "
        select min(valid_from) from platform.offer_prices
        where offer_id = $1 and $2 < valid_from and (valid_to is null or valid_from < valid_to)
        ",
        offer,
        from,
    )
    .fetch_one(conn)
    .await?;
    Ok(next)
}

/// Takes back a price that has not begun: the one before it goes on. Says whether it was there.
///
/// # Errors
/// When the books refuse or are away.
pub async fn withdraw(conn: &mut Conn, offer: Uuid, id: Uuid) -> Result<bool, StoreError> {
    let planned = sqlx::query!(
        "
        select valid_from, valid_to from platform.offer_prices
        where id = $1 and offer_id = $2 and now() < valid_from and (valid_to is null or valid_from < valid_to)
        ",
        id,
        offer,
    )
    .fetch_optional(&mut *conn)
    .await?;
    let Some(planned) = planned else {
        return Ok(false);
    };
    sqlx::query!(
        "update platform.offer_prices set valid_to = valid_from where id = $1",
        id,
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "
        update platform.offer_prices set valid_to = $3
        where offer_id = $1 and valid_to = $2 and valid_from < valid_to
        ",
        offer,
        planned.valid_from,
        planned.valid_to,
    )
    .execute(conn)
    .await?;
    Ok(true)
}

/// Says anew where the price in force was read.
///
/// # Errors
/// When the books refuse or are away.
pub async fn note_source(
    conn: &mut Conn,
    offer: Uuid,
    source: &str,
    stated_on: Option<NaiveDate>,
) -> Result<(), StoreError> {
    sqlx::query!(
        "
        update platform.offer_prices set source = $2, stated_on = $3
        where offer_id = $1 and valid_from <= now() and (valid_to is null or now() < valid_to)
        ",
        offer,
        source,
        stated_on,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Returns the prices of an offer that ever held or will hold, the latest to begin first.
///
/// # Errors
/// When the books are away.
pub async fn list(
    conn: &mut Conn,
    offer: Uuid,
    sought: &Sought,
) -> Result<Vec<HeldPrice>, StoreError> {
    let paging = &sought.paging;
    let rows = sqlx::query!(
        "
        select r.id, r.offer_id, r.input, r.cached_input, r.cache_write, r.output, r.reasoning, r.per_request, r.source,
            r.stated_on, r.valid_from, r.valid_to, r.created_at, b.version
        from platform.offer_prices r
        join platform.price_books b on b.id = r.price_book_id
        where r.offer_id = $1 and (r.valid_to is null or r.valid_from < r.valid_to)
            and ($2::uuid is null or r.id = $2)
            and ($3::timestamptz is null or $4::uuid is null
                or ((r.valid_from, r.id) < ($3, $4)) = $5 and r.id <> $4)
        order by case when $5 then r.valid_from end desc, case when $5 then r.id end desc, r.valid_from, r.id
        limit $6
        ",
        offer,
        sought.id,
        paging.after_at(),
        paging.after_id(),
        paging.is_descending(),
        paging.fetched(),
    )
    .fetch_all(conn)
    .await?;
    let prices = rows.into_iter().map(|row| HeldPrice {
        id: row.id,
        offer: row.offer_id,
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
        book: row.version,
        valid_from: Moment::from(row.valid_from),
        valid_to: row.valid_to.map(Moment::from),
        created_at: Moment::from(row.created_at),
    });
    Ok(prices.collect())
}
