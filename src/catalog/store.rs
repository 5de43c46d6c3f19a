//! Changes the catalog in the books, and takes the snapshot out of them.
//!
//! The owner is an organization or, as `None`, the platform. Every statement names it, because the platform's rows
//! are changed across tenants, where row security does not help.

use chrono::NaiveDate;
use uuid::Uuid;

use super::{
    file::{AliasEntry, AllowanceEntry, ModelEntry, OfferEntry, ProviderEntry},
    holdings::HeldCredential,
    price::Price,
    word::{json, word},
};
use crate::{
    base::{NanoUsd, OrganizationId},
    store::{Conn, StoreError},
};

/// Sees and changes the rows of every owner until the transaction ends.
///
/// # Errors
/// The login may not become `synaxis_definer`.
pub async fn act_for_everybody(conn: &mut Conn) -> Result<(), StoreError> {
    sqlx::query_scalar!("select set_config('role', 'synaxis_definer', true)")
        .fetch_one(conn)
        .await?;
    Ok(())
}

/// Waits until no other import is under way; the transaction's end lets the next one in.
///
/// # Errors
/// When the books are away.
pub async fn wait_for_other_imports(conn: &mut Conn) -> Result<(), StoreError> {
    sqlx::query_scalar!(r#"select pg_advisory_xact_lock(hashtext('synaxis catalog'))::text"#)
        .fetch_one(conn)
        .await?;
    Ok(())
}

/// Writes a model, new or changed.
///
/// # Errors
/// When the books refuse or are away.
pub async fn put_model(
    conn: &mut Conn,
    owner: Option<OrganizationId>,
    id: Uuid,
    model: &ModelEntry,
) -> Result<(), StoreError> {
    sqlx::query!(
        "
        insert into platform.models (id, organization_id, name, owned_by, context_window, max_output)
        values ($1, $2, $3, $4, $5, $6)
        on conflict (id) do update
        set owned_by = excluded.owned_by, context_window = excluded.context_window, max_output = excluded.max_output
        ",
        id,
        owner.map(OrganizationId::uuid),
        model.name,
        model.owned_by,
        model.context_window,
        model.max_output,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Writes a provider, new or changed, without its allowances.
///
/// # Errors
/// When the books refuse or are away.
pub async fn put_provider(
    conn: &mut Conn,
    owner: Option<OrganizationId>,
    id: Uuid,
    provider: &ProviderEntry,
) -> Result<(), StoreError> {
    sqlx::query!(
        "
        insert into platform.providers
            (id, organization_id, name, dialect, base_url, quirks, deadlines, trains_on_data, is_enabled)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        on conflict (id) do update
        set dialect = excluded.dialect, base_url = excluded.base_url, quirks = excluded.quirks,
            deadlines = excluded.deadlines, trains_on_data = excluded.trains_on_data,
            is_enabled = excluded.is_enabled
        ",
        id,
        owner.map(OrganizationId::uuid),
        provider.name,
        word(&provider.dialect)?,
        provider.base_url.as_str(),
        json(&provider.quirks)?,
        json(&provider.deadlines)?,
        provider.trains_on_data,
        provider.enabled,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Writes an offer, new or changed, without its price and allowances.
///
/// # Errors
/// When the books refuse or are away.
pub async fn put_offer(
    conn: &mut Conn,
    owner: Option<OrganizationId>,
    id: Uuid,
    provider_id: Uuid,
    model_id: Uuid,
    offer: &OfferEntry,
) -> Result<(), StoreError> {
    let abilities = offer.abilities.as_ref();
    let abilities = abilities.map(|all| all.iter().map(word).collect::<Result<Vec<String>, _>>());
    sqlx::query!(
        "
        insert into platform.offers
            (id, organization_id, provider_id, model_id, upstream_name, tier, abilities, context_window, max_output,
             preference, is_enabled)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
        on conflict (id) do update
        set model_id = excluded.model_id, abilities = excluded.abilities,
            context_window = excluded.context_window, max_output = excluded.max_output,
            preference = excluded.preference, is_enabled = excluded.is_enabled
        ",
        id,
        owner.map(OrganizationId::uuid),
        provider_id,
        model_id,
        offer.upstream_name,
        word(&offer.tier)?,
        abilities.transpose()? as Option<Vec<String>>,
        offer.context_window,
        offer.max_output,
        offer.preference,
        offer.enabled,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Closes the price an offer has now and opens another, at the same instant.
///
/// # Errors
/// When the books refuse or are away.
pub async fn change_price(
    conn: &mut Conn,
    owner: Option<OrganizationId>,
    id: Uuid,
    offer_id: Uuid,
    book_id: Uuid,
    price: &Price,
) -> Result<(), StoreError> {
    sqlx::query!(
        "update platform.offer_prices set valid_to = now() where offer_id = $1 and valid_to is null",
        offer_id,
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "
        insert into platform.offer_prices
            (id, organization_id, offer_id, price_book_id, input, cached_input, cache_write, output, reasoning,
             per_request)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
        ",
        id,
        owner.map(OrganizationId::uuid),
        offer_id,
        book_id,
        price.input.column(),
        price.cached_input.map(NanoUsd::column),
        price.cache_write.map(NanoUsd::column),
        price.output.column(),
        price.reasoning.map(NanoUsd::column),
        price.per_request.column(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Returns the book whose content has this hash, written down now if it is new.
///
/// # Errors
/// When the books refuse or are away.
pub async fn price_book(
    conn: &mut Conn,
    owner: Option<OrganizationId>,
    id: Uuid,
    content_hash: &[u8; 32],
    source: &str,
) -> Result<Uuid, StoreError> {
    let version: String = content_hash
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let id = sqlx::query_scalar!(
        "
        insert into platform.price_books (id, organization_id, version, content_hash, source)
        values ($1, $2, $3, $4, $5)
        on conflict (organization_id, content_hash) do update set version = excluded.version
        returning id
        ",
        id,
        owner.map(OrganizationId::uuid),
        version,
        content_hash.as_slice(),
        source,
    )
    .fetch_one(conn)
    .await?;
    Ok(id)
}

/// Makes the published allowances of a provider, or of one offer, be exactly `entries`.
///
/// One that stays keeps its id, and so its count.
///
/// # Errors
/// When the books refuse or are away.
pub async fn put_allowances(
    conn: &mut Conn,
    owner: Option<OrganizationId>,
    provider_id: Uuid,
    offer_id: Option<Uuid>,
    entries: &[(Uuid, &AllowanceEntry)],
) -> Result<(), StoreError> {
    let owner = owner.map(OrganizationId::uuid);
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
    .execute(&mut *conn)
    .await?;
    for (id, entry) in entries {
        sqlx::query!(
            "
            insert into platform.provider_allowances
                (id, organization_id, provider_id, offer_id, meter, amount, time_window, zone, is_shared, source,
                 stated_on)
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
            on conflict (organization_id, provider_id, offer_id, meter, time_window) where deleted_at is null
            do update set amount = excluded.amount, zone = excluded.zone, is_shared = excluded.is_shared,
                source = excluded.source, stated_on = excluded.stated_on, origin = 'published'
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
            entry.source,
            entry.stated_on as Option<NaiveDate>,
        )
        .execute(&mut *conn)
        .await?;
    }
    Ok(())
}

fn kind(entry: &AllowanceEntry) -> Result<String, StoreError> {
    Ok(format!("{} {}", word(&entry.meter)?, word(&entry.window)?))
}

/// Writes a provider's key, new or changed.
///
/// # Errors
/// When the books refuse or are away.
pub async fn put_credential(
    conn: &mut Conn,
    owner: Option<OrganizationId>,
    credential: &HeldCredential,
) -> Result<(), StoreError> {
    sqlx::query!(
        "
        insert into platform.provider_credentials
            (id, organization_id, provider_id, name, position, is_enabled, sealing_key_id, sealed_key, sealed_secret)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        on conflict (id) do update
        set position = excluded.position, is_enabled = excluded.is_enabled,
            sealing_key_id = excluded.sealing_key_id, sealed_key = excluded.sealed_key,
            sealed_secret = excluded.sealed_secret
        ",
        credential.id,
        owner.map(OrganizationId::uuid),
        credential.provider_id,
        credential.name,
        credential.position,
        credential.is_enabled,
        credential.sealed.sealing_key_id,
        credential.sealed.sealed_key,
        credential.sealed.sealed_secret,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Writes an alias, new or changed, with its models in order.
///
/// # Errors
/// When the books refuse or are away.
pub async fn put_alias(
    conn: &mut Conn,
    owner: Option<OrganizationId>,
    id: Uuid,
    alias: &AliasEntry,
    models: &[Uuid],
) -> Result<(), StoreError> {
    let owner = owner.map(OrganizationId::uuid);
    sqlx::query!(
        "
        insert into platform.model_aliases (id, organization_id, name, is_enabled)
        values ($1, $2, $3, $4)
        on conflict (id) do update set is_enabled = excluded.is_enabled
        ",
        id,
        owner,
        alias.name,
        alias.enabled,
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!("delete from platform.alias_targets where alias_id = $1", id)
        .execute(&mut *conn)
        .await?;
    sqlx::query!(
        "
        insert into platform.alias_targets (alias_id, position, organization_id, model_id)
        select $1, t.place - 1, $2, t.model_id
        from unnest($3::uuid[]) with ordinality as t (model_id, place)
        ",
        id,
        owner,
        models,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// What can be taken out of the catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retired {
    /// A model.
    Model,
    /// A provider.
    Provider,
    /// An offer.
    Offer,
    /// An alias.
    Alias,
}

/// Takes a row out of the catalog; what was booked with it can still be read.
///
/// # Errors
/// When the books refuse or are away.
pub async fn retire(conn: &mut Conn, what: Retired, id: Uuid) -> Result<(), StoreError> {
    let retired = match what {
        Retired::Model => {
            sqlx::query!(
                "update platform.models set deleted_at = now() where id = $1",
                id
            )
            .execute(conn)
            .await
        }
        Retired::Provider => {
            sqlx::query!(
                "update platform.providers set deleted_at = now() where id = $1",
                id
            )
            .execute(conn)
            .await
        }
        Retired::Offer => {
            sqlx::query!(
                "update platform.offers set deleted_at = now() where id = $1",
                id
            )
            .execute(conn)
            .await
        }
        Retired::Alias => {
            sqlx::query!(
                "update platform.model_aliases set deleted_at = now() where id = $1",
                id
            )
            .execute(conn)
            .await
        }
    };
    retired?;
    Ok(())
}

/// Returns everything the data path reads, at one instant: the answer of `platform.snapshot()`, unread.
///
/// # Errors
/// When the books are away.
pub async fn snapshot(conn: &mut Conn) -> Result<String, StoreError> {
    let text = sqlx::query_scalar!(r#"select platform.snapshot()::text as "text!""#)
        .fetch_one(conn)
        .await?;
    Ok(text)
}
