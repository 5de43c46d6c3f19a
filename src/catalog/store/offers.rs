//! Offers in the books.

use chrono::{DateTime, NaiveDate, Utc};
use uuid::Uuid;

use crate::{
    base::{Moment, OrganizationId},
    catalog::{
        file::OfferEntry,
        quote::{PriceEntry, Quote},
        row::{Row, Sought},
        word::{of_word, word},
    },
    store::{Conn, OwnerTx, StoreError},
};

/// An offer, with what it hangs on.
#[derive(Clone, Debug)]
pub struct OfferRow {
    /// Who sells it.
    pub provider_id: Uuid,
    /// What is sold.
    pub model_id: Uuid,
    /// What it says, without its allowances; the price is the one in force.
    pub entry: OfferEntry,
    /// The version of the price book its price stands in.
    pub price_book: Option<String>,
}

/// Writes an offer, new or changed, without its price and allowances.
///
/// # Errors
/// `offers_upstream_name_uq` when the provider has such an offer; else when the books refuse or are away.
pub async fn put(
    tx: &mut OwnerTx,
    id: Uuid,
    provider_id: Uuid,
    model_id: Uuid,
    offer: &OfferEntry,
) -> Result<(), StoreError> {
    let abilities = offer.abilities.as_ref();
    let abilities = abilities.map(|all| all.iter().map(word).collect::<Result<Vec<String>, _>>());
    let owner = tx.owner().map(OrganizationId::uuid);
    sqlx::query!(
        "
        insert into platform.offers
            (id, organization_id, provider_id, model_id, upstream_name, tier, abilities, context_window, max_output,
             preference, is_enabled, source, stated_on)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
        on conflict (id) do update
        set model_id = excluded.model_id, upstream_name = excluded.upstream_name, abilities = excluded.abilities,
            context_window = excluded.context_window, max_output = excluded.max_output,
            preference = excluded.preference, is_enabled = excluded.is_enabled, source = excluded.source,
            stated_on = excluded.stated_on
        ",
        id,
        owner,
        provider_id,
        model_id,
        offer.upstream_name,
        word(&offer.tier)?,
        abilities.transpose()? as Option<Vec<String>>,
        offer.context_window,
        offer.max_output,
        offer.preference,
        offer.enabled,
        offer.source,
        offer.stated_on,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Returns the offers that are sought; those that hang on a provider or model that is gone are gone too.
///
/// # Errors
/// When the books are away, or a row does not hold what it should.
pub async fn list(
    conn: &mut Conn,
    owner: Option<OrganizationId>,
    sought: &Sought,
) -> Result<Vec<Row<OfferRow>>, StoreError> {
    let paging = &sought.paging;
    let rows = sqlx::query_as!(
        Columns,
        r#"
        select o.id, o.organization_id, o.provider_id, o.model_id, p.name as provider, m.name as model, o.upstream_name,
            o.tier, o.abilities, o.context_window, o.max_output, o.preference, o.is_enabled, o.source, o.stated_on,
            o.created_at, o.updated_at, r.input as "input?", r.cached_input as "cached_input?",
            r.cache_write as "cache_write?", r.output as "output?", r.reasoning as "reasoning?",
            r.per_request as "per_request?", r.source as "price_source?", r.stated_on as "price_stated_on?",
            b.version as "version?"
        from platform.offers o
        join platform.providers p on p.id = o.provider_id and p.deleted_at is null
        join platform.models m on m.id = o.model_id and m.deleted_at is null
        left join platform.offer_prices r on r.offer_id = o.id
            and r.valid_from <= now() and (r.valid_to is null or now() < r.valid_to)
        left join platform.price_books b on b.id = r.price_book_id
        where o.deleted_at is null
            and ($2::boolean is null or (o.organization_id is not distinct from $1) = $2)
            and ($3::uuid is null or o.id = $3)
            and ($4::uuid is null or o.provider_id = $4)
            and ($5::uuid is null or o.model_id = $5)
            and ($6::uuid is null or (o.id < $6) = $7 and o.id <> $6)
        order by case when $7 then o.id end desc, o.id
        limit $8
        "#,
        owner.map(OrganizationId::uuid),
        sought.is_own,
        sought.id,
        sought.provider,
        sought.model,
        paging.after_id(),
        paging.is_descending(),
        paging.fetched(),
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Columns::row).collect()
}

/// An offer as the books hold it.
struct Columns {
    id: Uuid,
    organization_id: Option<Uuid>,
    provider_id: Uuid,
    model_id: Uuid,
    provider: String,
    model: String,
    upstream_name: String,
    tier: String,
    abilities: Option<Vec<String>>,
    context_window: Option<i64>,
    max_output: Option<i64>,
    preference: i32,
    is_enabled: bool,
    source: String,
    stated_on: Option<NaiveDate>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    input: Option<i64>,
    cached_input: Option<i64>,
    cache_write: Option<i64>,
    output: Option<i64>,
    reasoning: Option<i64>,
    per_request: Option<i64>,
    price_source: Option<String>,
    price_stated_on: Option<NaiveDate>,
    version: Option<String>,
}

impl Columns {
    fn price(&self) -> Option<PriceEntry> {
        let quote = Quote {
            input: self.input?,
            cached_input: self.cached_input,
            cache_write: self.cache_write,
            output: self.output?,
            reasoning: self.reasoning,
            per_request: self.per_request.unwrap_or_default(),
        };
        Some(PriceEntry {
            quote,
            source: self.price_source.clone().unwrap_or_default(),
            stated_on: self.price_stated_on,
        })
    }

    fn row(self) -> Result<Row<OfferRow>, StoreError> {
        let price = self.price();
        let abilities = self.abilities;
        let abilities = abilities.map(|words| words.into_iter().map(of_word).collect());
        let entry = OfferEntry {
            provider: self.provider,
            model: self.model,
            upstream_name: self.upstream_name,
            tier: of_word(self.tier)?,
            price,
            abilities: abilities.transpose()?,
            context_window: self.context_window,
            max_output: self.max_output,
            preference: self.preference,
            enabled: self.is_enabled,
            source: self.source,
            stated_on: self.stated_on,
            allowances: Vec::new(),
        };
        Ok(Row {
            id: self.id,
            owner: self.organization_id.map(OrganizationId),
            entry: OfferRow {
                provider_id: self.provider_id,
                model_id: self.model_id,
                entry,
                price_book: self.version,
            },
            created_at: Moment::from(self.created_at),
            updated_at: Moment::from(self.updated_at),
        })
    }
}

/// Takes an offer out of the catalog, and its allowances; what was booked with it can still be read.
///
/// # Errors
/// When the books refuse or are away.
pub async fn retire(conn: &mut Conn, id: Uuid) -> Result<(), StoreError> {
    sqlx::query!(
        "update platform.offers set deleted_at = now() where id = $1",
        id
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "update platform.provider_allowances set deleted_at = now() where offer_id = $1 and deleted_at is null",
        id
    )
    .execute(conn)
    .await?;
    Ok(())
}
