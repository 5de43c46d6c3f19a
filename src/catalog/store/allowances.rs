//! What providers give, in the books.

use chrono::NaiveDate;
use uuid::Uuid;

use crate::{
    base::{Moment, OrganizationId},
    catalog::{
        file::AllowanceEntry,
        row::{Row, Sought},
        word::{of_word, word},
    },
    store::{Conn, OwnerTx, Postgres, StoreError},
};

/// An allowance, with what it is of.
#[derive(Clone, Debug)]
pub struct AllowanceRow {
    /// Who gives it.
    pub provider_id: Uuid,
    /// For which offer; `None` is for each of the provider's free ones.
    pub offer_id: Option<Uuid>,
    /// What it says.
    pub entry: AllowanceEntry,
    /// Whether it was learned from the provider's answers rather than published.
    pub is_learned: bool,
    /// How much the provider's answers say it is, when they said so lately: this is what counts.
    pub told: Option<Told>,
}

/// What a provider's answers say of an allowance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// How much it is.
    pub amount: i64,
    /// When they said so last.
    pub at: Moment,
}

/// Makes the published allowances of a provider, or of one offer, be exactly `entries`.
///
/// One that stays keeps its id, and so its count.
///
/// # Errors
/// When the books refuse or are away.
pub async fn put_all(
    tx: &mut OwnerTx,
    provider_id: Uuid,
    offer_id: Option<Uuid>,
    entries: &[(Uuid, &AllowanceEntry)],
) -> Result<(), StoreError> {
    let owner = tx.owner().map(OrganizationId::uuid);
    let kinds = entries.iter().map(|(_, entry)| kind(entry));
    let kinds = kinds.collect::<Result<Vec<String>, StoreError>>()?;
    sqlx::query!(
        "
        update platform.provider_allowances set deleted_at = now()
        where organization_id is not distinct from $1 and provider_id = $2 and offer_id is not distinct from $3
            and deleted_at is null and origin = 'published' and meter || ' ' || time_window <> all ($4)
        ",
        owner,
        provider_id,
        offer_id,
        &kinds,
    )
    .execute(&mut **tx)
    .await?;
    for (id, entry) in entries {
        put(tx, *id, provider_id, offer_id, entry).await?;
    }
    Ok(())
}

/// Writes an allowance; one of the same meter and window is changed instead, and keeps its id and count.
///
/// # Errors
/// When the books refuse or are away.
pub async fn put(
    tx: &mut OwnerTx,
    id: Uuid,
    provider_id: Uuid,
    offer_id: Option<Uuid>,
    entry: &AllowanceEntry,
) -> Result<(), StoreError> {
    let owner = tx.owner().map(OrganizationId::uuid);
    sqlx::query!(
        "
        insert into platform.provider_allowances
            (id, organization_id, provider_id, offer_id, meter, amount, time_window, zone, is_shared, is_rolling,
            source, stated_on)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
        on conflict (organization_id, provider_id, offer_id, meter, time_window) where deleted_at is null
        do update set amount = excluded.amount, zone = excluded.zone, is_shared = excluded.is_shared,
            is_rolling = excluded.is_rolling, source = excluded.source, stated_on = excluded.stated_on, origin = 'published'
        ",
        id,
        owner,
        provider_id,
        offer_id,
        word(&entry.meter)?,
        entry.amount,
        word(&entry.window)?,
        entry.zone.name(),
        entry.shared,
        entry.rolling,
        entry.source,
        entry.stated_on as Option<NaiveDate>,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

fn kind(entry: &AllowanceEntry) -> Result<String, StoreError> {
    Ok(format!("{} {}", word(&entry.meter)?, word(&entry.window)?))
}

/// Returns the allowances that are sought.
///
/// # Errors
/// When the books are away, or a row does not hold what it should.
pub async fn list(
    conn: &mut Conn,
    owner: Option<OrganizationId>,
    sought: &Sought,
) -> Result<Vec<Row<AllowanceRow>>, StoreError> {
    let paging = &sought.paging;
    let rows = sqlx::query!(
        "
        select id, organization_id, provider_id, offer_id, meter, amount, time_window, zone, is_shared, is_rolling, origin,
            source, stated_on, told_amount, told_at, created_at, updated_at
        from platform.provider_allowances
        where deleted_at is null
            and ($2::boolean is null or (organization_id is not distinct from $1) = $2)
            and ($3::uuid is null or id = $3)
            and ($4::uuid is null or provider_id = $4)
            and ($5::uuid is null or offer_id = $5)
            and ($6::uuid is null or (id < $6) = $7 and id <> $6)
        order by case when $7 then id end desc, id
        limit $8
        ",
        owner.map(OrganizationId::uuid),
        sought.is_own,
        sought.id,
        sought.provider,
        sought.offer,
        paging.after_id(),
        paging.is_descending(),
        paging.fetched(),
    )
    .fetch_all(conn)
    .await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        found.push(Row {
            id: row.id,
            owner: row.organization_id.map(OrganizationId),
            entry: AllowanceRow {
                provider_id: row.provider_id,
                offer_id: row.offer_id,
                entry: AllowanceEntry {
                    meter: of_word(row.meter)?,
                    amount: row.amount,
                    window: of_word(row.time_window)?,
                    zone: of_word(row.zone)?,
                    shared: row.is_shared,
                    rolling: row.is_rolling,
                    source: row.source,
                    stated_on: row.stated_on,
                },
                is_learned: row.origin == "learned",
                told: row.told_amount.zip(row.told_at).map(|(amount, at)| Told {
                    amount,
                    at: Moment::from(at),
                }),
            },
            created_at: Moment::from(row.created_at),
            updated_at: Moment::from(row.updated_at),
        });
    }
    Ok(found)
}

/// Takes an allowance away.
///
/// # Errors
/// When the books refuse or are away.
pub async fn retire(conn: &mut Conn, id: Uuid) -> Result<(), StoreError> {
    sqlx::query!(
        "update platform.provider_allowances set deleted_at = now() where id = $1",
        id
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Writes down what providers' answers say of their allowances; returns how many rows say something new.
///
/// # Errors
/// When the books refuse or are away.
pub async fn learn(postgres: &Postgres, told: serde_json::Value) -> Result<i64, StoreError> {
    let mut conn = postgres.acquire().await?;
    let news = sqlx::query_scalar!(r#"select platform.learn_allowances($1) as "news!""#, told)
        .fetch_one(&mut *conn)
        .await?;
    Ok(news)
}
