//! What a proxy permits by itself while Redis gives no answers: its share of rates, and of calls in flight.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    base::{Moment, OrganizationId},
    quota::{
        Ask, Bid, Limit, Meter, Mode,
        counter::{Counter, Shape},
    },
};

/// What a limit is while Redis is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::quota) enum Kind {
    /// It refuses nothing: it only counts.
    Shadow,
    /// So many per stretch of time.
    Rate,
    /// So many at once.
    InFlight,
    /// So much until a day or a month is over, or of money.
    Budget,
}

impl Kind {
    pub(in crate::quota) fn of(limit: &Limit, organization: OrganizationId) -> Self {
        if limit.mode == Mode::Shadow {
            return Self::Shadow;
        }
        match Counter::of(limit, organization).shape() {
            Shape::InFlight => Self::InFlight,
            Shape::Ring(_) if limit.meter != Meter::NanoUsd => Self::Rate,
            Shape::Ring(_) | Shape::Calendar => Self::Budget,
        }
    }
}

/// What this proxy permitted by itself: fixed windows, because half of nothing known is known exactly.
#[derive(Debug, Default)]
pub(in crate::quota) struct LocalShare {
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    rates: HashMap<Counter, (i64, u64)>,
    in_flight: HashMap<Counter, u64>,
}

/// A call's place among those in flight; given back when dropped.
#[derive(Debug)]
pub(in crate::quota) struct Place {
    share: Arc<LocalShare>,
    counters: Vec<Counter>,
}

/// One limit of a call, as this proxy counts it.
struct Line {
    counter: Counter,
    /// Which minute or hour; nothing for calls in flight.
    slot: Option<i64>,
    share: u64,
    need: u64,
}

impl LocalShare {
    /// Charges a bid to this proxy's share of rates and of calls in flight; nothing when one has no room. Budgets are
    /// not its business.
    pub(in crate::quota) fn take(
        self: &Arc<Self>,
        ask: &Ask<'_>,
        bid: &Bid,
        proxies: u64,
    ) -> Option<Place> {
        let lines: Vec<Line> = ask
            .limits
            .iter()
            .zip(&bid.tenant)
            .filter_map(|(limit, need)| Line::of(limit, *need, ask, proxies))
            .collect();
        let mut used = self.used();
        used.forget(ask.now);
        if lines
            .iter()
            .any(|line| line.share < used.of(line) + line.need)
        {
            return None;
        }
        let mut counters = Vec::new();
        for line in lines {
            if let Some(slot) = line.slot {
                used.rates.entry(line.counter).or_insert((slot, 0)).1 += line.need;
            } else {
                *used.in_flight.entry(line.counter).or_default() += line.need;
                counters.push(line.counter);
            }
        }
        Some(Place {
            share: Arc::clone(self),
            counters,
        })
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    fn of(limit: &Limit, need: u64, ask: &Ask<'_>, proxies: u64) -> Option<Self> {
        let kind = Kind::of(limit, ask.organization);
        let counter = Counter::of(limit, ask.organization);
        let slot = match kind {
            Kind::Rate => Some(slot_of(counter, ask.now)?),
            Kind::InFlight => None,
            Kind::Shadow | Kind::Budget => return None,
        };
        Some(Self {
            counter,
            slot,
            share: limit.amount / proxies.max(1),
            need,
        })
    }
}

impl Used {
    fn of(&self, line: &Line) -> u64 {
        match line.slot {
            Some(_) => self.rates.get(&line.counter).map_or(0, |(_, have)| *have),
            None => self.in_flight.get(&line.counter).copied().unwrap_or(0),
        }
    }

    /// Forgets minutes and hours that are over.
    fn forget(&mut self, now: Moment) {
        self.rates
            .retain(|counter, (slot, _)| slot_of(*counter, now) == Some(*slot));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut used = self.share.used();
        for counter in &self.counters {
            if let Some(held) = used.in_flight.get_mut(counter) {
                *held = held.saturating_sub(1);
            }
        }
        used.in_flight.retain(|_, held| 0 < *held);
    }
}

fn slot_of(counter: Counter, now: Moment) -> Option<i64> {
    match counter.shape() {
        Shape::Ring(length) => now.millis().checked_div(i64::try_from(length).ok()?),
        Shape::InFlight | Shape::Calendar => None,
    }
}
