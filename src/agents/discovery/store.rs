//! What providers were seen to have, in the books.

use uuid::Uuid;

use super::compare::Known;
use crate::{
    base::{ModelId, Moment, ProviderId, RequestId},
    catalog::listing::Listed,
    store::{Conn, StoreError, Whose},
};

/// Reads every offer of a provider that is its owner's.
pub(in crate::agents) async fn known(
    tx: &mut Conn,
    whose: Whose,
    provider: ProviderId,
) -> Result<Vec<Known>, StoreError> {
    let rows = sqlx::query!(
        r#"select o.id, o.model_id, o.upstream_name, o.is_enabled, exists (
             select from operations.discovered_models d
             where d.provider_id = o.provider_id and d.upstream_name = o.upstream_name and d.state = 'gone'
                 and d.deleted_at is null) as "is_gone!"
         from platform.offers o
         where o.provider_id = $1 and o.organization_id is not distinct from $2 and o.deleted_at is null
         order by o.id"#,
        provider.uuid(),
        whose.organization(),
    )
    .fetch_all(tx)
    .await?;
    let known = rows.into_iter().map(|row| Known {
        offer: row.id,
        model: ModelId::from(row.model_id),
        upstream_name: row.upstream_name,
        is_enabled: row.is_enabled,
        is_gone: row.is_gone,
    });
    Ok(known.collect())
}

/// Keeps what a provider has and nobody offers; returns the names that were not seen before, with their ids.
pub(in crate::agents) async fn note(
    tx: &mut Conn,
    whose: Whose,
    provider: ProviderId,
    models: &[Listed],
    now: Moment,
) -> Result<Vec<(Uuid, String)>, StoreError> {
    let ids: Vec<Uuid> = models.iter().map(|_| RequestId::new(now).uuid()).collect();
    let names: Vec<String> = models.iter().map(|model| model.name.clone()).collect();
    let details: Vec<serde_json::Value> =
        models.iter().map(|model| model.details.clone()).collect();
    let rows = sqlx::query!(
        r#"insert into operations.discovered_models as d (id, organization_id, provider_id, upstream_name, details,
             last_seen_at)
         select m.id, $2, $3, m.name, m.details, $6
         from unnest($1::uuid[], $4::text[], $5::jsonb[]) as m (id, name, details)
         on conflict (provider_id, upstream_name) where deleted_at is null
         do update set last_seen_at = excluded.last_seen_at, details = excluded.details,
             state = case d.state when 'gone' then 'new' else d.state end
         returning d.id, d.upstream_name, (d.created_at = now()) as "is_new!""#,
        &ids,
        whose.organization(),
        provider.uuid(),
        &names,
        &details,
        now.utc(),
    )
    .fetch_all(tx)
    .await?;
    let new = rows.into_iter().filter(|row| row.is_new);
    Ok(new.map(|row| (row.id, row.upstream_name)).collect())
}

/// Notes that a provider has a model of ours no more, or has it again.
pub(in crate::agents) async fn mark(
    tx: &mut Conn,
    whose: Whose,
    provider: ProviderId,
    known: &Known,
    is_gone: bool,
) -> Result<(), StoreError> {
    let (state, model) = match is_gone {
        true => ("gone", None),
        false => ("adopted", Some(known.model.uuid())),
    };
    sqlx::query!(
        "insert into operations.discovered_models (id, organization_id, provider_id, upstream_name, state, model_id)
         values (gen_random_uuid(), $1, $2, $3, $4, $5)
         on conflict (provider_id, upstream_name) where deleted_at is null
         do update set state = excluded.state, model_id = excluded.model_id",
        whose.organization(),
        provider.uuid(),
        known.upstream_name,
        state,
        model,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Marks what was seen before and is listed no more, of what nobody offers.
pub(in crate::agents) async fn forget_unlisted(
    tx: &mut Conn,
    whose: Whose,
    provider: ProviderId,
    listed: &[String],
) -> Result<u64, StoreError> {
    let gone = sqlx::query!(
        "update operations.discovered_models d
         set state = 'gone'
         where d.provider_id = $1 and d.organization_id is not distinct from $2 and d.state = 'new'
             and d.deleted_at is null and d.upstream_name <> all ($3)",
        provider.uuid(),
        whose.organization(),
        listed,
    )
    .execute(tx)
    .await?;
    Ok(gone.rows_affected())
}
