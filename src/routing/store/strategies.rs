//! Strategies and what they are attached to, in the books.

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    base::{ApiKeyId, GroupId, Moment, NanoUsd, OrganizationId, Page, Paging, StrategyId},
    routing::strategy::{Bounds, Kind, Weights},
    store::{Conn, StoreError},
};

/// What a strategy is attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attachment {
    /// Everybody who has none.
    Platform,
    /// All of an organization.
    Organization,
    /// A group.
    Group(GroupId),
    /// A key, and those that took over from it.
    Key(ApiKeyId),
    /// An alias.
    Alias(Uuid),
}

/// What a strategy says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// What goes first.
    pub kind: Kind,
    /// What weighs how much.
    pub weights: Weights,
    /// What may not be passed.
    pub bounds: Bounds,
}

/// A strategy as the books keep it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptStrategy {
    /// Its id.
    pub id: StrategyId,
    /// What it is attached to.
    pub attached: Attachment,
    /// What it says.
    pub terms: Terms,
    /// When it was made.
    pub created_at: Moment,
    /// When it was last changed.
    pub updated_at: Moment,
}

struct Row {
    id: Uuid,
    subject_kind: String,
    group_id: Option<Uuid>,
    api_key_id: Option<Uuid>,
    alias_id: Option<Uuid>,
    kind: String,
    weights: Value,
    max_cost_per_million_nano_usd: Option<i64>,
    max_latency_ms: Option<i32>,
    min_success_percent: Option<i16>,
    is_paid_allowed: bool,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl TryFrom<Row> for KeptStrategy {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let attached = match (row.group_id, row.api_key_id, row.alias_id) {
            (Some(id), _, _) => Attachment::Group(id.into()),
            (_, Some(id), _) => Attachment::Key(id.into()),
            (_, _, Some(id)) => Attachment::Alias(id),
            _ if row.subject_kind == "platform" => Attachment::Platform,
            _ => Attachment::Organization,
        };
        let kind = serde_json::from_value(Value::String(row.kind));
        let weights = serde_json::from_value(row.weights);
        Ok(Self {
            id: row.id.into(),
            attached,
            terms: Terms {
                kind: kind.map_err(StoreError::Malformed)?,
                weights: weights.map_err(StoreError::Malformed)?,
                bounds: Bounds {
                    max_cost_per_million: row
                        .max_cost_per_million_nano_usd
                        .map(NanoUsd::from_column),
                    max_latency_ms: row.max_latency_ms.and_then(|ms| u32::try_from(ms).ok()),
                    min_success_percent: row
                        .min_success_percent
                        .and_then(|percent| u8::try_from(percent).ok()),
                    is_paid_allowed: row.is_paid_allowed,
                },
            },
            created_at: row.created_at.into(),
            updated_at: row.updated_at.into(),
        })
    }
}

/// Returns one page of the strategies of an owner (`None` is the platform), or the one of an id.
///
/// # Errors
/// When Postgres does not answer.
pub async fn list(
    conn: &mut Conn,
    owner: Option<OrganizationId>,
    id: Option<StrategyId>,
    paging: &Paging,
) -> Result<Page<KeptStrategy>, StoreError> {
    let rows = sqlx::query_as!(
        Row,
        "select id, subject_kind, group_id, api_key_id, alias_id, kind, weights, max_cost_per_million_nano_usd,
             max_latency_ms, min_success_percent, is_paid_allowed, created_at, updated_at
         from operations.routing_strategies
         where organization_id is not distinct from $1 and deleted_at is null and ($2::uuid is null or id = $2)
             and ($5::uuid is null
                 or case when $3 then (created_at, id) < ($4, $5) else (created_at, id) > ($4, $5) end)
         order by case when $3 then created_at end desc, case when $3 then id end desc, created_at, id
         limit $6",
        owner.map(OrganizationId::uuid),
        id.map(StrategyId::uuid),
        paging.is_descending(),
        paging.after_at(),
        paging.after_id(),
        paging.fetched(),
    )
    .fetch_all(conn)
    .await?;
    let all = rows.into_iter().map(KeptStrategy::try_from);
    let all = all.collect::<Result<Vec<_>, _>>()?;
    Ok(paging.page(all, |one| (one.created_at, one.id.uuid())))
}

/// Says whether what a strategy is to be attached to is there, and the owner's to attach it to.
///
/// # Errors
/// When Postgres does not answer.
pub async fn is_there(
    conn: &mut Conn,
    owner: Option<OrganizationId>,
    attached: Attachment,
) -> Result<bool, StoreError> {
    let owner = owner.map(OrganizationId::uuid);
    let found = match attached {
        Attachment::Platform => owner.is_none().then_some(true),
        Attachment::Organization => owner.is_some().then_some(true),
        Attachment::Group(id) => {
            sqlx::query_scalar!(
                "select true from identity.groups where organization_id = $1 and id = $2 and deleted_at is null",
                owner,
                id.uuid(),
            )
            .fetch_optional(conn)
            .await?
            .flatten()
        }
        Attachment::Key(id) => {
            sqlx::query_scalar!(
                "select true from operations.api_keys where organization_id = $1 and id = $2",
                owner,
                id.uuid(),
            )
            .fetch_optional(conn)
            .await?
            .flatten()
        }
        Attachment::Alias(id) => {
            sqlx::query_scalar!(
                "select true from platform.model_aliases
                 where (organization_id = $1 or organization_id is null) and id = $2 and deleted_at is null",
                owner,
                id,
            )
            .fetch_optional(conn)
            .await?
            .flatten()
        }
    };
    Ok(found == Some(true))
}

/// Returns the first of a key's lineage: what hangs on a key hangs on that one.
///
/// # Errors
/// When Postgres does not answer.
pub async fn lineage(
    conn: &mut Conn,
    owner: OrganizationId,
    key: ApiKeyId,
) -> Result<ApiKeyId, StoreError> {
    let first = sqlx::query_scalar!(
        "select lineage_id from operations.api_keys where organization_id = $1 and id = $2",
        owner.uuid(),
        key.uuid(),
    )
    .fetch_optional(conn)
    .await?;
    Ok(first.flatten().map_or(key, ApiKeyId::from))
}

/// Writes a strategy.
///
/// # Errors
/// `routing_strategies_uq` when there is one attached to the same already.
pub async fn insert(
    conn: &mut Conn,
    owner: Option<OrganizationId>,
    id: StrategyId,
    attached: Attachment,
    terms: &Terms,
) -> Result<(), StoreError> {
    let (kind, group, key, alias) = columns(attached);
    sqlx::query!(
        "insert into operations.routing_strategies (id, organization_id, subject_kind, group_id, api_key_id, alias_id,
             kind, weights, max_cost_per_million_nano_usd, max_latency_ms, min_success_percent, is_paid_allowed)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        id.uuid(),
        owner.map(OrganizationId::uuid),
        kind,
        group,
        key,
        alias,
        terms.kind.word(),
        weights(terms),
        terms.bounds.max_cost_per_million.map(NanoUsd::column),
        max_latency(terms),
        terms.bounds.min_success_percent.map(i16::from),
        terms.bounds.is_paid_allowed,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Writes what a strategy says.
///
/// # Errors
/// When Postgres refuses or does not answer.
pub async fn update(conn: &mut Conn, id: StrategyId, terms: &Terms) -> Result<(), StoreError> {
    sqlx::query!(
        "update operations.routing_strategies
         set kind = $2, weights = $3, max_cost_per_million_nano_usd = $4, max_latency_ms = $5,
             min_success_percent = $6, is_paid_allowed = $7
         where id = $1",
        id.uuid(),
        terms.kind.word(),
        weights(terms),
        terms.bounds.max_cost_per_million.map(NanoUsd::column),
        max_latency(terms),
        terms.bounds.min_success_percent.map(i16::from),
        terms.bounds.is_paid_allowed,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Takes a strategy away.
///
/// # Errors
/// When Postgres refuses or does not answer.
pub async fn retire(conn: &mut Conn, id: StrategyId) -> Result<(), StoreError> {
    sqlx::query!(
        "update operations.routing_strategies set deleted_at = now() where id = $1",
        id.uuid()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Keeps others from changing an owner's strategies until the transaction ends.
///
/// # Errors
/// When Postgres does not answer.
pub async fn wait_for_others(
    conn: &mut Conn,
    owner: Option<OrganizationId>,
) -> Result<(), StoreError> {
    let owner = owner.map(|id| id.to_string()).unwrap_or_default();
    sqlx::query_scalar!(
        r#"select pg_advisory_xact_lock(hashtextextended('synaxis strategies ' || $1, 0))::text"#,
        owner
    )
    .fetch_one(conn)
    .await?;
    Ok(())
}

type Columns = (&'static str, Option<Uuid>, Option<Uuid>, Option<Uuid>);

fn columns(attached: Attachment) -> Columns {
    match attached {
        Attachment::Platform => ("platform", None, None, None),
        Attachment::Organization => ("organization", None, None, None),
        Attachment::Group(id) => ("group", Some(id.uuid()), None, None),
        Attachment::Key(id) => ("key", None, Some(id.uuid()), None),
        Attachment::Alias(id) => ("alias", None, None, Some(id)),
    }
}

fn weights(terms: &Terms) -> Value {
    let named = terms.weights.iter();
    named
        .map(|(name, weight)| (name.clone(), Value::from(*weight)))
        .collect()
}

fn max_latency(terms: &Terms) -> Option<i32> {
    let most = terms.bounds.max_latency_ms?;
    Some(i32::try_from(most).unwrap_or(i32::MAX))
}
