//! One kind of call: how often it comes, what was left of its limits, and the slices it spends.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::slice::Slice;
use crate::{
    base::OrganizationId,
    quota::{Ask, Bid, Hold, Limit, Standing},
};

/// Over how long calls are counted: a slice is meant to last about as long.
const PACE: Duration = Duration::from_millis(250);
/// From how many calls in that time on a kind is hot. Below, a slice would not pay.
const HOT: u32 = 16;
/// What part of what is left one slice takes at most: near the edge every call is decided by Redis.
const SHARE: u64 = 64;
/// The fewest calls a slice is taken for.
const FEWEST: u64 = 4;
/// How long no slice is asked for after one was refused.
const REST: Duration = Duration::from_millis(500);
/// How long an unspent slice is kept.
const IDLE: Duration = Duration::from_millis(200);
/// How long a kind of call is remembered that does not come.
const FORGOTTEN: Duration = Duration::from_secs(10);

/// One kind of call.
#[derive(Debug)]
pub(super) struct Track {
    organization: OrganizationId,
    limits: Vec<Limit>,
    own: Vec<Limit>,
    /// When the calls being counted began to be, how many they are, and how many there were the time before.
    since: Instant,
    calls: u32,
    pace: u32,
    /// What was left of the tenant's limits when Redis was asked last.
    standings: Vec<Standing>,
    slice: Option<Held>,
    next: Option<Held>,
    /// Whether little is left of the slice being spent.
    is_running_out: bool,
    /// Until when no other slice is asked for: one is coming, or was refused.
    quiet_until: Option<Instant>,
    last_call: Instant,
}

/// A slice, and what was left beside it.
#[derive(Debug)]
struct Held {
    slice: Arc<Slice>,
    standings: Vec<Standing>,
    taken: Instant,
}

impl Track {
    pub(super) fn new(ask: &Ask<'_>, bid: &Bid, now: Instant) -> Self {
        Self {
            organization: ask.organization,
            limits: ask.limits.to_vec(),
            own: bid.own.iter().map(|charge| charge.limit.clone()).collect(),
            since: now,
            calls: 0,
            pace: 0,
            standings: Vec::new(),
            slice: None,
            next: None,
            is_running_out: false,
            quiet_until: None,
            last_call: now,
        }
    }

    /// Says whether the call is of this kind. A changed limit makes another one.
    pub(super) fn is_of(&self, ask: &Ask<'_>, bid: &Bid) -> bool {
        let own = bid.own.iter().map(|charge| &charge.limit);
        self.organization == ask.organization
            && self.limits == ask.limits
            && self.own.iter().eq(own)
    }

    /// Gives the call its part of a slice. A slice that has not enough makes room for the next.
    pub(super) fn spend(
        &mut self,
        ask: &Ask<'_>,
        bid: &Bid,
        now: Instant,
        spent: &mut Option<Arc<Slice>>,
    ) -> Option<(Hold, Vec<Standing>)> {
        self.count(now);
        let held = self.part(ask, bid, now);
        if held.is_some() || (self.slice.is_none() && self.next.is_none()) {
            return held;
        }
        *spent = self.slice.take().map(|held| held.slice);
        self.slice = self.next.take();
        self.part(ask, bid, now)
    }

    fn part(&mut self, ask: &Ask<'_>, bid: &Bid, now: Instant) -> Option<(Hold, Vec<Standing>)> {
        let held = self.slice.as_ref()?;
        let spent = held.slice.spend(ask.id, bid, now)?;
        self.is_running_out = spent.is_running_out;
        let elapsed = now.saturating_duration_since(held.taken);
        let lines = held.standings.iter().zip(spent.left);
        let standings = lines.map(|(standing, left)| Standing {
            remaining: standing.remaining.saturating_add(left),
            reset: standing.reset.saturating_sub(elapsed),
        });
        let standings = standings.collect();
        Some((
            Hold::of_slice(ask.id, ask.organization, spent.part),
            standings,
        ))
    }

    /// Returns for how many calls a slice should be taken now.
    pub(super) fn wanted(&mut self, bid: &Bid, most: u32, now: Instant) -> Option<u32> {
        let is_served = self.slice.is_some() && !self.is_running_out;
        let is_quiet = self.quiet_until.is_some_and(|until| now < until);
        let calls = self.pace.max(self.calls).min(most);
        if self.next.is_some() || is_served || is_quiet || calls < HOT {
            return None;
        }
        let calls = self.room(bid)?.min(u64::from(calls));
        if calls < FEWEST {
            return None;
        }
        self.quiet_until = Some(now + REST);
        u32::try_from(calls).ok()
    }

    /// Returns how many such calls a small part of what is left would hold; nothing when that is unknown.
    fn room(&self, bid: &Bid) -> Option<u64> {
        if self.standings.len() != self.limits.len() {
            return None;
        }
        let tenant = self.standings.iter().zip(&bid.tenant);
        let tenant = tenant.map(|(standing, amount)| (standing.remaining, *amount));
        let own = bid.own.iter();
        let own = own.map(|charge| (charge.limit.amount, charge.amount));
        let fits = |(left, amount): (u64, u64)| (left / SHARE).checked_div(amount);
        Some(tenant.chain(own).filter_map(fits).min().unwrap_or(u64::MAX))
    }

    pub(super) fn learn(&mut self, standings: &[Standing]) {
        self.standings.clear();
        self.standings.extend_from_slice(standings);
    }

    /// Takes the slice that was asked for, or that there was none.
    pub(super) fn put(&mut self, slice: Arc<Slice>, standings: Vec<Standing>, now: Instant) {
        self.learn(&standings);
        self.quiet_until = None;
        let held = Held {
            slice,
            standings,
            taken: now,
        };
        if self.slice.is_none() {
            self.slice = Some(held);
            self.is_running_out = false;
        } else {
            self.next = Some(held);
        }
    }

    /// Takes out what nobody spent lately or may spend any more.
    pub(super) fn sweep(&mut self, now: Instant, idle: &mut Vec<Arc<Slice>>) {
        let is_idle = IDLE < now.saturating_duration_since(self.last_call);
        for place in [&mut self.slice, &mut self.next] {
            if let Some(held) = place.take_if(|held| is_idle || held.slice.is_over(now)) {
                idle.push(held.slice);
            }
        }
    }

    pub(super) fn give_up(self, all: &mut Vec<Arc<Slice>>) {
        let held = self.slice.into_iter().chain(self.next);
        all.extend(held.map(|held| held.slice));
    }

    pub(super) fn is_forgotten(&self, now: Instant) -> bool {
        FORGOTTEN < now.saturating_duration_since(self.last_call)
    }

    fn count(&mut self, now: Instant) {
        self.last_call = now;
        let counted = now.saturating_duration_since(self.since);
        if PACE <= counted {
            self.pace = if counted < 2 * PACE { self.calls } else { 0 };
            self.since = now;
            self.calls = 0;
        }
        self.calls = self.calls.saturating_add(1);
    }
}
