//! One slice: an amount of each limit that Redis holds once and this proxy spends call by call.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::Order;
use crate::{
    base::RequestId,
    quota::{
        Actual, Bid, Hold, Limit, Meter,
        desk::Desk,
        hold::{Counters, End},
    },
};

/// How long the books may take to learn of a slice's calls: no call and no outage they recover from is longer.
const FORGOTTEN: Duration = Duration::from_hours(24);

/// What Redis holds for calls that have not come yet.
#[derive(Debug)]
pub(in crate::quota) struct Slice {
    id: RequestId,
    /// Past it nothing is spent: the windows it was charged to might not count it any more.
    until: Instant,
    /// The tenant's limits.
    limits: Vec<Limit>,
    /// What was taken of them, and of the candidate's own.
    bid: Bid,
    /// The same, and what each line counts: the limits in their order, then the candidate's own.
    total: Vec<u64>,
    meters: Vec<Meter>,
    desk: Arc<Desk>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Of each line; negative where calls used more than they held.
    left: Vec<i64>,
    /// What all its ended calls used.
    used: Actual,
    open: usize,
    unbooked: usize,
    is_closed: bool,
    /// None once its end was told.
    hold: Option<Hold>,
}

/// One call's part of a slice.
#[derive(Debug)]
pub(in crate::quota) struct Part {
    slice: Arc<Slice>,
    amounts: Vec<u64>,
}

/// How much of a slice was left after a call took its part.
pub(in crate::quota) struct Spent {
    pub(in crate::quota) part: Part,
    pub(super) left: Vec<u64>,
    pub(super) is_running_out: bool,
}

/// Returns what a bid takes of each line.
pub(super) fn amounts(bid: &Bid) -> Vec<u64> {
    let own = bid.own.iter().map(|charge| charge.amount);
    bid.tenant.iter().copied().chain(own).collect()
}

impl Slice {
    pub(in crate::quota) fn new(
        hold: Hold,
        order: &Order,
        until: Instant,
        desk: Arc<Desk>,
    ) -> Arc<Self> {
        let id = hold.id();
        let (limits, bid) = (order.limits.clone(), order.bid.clone());
        let total = amounts(&bid);
        let own = bid.own.iter().map(|charge| charge.limit.meter);
        let meters = limits.iter().map(|limit| limit.meter).chain(own).collect();
        let state = State {
            left: total.iter().map(|amount| signed(*amount)).collect(),
            used: Actual::default(),
            open: 0,
            unbooked: 0,
            is_closed: false,
            hold: Some(hold),
        };
        Arc::new(Self {
            id,
            until,
            limits,
            bid,
            total,
            meters,
            desk,
            state: Mutex::new(state),
        })
    }

    pub(in crate::quota) fn id(&self) -> RequestId {
        self.id
    }

    pub(in crate::quota) fn limits(&self) -> &[Limit] {
        &self.limits
    }

    /// Gives a call its part; nothing when the slice has not enough or is over.
    pub(in crate::quota) fn spend(
        self: &Arc<Self>,
        id: RequestId,
        bid: &Bid,
        now: Instant,
    ) -> Option<Spent> {
        if self.until <= now {
            return None;
        }
        let amounts = amounts(bid);
        let mut state = self.state();
        let mut pairs = state.left.iter().zip(&amounts);
        if state.is_closed || pairs.any(|(left, amount)| *left < signed(*amount)) {
            return None;
        }
        for (left, amount) in state.left.iter_mut().zip(&amounts) {
            *left -= signed(*amount);
        }
        state.open += 1;
        state.unbooked += 1;
        let left: Vec<u64> = state.left.iter().map(|left| unsigned(*left)).collect();
        drop(state);
        self.desk.join(id, Arc::clone(self));
        let mut shares = left.iter().zip(&self.total);
        let is_running_out = shares.any(|(left, total)| *left <= total / 4);
        Some(Spent {
            part: Part {
                slice: Arc::clone(self),
                amounts,
            },
            left,
            is_running_out,
        })
    }

    /// Lets nothing more be spent. Returns what its open and ended calls need together, when some are open and
    /// something is left over.
    pub(in crate::quota) fn close(&self) -> Option<Bid> {
        let mut state = self.state();
        if state.is_closed {
            return None;
        }
        state.is_closed = true;
        if state.open == 0 {
            self.tell(state);
            return None;
        }
        let lines = state.left.iter().zip(&self.total);
        let mut needed = lines.map(|(left, total)| total.saturating_sub(unsigned(*left)));
        let mut bid = self.bid.clone();
        let own = bid.own.iter_mut().map(|charge| &mut charge.amount);
        for amount in bid.tenant.iter_mut().chain(own) {
            *amount = needed.next().unwrap_or(*amount);
        }
        (amounts(&bid) != self.total).then_some(bid)
    }

    /// Notes that the books know one of its calls.
    pub(in crate::quota) fn booked(&self) {
        let mut state = self.state();
        state.unbooked = state.unbooked.saturating_sub(1);
        let is_done = state.hold.is_none() && state.unbooked == 0;
        drop(state);
        if is_done {
            self.desk.booked(self.id);
        }
    }

    /// Says whether nobody will tell it anything any more.
    pub(in crate::quota) fn is_forgotten(&self, now: Instant) -> bool {
        self.until + FORGOTTEN < now
    }

    pub(in crate::quota) fn is_over(&self, now: Instant) -> bool {
        self.until <= now
    }

    /// Takes back what a call did not use.
    fn end(&self, id: RequestId, amounts: &[u64], end: End) {
        let actual = match end {
            End::Used(actual) => actual,
            End::Cancelled => Actual::default(),
            End::AsHeld => self.bound(amounts),
        };
        let mut state = self.state();
        state.used = state.used.plus(actual);
        let lines = self.meters.iter().zip(amounts);
        for (left, (meter, amount)) in state.left.iter_mut().zip(lines) {
            let truth = meter.of(&actual);
            *left += signed(*amount) - signed(truth);
            if *amount < truth {
                Counters::add(&self.desk.counters.overruns, 1);
            }
        }
        state.open = state.open.saturating_sub(1);
        if end == End::Cancelled && self.desk.leave(id).is_some() {
            state.unbooked = state.unbooked.saturating_sub(1);
        }
        if state.is_closed && state.open == 0 {
            self.tell(state);
        }
    }

    /// Ends the hold with what all calls used, once.
    fn tell(&self, mut state: MutexGuard<'_, State>) {
        let hold = state.hold.take();
        let (used, is_booked) = (state.used, state.unbooked == 0);
        drop(state);
        if let Some(hold) = hold {
            hold.end(End::Used(used));
            if is_booked {
                self.desk.booked(self.id);
            }
        }
    }

    /// Returns the least use that no line would count less of than was held.
    fn bound(&self, amounts: &[u64]) -> Actual {
        let most = |wanted: Meter| {
            let lines = self.meters.iter().zip(amounts);
            let held = lines.filter(|(meter, _)| **meter == wanted);
            held.map(|(_, amount)| *amount).max().unwrap_or_default()
        };
        let (input, output) = (most(Meter::InputTokens), most(Meter::OutputTokens));
        let total = most(Meter::TotalTokens);
        Actual {
            requests: most(Meter::Requests),
            input,
            output: output.max(total.saturating_sub(input)),
            cost_nano_usd: most(Meter::NanoUsd),
            list_nano_usd: most(Meter::Credits),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Part {
    pub(in crate::quota) fn count_dropped(&self) {
        Counters::add(&self.slice.desk.counters.dropped, 1);
    }

    /// Ends the call it was held for.
    pub(in crate::quota) fn end(self, id: RequestId, end: End) {
        self.slice.end(id, &self.amounts, end);
    }
}

fn signed(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}

fn unsigned(amount: i64) -> u64 {
    u64::try_from(amount).unwrap_or_default()
}
