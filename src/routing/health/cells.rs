//! What is remembered of one offer, one credential, and the two together.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicI64, AtomicU32, Ordering},
};

use super::{Availability, Failure, Settings, breaker::Breaker, news::State};
use crate::{base::Moment, store::outcomes::Tally};

/// A moment others read without a lock; zero is long ago.
#[derive(Debug, Default)]
pub(super) struct Until(AtomicI64);

impl Until {
    pub(super) fn moment(&self) -> Moment {
        Moment::from_millis(self.0.load(Ordering::Acquire))
    }

    /// Moves to `until`, never back; says whether it moved.
    pub(super) fn extend(&self, until: Moment) -> bool {
        self.0.fetch_max(until.millis(), Ordering::AcqRel) < until.millis()
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
    /// How calls went since the others were told.
    tally: Mutex<Tally>,
}

impl PairCell {
    /// Counts an answer; returns where the breaker stands when it changed.
    pub(super) fn succeeded(
        &self,
        first_byte_ms: u32,
        now: Moment,
        settings: &Settings,
    ) -> Option<State> {
        self.count(|tally| tally.succeeded(first_byte_ms));
        self.change(|breaker| breaker.succeeded(now, settings))
    }

    /// Counts a failure; returns where the breaker stands when it changed.
    pub(super) fn failed(
        &self,
        failure: Failure,
        now: Moment,
        settings: &Settings,
    ) -> Option<State> {
        self.count(|tally| {
            let count = match failure {
                Failure::Connect => &mut tally.connect,
                Failure::Timeout => &mut tally.timeout,
                Failure::Server => &mut tally.server,
                Failure::Broken => &mut tally.broken,
            };
            *count += 1;
        });
        self.change(|breaker| breaker.failed(now, settings))
    }

    /// Stands as another proxy says.
    pub(super) fn adopt(&self, state: &State) {
        self.change(|breaker| breaker.adopt(state));
    }

    /// Counts something.
    pub(super) fn count(&self, count: impl FnOnce(&mut Tally)) {
        count(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Returns what was counted and begins anew.
    pub(super) fn take_tally(&self) -> Tally {
        std::mem::take(&mut *self.tally.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What the breaker says, cool-downs aside.
    pub(super) fn availability(&self, now: Moment) -> Availability {
        match self.open_until_ms.load(Ordering::Acquire) {
            0 => Availability::Ready,
            until if now.millis() < until => Availability::Failing(Moment::from_millis(until)),
            _ => Availability::OnTrial,
        }
    }

    fn change(&self, change: impl FnOnce(&mut Breaker)) -> Option<State> {
        let mut breaker = self.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        let before = breaker.state();
        change(&mut breaker);
        let until = breaker.open_until().map_or(0, Moment::millis);
        self.open_until_ms.store(until, Ordering::Release);
        let after = breaker.state();
        (before != after).then_some(after)
    }
}
