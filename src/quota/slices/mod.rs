//! Slices: what hot callers hold ahead of their calls, so that most of these need no word with Redis.
//!
//! A slice is charged to every counter up front, by the same script and with the same checks as a call, so the sum
//! never exceeds a limit. It is spent only while the slot of each sliding window it was charged to is the newest one,
//! so that its calls are counted at least as long as if each had been charged when it came. It is small beside what
//! is left, ends after a second, and goes back when nobody spends it.

mod slice;
mod track;

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

pub(super) use slice::{Part, Slice};
use track::Track;

use super::{Ask, Bid, Hold, Limit, Meter, Mode, Standing, Window};
use crate::base::{Moment, OrganizationId};

/// How many tracks' locks there are, so that threads seldom wait for each other.
const SHARDS: usize = 16;

/// The longest a slice is spent: a changed limit is obeyed at the latest then.
pub(super) const LONGEST: Duration = Duration::from_secs(1);

/// What a slice for coming calls of one kind would hold.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) key: u64,
    /// For the time Redis is away, rather than for calls that come at once.
    pub(super) is_reserve: bool,
    pub(super) organization: OrganizationId,
    pub(super) limits: Vec<Limit>,
    pub(super) bid: Bid,
    /// When it was wished for.
    pub(super) at: Moment,
}

/// What becomes of a call that asks for a slice's part.
pub(super) struct Turn {
    /// Its hold and what is left of the tenant's limits; nothing when Redis must be asked.
    pub(super) held: Option<(Hold, Vec<Standing>)>,
    /// A slice that Redis should be asked for.
    pub(super) order: Option<Order>,
    /// A slice nobody spends any more.
    pub(super) spent: Option<Arc<Slice>>,
}

/// The tracks of this proxy: which kinds of calls come often, and the slices they spend.
#[derive(Debug)]
pub(super) struct Slices {
    shards: [Mutex<HashMap<u64, Track>>; SHARDS],
    hasher: RandomState,
    /// For how many calls one slice holds at most; 0 takes none.
    most: u32,
}

impl Slices {
    pub(super) fn new(most: u32) -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
            most,
        }
    }

    /// Says whether calls like this one may be held out of slices: nothing is counted only in thought or in
    /// flight, and nothing of it is shared with other organizations.
    pub(super) fn serve(&self, ask: &Ask<'_>) -> bool {
        let is_plain = |limit: &Limit| {
            limit.mode == Mode::Enforce
                && !limit.is_share()
                && limit.meter != Meter::Concurrent
                && limit.window != Window::Instant
        };
        self.most != 0
            && ask
                .bids
                .first()
                .is_some_and(|bid| bid.own.iter().all(|charge| is_plain(&charge.limit)))
            && ask.limits.iter().all(is_plain)
    }

    /// Holds a call out of a slice when there is one, and says when one should be taken.
    pub(super) fn turn(&self, ask: &Ask<'_>, now: Instant) -> Turn {
        let mut turn = Turn {
            held: None,
            order: None,
            spent: None,
        };
        let Some(bid) = ask.bids.first() else {
            return turn;
        };
        let key = self.key(ask, bid);
        let mut shard = self.shard(key);
        let track = shard
            .entry(key)
            .or_insert_with(|| Track::new(ask, bid, now));
        if !track.is_of(ask, bid) {
            return turn;
        }
        turn.held = track.spend(ask, bid, now, &mut turn.spent);
        let calls = track.wanted(bid, self.most, now);
        turn.order = calls.map(|calls| Order {
            key,
            is_reserve: false,
            organization: ask.organization,
            limits: ask.limits.to_vec(),
            bid: times(bid, calls),
            at: ask.now,
        });
        turn
    }

    /// Notes what Redis said was left after a call like this one.
    pub(super) fn learn(&self, ask: &Ask<'_>, standings: &[Standing]) {
        let Some(bid) = ask.bids.first() else {
            return;
        };
        let key = self.key(ask, bid);
        if let Some(track) = self.shard(key).get_mut(&key) {
            track.learn(standings);
        }
    }

    /// Puts a slice where calls find it; returns it when its kind of calls was forgotten meanwhile.
    pub(super) fn put(
        &self,
        order: &Order,
        slice: Arc<Slice>,
        standings: Vec<Standing>,
        now: Instant,
    ) -> Option<Arc<Slice>> {
        let mut shard = self.shard(order.key);
        let Some(track) = shard.get_mut(&order.key) else {
            return Some(slice);
        };
        track.put(slice, standings, now);
        None
    }

    /// Takes out the slices nobody spent lately or may spend any more, and forgets kinds of calls that stopped coming.
    pub(super) fn sweep(&self, now: Instant) -> Vec<Arc<Slice>> {
        let mut idle = Vec::new();
        for shard in &self.shards {
            lock(shard).retain(|_, track| {
                track.sweep(now, &mut idle);
                !track.is_forgotten(now)
            });
        }
        idle
    }

    /// Takes out all slices.
    pub(super) fn drain(&self) -> Vec<Arc<Slice>> {
        let mut all = Vec::new();
        for shard in &self.shards {
            let tracks = std::mem::take(&mut *lock(shard));
            tracks
                .into_values()
                .for_each(|track| track.give_up(&mut all));
        }
        all
    }

    fn key(&self, ask: &Ask<'_>, bid: &Bid) -> u64 {
        let limits = ask.limits.iter().map(|limit| limit.id.as_u128());
        let own = bid.own.iter().map(|charge| charge.limit.id.as_u128());
        let key = limits.chain(own).fold(0, |mixed: u128, id| {
            // The chance in a UUIDv7 is in its lower half; the order of limits is part of the kind.
            mixed.rotate_left(5) ^ id
        });
        self.hasher.hash_one((key, ask.organization))
    }

    fn shard(&self, key: u64) -> MutexGuard<'_, HashMap<u64, Track>> {
        let [first, ..] = &self.shards;
        let place = usize::try_from(key % SHARDS as u64).unwrap_or_default();
        lock(self.shards.get(place).unwrap_or(first))
    }
}

/// Returns what `calls` calls like this one would take together.
pub(super) fn times(bid: &Bid, calls: u32) -> Bid {
    let calls = u64::from(calls);
    let mut many = bid.clone();
    for amount in &mut many.tenant {
        *amount = amount.saturating_mul(calls);
    }
    for charge in &mut many.own {
        charge.amount = charge.amount.saturating_mul(calls);
    }
    many
}

fn lock<T>(shard: &Mutex<T>) -> MutexGuard<'_, T> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
