//! Routes and what became of them, in the books.

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    base::{ModelId, Moment, OfferId, Page, Paging, RouteId},
    catalog::Tier,
    routing::route::Cause,
    store::{OrgTx, StoreError},
};

/// A route as the books keep it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptRoute {
    /// Its id.
    pub id: RouteId,
    /// Of which model.
    pub model_id: ModelId,
    /// The model's name.
    pub model: String,
    /// The offer it prefers.
    pub offer_id: OfferId,
    /// The provider's name for the model.
    pub upstream_name: String,
    /// The provider's name.
    pub provider: String,
    /// What sort of offer it is.
    pub tier: Tier,
    /// Whether somebody insists on it.
    pub is_pinned: bool,
    /// When it last came to another offer.
    pub switched_at: Moment,
    /// When it was made.
    pub created_at: Moment,
    /// When it was last changed.
    pub updated_at: Moment,
}

/// One change of a route.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Its id.
    pub id: Uuid,
    /// When.
    pub at: Moment,
    /// Of which route.
    pub route_id: RouteId,
    /// The offer before; `None` when the route was made.
    pub from: Option<OfferId>,
    /// The offer since.
    pub to: OfferId,
    /// Why.
    pub cause: Cause,
    /// Who: `user`, `operator` or `agent`.
    pub actor_kind: String,
    /// Which person.
    pub actor_id: Option<Uuid>,
    /// What a million tokens cost less, in billionths of a dollar; negative when they cost more.
    pub saving_per_million: i64,
    /// How that was computed.
    pub arithmetic: Value,
}

/// An offer a route might prefer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// What sort of offer it is.
    pub tier: Tier,
    /// The name of the model the route is of.
    pub model: String,
    /// The name of its provider.
    pub provider: String,
}

struct Row {
    id: Uuid,
    model_id: Uuid,
    model: String,
    offer_id: Uuid,
    upstream_name: String,
    provider: String,
    tier: String,
    is_pinned: bool,
    switched_at: DateTime<Utc>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl TryFrom<Row> for KeptRoute {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.id.into(),
            model_id: row.model_id.into(),
            model: row.model,
            offer_id: row.offer_id.into(),
            upstream_name: row.upstream_name,
            provider: row.provider,
            tier: tier(row.tier)?,
            is_pinned: row.is_pinned,
            switched_at: row.switched_at.into(),
            created_at: row.created_at.into(),
            updated_at: row.updated_at.into(),
        })
    }
}

fn tier(word: String) -> Result<Tier, StoreError> {
    serde_json::from_value(Value::String(word)).map_err(StoreError::Malformed)
}

/// Returns one page of the routes of this transaction's organization, or those of one id or model.
///
/// # Errors
/// When Postgres does not answer.
pub async fn list(
    tx: &mut OrgTx,
    id: Option<RouteId>,
    model: Option<ModelId>,
    paging: &Paging,
) -> Result<Page<KeptRoute>, StoreError> {
    let organization = tx.scope().organization().uuid();
    let rows = sqlx::query_as!(
        Row,
        "select r.id, r.model_id, m.name as model, r.offer_id, o.upstream_name, p.name as provider, o.tier, r.is_pinned,
             r.switched_at, r.created_at, r.updated_at
         from operations.routes r
         join platform.models m on m.id = r.model_id
         join platform.offers o on o.id = r.offer_id
         join platform.providers p on p.id = o.provider_id
         where r.organization_id = $1 and r.deleted_at is null
             and ($2::uuid is null or r.id = $2) and ($3::uuid is null or r.model_id = $3)
             and ($6::uuid is null
                 or case when $4 then (r.created_at, r.id) < ($5, $6) else (r.created_at, r.id) > ($5, $6) end)
         order by case when $4 then r.created_at end desc, case when $4 then r.id end desc, r.created_at, r.id
         limit $7",
        organization,
        id.map(RouteId::uuid),
        model.map(ModelId::uuid),
        paging.is_descending(),
        paging.after_at(),
        paging.after_id(),
        paging.fetched(),
    )
    .fetch_all(&mut **tx)
    .await?;
    let routes = rows.into_iter().map(KeptRoute::try_from);
    let routes = routes.collect::<Result<Vec<_>, _>>()?;
    Ok(paging.page(routes, |route| (route.created_at, route.id.uuid())))
}

/// Keeps others from changing the routes of this transaction's organization until it ends.
///
/// # Errors
/// When Postgres does not answer.
pub async fn wait_for_others(tx: &mut OrgTx) -> Result<(), StoreError> {
    let organization = tx.scope().organization().to_string();
    sqlx::query_scalar!(
        r#"select pg_advisory_xact_lock(hashtextextended('synaxis routes ' || $1, 0))::text"#,
        organization
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(())
}

/// Finds an offer that can serve a model for this transaction's organization: of that model, or of one the
/// organization lets stand in for it.
///
/// # Errors
/// When Postgres does not answer.
pub async fn find_target(
    tx: &mut OrgTx,
    model: ModelId,
    offer: OfferId,
) -> Result<Option<Target>, StoreError> {
    let organization = tx.scope().organization().uuid();
    let row = sqlx::query!(
        "select o.tier, m.name as model, p.name as provider
         from platform.offers o
         join platform.providers p on p.id = o.provider_id and p.deleted_at is null
         join platform.models m on m.id = $1 and m.deleted_at is null
         where o.id = $2 and o.deleted_at is null
             and (o.model_id = m.id or exists (
                 select from platform.model_substitutes x
                 where x.organization_id = $3 and x.model_id = m.id and x.substitute_id = o.model_id
                     and x.deleted_at is null))",
        model.uuid(),
        offer.uuid(),
        organization,
    )
    .fetch_optional(&mut **tx)
    .await?;
    let target = row.map(|row| {
        Ok(Target {
            tier: tier(row.tier)?,
            model: row.model,
            provider: row.provider,
        })
    });
    target.transpose()
}

/// Writes a route.
///
/// # Errors
/// When Postgres refuses or does not answer.
pub async fn insert(
    tx: &mut OrgTx,
    id: RouteId,
    model: ModelId,
    offer: OfferId,
    is_pinned: bool,
    now: Moment,
) -> Result<(), StoreError> {
    let organization = tx.scope().organization().uuid();
    sqlx::query!(
        "insert into operations.routes (id, organization_id, model_id, offer_id, is_pinned, switched_at, created_at)
         values ($1, $2, $3, $4, $5, $6, $6)",
        id.uuid(),
        organization,
        model.uuid(),
        offer.uuid(),
        is_pinned,
        now.utc(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Moves a route to an offer, or says whether it is pinned.
///
/// # Errors
/// When Postgres refuses or does not answer.
pub async fn update(
    tx: &mut OrgTx,
    id: RouteId,
    offer: OfferId,
    is_pinned: bool,
    now: Moment,
) -> Result<(), StoreError> {
    let organization = tx.scope().organization().uuid();
    sqlx::query!(
        "update operations.routes
         set switched_at = case when offer_id = $3 then switched_at else $5 end, offer_id = $3, is_pinned = $4
         where organization_id = $1 and id = $2",
        organization,
        id.uuid(),
        offer.uuid(),
        is_pinned,
        now.utc(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Writes down what became of a route.
///
/// # Errors
/// When Postgres refuses or does not answer.
pub async fn add_change(tx: &mut OrgTx, change: &Change) -> Result<(), StoreError> {
    let organization = tx.scope().organization().uuid();
    sqlx::query!(
        "insert into operations.route_changes (id, at, organization_id, route_id, from_offer_id, to_offer_id, cause,
             actor_kind, actor_id, saving_per_million_nano_usd, arithmetic)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        change.id,
        change.at.utc(),
        organization,
        change.route_id.uuid(),
        change.from.map(OfferId::uuid),
        change.to.uuid(),
        change.cause.word(),
        change.actor_kind,
        change.actor_id,
        change.saving_per_million,
        change.arithmetic,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Returns one page of what became of a route, or of all routes of this transaction's organization.
///
/// # Errors
/// When Postgres does not answer.
pub async fn changes(
    tx: &mut OrgTx,
    route: Option<RouteId>,
    paging: &Paging,
) -> Result<Page<Change>, StoreError> {
    let organization = tx.scope().organization().uuid();
    let rows = sqlx::query!(
        "select id, at, route_id, from_offer_id, to_offer_id, cause, actor_kind, actor_id, saving_per_million_nano_usd,
             arithmetic
         from operations.route_changes
         where organization_id = $1 and ($2::uuid is null or route_id = $2)
             and ($5::uuid is null or case when $3 then (at, id) < ($4, $5) else (at, id) > ($4, $5) end)
         order by case when $3 then at end desc, case when $3 then id end desc, at, id
         limit $6",
        organization,
        route.map(RouteId::uuid),
        paging.is_descending(),
        paging.after_at(),
        paging.after_id(),
        paging.fetched(),
    )
    .fetch_all(&mut **tx)
    .await?;
    let changes = rows.into_iter().map(|row| {
        Ok(Change {
            id: row.id,
            at: row.at.into(),
            route_id: row.route_id.into(),
            from: row.from_offer_id.map(OfferId::from),
            to: row.to_offer_id.into(),
            cause: serde_json::from_value(Value::String(row.cause))
                .map_err(StoreError::Malformed)?,
            actor_kind: row.actor_kind,
            actor_id: row.actor_id,
            saving_per_million: row.saving_per_million_nano_usd,
            arithmetic: row.arithmetic,
        })
    });
    let changes = changes.collect::<Result<Vec<_>, StoreError>>()?;
    Ok(paging.page(changes, |change| (change.at, change.id)))
}
