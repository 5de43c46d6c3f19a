//! Reads what one owner holds; `None` is the platform.

use std::collections::BTreeMap;

use url::Url;
use uuid::Uuid;

use super::{Held, HeldCredential};
use crate::{
    base::OrganizationId,
    catalog::{
        file::{
            AliasEntry, AllowanceEntry, ModelEntry, OfferEntry, ProviderEntry, SubstituteEntry,
        },
        quote::{PriceEntry, Quote},
        word::{of_json, of_word},
    },
    store::{Conn, StoreError},
};

/// Returns the owner's models by name.
///
/// # Errors
/// When the books are away.
pub async fn models(
    conn: &mut Conn,
    owner: Option<OrganizationId>,
) -> Result<BTreeMap<String, Held<ModelEntry>>, StoreError> {
    let rows = sqlx::query!(
        "
        select id, name, owned_by, context_window, max_output, source, stated_on
        from platform.models
        where organization_id is not distinct from $1 and deleted_at is null
        ",
        owner.map(OrganizationId::uuid),
    )
    .fetch_all(conn)
    .await?;
    let held = rows.into_iter().map(|row| {
        let entry = ModelEntry {
            name: row.name,
            owned_by: row.owned_by,
            context_window: row.context_window,
            max_output: row.max_output,
            source: row.source,
            stated_on: row.stated_on,
        };
        (entry.name.clone(), Held { id: row.id, entry })
    });
    Ok(held.collect())
}

/// Returns the owner's providers by name.
///
/// # Errors
/// When the books are away, or a row does not hold what it should.
pub async fn providers(
    conn: &mut Conn,
    owner: Option<OrganizationId>,
) -> Result<BTreeMap<String, Held<ProviderEntry>>, StoreError> {
    let mut allowances = allowances(&mut *conn, owner).await?;
    let rows = sqlx::query!(
        "
        select id, name, dialect, base_url, quirks, deadlines, trains_on_data, requires_key, is_enabled, note, source,
            stated_on
        from platform.providers
        where organization_id is not distinct from $1 and deleted_at is null
        ",
        owner.map(OrganizationId::uuid),
    )
    .fetch_all(conn)
    .await?;
    let mut held = BTreeMap::new();
    for row in rows {
        let entry = ProviderEntry {
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
            allowances: allowances.remove(&(row.id, None)).unwrap_or_default(),
        };
        held.insert(entry.name.clone(), Held { id: row.id, entry });
    }
    Ok(held)
}

/// Returns the owner's offers by what tells them apart.
///
/// # Errors
/// When the books are away, or a row does not hold what it should.
pub async fn offers(
    conn: &mut Conn,
    owner: Option<OrganizationId>,
) -> Result<BTreeMap<String, Held<OfferEntry>>, StoreError> {
    let mut allowances = allowances(&mut *conn, owner).await?;
    let rows = sqlx::query!(
        r#"
        select o.id, o.provider_id, p.name as provider, m.name as model, o.upstream_name, o.tier, o.abilities,
            o.context_window, o.max_output, o.preference, o.is_enabled, o.source, o.stated_on, r.input as "input?",
            r.cached_input as "cached_input?", r.cache_write as "cache_write?", r.output as "output?",
            r.reasoning as "reasoning?", r.per_request as "per_request?", r.source as "price_source?",
            r.stated_on as "price_stated_on?"
        from platform.offers o
        join platform.providers p on p.id = o.provider_id and p.deleted_at is null
        join platform.models m on m.id = o.model_id and m.deleted_at is null
        left join platform.offer_prices r on r.offer_id = o.id
            and r.valid_from <= now() and (r.valid_to is null or now() < r.valid_to)
        where o.organization_id is not distinct from $1 and o.deleted_at is null
        "#,
        owner.map(OrganizationId::uuid),
    )
    .fetch_all(conn)
    .await?;
    let mut held = BTreeMap::new();
    for row in rows {
        let quote = row.input.zip(row.output).map(|(input, output)| Quote {
            input,
            cached_input: row.cached_input,
            cache_write: row.cache_write,
            output,
            reasoning: row.reasoning,
            per_request: row.per_request.unwrap_or_default(),
        });
        let abilities = row
            .abilities
            .map(|words| words.into_iter().map(of_word).collect());
        let entry = OfferEntry {
            provider: row.provider,
            model: row.model,
            upstream_name: row.upstream_name,
            tier: of_word(row.tier)?,
            price: quote.map(|quote| PriceEntry {
                quote,
                source: row.price_source.unwrap_or_default(),
                stated_on: row.price_stated_on,
            }),
            abilities: abilities.transpose()?,
            context_window: row.context_window,
            max_output: row.max_output,
            preference: row.preference,
            enabled: row.is_enabled,
            source: row.source,
            stated_on: row.stated_on,
            allowances: allowances
                .remove(&(row.provider_id, Some(row.id)))
                .unwrap_or_default(),
        };
        held.insert(entry.key(), Held { id: row.id, entry });
    }
    Ok(held)
}

/// Returns the owner's aliases by name.
///
/// # Errors
/// When the books are away.
pub async fn aliases(
    conn: &mut Conn,
    owner: Option<OrganizationId>,
) -> Result<BTreeMap<String, Held<AliasEntry>>, StoreError> {
    let rows = sqlx::query!(
        r#"
        select a.id, a.name, a.is_enabled, coalesce(
            (select array_agg(m.name order by t.position)
             from platform.alias_targets t
             join platform.models m on m.id = t.model_id and m.deleted_at is null
             where t.alias_id = a.id), '{}') as "models!"
        from platform.model_aliases a
        where a.organization_id is not distinct from $1 and a.deleted_at is null
        "#,
        owner.map(OrganizationId::uuid),
    )
    .fetch_all(conn)
    .await?;
    let held = rows.into_iter().map(|row| {
        let entry = AliasEntry {
            name: row.name,
            models: row.models,
            enabled: row.is_enabled,
        };
        (entry.name.clone(), Held { id: row.id, entry })
    });
    Ok(held.collect())
}

/// Returns the owner's substitutes by what tells them apart.
///
/// # Errors
/// When the books are away.
pub async fn substitutes(
    conn: &mut Conn,
    owner: Option<OrganizationId>,
) -> Result<BTreeMap<String, Held<SubstituteEntry>>, StoreError> {
    let rows = sqlx::query!(
        "
        select x.id, m.name as model, s.name as substitute, x.position, x.note
        from platform.model_substitutes x
        join platform.models m on m.id = x.model_id and m.deleted_at is null
        join platform.models s on s.id = x.substitute_id and s.deleted_at is null
        where x.organization_id is not distinct from $1 and x.deleted_at is null
        ",
        owner.map(OrganizationId::uuid),
    )
    .fetch_all(conn)
    .await?;
    let held = rows.into_iter().map(|row| {
        let entry = SubstituteEntry {
            model: row.model,
            substitute: row.substitute,
            position: row.position,
            note: row.note,
        };
        (entry.key(), Held { id: row.id, entry })
    });
    Ok(held.collect())
}

/// Returns the owner's keys, without the keys themselves.
///
/// # Errors
/// When the books are away.
pub async fn credentials(
    conn: &mut Conn,
    owner: Option<OrganizationId>,
) -> Result<Vec<HeldCredential>, StoreError> {
    let rows = sqlx::query!(
        "
        select id, provider_id, name, position, is_enabled
        from platform.provider_credentials
        where organization_id is not distinct from $1 and deleted_at is null
        ",
        owner.map(OrganizationId::uuid),
    )
    .fetch_all(conn)
    .await?;
    let held = rows.into_iter().map(|row| HeldCredential {
        id: row.id,
        provider_id: row.provider_id,
        name: row.name,
        position: row.position,
        is_enabled: row.is_enabled,
    });
    Ok(held.collect())
}

type AllowancesOf = BTreeMap<(Uuid, Option<Uuid>), Vec<AllowanceEntry>>;

/// Returns the owner's allowances by provider and, where it is one offer's, by offer.
async fn allowances(
    conn: &mut Conn,
    owner: Option<OrganizationId>,
) -> Result<AllowancesOf, StoreError> {
    let rows = sqlx::query!(
        "
        select provider_id, offer_id, meter, amount, time_window, zone, is_shared, is_rolling, source,
            stated_on
        from platform.provider_allowances
        where organization_id is not distinct from $1 and deleted_at is null and origin = 'published'
        order by id
        ",
        owner.map(OrganizationId::uuid),
    )
    .fetch_all(conn)
    .await?;
    let mut all = AllowancesOf::new();
    for row in rows {
        let entry = AllowanceEntry {
            meter: of_word(row.meter)?,
            amount: row.amount,
            window: of_word(row.time_window)?,
            zone: of_word(row.zone)?,
            shared: row.is_shared,
            rolling: row.is_rolling,
            source: row.source,
            stated_on: row.stated_on,
        };
        let place = all.entry((row.provider_id, row.offer_id)).or_default();
        place.push(entry);
    }
    all.values_mut()
        .for_each(|entries| AllowanceEntry::sort(entries));
    Ok(all)
}
