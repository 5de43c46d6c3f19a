//! What this proxy holds ahead of budgets, to go on for a while when Redis is away.
//!
//! A reserve is a slice over the budgets alone: charged up front by the same script, spent only while Redis gives no
//! answers, renewed every minute, given back when nobody calls.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::Kind;
use crate::{
    base::OrganizationId,
    quota::{
        Ask, Bid, Hold, Limit, Standing,
        counter::{Counter, Shape},
        slices::{Order, Slice, times},
    },
};

/// How often a reserve is taken anew: what is left changes, and so does a limit.
const RENEWED: Duration = Duration::from_mins(1);
/// How long no reserve is asked for after one was.
const QUIET: Duration = Duration::from_secs(5);
/// How long a reserve is kept that nobody might need.
const IDLE: Duration = Duration::from_mins(3);

/// The reserves of this proxy, one per set of budgets.
#[derive(Debug)]
pub(in crate::quota) struct Reserves {
    /// How many thousandths of what is left are held ahead; none at 0.
    permille: u64,
    kept: Mutex<HashMap<u64, Reserve>>,
    hasher: RandomState,
}

#[derive(Debug)]
struct Reserve {
    slice: Option<Arc<Slice>>,
    taken: Instant,
    asked: Instant,
    last_call: Instant,
}

impl Reserves {
    pub(in crate::quota) fn new(permille: u32) -> Self {
        Self {
            permille: u64::from(permille),
            kept: Mutex::default(),
            hasher: RandomState::new(),
        }
    }

    /// Notes that such calls come; returns the reserve that should be taken for them.
    pub(in crate::quota) fn note(
        &self,
        ask: &Ask<'_>,
        bid: &Bid,
        standings: &[Standing],
        now: Instant,
    ) -> Option<Order> {
        if self.permille == 0 || standings.len() != ask.limits.len() {
            return None;
        }
        let (limits, bid) = budgets(ask, bid)?;
        let key = self.key(ask.organization, &limits);
        let mut kept = self.kept();
        let long_ago = now.checked_sub(RENEWED).unwrap_or(now);
        let reserve = kept.entry(key).or_insert_with(|| Reserve {
            slice: None,
            taken: long_ago,
            asked: long_ago,
            last_call: now,
        });
        reserve.last_call = now;
        let is_fresh = reserve
            .slice
            .as_ref()
            .is_some_and(|slice| !slice.is_over(now))
            && now.saturating_duration_since(reserve.taken) < RENEWED;
        if is_fresh || now.saturating_duration_since(reserve.asked) < QUIET {
            return None;
        }
        reserve.asked = now;
        drop(kept);
        let standings = ask.limits.iter().zip(standings);
        let left = standings
            .filter(|(limit, _)| Kind::of(limit, ask.organization) == Kind::Budget)
            .map(|(_, standing)| standing.remaining / 1_000 * self.permille);
        let calls = left
            .zip(&bid.tenant)
            .filter_map(|(left, need)| left.checked_div(*need));
        let calls = u32::try_from(calls.min()?).unwrap_or(u32::MAX);
        (calls != 0).then(|| Order {
            key,
            is_reserve: true,
            organization: ask.organization,
            limits,
            bid: times(&bid, calls),
            at: ask.now,
        })
    }

    /// Holds the budgets' part of a call out of a reserve.
    pub(in crate::quota) fn spend(&self, ask: &Ask<'_>, bid: &Bid) -> Option<Hold> {
        let (limits, bid) = budgets(ask, bid)?;
        let key = self.key(ask.organization, &limits);
        let slice = self.kept().get(&key)?.slice.clone()?;
        if slice.limits() != limits {
            return None;
        }
        let spent = slice.spend(ask.id, &bid, Instant::now())?;
        Some(Hold::of_slice(ask.id, ask.organization, spent.part))
    }

    /// Keeps a reserve that was taken; returns the one it takes over from, or itself when nobody calls any more.
    pub(in crate::quota) fn put(
        &self,
        key: u64,
        slice: Arc<Slice>,
        now: Instant,
    ) -> Option<Arc<Slice>> {
        match self.kept().get_mut(&key) {
            None => Some(slice),
            Some(reserve) => {
                reserve.taken = now;
                reserve.slice.replace(slice)
            }
        }
    }

    /// Takes out the reserves nobody might need.
    pub(in crate::quota) fn sweep(&self, now: Instant, idle: &mut Vec<Arc<Slice>>) {
        self.kept().retain(|_, reserve| {
            let is_idle = IDLE < now.saturating_duration_since(reserve.last_call);
            let is_over = reserve
                .slice
                .as_ref()
                .is_some_and(|slice| slice.is_over(now));
            if is_idle || is_over {
                idle.extend(reserve.slice.take());
            }
            !is_idle
        });
    }

    /// Takes out all reserves.
    pub(in crate::quota) fn drain(&self) -> Vec<Arc<Slice>> {
        let kept = std::mem::take(&mut *self.kept());
        kept.into_values()
            .filter_map(|reserve| reserve.slice)
            .collect()
    }

    fn key(&self, organization: OrganizationId, limits: &[Limit]) -> u64 {
        let ids: Vec<_> = limits.iter().map(|limit| limit.id).collect();
        self.hasher.hash_one((organization, ids))
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<u64, Reserve>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the budgets of a call and what it takes of them; nothing when it has none, or one that a reserve cannot
/// cover because what is held ahead would be forgotten slot by slot.
fn budgets(ask: &Ask<'_>, bid: &Bid) -> Option<(Vec<Limit>, Bid)> {
    let mut limits = Vec::new();
    let mut tenant = Vec::new();
    for (limit, need) in ask.limits.iter().zip(&bid.tenant) {
        if Kind::of(limit, ask.organization) != Kind::Budget {
            continue;
        }
        if Counter::of(limit, ask.organization).shape() != Shape::Calendar {
            return None;
        }
        limits.push(limit.clone());
        tenant.push(*need);
    }
    let bid = Bid {
        tenant,
        own: Vec::new(),
    };
    (!limits.is_empty()).then_some((limits, bid))
}
