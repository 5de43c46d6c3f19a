//! The desk: this proxy's account of its holds, open or not yet in the books. What Redis forgets it is told from here.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Instant,
};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

pub(super) use super::account::{Account, Charged};
use super::{
    Actual,
    calendar::Calendar,
    counter::{Counter, Shape},
    hold::{Counters, End, Ending},
    slices::Slice,
    watch::Watch,
};
use crate::base::{Moment, OrganizationId, RequestId};

/// Into how many parts the accounts are split, so that threads seldom wait for each other.
const SHARDS: usize = 16;

/// A part of the accounts.
#[derive(Debug, Default)]
struct Shard {
    accounts: HashMap<RequestId, Account>,
    /// The calls that were held out of a slice, until the books know them: the slice has the account.
    members: HashMap<RequestId, Arc<Slice>>,
}

/// Settled calls the books have not seen for long, added up per counter and window: they cost no memory each, and are
/// asserted until their window is over even if the books learn of them meanwhile.
type Sums = HashMap<(Counter, i64), (RequestId, Account)>;

/// All holds of this proxy that are open, or not yet in the books.
#[derive(Debug)]
pub(super) struct Desk {
    shards: [Mutex<Shard>; SHARDS],
    endings: UnboundedSender<Ending>,
    open: AtomicUsize,
    /// Calls held out of slices that the books do not know yet.
    members: AtomicUsize,
    sums: Mutex<Sums>,
    /// Accounts of settled calls one shard keeps before it adds them up.
    most_settled: usize,
    pub(super) counters: Counters,
    pub(super) watch: Watch,
    /// Redis was told how every hold ended, and nobody will hold any more.
    is_told: AtomicBool,
}

impl Desk {
    /// Makes a desk that keeps about so many settled calls one by one until they are booked.
    pub(super) fn new(most_settled: usize) -> (Arc<Self>, UnboundedReceiver<Ending>) {
        let (endings, queue) = unbounded_channel();
        let desk = Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            endings,
            open: AtomicUsize::new(0),
            members: AtomicUsize::new(0),
            sums: Mutex::default(),
            most_settled: most_settled.div_ceil(SHARDS),
            counters: Counters::default(),
            watch: Watch::default(),
            is_told: AtomicBool::new(false),
        };
        (Arc::new(desk), queue)
    }

    pub(super) fn open_holds(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    pub(super) fn open(&self, id: RequestId, account: Account) {
        self.shard(id).accounts.insert(id, account);
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that a call is held out of a slice.
    pub(super) fn join(&self, id: RequestId, slice: Arc<Slice>) {
        self.shard(id).members.insert(id, slice);
        self.members.fetch_add(1, Ordering::Relaxed);
    }

    /// Forgets which slice a call was held out of; returns it when it was known.
    pub(super) fn leave(&self, id: RequestId) -> Option<Arc<Slice>> {
        let slice = self.shard(id).members.remove(&id)?;
        self.members.fetch_sub(1, Ordering::Relaxed);
        Some(slice)
    }

    /// Returns how many calls held out of slices the books do not know yet.
    pub(super) fn members(&self) -> usize {
        self.members.load(Ordering::Relaxed)
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
        self.watch.doubt(id);
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
        let account = shard.accounts.get_mut(&id)?;
        account.end = Some(end);
        Some(Ending {
            organization: account.organization,
            id,
            end,
            failed: account.failed,
        })
    }

    /// Notes that Redis knows how the hold ended.
    pub(super) fn settled(&self, id: RequestId, calendar: &Calendar) {
        self.change(id, |account| {
            if !account.is_settled {
                self.note_fall(account, calendar);
            }
            account.is_settled = true;
        });
        self.watch.clear(id);
        if self.shard(id).accounts.len() <= self.most_settled + self.open_holds() {
            return;
        }
        // Whoever adds everything up holds this lock too: the account is here or there, never nowhere.
        let mut sums = lock(&self.sums);
        let account = self.shard(id).accounts.remove(&id);
        if let Some(account) = account {
            add_up(&mut sums, &account, calendar);
        }
    }

    /// Notes by how much less the hold stands for now that it is settled.
    fn note_fall(&self, account: &Account, calendar: &Calendar) {
        for charge in account.tenant_charges() {
            let start = charge.counter.spans(calendar, account.at).start;
            let truth = account.amount(charge);
            self.watch.note(charge.counter, start, charge.amount, truth);
        }
    }

    /// Returns what all holds that are not in the books stand for, on the tenants' counters of calendar windows: as
    /// much as Redis may have for them, and by the start of the window.
    pub(super) fn standing(&self, calendar: &Calendar) -> HashMap<(Counter, i64), u64> {
        let mut standing = HashMap::new();
        let mut add = |account: &Account| {
            for charge in account.tenant_charges() {
                let start = charge.counter.spans(calendar, account.at).start;
                let truth = account.amount(charge);
                let most = if account.is_settled {
                    truth
                } else {
                    truth.max(charge.amount)
                };
                let sum: &mut u64 = standing.entry((charge.counter, start)).or_default();
                *sum = sum.saturating_add(most);
            }
        };
        let sums = lock(&self.sums);
        sums.values().for_each(|(_, account)| add(account));
        for shard in &self.shards {
            lock(shard).accounts.values().for_each(&mut add);
        }
        standing
    }

    /// Notes that Redis was told how every hold ended, and that no more will come.
    pub(super) fn note_told(&self) {
        self.is_told.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_told(&self) -> bool {
        self.is_told.load(Ordering::Relaxed)
    }

    /// Forgets every hold.
    pub(super) fn give_up(&self) {
        let mut sums = lock(&self.sums);
        for shard in &self.shards {
            *lock(shard) = Shard::default();
        }
        sums.clear();
        self.open.store(0, Ordering::Relaxed);
        self.members.store(0, Ordering::Relaxed);
        self.watch.reset();
    }
}

/// Adds a settled hold to the sums of its counters and windows.
fn add_up(sums: &mut Sums, account: &Account, calendar: &Calendar) {
    for charge in &account.charges {
        let period = match charge.counter.shape() {
            Shape::InFlight => continue,
            Shape::Ring(length) => account.at.millis() / i64::try_from(length).unwrap_or(i64::MAX),
            Shape::Calendar => charge.counter.spans(calendar, account.at).start,
        };
        let amount = account.amount(charge);
        match sums.entry((charge.counter, period)) {
            Entry::Occupied(mut known) => known.get_mut().1.add(amount, account),
            Entry::Vacant(new) => {
                new.insert((RequestId::new(account.at), account.of_one(charge, amount)));
            }
        }
    }
}

impl Desk {
    /// Returns what was added up.
    pub(super) fn sums(&self) -> Vec<(RequestId, Account)> {
        lock(&self.sums).values().cloned().collect()
    }

    /// Notes that the books know the call.
    pub(super) fn booked(&self, id: RequestId) {
        if let Some(slice) = self.leave(id) {
            return slice.booked();
        }
        self.change(id, |account| account.is_booked = true);
    }

    /// Notes that another candidate holds now.
    pub(super) fn moved(
        &self,
        id: RequestId,
        charges: Vec<Charged>,
        failed: Actual,
        calendar: &Calendar,
    ) {
        self.change(id, |account| {
            for charge in account.tenant_charges() {
                let start = charge.counter.spans(calendar, account.at).start;
                let same = charges.iter().filter(|new| new.counter == charge.counter);
                let amount = same.map(|new| new.amount).sum();
                self.watch
                    .note(charge.counter, start, charge.amount, amount);
            }
            account.charges = charges;
            account.failed = failed;
        });
    }

    fn change(&self, id: RequestId, change: impl FnOnce(&mut Account)) {
        let mut shard = self.shard(id);
        let Some(account) = shard.accounts.get_mut(&id) else {
            return;
        };
        change(account);
        if account.is_done() {
            shard.accounts.remove(&id);
        }
    }

    pub(super) fn account(&self, id: RequestId) -> Option<Account> {
        self.shard(id).accounts.get(&id).cloned()
    }

    /// Returns the account when Redis must be told of it: it is not in the books, nor known to be cancelled.
    pub(super) fn find_unbooked(&self, id: RequestId) -> Option<Account> {
        self.account(id).filter(Account::is_unbooked)
    }

    /// Returns every hold that is not in the books.
    pub(super) fn unbooked(&self) -> Vec<RequestId> {
        self.ids_of(Account::is_unbooked)
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
            let leased = shard.accounts.iter().filter(|(_, account)| leased(account));
            found.extend(leased.map(|(id, account)| (account.organization, *id)));
        }
        found
    }

    /// Forgets settled holds whose windows are all over.
    pub(super) fn prune(&self, calendar: &Calendar, now: Moment, instant: Instant) {
        for shard in &self.shards {
            lock(shard)
                .accounts
                .retain(|_, account| !account.is_over(calendar, now, instant));
        }
        lock(&self.sums).retain(|_, (_, account)| !account.is_over(calendar, now, instant));
    }

    /// Forgets members the books were never told of: their slices have long been settled.
    pub(super) fn prune_members(&self, now: Instant) {
        for shard in &self.shards {
            let mut shard = lock(shard);
            let before = shard.members.len();
            shard.members.retain(|_, slice| !slice.is_forgotten(now));
            let forgotten = before - shard.members.len();
            self.members.fetch_sub(forgotten, Ordering::Relaxed);
        }
    }

    fn ids_of(&self, wanted: fn(&Account) -> bool) -> Vec<RequestId> {
        let mut ids = Vec::new();
        for shard in &self.shards {
            let shard = lock(shard);
            ids.extend(
                shard
                    .accounts
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

fn lock<T>(shard: &Mutex<T>) -> MutexGuard<'_, T> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;
    use uuid::Uuid;

    use super::*;
    use crate::quota::{Enforcement, Limit, Meter, Mode, Subject, Window};

    fn charged(window: Window) -> Charged {
        let organization = OrganizationId(Uuid::from_u128(1));
        let limit = Limit {
            id: Uuid::from_u128(2),
            subject: Subject::Organization(organization),
            meter: Meter::NanoUsd,
            window,
            amount: 1,
            enforcement: Enforcement::Hard,
            mode: Mode::Enforce,
            zone: Tz::UTC,
        };
        Charged {
            counter: Counter::of(&limit, organization),
            amount: 5,
            is_own: false,
        }
    }

    fn settle_some(desk: &Desk, calendar: &Calendar, at: Moment, calls: u64) {
        let used = Actual {
            cost_nano_usd: 3,
            list_nano_usd: 3,
            ..Actual::default()
        };
        for _ in 0..calls {
            let id = RequestId::new(at);
            let charges = vec![charged(Window::Month), charged(Window::Hour)];
            desk.open(
                id,
                Account::new(OrganizationId(Uuid::from_u128(1)), at, charges),
            );
            desk.end(id, End::Used(used));
            desk.settled(id, calendar);
        }
    }

    #[test]
    fn what_is_never_booked_is_added_up_and_nothing_of_it_is_lost() {
        let (desk, _endings) = Desk::new(160);
        let calendar = Calendar::default();
        let at = Moment::from_millis(1_795_000_000_000);

        settle_some(&desk, &calendar, at, 10_000);

        let kept = desk.unbooked();
        let one_by_one = kept.len() as u64;
        assert!(kept.len() <= 16 * 11, "{}", kept.len());
        let sums = desk.sums();
        assert_eq!(sums.len(), 2);
        for (_, sum) in sums {
            assert_eq!(sum.amount(&sum.charges[0]), (10_000 - one_by_one) * 3);
        }
    }

    #[test]
    fn what_is_over_is_forgotten() {
        let (desk, _endings) = Desk::new(160);
        let calendar = Calendar::default();
        let at = Moment::from_millis(1_795_000_000_000);
        settle_some(&desk, &calendar, at, 1_000);

        let later = std::time::Duration::from_hours(24 * 40);
        desk.prune(&calendar, at.plus(later), Instant::now() + later);

        assert!(desk.unbooked().is_empty());
        assert!(desk.sums().is_empty());
    }

    #[test]
    fn a_call_in_the_books_is_forgotten_whichever_of_its_two_ends_comes_first() {
        let (desk, _endings) = Desk::new(160);
        let calendar = Calendar::default();
        let at = Moment::from_millis(1_795_000_000_000);
        for is_booked_first in [true, false] {
            let id = RequestId::new(at);
            let organization = OrganizationId(Uuid::from_u128(1));
            desk.open(
                id,
                Account::new(organization, at, vec![charged(Window::Month)]),
            );
            if is_booked_first {
                desk.booked(id);
            }
            desk.end(id, End::AsHeld);
            desk.settled(id, &calendar);
            if !is_booked_first {
                desk.booked(id);
            }
            assert!(desk.account(id).is_none());
        }
    }
}
