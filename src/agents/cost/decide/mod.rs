//! Where a route leads next: a pure choice over what is known of its offers and its own traffic.
//!
//! Free before paid; a paid one only when it is strictly more than a fifth cheaper on this very traffic; never from
//! free to paid.

use std::{cmp::Reverse, collections::BTreeSet};

use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    base::{Moment, NanoUsd, OfferId, Tokens, Usage},
    catalog::{Price, Tier},
    routing::Cause,
};

/// Below this score an offer is left, and none is taken.
pub const LEAST_SCORE: u8 = 70;
/// A paid offer must cost less than this share of the present one: of 100.
const LESS_THAN_PERCENT: u128 = 80;

/// An offer a route may lead to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The offer.
    pub offer: OfferId,
    /// Who sells it.
    pub provider: String,
    /// Does it cost money?
    pub tier: Tier,
    /// What; of a free offer, its list price.
    pub price: Option<Price>,
    /// The version of the price book that says so.
    pub price_book: String,
    /// 0: the route's own model; else how far down the list of those that stand in for it.
    pub distance: u16,
    /// Does it meet the needs of the route's traffic?
    pub is_able: bool,
    /// How well it does, of 100; `None` when nobody knows anything against it.
    pub score: Option<u8>,
}

/// What went along a route in a stretch of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Mix {
    /// Calls.
    pub requests: u64,
    /// Tokens read, cached ones included.
    pub input_tokens: u64,
    /// Of these, read from the provider's cache.
    pub cached_tokens: u64,
    /// Of these, written to it.
    pub cache_write_tokens: u64,
    /// Tokens written, reasoning included.
    pub output_tokens: u64,
    /// Of these, reasoning.
    pub reasoning_tokens: u64,
}

/// Everything a choice is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Where it leads now.
    pub now: Place,
    /// Where else it may lead; the present offer may be among them.
    pub others: Vec<Place>,
    /// Offers the route was put back from lately.
    pub shunned: BTreeSet<OfferId>,
    /// Its traffic.
    pub mix: Mix,
    /// When the traffic was counted: not before, and before.
    pub window: (Moment, Moment),
}

/// Where a route should lead.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// To which offer.
    pub to: OfferId,
    /// Why.
    pub cause: Cause,
    /// What a million tokens of this traffic cost less.
    pub saving_per_million: i64,
    /// How that was computed.
    pub arithmetic: Value,
}

impl Place {
    fn is_well(&self) -> bool {
        self.score.is_none_or(|score| LEAST_SCORE <= score)
    }
}

impl Mix {
    /// Returns what it costs at a place, rounded up once; nothing where calls are free, `None` where nobody knows.
    #[must_use]
    pub fn cost(&self, place: &Place) -> Option<NanoUsd> {
        let price = place.price.as_ref();
        match place.tier {
            Tier::Free => Some(NanoUsd::ZERO),
            Tier::Paid => price.map(|price| self.priced(price)),
        }
    }

    fn priced(&self, price: &Price) -> NanoUsd {
        let calls = price.per_request.0.saturating_mul(self.requests);
        let tokens = Price {
            per_request: NanoUsd::ZERO,
            ..*price
        };
        tokens.of(&self.usage()) + NanoUsd(calls)
    }

    fn usage(&self) -> Usage {
        Usage {
            input: Tokens(self.input_tokens),
            cached: Tokens(self.cached_tokens),
            cache_write: Tokens(self.cache_write_tokens),
            output: Tokens(self.output_tokens),
            reasoning: Tokens(self.reasoning_tokens),
        }
    }

    fn tokens(&self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }
}

/// Chooses where the route leads next; `None` leaves it where it is.
#[must_use]
pub fn choose(question: &Question) -> Option<Choice> {
    let Question { now, mix, .. } = question;
    if mix.tokens() == 0 || (now.tier == Tier::Free && now.is_well()) {
        return None;
    }
    let present = mix.cost(now)?;
    let (to, cause) = match (free(question), now.tier) {
        (Some(free), Tier::Paid) => (free, Cause::Free),
        (Some(free), Tier::Free) => (free, Cause::Unhealthy),
        (None, Tier::Paid) => (cheaper(question, present)?, Cause::Cheaper),
        (None, Tier::Free) => return None,
    };
    let cost = mix.cost(to)?;
    let saving = present.less(cost);
    let saving_per_million = per_million(saving, mix.tokens());
    Some(Choice {
        to: to.offer,
        cause,
        saving_per_million,
        arithmetic: json!({
            "from_at": question.window.0, "until": question.window.1, "mix": mix,
            "from": told(now, present), "to": told(to, cost),
            "saving_nano_usd": saving, "tokens": mix.tokens(),
            "saving_per_million_nano_usd": saving_per_million,
        }),
    })
}

/// The places a route may go to.
fn open(question: &Question) -> impl Iterator<Item = &Place> {
    let others = question.others.iter();
    others.filter(|place| {
        place.offer != question.now.offer
            && place.is_able
            && place.is_well()
            && !question.shunned.contains(&place.offer)
    })
}

/// The best free offer: of the nearest model, then the one that does best.
fn free(question: &Question) -> Option<&Place> {
    let free = open(question).filter(|place| place.tier == Tier::Free);
    free.min_by_key(|place| {
        let score = place.score.unwrap_or(100);
        (place.distance, Reverse(score), place.offer)
    })
}

/// The cheapest paid offer, if it is clearly cheaper than the present one.
fn cheaper(question: &Question, present: NanoUsd) -> Option<&Place> {
    let paid = open(question).filter(|place| place.tier == Tier::Paid);
    let priced = paid.filter_map(|place| Some((question.mix.cost(place)?, place)));
    let (cost, place) = priced.min_by_key(|(cost, place)| (*cost, place.distance, place.offer))?;
    let is_clearly_cheaper = u128::from(cost.0) * 100 < u128::from(present.0) * LESS_THAN_PERCENT;
    is_clearly_cheaper.then_some(place)
}

fn told(place: &Place, cost: NanoUsd) -> Value {
    json!({
        "offer_id": place.offer, "provider": place.provider, "tier": place.tier, "price_book": place.price_book,
        "price": place.price, "cost_nano_usd": cost,
    })
}

/// Returns what a million of `tokens` save, rounded down.
fn per_million(saving: NanoUsd, tokens: u64) -> i64 {
    let per_million = u128::from(saving.0) * 1_000_000 / u128::from(tokens.max(1));
    i64::try_from(per_million).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
