//! Stops callers from asking a Redis that does not answer.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use rand::RngExt as _;

/// How many failures in a row make callers stop asking.
const FAILURES: u32 = 5;

/// How long callers ask nothing at least after a deadline's silence, in milliseconds: proxies do not come back all at
/// once.
const PAUSE_MS: std::ops::Range<u64> = 200..300;

/// Stands for a breaker that is not shut.
const OPEN: u64 = u64::MAX;

/// Whether callers may ask.
///
/// No caller is made to try whether Redis is back: the ledger's beat does, several times a second.
#[derive(Debug)]
pub(in crate::quota) struct Breaker {
    failures: AtomicU32,
    began: Instant,
    /// Until when nothing that is heard lets callers ask again, in milliseconds since it began.
    shut_until: AtomicU64,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            failures: AtomicU32::new(0),
            began: Instant::now(),
            shut_until: AtomicU64::new(OPEN),
        }
    }
}

impl Breaker {
    /// Says whether callers may ask.
    pub(in crate::quota) fn permits(&self) -> bool {
        self.shut_until.load(Ordering::Acquire) == OPEN
    }

    /// Notes an answer, whatever it said.
    pub(in crate::quota) fn heard(&self) {
        self.heard_at(Instant::now());
    }

    fn heard_at(&self, now: Instant) {
        self.failures.store(0, Ordering::Relaxed);
        let shut_until = self.shut_until.load(Ordering::Acquire);
        if shut_until != OPEN && shut_until <= self.millis(now) {
            self.shut_until.store(OPEN, Ordering::Release);
        }
    }

    /// Notes that the connection failed.
    pub(in crate::quota) fn failed(&self) {
        let before = self.failures.fetch_add(1, Ordering::Relaxed);
        if FAILURES <= before.saturating_add(1) {
            self.shut(Duration::ZERO);
        }
    }

    /// Notes a whole deadline of silence: one caller's patience is enough to know that Redis stands still.
    pub(in crate::quota) fn silent(&self) {
        self.shut(Duration::from_millis(rand::rng().random_range(PAUSE_MS)));
    }

    fn shut(&self, pause: Duration) {
        if self.permits() {
            let until = self.millis(Instant::now() + pause);
            self.shut_until.store(until, Ordering::Release);
        }
    }

    fn millis(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.began).as_millis();
        u64::try_from(since).unwrap_or(OPEN - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_failures_shut_and_one_answer_opens() {
        let breaker = Breaker::default();
        for _ in 0..FAILURES {
            assert!(breaker.permits());
            breaker.failed();
        }
        assert!(!breaker.permits());

        breaker.heard();

        assert!(breaker.permits());
    }

    #[test]
    fn one_deadline_of_silence_shuts_at_once_and_for_a_while() {
        let breaker = Breaker::default();

        breaker.silent();
        breaker.heard();
        assert!(!breaker.permits());
        breaker.heard_at(Instant::now() + Duration::from_millis(199));
        assert!(!breaker.permits());

        breaker.heard_at(Instant::now() + Duration::from_millis(301));
        assert!(breaker.permits());
    }
}
