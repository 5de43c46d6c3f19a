//! A hold: what a call may use until it is settled.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::{Actual, degraded, desk::Desk, slices::Part, switch::Reach};
use crate::base::{OrganizationId, RequestId};

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
    /// Rounds in which counters were held against the books.
    pub reconciled: AtomicU64,
    /// Counters that were off and were corrected.
    pub corrected: AtomicU64,
    /// Times Redis's clock was put forward or back.
    pub clock_jumps: AtomicU64,
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
    place: Place,
    /// How far limits reached when it was taken.
    reach: Reach,
    /// Its place in this proxy's own share, while Redis is away.
    local: Option<Box<degraded::Place>>,
}

/// Where a hold's account is.
#[derive(Debug)]
enum Place {
    /// Nowhere: the call has no limit and no allowance, or the hold has ended.
    Nowhere,
    /// On the desk.
    Desk(Arc<Desk>),
    /// In the slice it was taken out of.
    Slice(Part),
}

impl Hold {
    pub(super) fn empty(id: RequestId, organization: OrganizationId) -> Self {
        Self::at(id, organization, Place::Nowhere)
    }

    pub(super) fn of(id: RequestId, organization: OrganizationId, desk: Arc<Desk>) -> Self {
        Self::at(id, organization, Place::Desk(desk))
    }

    pub(super) fn of_slice(id: RequestId, organization: OrganizationId, part: Part) -> Self {
        Self::at(id, organization, Place::Slice(part))
    }

    fn at(id: RequestId, organization: OrganizationId, place: Place) -> Self {
        Self {
            id,
            organization,
            place,
            reach: Reach::All,
            local: None,
        }
    }

    /// Keeps a place in this proxy's own share until the call ends.
    pub(super) fn keep(&mut self, place: degraded::Place) {
        self.local = Some(Box::new(place));
    }

    /// Notes how far limits reach for its call.
    pub(super) fn reaches(&mut self, reach: Reach) {
        self.reach = reach;
    }

    pub(super) fn reach(&self) -> Reach {
        self.reach
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
        matches!(self.place, Place::Nowhere)
    }

    /// Says whether it has an account of its own.
    pub(super) fn is_on_desk(&self) -> bool {
        matches!(self.place, Place::Desk(_))
    }

    /// Says whether it was taken out of a slice.
    pub(super) fn is_of_slice(&self) -> bool {
        matches!(self.place, Place::Slice(_))
    }

    pub(super) fn end(mut self, end: End) {
        self.tell(end);
    }

    fn tell(&mut self, end: End) {
        match std::mem::replace(&mut self.place, Place::Nowhere) {
            Place::Nowhere => {}
            Place::Desk(desk) => desk.end(self.id, end),
            Place::Slice(part) => part.end(self.id, end),
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        match &self.place {
            Place::Nowhere => return,
            Place::Desk(desk) => Counters::add(&desk.counters.dropped, 1),
            Place::Slice(part) => part.count_dropped(),
        }
        self.tell(End::AsHeld);
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
