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
    median_ms: AtomicU32,
    /// How many of a million calls succeed.
    success_ppm: AtomicU32,
    /// When a call last ended.
    ended: Until,
}

/// How an offer did lately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::routing) struct Lately {
    /// How long its first byte takes in every other call, when it was ever measured.
    pub(in crate::routing) median_ms: Option<u32>,
    /// How many of a million calls succeed.
    pub(in crate::routing) success_ppm: u32,
}

/// How long what was seen of an offer says something of it.
const LATELY_MS: i64 = 300_000;

/// All of a million calls.
const ALL_PPM: u32 = 1_000_000;

impl OfferCell {
    pub(super) fn latency_ms(&self) -> Option<u32> {
        let latency = self.latency_ms.load(Ordering::Relaxed);
        (latency != 0).then_some(latency)
    }

    pub(super) fn lately(&self, now: Moment) -> Option<Lately> {
        let success_ppm = self.success_ppm()?;
        let age = now.millis().saturating_sub(self.ended.moment().millis());
        (age <= LATELY_MS).then(|| Lately {
            median_ms: self.median_ms(),
            success_ppm,
        })
    }

    pub(super) fn median_ms(&self) -> Option<u32> {
        let median = self.median_ms.load(Ordering::Relaxed);
        (median != 0).then_some(median)
    }

    pub(super) fn success_ppm(&self) -> Option<u32> {
        let success = self.success_ppm.load(Ordering::Relaxed);
        (success != 0).then_some(success)
    }

    /// Moves the share of calls that succeed a sixteenth of the way; a lost race loses one sample.
    pub(super) fn ended(&self, is_success: bool, now: Moment) {
        let old = match self.success_ppm.load(Ordering::Relaxed) {
            0 => ALL_PPM,
            old => old,
        };
        let share = if is_success {
            old + (ALL_PPM - old).div_ceil(16)
        } else {
            old - old / 16
        };
        self.success_ppm.store(share.max(1), Ordering::Relaxed);
        self.ended.extend(now);
    }

    /// Moves the median a sixteenth of itself towards a sample: it comes to rest where as many are above as below.
    fn move_median(&self, sample: u32) {
        let median = match self.median_ms.load(Ordering::Relaxed) {
            0 => sample,
            old if old < sample => old.saturating_add((old / 16).max(1)).min(sample),
            old => old.saturating_sub((old / 16).max(1)).max(sample),
        };
        self.median_ms.store(median, Ordering::Relaxed);
    }

    /// Moves the average an eighth of the way; a lost race loses one sample.
    pub(super) fn measure(&self, first_byte_ms: u32) {
        let sample = first_byte_ms.max(1);
        self.move_median(sample);
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
