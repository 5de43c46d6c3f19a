//! Providers in the books.

use url::Url;
use uuid::Uuid;

use crate::{
    base::{Moment, OrganizationId},
    catalog::{
        file::ProviderEntry,
        row::{Row, Sought},
        word::{json, of_json, of_word, word},
    },
    store::{Conn, OwnerTx, StoreError},
};

/// Writes a provider, new or changed, without its allowances.
///
/// # Errors
/// `providers_name_uq` when the name is taken; else when the books refuse or are away.
pub async fn put(tx: &mut OwnerTx, id: Uuid, provider: &ProviderEntry) -> Result<(), StoreError> {
    let owner = tx.owner().map(OrganizationId::uuid);
    sqlx::query!(
        "
        insert into platform.providers
            (id, organization_id, name, dialect, base_url, quirks, deadlines, trains_on_data, requires_key, is_enabled,
             note, source, stated_on)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
        on conflict (id) do update
        set name = excluded.name, dialect = excluded.dialect, base_url = excluded.base_url,
            quirks = excluded.quirks, deadlines = excluded.deadlines, trains_on_data = excluded.trains_on_data,
            requires_key = excluded.requires_key, is_enabled = excluded.is_enabled, note = excluded.note,
            source = excluded.source, stated_on = excluded.stated_on
        ",
        id,
        owner,
        provider.name,
        word(&provider.dialect)?,
        provider.base_url.as_str(),
        json(&provider.quirks)?,
        json(&provider.deadlines)?,
        provider.trains_on_data,
        provider.requires_key,
        provider.enabled,
        provider.note,
        provider.source,
        provider.stated_on,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Returns the providers that are sought, without their allowances.
///
/// # Errors
/// When the books are away, or a row does not hold what it should.
pub async fn list(
    conn: &mut Conn,
    owner: Option<OrganizationId>,
    sought: &Sought,
) -> Result<Vec<Row<ProviderEntry>>, StoreError> {
    let paging = &sought.paging;
    let rows = sqlx::query!(
        "
        select id, organization_id, name, dialect, base_url, quirks, deadlines, trains_on_data, requires_key, is_enabled,
            note, source, stated_on, created_at, updated_at
        from platform.providers
        where deleted_at is null
            and ($2::boolean is null or (organization_id is not distinct from $1) = $2)
            and ($3::uuid is null or id = $3)
            and ($4::uuid is null or (id < $4) = $5 and id <> $4)
        order by case when $5 then id end desc, id
        limit $6
        ",
        owner.map(OrganizationId::uuid),
        sought.is_own,
        sought.id,
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
            entry: ProviderEntry {
                name: row.name,
                dialect: of_word(row.dialect)?,
                base_url: of_word::<Url>(row.base_url)?,
                trains_on_data: row.trains_on_data,
                requires_key: row.requires_key,
                enabled: row.is_enabled,
                note: row.note,
                source: row.source,
                stated_on: row.stated_on,
                quirks: of_json(row.quirks)?,
                deadlines: of_json(row.deadlines)?,
                allowances: Vec::new(),
            },
            created_at: Moment::from(row.created_at),
            updated_at: Moment::from(row.updated_at),
        });
    }
    Ok(found)
}

/// Takes a provider out of the catalog, and with it what its owner has of it: offers,
/// allowances and keys; the keys are wiped.
///
/// # Errors
/// When the books refuse or are away.
pub async fn retire(tx: &mut OwnerTx, id: Uuid) -> Result<(), StoreError> {
    let owner = tx.owner().map(OrganizationId::uuid);
    sqlx::query!(
        "update platform.providers set deleted_at = now() where id = $1",
        id
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!(
        "
        update platform.offers set deleted_at = now()
        where provider_id = $1 and organization_id is not distinct from $2 and deleted_at is null
        ",
        id,
        owner,
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!(
        "
        update platform.provider_allowances set deleted_at = now()
        where provider_id = $1 and organization_id is not distinct from $2 and deleted_at is null
        ",
        id,
        owner,
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!(
        "
        update platform.provider_credentials
        set deleted_at = now(), sealed_key = '', sealed_secret = '', pending_sealing_key_id = null,
            pending_sealed_key = null, pending_sealed_secret = null, pending_since = null
        where provider_id = $1 and organization_id is not distinct from $2 and deleted_at is null
        ",
        id,
        owner,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Says whether the organization of this transaction may have providers of its own.
///
/// # Errors
/// When the books are away.
pub async fn may_have_own(conn: &mut Conn, owner: OrganizationId) -> Result<bool, StoreError> {
    let may = sqlx::query_scalar!(
        "select custom_providers_allowed from identity.organization_settings where organization_id = $1",
        owner.uuid(),
    )
    .fetch_optional(conn)
    .await?;
    Ok(may.unwrap_or(true))
}

/// Says whether anybody has a key for this provider.
///
/// # Errors
/// When the books are away.
pub async fn has_keys(conn: &mut Conn, id: Uuid) -> Result<bool, StoreError> {
    let has = sqlx::query_scalar!(r#"select platform.provider_has_keys($1) as "has!""#, id)
        .fetch_one(conn)
        .await?;
    Ok(has)
}
