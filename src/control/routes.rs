//! Routes, as agents move them and as people insist: the route, its change and its audit row in one transaction.

use std::time::Duration;

use serde_json::{Value, json};

use super::note::note;
use crate::{
    audit::{Actor, By},
    base::{ModelId, Moment, NanoUsd, OfferId, Paging, RequestId, RouteId},
    catalog::Tier,
    realtime::{Event, outbox},
    routing::{
        Cause,
        store::routes::{self as store, Change, KeptRoute, Target},
    },
    store::{OrgTx, StoreError},
};

/// How long a route that agents moved stays where it is.
pub const REST: Duration = Duration::from_secs(60 * 60);

/// Why a route was not changed; the transaction must be rolled back then.
#[derive(Debug, thiserror::Error)]
pub enum RouteRefused {
    /// There is no such route in this organization.
    #[error("there is no such route")]
    NoRoute,
    /// The offer is not of the model nor of one that stands in for it, or not the organization's to use.
    #[error("no such offer serves this model")]
    NoOffer,
    /// People insist on another offer.
    #[error("the route is pinned")]
    Pinned,
    /// Nobody insists on it.
    #[error("the route is not pinned")]
    NotPinned,
    /// It is there already.
    #[error("the route prefers that offer already")]
    Same,
    /// What is free is not given up for what costs.
    #[error("a route is never moved from a free offer to a paid one")]
    FreeToPaid,
    /// It was moved within the last hour.
    #[error("the route was moved less than an hour ago")]
    Restless,
    /// The last change moved it nowhere, or put it back.
    #[error("there is nothing to put it back to")]
    NothingBefore,
    /// Somebody changed it since the caller read it.
    #[error("it was changed since it was read")]
    NotExpected,
    /// The books did not take it.
    #[error("the route could not be written")]
    Store(#[from] StoreError),
}

/// Where a route is to go, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Switch {
    /// Of which model.
    pub model: ModelId,
    /// To which offer.
    pub to: OfferId,
    /// Why: free, cheaper, or the old one does badly. A route that is not there is made, whatever is said here.
    pub cause: Cause,
    /// What a million tokens cost less, in billionths of a dollar.
    pub saving_per_million: i64,
    /// How that was computed: an object.
    pub arithmetic: Value,
}

/// Moves a route to another offer, or makes it. Every proxy uses it within a second of the commit.
///
/// # Errors
/// A pinned route is not moved, nor one from a free offer to a paid one, nor one that was moved within [`REST`].
pub async fn switch(tx: &mut OrgTx, switch: Switch, by: By) -> Result<KeptRoute, RouteRefused> {
    store::wait_for_others(tx).await?;
    let target = target(tx, switch.model, switch.to).await?;
    let old = of_model(tx, switch.model).await?;
    if let Some(old) = &old {
        may_move(old, switch.to, &target, by.now)?;
    }
    let cause = old.as_ref().map_or(Cause::Made, |_| switch.cause);
    let step = Step {
        to: switch.to,
        is_pinned: false,
        cause,
        saving_per_million: switch.saving_per_million,
        arithmetic: switch.arithmetic,
    };
    let from = old.as_ref().map(|old| old.provider.clone());
    let kept = take(tx, switch.model, old, step, "route.switch", by).await?;
    tell(tx, &kept, from, cause, switch.saving_per_million, by).await?;
    Ok(kept)
}

/// Tells whoever watches that a route was moved.
async fn tell(
    tx: &mut OrgTx,
    kept: &KeptRoute,
    from_provider: Option<String>,
    cause: Cause,
    saving_per_million: i64,
    by: By,
) -> Result<(), StoreError> {
    let event = Event::CostOptimizationApplied {
        route_id: kept.id.uuid(),
        model: kept.model.clone(),
        from_provider,
        to_provider: kept.provider.clone(),
        reason: cause.word().to_owned(),
        savings_per_1m_tokens_usd: NanoUsd::from_column(saving_per_million),
        applied_at: by.now,
    };
    let organization = tx.scope().organization();
    outbox::emit(tx, Some(organization), &event).await?;
    Ok(())
}

fn may_move(
    old: &KeptRoute,
    to: OfferId,
    target: &Target,
    now: Moment,
) -> Result<(), RouteRefused> {
    if old.is_pinned {
        return Err(RouteRefused::Pinned);
    }
    if old.offer_id == to {
        return Err(RouteRefused::Same);
    }
    if old.tier == Tier::Free && target.tier == Tier::Paid {
        return Err(RouteRefused::FreeToPaid);
    }
    let has_moved = old.created_at < old.switched_at;
    if has_moved && now < old.switched_at.plus(REST) {
        return Err(RouteRefused::Restless);
    }
    Ok(())
}

/// Insists on an offer for a model: it goes before every other of that model, and agents leave it there.
///
/// # Errors
/// See [`RouteRefused`].
pub async fn pin(
    tx: &mut OrgTx,
    model: ModelId,
    offer: OfferId,
    expected: Option<Moment>,
    by: By,
) -> Result<KeptRoute, RouteRefused> {
    store::wait_for_others(tx).await?;
    target(tx, model, offer).await?;
    let old = of_model(tx, model).await?;
    if let Some(old) = &old {
        as_expected(old, expected)?;
        if old.is_pinned && old.offer_id == offer {
            return Err(RouteRefused::Same);
        }
    }
    let step = Step::plain(offer, true, Cause::Pinned);
    take(tx, model, old, step, "route.pin", by).await
}

/// Insists no more: the route stays where it is until there is a better one.
///
/// # Errors
/// See [`RouteRefused`].
pub async fn unpin(
    tx: &mut OrgTx,
    id: RouteId,
    expected: Option<Moment>,
    by: By,
) -> Result<KeptRoute, RouteRefused> {
    store::wait_for_others(tx).await?;
    let old = one(tx, id).await?;
    as_expected(&old, expected)?;
    if !old.is_pinned {
        return Err(RouteRefused::NotPinned);
    }
    let (model, step) = (
        old.model_id,
        Step::plain(old.offer_id, false, Cause::Unpinned),
    );
    take(tx, model, Some(old), step, "route.unpin", by).await
}

/// Undoes the last move of a route. `arithmetic` says what speaks for it.
///
/// # Errors
/// Agents leave pinned routes alone; see [`RouteRefused`].
pub async fn put_back(
    tx: &mut OrgTx,
    id: RouteId,
    expected: Option<Moment>,
    arithmetic: Value,
    by: By,
) -> Result<KeptRoute, RouteRefused> {
    store::wait_for_others(tx).await?;
    let old = one(tx, id).await?;
    as_expected(&old, expected)?;
    if old.is_pinned && by.person().is_none() {
        return Err(RouteRefused::Pinned);
    }
    let before = before(tx, &old).await?.ok_or(RouteRefused::NothingBefore)?;
    target(tx, old.model_id, before.offer).await?;
    let saving = before.saving_per_million.saturating_neg();
    let step = Step {
        to: before.offer,
        is_pinned: false,
        cause: Cause::PutBack,
        saving_per_million: saving,
        arithmetic,
    };
    let (model, from) = (old.model_id, Some(old.provider.clone()));
    let kept = take(tx, model, Some(old), step, "route.put_back", by).await?;
    tell(tx, &kept, from, Cause::PutBack, saving, by).await?;
    Ok(kept)
}

/// Where a route was before its last move, and what the move saved.
struct Before {
    offer: OfferId,
    saving_per_million: i64,
}

async fn before(tx: &mut OrgTx, route: &KeptRoute) -> Result<Option<Before>, StoreError> {
    let changes = store::changes(tx, Some(route.id), &Paging::default()).await?;
    let mut moves = changes
        .rows
        .into_iter()
        .filter(|change| change.from != Some(change.to));
    let last = moves.next().filter(|last| last.cause != Cause::PutBack);
    Ok(last.and_then(|last| {
        Some(Before {
            offer: last.from?,
            saving_per_million: last.saving_per_million,
        })
    }))
}

/// Returns a route.
///
/// # Errors
/// [`RouteRefused::NoRoute`].
pub async fn one(tx: &mut OrgTx, id: RouteId) -> Result<KeptRoute, RouteRefused> {
    let found = store::list(tx, Some(id), None, &Paging::default()).await?;
    found.rows.into_iter().next().ok_or(RouteRefused::NoRoute)
}

async fn of_model(tx: &mut OrgTx, model: ModelId) -> Result<Option<KeptRoute>, StoreError> {
    let found = store::list(tx, None, Some(model), &Paging::default()).await?;
    Ok(found.rows.into_iter().next())
}

async fn target(tx: &mut OrgTx, model: ModelId, offer: OfferId) -> Result<Target, RouteRefused> {
    let found = store::find_target(tx, model, offer).await?;
    found.ok_or(RouteRefused::NoOffer)
}

fn as_expected(route: &KeptRoute, expected: Option<Moment>) -> Result<(), RouteRefused> {
    match expected {
        Some(expected) if expected != route.updated_at => Err(RouteRefused::NotExpected),
        _ => Ok(()),
    }
}

/// One step of a route.
struct Step {
    to: OfferId,
    is_pinned: bool,
    cause: Cause,
    saving_per_million: i64,
    arithmetic: Value,
}

impl Step {
    fn plain(to: OfferId, is_pinned: bool, cause: Cause) -> Self {
        Self {
            to,
            is_pinned,
            cause,
            saving_per_million: 0,
            arithmetic: json!({}),
        }
    }
}

/// Writes a step: the route, what became of it, and who did it.
async fn take(
    tx: &mut OrgTx,
    model: ModelId,
    old: Option<KeptRoute>,
    step: Step,
    action: &'static str,
    by: By,
) -> Result<KeptRoute, RouteRefused> {
    let id = old
        .as_ref()
        .map_or_else(|| RouteId::new(by.now), |old| old.id);
    match &old {
        Some(old) => store::update(tx, old.id, step.to, step.is_pinned, by.now).await?,
        None => store::insert(tx, id, model, step.to, step.is_pinned, by.now).await?,
    }
    let from = old.map(|old| old.offer_id);
    let details = json!({
        "model_id": model, "from": from, "to": step.to, "cause": step.cause,
        "saving_per_million_nano_usd": step.saving_per_million,
    });
    let (actor_kind, actor_id) = actor(by.actor);
    let change = Change {
        id: RequestId::new(by.now).uuid(),
        at: by.now,
        route_id: id,
        from,
        to: step.to,
        cause: step.cause,
        actor_kind: actor_kind.to_owned(),
        actor_id,
        saving_per_million: step.saving_per_million,
        arithmetic: step.arithmetic,
    };
    store::add_change(tx, &change).await?;
    note(tx, by, action, ("route", id.uuid()), details).await?;
    one(tx, id).await
}

const fn actor(actor: Actor) -> (&'static str, Option<uuid::Uuid>) {
    match actor {
        Actor::User(user) => ("user", Some(user.0)),
        Actor::Operator | Actor::Key(_) => ("operator", None),
        Actor::Agent | Actor::System => ("agent", None),
    }
}
