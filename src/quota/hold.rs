//! A hold: what a call may use until it is settled; and the desk where this proxy keeps account of all its holds.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{
    Actual,
    calendar::Calendar,
    counter::{Counter, Shape},
};
use crate::base::{Moment, OrganizationId, RequestId};

/// Into how many parts the accounts are split, so that threads seldom wait for each other.
const SHARDS: usize = 16;

/// What the ledger counts about itself.
#[derive(Debug, Default)]
pub struct Counters {
    /// Calls to Redis that got no answer or a refusal.
    pub redis_errors: AtomicU64,
    /// Charges whose truth passed what was held.
    pub overruns: AtomicU64,
    /// Times Redis had lost its memory, and it was rebuilt.
    pub rebuilds: AtomicU64,
    /// Holds that were dropped without being settled, and were settled as held.
    pub dropped: AtomicU64,
    /// Refusals that limits in shadow mode would have made.
    pub shadowed: AtomicU64,
    /// Limits that began from the books.
    pub seeds: AtomicU64,
}

impl Counters {
    pub(super) fn add(counter: &AtomicU64, by: u64) {
        counter.fetch_add(by, Ordering::Relaxed);
    }
}

/// What a call may use. Dropped without being settled, it is settled as held, so that no money is lost.
#[must_use = "settle it with what the call used, or cancel it"]
#[derive(Debug)]
pub struct Hold {
    id: RequestId,
    organization: OrganizationId,
    /// None when the call has no limit and no allowance.
    desk: Option<Arc<Desk>>,
}

impl Hold {
    pub(super) fn empty(id: RequestId, organization: OrganizationId) -> Self {
        Self {
            id,
            organization,
            desk: None,
        }
    }

    pub(super) fn of(id: RequestId, organization: OrganizationId, desk: Arc<Desk>) -> Self {
        Self {
            id,
            organization,
            desk: Some(desk),
        }
    }

    pub(super) fn organization(&self) -> OrganizationId {
        self.organization
    }

    /// Returns the call it belongs to.
    #[must_use]
    pub fn id(&self) -> RequestId {
        self.id
    }

    /// Says whether there is nothing to settle.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.desk.is_none()
    }

    pub(super) fn end(mut self, end: End) {
        if let Some(desk) = self.desk.take() {
            desk.end(self.id, end);
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(desk) = self.desk.take() {
            Counters::add(&desk.counters.dropped, 1);
            desk.end(self.id, End::AsHeld);
        }
    }
}

/// How a hold ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The last attempt used this much.
    Used(Actual),
    /// As much as was held.
    AsHeld,
    /// Nothing was used.
    Cancelled,
}

/// One hold to be ended in Redis.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ending {
    pub(super) organization: OrganizationId,
    pub(super) id: RequestId,
    pub(super) end: End,
    /// What earlier attempts used.
    pub(super) failed: Actual,
}

/// One charge of a hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Charged {
    pub(super) counter: Counter,
    pub(super) amount: u64,
    /// The candidate's own allowance rather than a limit of the tenant.
    pub(super) is_own: bool,
}

/// What this proxy knows of one of its holds, until the books know it too.
#[derive(Clone, Debug)]
pub(super) struct Account {
    pub(super) organization: OrganizationId,
    /// When Redis admitted it, by its clock.
    pub(super) at: Moment,
    pub(super) charges: Vec<Charged>,
    /// What earlier attempts used.
    pub(super) failed: Actual,
    pub(super) end: Option<End>,
    is_settled: bool,
    is_booked: bool,
}

impl Account {
    pub(super) fn new(organization: OrganizationId, at: Moment, charges: Vec<Charged>) -> Self {
        Self {
            organization,
            at,
            charges,
            failed: Actual::default(),
            end: None,
            is_settled: false,
            is_booked: false,
        }
    }

    /// Returns what stands on the counter of `charge` for this hold, as far as is known now.
    pub(super) fn amount(&self, charge: &Charged) -> u64 {
        match self.end {
            None | Some(End::AsHeld) => charge.amount,
            Some(End::Cancelled) => 0,
            Some(End::Used(last)) if charge.is_own => charge.counter.meter.of(&last),
            Some(End::Used(last)) => charge.counter.meter.of(&last.after(self.failed)),
        }
    }

    /// Says whether nobody will ask for it again.
    fn is_done(&self) -> bool {
        self.is_settled && (self.is_booked || self.end == Some(End::Cancelled))
    }

    /// Says whether every window it was charged to is over, so that losing it would change nothing.
    fn is_over(&self, calendar: &Calendar, now: Moment) -> bool {
        self.is_settled
            && self
                .charges
                .iter()
                .all(|charge| is_over(charge, self.at, calendar, now))
    }
}

fn is_over(charge: &Charged, at: Moment, calendar: &Calendar, now: Moment) -> bool {
    match charge.counter.shape() {
        Shape::InFlight => true,
        Shape::Ring(length) => u128::from(length) * 2 < now.since(at).as_millis(),
        Shape::Calendar => charge.counter.spans(calendar, at).end <= now.millis(),
    }
}

type Shard = HashMap<RequestId, Account>;

/// All holds of this proxy that are open, or not yet in the books.
#[derive(Debug)]
pub(super) struct Desk {
    shards: [Mutex<Shard>; SHARDS],
    endings: UnboundedSender<Ending>,
    open: AtomicUsize,
    pub(super) counters: Counters,
}

impl Desk {
    pub(super) fn new() -> (Arc<Self>, UnboundedReceiver<Ending>) {
        let (endings, queue) = unbounded_channel();
        let desk = Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            endings,
            open: AtomicUsize::new(0),
            counters: Counters::default(),
        };
        (Arc::new(desk), queue)
    }

    pub(super) fn open_holds(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    pub(super) fn open(&self, id: RequestId, account: Account) {
        self.shard(id).insert(id, account);
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes how a hold ends and hands it to whoever tells Redis.
    pub(super) fn end(&self, id: RequestId, end: End) {
        let Some(ending) = self.note_end(id, end) else {
            return;
        };
        self.open.fetch_sub(1, Ordering::Relaxed);
        self.queue(ending);
    }

    /// Makes Redis forget an admission whose answer never came, should it have happened.
    pub(super) fn void(&self, organization: OrganizationId, id: RequestId) {
        self.queue(Ending {
            organization,
            id,
            end: End::Cancelled,
            failed: Actual::default(),
        });
    }

    fn queue(&self, ending: Ending) {
        // The queue is gone only after its reader ended, at shutdown: leases and the books mend the rest.
        let _ = self.endings.send(ending);
    }

    fn note_end(&self, id: RequestId, end: End) -> Option<Ending> {
        let mut shard = self.shard(id);
        let account = shard.get_mut(&id)?;
        account.end = Some(end);
        Some(Ending {
            organization: account.organization,
            id,
            end,
            failed: account.failed,
        })
    }

    /// Notes that Redis knows how the hold ended.
    pub(super) fn settled(&self, id: RequestId) {
        self.change(id, |account| account.is_settled = true);
    }

    /// Notes that the books know the call.
    pub(super) fn booked(&self, id: RequestId) {
        self.change(id, |account| account.is_booked = true);
    }

    /// Notes that another candidate holds now.
    pub(super) fn moved(&self, id: RequestId, charges: Vec<Charged>, failed: Actual) {
        self.change(id, |account| {
            account.charges = charges;
            account.failed = failed;
        });
    }

    fn change(&self, id: RequestId, change: impl FnOnce(&mut Account)) {
        let mut shard = self.shard(id);
        let Some(account) = shard.get_mut(&id) else {
            return;
        };
        change(account);
        if account.is_done() {
            shard.remove(&id);
        }
    }

    pub(super) fn account(&self, id: RequestId) -> Option<Account> {
        self.shard(id).get(&id).cloned()
    }

    /// Returns the account when Redis must be told of it: it is not in the books and was not cancelled.
    pub(super) fn find_unbooked(&self, id: RequestId) -> Option<Account> {
        self.account(id).filter(is_unbooked)
    }

    /// Returns every hold that is not in the books.
    pub(super) fn unbooked(&self) -> Vec<RequestId> {
        self.ids_of(is_unbooked)
    }

    /// Returns the open holds that count as in flight.
    pub(super) fn in_flight(&self) -> Vec<(OrganizationId, RequestId)> {
        let leased = |account: &Account| {
            account.end.is_none()
                && account
                    .charges
                    .iter()
                    .any(|charge| charge.counter.shape() == Shape::InFlight)
        };
        let mut found = Vec::new();
        for shard in &self.shards {
            let shard = lock(shard);
            let leased = shard.iter().filter(|(_, account)| leased(account));
            found.extend(leased.map(|(id, account)| (account.organization, *id)));
        }
        found
    }

    /// Forgets settled holds whose windows are all over.
    pub(super) fn prune(&self, calendar: &Calendar, now: Moment) {
        for shard in &self.shards {
            lock(shard).retain(|_, account| !account.is_over(calendar, now));
        }
    }

    fn ids_of(&self, wanted: fn(&Account) -> bool) -> Vec<RequestId> {
        let mut ids = Vec::new();
        for shard in &self.shards {
            let shard = lock(shard);
            ids.extend(
                shard
                    .iter()
                    .filter(|(_, account)| wanted(account))
                    .map(|(id, _)| *id),
            );
        }
        ids
    }

    fn shard(&self, id: RequestId) -> MutexGuard<'_, Shard> {
        let [first, ..] = &self.shards;
        let last_byte = usize::from(id.uuid().as_bytes()[15]);
        lock(self.shards.get(last_byte % SHARDS).unwrap_or(first))
    }
}

fn is_unbooked(account: &Account) -> bool {
    !account.is_booked && account.end != Some(End::Cancelled)
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
