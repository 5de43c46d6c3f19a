//! Price books in the books: versions of the prices, named by what they say.

use uuid::Uuid;

use crate::{
    base::{Moment, OrganizationId, page::Paging},
    store::{Conn, OwnerTx, StoreError},
};

/// A version of the prices.
#[derive(Clone, Debug)]
pub struct PriceBook {
    /// Its id.
    pub id: Uuid,
    /// Its name: the beginning of its content's hash.
    pub version: String,
    /// Where it came from.
    pub source: String,
    /// How many prices stand in it.
    pub prices: i64,
    /// When it was first seen.
    pub created_at: Moment,
}

/// Returns the book whose content has this hash, written down now if it is new.
///
/// # Errors
/// When the books refuse or are away.
pub async fn known(
    tx: &mut OwnerTx,
    id: Uuid,
    content_hash: &[u8; 32],
    source: &str,
) -> Result<Uuid, StoreError> {
    let version: String = content_hash
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let owner = tx.owner().map(OrganizationId::uuid);
    let id = sqlx::query_scalar!(
        "
        insert into platform.price_books (id, organization_id, version, content_hash, source)
        values ($1, $2, $3, $4, $5)
        on conflict (organization_id, content_hash) do update set version = excluded.version
        returning id
        ",
        id,
        owner,
        version,
        content_hash.as_slice(),
        source,
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(id)
}

/// Returns a page of the owner's books.
///
/// # Errors
/// When the books are away.
pub async fn list(
    conn: &mut Conn,
    owner: Option<OrganizationId>,
    paging: &Paging,
) -> Result<Vec<PriceBook>, StoreError> {
    let rows = sqlx::query!(
        r#"
        select b.id, b.version, b.source, b.created_at,
            (select count(*) from platform.offer_prices r where r.price_book_id = b.id) as "prices!"
        from platform.price_books b
        where b.organization_id is not distinct from $1
            and ($2::uuid is null or (b.id < $2) = $3 and b.id <> $2)
        order by case when $3 then b.id end desc, b.id
        limit $4
        "#,
        owner.map(OrganizationId::uuid),
        paging.after_id(),
        paging.is_descending(),
        paging.fetched(),
    )
    .fetch_all(conn)
    .await?;
    let books = rows.into_iter().map(|row| PriceBook {
        id: row.id,
        version: row.version,
        source: row.source,
        prices: row.prices,
        created_at: Moment::from(row.created_at),
    });
    Ok(books.collect())
}
