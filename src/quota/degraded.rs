//! What happens while Redis gives no answers: closed for money and allowances; for rates closed too, unless the
//! operator lets each proxy permit its own share.

use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use serde::Deserialize;

use super::{
    Bid, Limit, Meter, Mode,
    counter::{Counter, Shape},
};
use crate::base::{Moment, OrganizationId};

/// How many failures in a row make callers stop asking.
const FAILURES: u32 = 5;

/// What to do with calls while Redis is away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenAway {
    /// Refuse every call that has a limit.
    #[default]
    Refuse,
    /// Let each proxy permit its share of limits that are rates; refuse every call that has another.
    LocalShare,
}

/// Stops callers from asking a Redis that does not answer.
///
/// No caller is made to try whether it is back: the ledger's beat does, several times a second.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    failures: AtomicU32,
    is_shut: AtomicBool,
}

impl Breaker {
    /// Says whether callers may ask.
    pub(super) fn permits(&self) -> bool {
        !self.is_shut.load(Ordering::Acquire)
    }

    /// Notes an answer, whatever it said.
    pub(super) fn heard(&self) {
        self.failures.store(0, Ordering::Relaxed);
        self.is_shut.store(false, Ordering::Release);
    }

    /// Notes that the connection failed.
    pub(super) fn failed(&self) {
        if FAILURES
            <= self
                .failures
                .fetch_add(1, Ordering::Relaxed)
                .saturating_add(1)
        {
            self.is_shut.store(true, Ordering::Release);
        }
    }

    /// Notes a whole deadline of silence: one caller's patience is enough to know that Redis stands still.
    pub(super) fn silent(&self) {
        self.is_shut.store(true, Ordering::Release);
    }
}

/// What this proxy permitted by itself: fixed windows, because half of nothing known is known exactly.
#[derive(Debug, Default)]
pub(super) struct LocalShare {
    used: Mutex<HashMap<Counter, (i64, u64)>>,
}

impl LocalShare {
    /// Returns the first bid that fits this proxy's share, and charges it; nothing when a limit is not a rate.
    pub(super) fn admit(
        &self,
        organization: OrganizationId,
        limits: &[Limit],
        bids: &[Bid],
        now: Moment,
        proxies: u64,
    ) -> Option<usize> {
        let rates: Vec<(Counter, i64, u64)> = limits
            .iter()
            .map(|limit| rate(limit, organization, now, proxies))
            .collect::<Option<_>>()?;
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.retain(|counter, (slot, _)| slot_of(*counter, now).is_some_and(|now| *slot == now));
        let bid = bids.iter().position(|bid| {
            bid.own.is_empty()
                && rates
                    .iter()
                    .zip(&bid.tenant)
                    .all(|((counter, _, share), amount)| {
                        let have = used.get(counter).map_or(0, |(_, have)| *have);
                        have.saturating_add(*amount) <= *share
                    })
        })?;
        for ((counter, slot, _), amount) in rates.iter().zip(&bids.get(bid)?.tenant) {
            used.entry(*counter).or_insert((*slot, 0)).1 += amount;
        }
        Some(bid)
    }
}

fn rate(
    limit: &Limit,
    organization: OrganizationId,
    now: Moment,
    proxies: u64,
) -> Option<(Counter, i64, u64)> {
    let counter = Counter::of(limit, organization);
    let slot = slot_of(counter, now)?;
    let share = match limit.mode {
        Mode::Enforce => limit.amount / proxies.max(1),
        Mode::Shadow => u64::MAX,
    };
    (limit.meter != Meter::NanoUsd).then_some((counter, slot, share))
}

fn slot_of(counter: Counter, now: Moment) -> Option<i64> {
    match counter.shape() {
        Shape::Ring(length) => now.millis().checked_div(i64::try_from(length).ok()?),
        Shape::InFlight | Shape::Calendar => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_failures_shut_and_one_answer_opens() {
        let breaker = Breaker::default();
        for _ in 0..FAILURES {
            assert!(breaker.permits());
            breaker.failed();
        }
        assert!(!breaker.permits());

        breaker.heard();

        assert!(breaker.permits());
    }

    #[test]
    fn one_deadline_of_silence_shuts_at_once() {
        let breaker = Breaker::default();

        breaker.silent();

        assert!(!breaker.permits());
    }
}
