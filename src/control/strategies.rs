//! Strategies, as people change them: how the offers of an organization, a group, a key or an alias are put in order.

use serde_json::{Value, json};

use super::note::note;
use crate::{
    audit::By,
    base::{Moment, NanoUsd, OrganizationId, Paging, StrategyId},
    routing::{
        Kind,
        store::strategies::{self as store, Attachment, KeptStrategy, Terms},
    },
    store::{Conn, OwnerTx, StoreError},
};

/// The most a strategy can let a million tokens cost: a million dollars.
pub const DEAREST: NanoUsd = NanoUsd(1_000_000_000_000_000);

/// The most a strategy can let a first byte take.
pub const SLOWEST_MS: u32 = 3_600_000;

/// How many names can have a weight.
const MOST_WEIGHTS: usize = 100;

/// The longest name that can have a weight: a provider's and its name for a model.
const LONGEST_NAME: usize = 300;

/// The most anything weighs.
const HEAVIEST: u32 = 1_000_000;

/// What `balanced` weighs.
const MEASURES: [&str; 3] = ["cost", "latency", "success"];

/// Why a strategy was not changed; the transaction must be rolled back then.
#[derive(Debug, thiserror::Error)]
pub enum StrategyRefused {
    /// The owner has no such strategy.
    #[error("there is no such strategy")]
    NoStrategy,
    /// The owner has no such group, key or alias.
    #[error("there is nothing here by that id to attach a strategy to")]
    NoSubject,
    /// There is one attached to the same already.
    #[error("there is a strategy attached to it already")]
    Exists,
    /// A field is out of range.
    #[error("{1}")]
    Faulty(&'static str, &'static str),
    /// Somebody changed it since the caller read it.
    #[error("it was changed since it was read")]
    NotExpected,
    /// The books did not take it.
    #[error("the strategy could not be written")]
    Store(#[source] StoreError),
}

impl From<StoreError> for StrategyRefused {
    fn from(error: StoreError) -> Self {
        let StoreError::Constraint { name, .. } = &error else {
            return Self::Store(error);
        };
        match name.as_str() {
            "routing_strategies_uq" => Self::Exists,
            "routing_strategies_group_fk"
            | "routing_strategies_api_key_fk"
            | "routing_strategies_alias_fk"
            | "routing_strategies_owner_ck" => Self::NoSubject,
            _ => Self::Store(error),
        }
    }
}

/// Attaches a strategy. Proxies go by it within a second of the commit.
///
/// # Errors
/// See [`StrategyRefused`].
pub async fn create(
    tx: &mut OwnerTx,
    attached: Attachment,
    terms: Terms,
    by: By,
) -> Result<KeptStrategy, StrategyRefused> {
    judge(&terms)?;
    let owner = tx.owner();
    store::wait_for_others(tx, owner).await?;
    if !store::is_there(tx, owner, attached).await? {
        return Err(StrategyRefused::NoSubject);
    }
    let attached = match (attached, owner) {
        (Attachment::Key(key), Some(owner)) => {
            Attachment::Key(store::lineage(tx, owner, key).await?)
        }
        _ => attached,
    };
    let id = StrategyId::new(by.now);
    store::insert(tx, owner, id, attached, &terms).await?;
    let details = json!({ "attached": told_place(attached), "is": told(&terms) });
    note(tx, by, "strategy.create", ("strategy", id.uuid()), details).await?;
    one(tx, owner, id).await
}

/// Replaces what a strategy says.
///
/// # Errors
/// See [`StrategyRefused`].
pub async fn set(
    tx: &mut OwnerTx,
    id: StrategyId,
    terms: Terms,
    expected: Option<Moment>,
    by: By,
) -> Result<KeptStrategy, StrategyRefused> {
    judge(&terms)?;
    let owner = tx.owner();
    store::wait_for_others(tx, owner).await?;
    let old = one(tx, owner, id).await?;
    as_expected(&old, expected)?;
    store::update(tx, id, &terms).await?;
    let details = json!({ "was": told(&old.terms), "is": told(&terms) });
    note(tx, by, "strategy.change", ("strategy", id.uuid()), details).await?;
    one(tx, owner, id).await
}

/// Takes a strategy away: the next less specific one holds.
///
/// # Errors
/// See [`StrategyRefused`].
pub async fn remove(
    tx: &mut OwnerTx,
    id: StrategyId,
    expected: Option<Moment>,
    by: By,
) -> Result<(), StrategyRefused> {
    let owner = tx.owner();
    store::wait_for_others(tx, owner).await?;
    let old = one(tx, owner, id).await?;
    as_expected(&old, expected)?;
    store::retire(tx, id).await?;
    let details = json!({ "attached": told_place(old.attached), "was": told(&old.terms) });
    note(tx, by, "strategy.remove", ("strategy", id.uuid()), details).await?;
    Ok(())
}

/// Returns the platform's strategy, which holds for everybody who has none.
///
/// # Errors
/// [`StrategyRefused::NoStrategy`].
pub async fn of_platform(conn: &mut Conn) -> Result<KeptStrategy, StrategyRefused> {
    let found = store::list(conn, None, None, &Paging::default()).await?;
    let first = found.rows.into_iter().next();
    first.ok_or(StrategyRefused::NoStrategy)
}

/// Returns a strategy of an owner.
///
/// # Errors
/// [`StrategyRefused::NoStrategy`].
pub async fn one(
    conn: &mut Conn,
    owner: Option<OrganizationId>,
    id: StrategyId,
) -> Result<KeptStrategy, StrategyRefused> {
    let found = store::list(conn, owner, Some(id), &Paging::default()).await?;
    let first = found.rows.into_iter().next();
    first.ok_or(StrategyRefused::NoStrategy)
}

fn as_expected(kept: &KeptStrategy, expected: Option<Moment>) -> Result<(), StrategyRefused> {
    match expected {
        Some(expected) if expected != kept.updated_at => Err(StrategyRefused::NotExpected),
        _ => Ok(()),
    }
}

fn judge(terms: &Terms) -> Result<(), StrategyRefused> {
    let Terms {
        kind,
        weights,
        bounds,
    } = terms;
    let faulty = |field, what| Err(StrategyRefused::Faulty(field, what));
    if bounds
        .max_cost_per_million
        .is_some_and(|most| DEAREST < most)
    {
        return faulty(
            "max_cost_per_million_nano_usd",
            "give a million dollars at most",
        );
    }
    if bounds
        .max_latency_ms
        .is_some_and(|most| !(1..=SLOWEST_MS).contains(&most))
    {
        return faulty(
            "max_latency_ms",
            "give a millisecond at least and an hour at most",
        );
    }
    if bounds.min_success_percent.is_some_and(|least| 100 < least) {
        return faulty("min_success_percent", "give 0 to 100");
    }
    let is_named_right = |name: &String| match kind {
        Kind::Balanced => MEASURES.contains(&name.as_str()),
        Kind::Weighted => !name.is_empty() && name.len() <= LONGEST_NAME && !name.contains('\0'),
        _ => false,
    };
    if MOST_WEIGHTS < weights.len() || !weights.keys().all(is_named_right) {
        return faulty(
            "weights",
            "`balanced` weighs cost, latency and success, `weighted` up to 100 providers (`name`) and offers \
             (`name/model`), the others nothing",
        );
    }
    if weights.values().any(|weight| HEAVIEST < *weight) {
        return faulty("weights", "a weight is a million at most");
    }
    if !weights.is_empty() && weights.values().all(|weight| *weight == 0) {
        return faulty("weights", "something must weigh more than nothing");
    }
    Ok(())
}

fn told(terms: &Terms) -> Value {
    let bounds = &terms.bounds;
    json!({
        "kind": terms.kind, "weights": terms.weights,
        "max_cost_per_million_nano_usd": bounds.max_cost_per_million, "max_latency_ms": bounds.max_latency_ms,
        "min_success_percent": bounds.min_success_percent, "is_paid_allowed": bounds.is_paid_allowed,
    })
}

fn told_place(attached: Attachment) -> Value {
    match attached {
        Attachment::Platform => json!({"kind": "platform"}),
        Attachment::Organization => json!({"kind": "organization"}),
        Attachment::Group(id) => json!({"kind": "group", "group_id": id}),
        Attachment::Key(id) => json!({"kind": "key", "key_id": id}),
        Attachment::Alias(id) => json!({"kind": "alias", "alias_id": id}),
    }
}
