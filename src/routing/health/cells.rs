//! What is remembered of one offer, one credential, and the two together.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicI64, AtomicU32, Ordering},
};

use super::{Availability, Settings, breaker::Breaker};
use crate::base::Moment;

/// A moment others read without a lock; zero is long ago.
#[derive(Debug, Default)]
pub(super) struct Until(AtomicI64);

impl Until {
    pub(super) fn moment(&self) -> Moment {
        Moment::from_millis(self.0.load(Ordering::Acquire))
    }

    /// Moves to `until`, never back.
    pub(super) fn extend(&self, until: Moment) {
        self.0.fetch_max(until.millis(), Ordering::AcqRel);
    }

    /// Takes the one permission of each `every_ms`; says whether it was still there.
    pub(super) fn claim(&self, now: Moment, every_ms: u64) -> bool {
        let last = self.0.load(Ordering::Acquire);
        let every = i64::try_from(every_ms).unwrap_or(i64::MAX);
        // A clock that was put back must not lock the door until it has caught up.
        let is_due = every <= now.millis().saturating_sub(last) || now.millis() < last;
        is_due
            && self
                .0
                .compare_exchange(last, now.millis(), Ordering::AcqRel, Ordering::Acquire)
                .is_ok()
    }
}

/// An offer, whatever the credential.
#[derive(Debug, Default)]
pub(super) struct OfferCell {
    pub(super) cool_until: Until,
    latency_ms: AtomicU32,
}

impl OfferCell {
    pub(super) fn latency_ms(&self) -> Option<u32> {
        let latency = self.latency_ms.load(Ordering::Relaxed);
        (latency != 0).then_some(latency)
    }

    /// Moves the average an eighth of the way; a lost race loses one sample.
    pub(super) fn measure(&self, first_byte_ms: u32) {
        let sample = first_byte_ms.max(1);
        let mean = match self.latency_ms.load(Ordering::Relaxed) {
            0 => sample,
            old if old < sample => old.saturating_add((sample - old).div_ceil(8)),
            old => old - (old - sample).div_ceil(8),
        };
        self.latency_ms.store(mean, Ordering::Relaxed);
    }
}

/// A credential, whatever the offer.
#[derive(Debug, Default)]
pub(super) struct KeyCell {
    pub(super) cool_until: Until,
    /// What all its offers share is used up until then.
    pub(super) limited_until: Until,
}

/// An offer with one credential.
#[derive(Debug, Default)]
pub(super) struct PairCell {
    pub(super) cool_until: Until,
    pub(super) tried: Until,
    /// A copy of the breaker's own, for readers; zero is closed.
    open_until_ms: AtomicI64,
    breaker: Mutex<Breaker>,
}

impl PairCell {
    pub(super) fn succeeded(&self, now: Moment, settings: &Settings) {
        self.change(|breaker| breaker.succeeded(now, settings));
    }

    pub(super) fn failed(&self, now: Moment, settings: &Settings) {
        self.change(|breaker| breaker.failed(now, settings));
    }

    /// What the breaker says, cool-downs aside.
    pub(super) fn availability(&self, now: Moment) -> Availability {
        match self.open_until_ms.load(Ordering::Acquire) {
            0 => Availability::Ready,
            until if now.millis() < until => Availability::Failing(Moment::from_millis(until)),
            _ => Availability::OnTrial,
        }
    }

    fn change(&self, change: impl FnOnce(&mut Breaker)) {
        let mut breaker = self.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut breaker);
        let until = breaker.open_until().map_or(0, Moment::millis);
        self.open_until_ms.store(until, Ordering::Release);
    }
}
