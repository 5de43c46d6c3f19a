//! Where candidates stand by another measure than money. Whole numbers only: the same on every machine.

use super::{Kind, Strategy};
use crate::{
    base::OfferId,
    routing::{health::Look, plan::Candidate},
};

/// A whole of which successes are parts.
const MILLION: u64 = 1_000_000;

/// The largest part a measure has in a balance.
const FULL: u64 = 1_000;

/// Gives every candidate its score: the smaller goes first. Who was never measured goes first, and then is.
pub(in crate::routing) fn score(
    strategy: &Strategy,
    candidates: &mut [Candidate],
    look: &Look<'_>,
    seed: u64,
) {
    let Some(most) = candidates
        .iter()
        .map(|one| Measured::of(one, look))
        .reduce(Measured::max)
    else {
        return;
    };
    for one in candidates {
        let measured = Measured::of(one, look);
        one.rank.score = match strategy.kind {
            Kind::Miser => 0,
            Kind::Performance => measured.latency,
            Kind::Reliability => measured.failures,
            Kind::Balanced => measured.balance(&most, strategy),
            Kind::Priority => u64::from(one.offer.preference.abs_diff(i32::MIN)),
            Kind::Weighted => lot(seed, one.offer.id, strategy.weight_of(&one.offer)),
        };
    }
}

/// What is known of a candidate; more is worse.
#[derive(Clone, Copy)]
struct Measured {
    cost: u64,
    latency: u64,
    /// Of a million calls.
    failures: u64,
}

impl Measured {
    fn of(one: &Candidate, look: &Look<'_>) -> Self {
        let success = look.success_ppm(one.offer.id).map_or(MILLION, u64::from);
        Self {
            cost: one.expected_cost.0,
            latency: look.median_ms(one.offer.id).map_or(0, u64::from),
            failures: MILLION.saturating_sub(success),
        }
    }

    fn max(self, other: Self) -> Self {
        Self {
            cost: self.cost.max(other.cost),
            latency: self.latency.max(other.latency),
            failures: self.failures.max(other.failures),
        }
    }

    /// Adds up how bad each measure is beside the worst candidate, as it weighs.
    fn balance(self, most: &Self, strategy: &Strategy) -> u64 {
        let part = |value: u64, most: u64, name: &str| {
            let full = u128::from(value) * u128::from(FULL) / u128::from(most.max(1));
            let part = u64::try_from(full).unwrap_or(FULL);
            part.saturating_mul(u64::from(strategy.weight(name)))
        };
        part(self.cost, most.cost, "cost")
            .saturating_add(part(self.latency, most.latency, "latency"))
            // Failures are measured against all calls: one in a million is no reason to go elsewhere.
            .saturating_add(part(self.failures, MILLION, "success"))
    }
}

/// Draws a lot: of many calls, an offer goes first in as many as its weight is of all weights. The same call draws
/// the same lot. Who weighs nothing goes last.
fn lot(seed: u64, offer: OfferId, weight: u32) -> u64 {
    if weight == 0 {
        return u64::MAX;
    }
    let (high, low) = offer.0.as_u64_pair();
    let drawn = mixed(mixed(seed ^ high) ^ low);
    // The exponential race: -log(u)/w is smallest in w of all cases.
    let drawn = u32::try_from(drawn >> 32).unwrap_or(u32::MAX).max(1);
    let logarithm = (32_u64 << 16).saturating_sub(log2(drawn));
    (logarithm << 24) / u64::from(weight)
}

/// Spreads a number over all numbers (the finalizer of `SplitMix64`).
const fn mixed(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// The binary logarithm in sixteenths of a bit of a bit: sixteen bits before and sixteen behind the point.
fn log2(number: u32) -> u64 {
    let whole = number.checked_ilog2().unwrap_or_default();
    let mut rest = u64::from(number) << (32 - whole);
    let mut bits = u64::from(whole);
    for _ in 0..16 {
        let squared = (u128::from(rest) * u128::from(rest)) >> 32;
        let is_above = 1_u128 << 33 <= squared;
        bits = bits << 1 | u64::from(is_above);
        let halved = if is_above { squared >> 1 } else { squared };
        rest = u64::try_from(halved).unwrap_or(u64::MAX);
    }
    bits
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn the_logarithm_is_one() {
        assert_eq!(log2(1), 0);
        assert_eq!(log2(1 << 31), 31 << 16);
        // 2^1.5849625
        assert_eq!(log2(3), 103_872);
        assert!((1..10_000_u32).all(|number| log2(number) <= log2(number + 1)));
    }

    #[test]
    fn of_many_lots_each_wins_as_many_as_it_weighs() {
        let offers = [(1, 5_u32), (2, 3), (3, 2), (4, 0)].map(|(id, weight)| {
            let id = OfferId(Uuid::from_u128(id));
            (id, weight)
        });
        let mut wins = [0_u32; 4];
        for seed in 0..20_000 {
            let lots = offers.map(|(id, weight)| lot(seed, id, weight));
            let first = (0..4).min_by_key(|place| lots[*place]).unwrap();
            wins[first] += 1;
        }

        for (won, (_, weight)) in wins.iter().zip(offers) {
            assert!(won.abs_diff(weight * 2_000) < 300, "{wins:?}");
        }
    }

    #[test]
    fn the_same_call_draws_the_same_lot() {
        let id = OfferId(Uuid::from_u128(77));

        assert_eq!(lot(5, id, 3), lot(5, id, 3));
        assert_ne!(lot(5, id, 3), lot(6, id, 3));
    }
}
