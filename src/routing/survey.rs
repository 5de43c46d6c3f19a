//! One look over the offers of a call: who is a candidate, who is out, and the order of those who are in.

use std::sync::Arc;

use super::{
    health::{Availability, Health, Look},
    miser::Rank,
    need::{Need, Why},
    plan::{Candidate, Plan},
    route::Route,
    strategy::{self, Kind, per_million},
};
use crate::{
    base::{CredentialId, Moment, NanoUsd, OfferId},
    catalog::{Credential, Link, Offer, Resolved, Tier, provider::Auth},
};

/// A plan in the making.
pub(super) struct Survey<'a> {
    resolved: &'a Resolved,
    need: &'a Need<'a>,
    look: Look<'a>,
    now: Moment,
    /// Whether those who fail are wanted, instead of those who are well.
    is_of_the_failing: bool,
    /// The cheapest paid offer so far; the models of a chain come one after the other.
    cheapest_paid: Option<(u16, NanoUsd, OfferId, &'a Arc<Offer>)>,
    plan: Plan,
}

impl<'a> Survey<'a> {
    pub(super) fn new(
        resolved: &'a Resolved,
        need: &'a Need<'a>,
        health: &'a Health,
        now: Moment,
    ) -> Self {
        let offers = resolved.chain.links.iter().map(|link| link.offers.len());
        Self {
            resolved,
            need,
            look: health.look(),
            now,
            is_of_the_failing: false,
            cheapest_paid: None,
            plan: Plan {
                candidates: Vec::with_capacity(offers.sum()),
                max_attempts: health.settings().max_attempts,
                paid_alternative: None,
                strategy: need.strategy.id,
                out: Vec::new(),
            },
        }
    }

    /// Looks for those who fail instead of those who are well.
    pub(super) fn of_the_failing(self) -> Self {
        Self {
            is_of_the_failing: true,
            ..self
        }
    }

    /// Sorts the offers of one model of the chain into candidates and others.
    pub(super) fn look_at(&mut self, place: u16, link: &'a Link) {
        let allowed = self.need.allowed_models;
        let is_allowed = allowed.is_none_or(|names| self.resolved.is_allowed(&link.model, names));
        for offer in &link.offers {
            let judged = if is_allowed {
                self.consider(place, offer)
            } else {
                Err(Why::NotAllowed)
            };
            if let Err(why) = judged {
                self.plan.out.push((offer.id, why));
            }
        }
    }

    /// Orders the candidates.
    pub(super) fn finish(mut self) -> Plan {
        if !self.is_miserly() {
            let candidates = &mut self.plan.candidates;
            strategy::score(self.need.strategy, candidates, &self.look, self.need.seed);
        }
        self.plan
            .candidates
            .sort_unstable_by_key(|candidate| candidate.rank);
        if !self.is_of_the_failing {
            self.settle_doubts();
        }
        self.plan.paid_alternative = self.cheapest_paid.map(|(.., offer)| Arc::clone(offer));
        self.plan
    }

    fn consider(&mut self, place: u16, offer: &'a Arc<Offer>) -> Result<(), Why> {
        self.need.judge(offer)?;
        let expected_cost = offer.cost(&self.need.expected()).ok_or(Why::NoPrice)?;
        let bound_cost = bound(offer, self.need);
        let is_paid = bound_cost != NanoUsd::ZERO;
        if is_paid {
            self.note_paid(place, expected_cost, offer);
        }
        if is_paid && (self.need.is_free_only || !self.need.strategy.bounds.is_paid_allowed) {
            return Err(Why::NotFree);
        }
        self.keep_bounds(offer, expected_cost)?;
        let stand = self.stand(place, offer);
        let candidate = Candidate {
            offer: Arc::clone(offer),
            credential: None,
            expected_cost,
            bound_cost,
            why: stand.why.unwrap_or_else(|| self.reason(place, is_paid)),
            rank: Rank {
                is_doubtful: false,
                is_paid: is_paid && !stand.is_insisted_on && self.is_miserly(),
                link: stand.link,
                is_elsewhere: stand.is_elsewhere,
                score: 0,
                cost: expected_cost,
                latency_ms: self.look.latency_ms(offer.id).unwrap_or_default(),
                preference: offer.preference,
                offer: offer.id,
                credential: 0,
            },
        };
        self.list_with_credentials(candidate)
    }

    fn list_with_credentials(&mut self, candidate: Candidate) -> Result<(), Why> {
        let provider = Arc::clone(&candidate.offer.provider);
        if provider.credentials.is_empty() || provider.quirks.auth == Auth::None {
            return self.list(candidate);
        }
        let mut verdict = Err(Why::NoCredential);
        let keys = provider.credentials_of(self.need.organization);
        for (number, key) in (0_u16..).zip(keys) {
            let mut candidate = candidate.clone();
            candidate.credential = Some(Arc::clone(key));
            candidate.rank.credential = number;
            let listed = self.list(candidate);
            verdict = match (verdict, listed) {
                (Err(one), Err(other)) => Err(sooner(one, other)),
                _ => Ok(()),
            };
        }
        verdict
    }

    fn list(&mut self, mut candidate: Candidate) -> Result<(), Why> {
        let key = id_of(candidate.credential.as_ref());
        let availability = self.look.availability(candidate.offer.id, key, self.now);
        match (availability, self.is_of_the_failing) {
            (Availability::Limited(until), _) => return Err(Why::Limited(until)),
            (Availability::Cooling(until), _) => return Err(Why::Cooling(until)),
            (Availability::Failing(until), false) => return Err(Why::Failing(until)),
            (Availability::Ready, _) => {}
            (Availability::OnTrial, false) => {
                candidate.why = "trial";
                candidate.rank.is_doubtful = !self.need.is_rehearsal;
            }
            (Availability::Failing(_) | Availability::OnTrial, true) => candidate.why = "probe",
        }
        self.plan.candidates.push(candidate);
        Ok(())
    }

    /// Gives the doubtful their chance: one that would stand first but for its failures is tried once a second.
    /// The others stay behind all who are well. When nobody is well, the doubtful are out like the failing.
    fn settle_doubts(&mut self) {
        let candidates = &mut self.plan.candidates;
        let well = candidates.partition_point(|candidate| !candidate.rank.is_doubtful);
        let Some(best) = candidates.first().map(|first| first.rank) else {
            return;
        };
        if well == 0 {
            let doubtful = candidates.drain(..);
            let out = doubtful.map(|one| (one.offer.id, Why::Failing(self.now)));
            self.plan.out.extend(out);
            return;
        }
        let would_lead = |one: &&Candidate| one.rank.without_doubt() < best;
        let mut leaders = candidates.iter().skip(well).take_while(would_lead);
        let chance = leaders.position(|one| {
            let key = id_of(one.credential.as_ref());
            self.look.may_try(one.offer.id, key, self.now)
        });
        if let Some(place) = chance
            && let Some(leaders) = candidates.get_mut(..=well + place)
        {
            leaders.rotate_right(1);
            if let Some(first) = leaders.first_mut() {
                first.rank = first.rank.without_doubt();
            }
        }
    }

    fn note_paid(&mut self, place: u16, cost: NanoUsd, offer: &'a Arc<Offer>) {
        let key = (place, cost, offer.id);
        let is_cheaper = self
            .cheapest_paid
            .is_none_or(|(place, cost, id, _)| key < (place, cost, id));
        if is_cheaper {
            self.cheapest_paid = Some((place, cost, offer.id, offer));
        }
    }

    /// Says what the organization's routes make of an offer.
    fn stand(&self, place: u16, offer: &Offer) -> Stand {
        let plain = Stand {
            link: place,
            is_elsewhere: false,
            is_insisted_on: false,
            why: None,
        };
        let Some(routes) = self.need.routes else {
            return plain;
        };
        let links = (0_u16..).zip(&self.resolved.chain.links);
        for (link, first) in links.take_while(|(link, _)| *link <= place) {
            match routes.of(first.model.id) {
                // Whoever wants another order than the miser's has no use for where the miser would go.
                Some(route) if !route.is_pinned && !self.is_miserly() => {}
                Some(route) if route.offer == offer.id => return Stand::first(link, route),
                Some(_) if link == place => {
                    return Stand {
                        is_elsewhere: true,
                        ..plain
                    };
                }
                _ => {}
            }
        }
        plain
    }

    /// Says whether what is left to measure is within the bounds of the strategy. What was not measured lately is: else
    /// it never would be again.
    fn keep_bounds(&self, offer: &Offer, expected_cost: NanoUsd) -> Result<(), Why> {
        let bounds = &self.need.strategy.bounds;
        let tokens = self.need.input_expected + self.need.output_expected;
        let is_too_dear = |most| most < per_million(expected_cost, tokens);
        if bounds.max_cost_per_million.is_some_and(is_too_dear) {
            return Err(Why::TooDear);
        }
        if bounds.max_latency_ms.is_none() && bounds.min_success_percent.is_none() {
            return Ok(());
        }
        let Some(lately) = self.look.lately(offer.id, self.now) else {
            return Ok(());
        };
        let is_too_slow = |most| lately.median_ms.is_some_and(|median| most < median);
        if bounds.max_latency_ms.is_some_and(is_too_slow) {
            return Err(Why::TooSlow);
        }
        let is_unsteady = |percent: u8| lately.success_ppm < u32::from(percent) * 10_000;
        if bounds.min_success_percent.is_some_and(is_unsteady) {
            return Err(Why::Unsteady);
        }
        Ok(())
    }

    fn is_miserly(&self) -> bool {
        self.need.strategy.kind == Kind::Miser
    }

    fn reason(&self, place: u16, is_paid: bool) -> &'static str {
        if self.resolved.pinned.is_some() {
            return "pinned";
        }
        if let Some(why) = self.need.strategy.kind.why() {
            return why;
        }
        match (is_paid, place) {
            (false, _) => "free",
            (true, 0) => "cheapest",
            (true, _) => "fallback",
        }
    }
}

/// What routes make of an offer.
struct Stand {
    /// The place of the model it serves; one that stands in serves the model whose route prefers it.
    link: u16,
    is_elsewhere: bool,
    is_insisted_on: bool,
    why: Option<&'static str>,
}

impl Stand {
    const fn first(link: u16, route: &Route) -> Self {
        Self {
            link,
            is_elsewhere: false,
            is_insisted_on: route.is_pinned,
            why: Some(if route.is_pinned { "pinned" } else { "route" }),
        }
    }
}

fn id_of(credential: Option<&Arc<Credential>>) -> Option<CredentialId> {
    credential.map(|key| key.id)
}

fn bound(offer: &Offer, need: &Need<'_>) -> NanoUsd {
    let price = offer.price.as_ref().filter(|_| offer.tier == Tier::Paid);
    price.map_or(NanoUsd::ZERO, |price| {
        price.bound(need.input_bound, need.output_bound)
    })
}

/// Of two reasons the one that passes first; one that does not pass is no news beside one that does.
fn sooner(one: Why, other: Why) -> Why {
    let until = |why| match why {
        Why::Limited(until) | Why::Cooling(until) | Why::Failing(until) => Some(until),
        _ => None,
    };
    match (until(one), until(other)) {
        (Some(first), Some(second)) if first <= second => one,
        (Some(_), None) => one,
        _ => other,
    }
}
