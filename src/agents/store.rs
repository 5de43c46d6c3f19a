//! What agents read and forget that is no module's own.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::{cost::decide::Mix, tools::routing::Traffic};
use crate::{
    base::{Moment, OfferId, OrganizationId},
    store::{Conn, StoreError},
};

/// Forgets up to `batch` answers that nobody can ask for again; returns how many.
pub(super) async fn prune_idempotency_keys(tx: &mut Conn, batch: i32) -> Result<i32, StoreError> {
    let gone = sqlx::query_scalar!(
        r#"select operations.prune_idempotency_keys($1) as "gone!""#,
        batch
    )
    .fetch_one(tx)
    .await?;
    Ok(gone)
}

/// Reads which organizations have calls since `since`.
pub(super) async fn organizations_in_use(
    tx: &mut Conn,
    since: Moment,
) -> Result<Vec<OrganizationId>, StoreError> {
    let rows = sqlx::query_scalar!(
        r#"select id as "id!" from operations.organizations_in_use($1) as id"#,
        since.utc()
    )
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().map(OrganizationId::from).collect())
}

/// Reads what went along each route of an organization.
pub(super) async fn route_traffic(
    tx: &mut Conn,
    organization: OrganizationId,
    (since, until): (Moment, Moment),
) -> Result<Vec<Traffic>, StoreError> {
    let rows = sqlx::query!(
        r#"select model_id as "model_id!", offer_id as "offer_id!", is_stream as "is_stream!", longest as "longest!",
             unwanted as "unwanted!", requests as "requests!", input_tokens as "input_tokens!",
             cached_tokens as "cached_tokens!", cache_write_tokens as "cache_write_tokens!",
             output_tokens as "output_tokens!", reasoning_tokens as "reasoning_tokens!"
         from operations.route_traffic($1, $2, $3)"#,
        organization.uuid(),
        since.utc(),
        until.utc(),
    )
    .fetch_all(tx)
    .await?;
    let traffic = rows.into_iter().map(|row| Traffic {
        model: row.model_id.into(),
        offer: row.offer_id.into(),
        is_stream: row.is_stream,
        longest: count(row.longest),
        unwanted: count(row.unwanted),
        mix: Mix {
            requests: count(row.requests),
            input_tokens: count(row.input_tokens),
            cached_tokens: count(row.cached_tokens),
            cache_write_tokens: count(row.cache_write_tokens),
            output_tokens: count(row.output_tokens),
            reasoning_tokens: count(row.reasoning_tokens),
        },
    });
    Ok(traffic.collect())
}

/// How tries at one offer ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct TriesOfOffer {
    pub(super) offer: OfferId,
    pub(super) succeeded: u64,
    pub(super) failed: u64,
    pub(super) refused: u64,
    pub(super) missing: u64,
    pub(super) p50_ms: Option<i32>,
    pub(super) p95_ms: Option<i32>,
    pub(super) last_success: Option<DateTime<Utc>>,
    pub(super) last_failure: Option<DateTime<Utc>>,
}

/// Reads how tries at each offer ended, of one organization or of everybody.
pub(super) async fn tries_of_offers(
    tx: &mut Conn,
    organization: Option<OrganizationId>,
    (since, until): (Moment, Moment),
) -> Result<Vec<TriesOfOffer>, StoreError> {
    let rows = sqlx::query!(
        r#"select offer_id as "offer_id!", succeeded as "succeeded!", failed as "failed!", refused as "refused!",
             missing as "missing!", p50_ms, p95_ms, last_success, last_failure
         from operations.tries_of_offers($1, $2, $3)"#,
        organization.map(OrganizationId::uuid),
        since.utc(),
        until.utc(),
    )
    .fetch_all(tx)
    .await?;
    let tries = rows.into_iter().map(|row| TriesOfOffer {
        offer: row.offer_id.into(),
        succeeded: count(row.succeeded),
        failed: count(row.failed),
        refused: count(row.refused),
        missing: count(row.missing),
        p50_ms: row.p50_ms,
        p95_ms: row.p95_ms,
        last_success: row.last_success,
        last_failure: row.last_failure,
    });
    Ok(tries.collect())
}

/// Reads how well the offers this transaction sees do, the worst of each.
pub(super) async fn scores(tx: &mut Conn) -> Result<BTreeMap<OfferId, u8>, StoreError> {
    let rows = sqlx::query!(
        r#"select offer_id, min(score) as "score!"
         from operations.offer_health
         where checked_at is not null
         group by offer_id"#
    )
    .fetch_all(tx)
    .await?;
    let scores = rows.into_iter().map(|row| {
        let score = u8::try_from(row.score).unwrap_or_default();
        (OfferId::from(row.offer_id), score)
    });
    Ok(scores.collect())
}

fn count(column: i64) -> u64 {
    u64::try_from(column).unwrap_or_default()
}
