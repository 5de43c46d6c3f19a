//! The plan of one call: which offers are tried, in which order, and why the others are not.
//!
//! A decision depends on nothing but its arguments, so that it can be explained and replayed.

use std::{sync::Arc, time::Duration};

use super::{
    health::Health,
    miser::Rank,
    need::{Need, Why},
    survey::Survey,
};
use crate::{
    base::{Moment, NanoUsd, OfferId, StrategyId},
    catalog::{Credential, Link, Model, Offer, Resolved},
};

/// One offer with the credential it would be asked with.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The offer.
    pub offer: Arc<Offer>,
    /// The key; `None` where the provider takes calls without one.
    pub credential: Option<Arc<Credential>>,
    /// What the call will probably cost.
    pub expected_cost: NanoUsd,
    /// The most it can cost.
    pub bound_cost: NanoUsd,
    /// Why it is a candidate, in one word: `free`, `cheapest`, `fallback`, `route`, `pinned`, `trial` or
    /// `probe`, or what its strategy goes by: `fastest`, `steadiest`, `balanced`, `preferred` or `weighted`.
    pub why: &'static str,
    /// Where it stands.
    pub rank: Rank,
}

/// What is tried for one call, in order.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The candidates, the first to be tried first. Each offer is listed with every usable credential.
    pub candidates: Vec<Candidate>,
    /// How many of them are tried at most.
    pub max_attempts: usize,
    /// What a saving is measured against: the cheapest paid offer that could have done the job, sick or well, of
    /// the first model that has one.
    pub paid_alternative: Option<Arc<Offer>>,
    /// The strategy that put them in order; `None` for the usual one.
    pub strategy: Option<StrategyId>,
    /// The offers that are out, each with one reason.
    pub out: Vec<(OfferId, Why)>,
}

/// How many offers of an unusual order are remembered.
const REMEMBERED: usize = 4;

impl Candidate {
    /// Returns why it is tried, in one word, when others were tried before it or none.
    #[must_use]
    pub const fn told(&self, is_after_others: bool) -> &'static str {
        if is_after_others {
            "fallback"
        } else {
            self.why
        }
    }
}

/// Nothing can be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unroutable {
    /// The caller may use none of the models.
    #[error("the key may not use this model")]
    NotAllowed,
    /// No offer can do what the field `param` asks for.
    #[error("no offer of this model can do what `{param}` asks for")]
    NothingAble {
        /// The field of the request.
        param: &'static str,
    },
    /// The call does not fit into any window.
    #[error("the request is longer than the context window of the model")]
    ContextTooSmall,
    /// Everybody who could has reached a provider's limit.
    #[error("every provider of this model has reached its limit")]
    AllLimited {
        /// When it is worth asking again.
        retry_after: Duration,
    },
    /// Everybody who could is sick or paused.
    #[error("every offer of this model is paused")]
    AllCooling {
        /// When it is worth asking again.
        retry_after: Duration,
    },
    /// Every offer that could do it is outside the bounds of the strategy.
    #[error("no offer of this model is within the bounds of the strategy")]
    OutOfBounds {
        /// Whether that may pass: the offers are too slow or too unsteady, not too dear.
        may_pass: bool,
    },
    /// Nobody knows what it would cost.
    #[error("no offer of this model has a known price")]
    NoPrice,
}

impl Plan {
    /// Returns the first offers where somebody's strategy or route had a word in their order; else nothing, which takes
    /// no room.
    #[must_use]
    pub fn unusual(&self) -> Vec<OfferId> {
        let first = self.candidates.first();
        let is_routed = first.is_some_and(|first| matches!(first.why, "route" | "pinned"));
        if self.strategy.is_none() && !is_routed {
            return Vec::new();
        }
        let mut offers: Vec<OfferId> = self.candidates.iter().map(|one| one.offer.id).collect();
        offers.dedup();
        offers.truncate(REMEMBERED);
        offers
    }

    /// Returns the model that is tried first.
    #[must_use]
    pub fn model_in_play(&self) -> Option<&Arc<Model>> {
        self.candidates.first().map(|first| &first.offer.model)
    }
}

/// Orders the offers that can do the job, from the cheapest to the dearest.
///
/// When all of them keep failing, one call per second and model is let through to see who is back.
///
/// # Errors
/// None can do it, or may be asked now.
pub fn plan(
    resolved: &Resolved,
    need: &Need<'_>,
    health: &Health,
    now: Moment,
) -> Result<Plan, Unroutable> {
    let mut plan = survey(resolved, need, health, now);
    if plan.candidates.is_empty() {
        plan.candidates = probe(&plan, resolved, need, health, now);
    }
    if plan.candidates.is_empty() {
        let is_bounded = !need.strategy.bounds.is_paid_allowed;
        return Err(refusal(&plan.out, is_bounded, health, now));
    }
    Ok(plan)
}

/// Does what [`plan`] does, and returns what it found even when nothing can be tried.
#[must_use]
pub fn survey(resolved: &Resolved, need: &Need<'_>, health: &Health, now: Moment) -> Plan {
    let mut survey = Survey::new(resolved, need, health, now);
    for (place, link) in (0_u16..).zip(&resolved.chain.links) {
        survey.look_at(place, link);
    }
    survey.finish()
}

/// Lists the failing offers of the first model that may be probed now.
fn probe(
    plan: &Plan,
    resolved: &Resolved,
    need: &Need<'_>,
    health: &Health,
    now: Moment,
) -> Vec<Candidate> {
    let is_failing = |link: &&Link| {
        let failing = |(offer, why): &(OfferId, Why)| {
            matches!(why, Why::Failing(_)) && link.offers.iter().any(|one| one.id == *offer)
        };
        plan.out.iter().any(failing)
    };
    let mut failing = resolved.chain.links.iter().filter(is_failing);
    let probed = failing.find(|link| !need.is_rehearsal && health.may_probe(link.model.id, now));
    let Some(link) = probed else {
        return Vec::new();
    };
    let mut survey = Survey::new(resolved, need, health, now).of_the_failing();
    survey.look_at(0, link);
    let mut candidates = survey.finish().candidates;
    if plan.max_attempts < candidates.len() {
        // Whoever stands at the end must be asked sooner or later: it may be the one that is back.
        let second = usize::try_from(now.millis() / 1_000).unwrap_or_default();
        let turn = second % candidates.len();
        candidates.rotate_left(turn);
    }
    candidates
}

/// Says in the caller's terms why nothing is left.
fn refusal(out: &[(OfferId, Why)], is_bounded: bool, health: &Health, now: Moment) -> Unroutable {
    let whys = || out.iter().map(|(_, why)| *why);
    let probe = Duration::from_millis(health.settings().probe_every_ms);
    let pauses = whys().filter_map(|why| match why {
        Why::Limited(until) | Why::Cooling(until) => Some(until.since(now)),
        Why::Failing(_) => Some(probe),
        _ => None,
    });
    if let Some(retry_after) = pauses.min() {
        let is_sick = |why| matches!(why, Why::Cooling(_) | Why::Failing(_));
        return if whys().any(is_sick) {
            Unroutable::AllCooling { retry_after }
        } else {
            Unroutable::AllLimited { retry_after }
        };
    }
    let may_pass = whys().any(|why| matches!(why, Why::TooSlow | Why::Unsteady));
    let is_free_only = is_bounded && whys().any(|why| why == Why::NotFree);
    if may_pass || is_free_only || whys().any(|why| why == Why::TooDear) {
        return Unroutable::OutOfBounds { may_pass };
    }
    if whys().any(|why| why == Why::ContextTooSmall) {
        return Unroutable::ContextTooSmall;
    }
    let mut unable = whys().filter(|why| matches!(why, Why::Unable(_)));
    if let Some(why) = unable.next() {
        return Unroutable::NothingAble { param: why.param() };
    }
    if whys().any(|why| why == Why::NoPrice) {
        return Unroutable::NoPrice;
    }
    if whys().all(|why| why == Why::NotAllowed) {
        return Unroutable::NotAllowed;
    }
    Unroutable::NothingAble { param: "model" }
}

#[cfg(test)]
mod ordered;
#[cfg(test)]
mod routed;
#[cfg(test)]
mod tests;
