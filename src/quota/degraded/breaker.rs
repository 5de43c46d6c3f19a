//! Stops callers from asking a Redis that does not answer.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// How many failures in a row make callers stop asking.
const FAILURES: u32 = 5;

/// Whether callers may ask.
///
/// No caller is made to try whether Redis is back: the ledger's beat does, several times a second.
#[derive(Debug, Default)]
pub(in crate::quota) struct Breaker {
    failures: AtomicU32,
    is_shut: AtomicBool,
}

impl Breaker {
    /// Says whether callers may ask.
    pub(in crate::quota) fn permits(&self) -> bool {
        !self.is_shut.load(Ordering::Acquire)
    }

    /// Notes an answer, whatever it said.
    pub(in crate::quota) fn heard(&self) {
        self.failures.store(0, Ordering::Relaxed);
        self.is_shut.store(false, Ordering::Release);
    }

    /// Notes that the connection failed.
    pub(in crate::quota) fn failed(&self) {
        let before = self.failures.fetch_add(1, Ordering::Relaxed);
        if FAILURES <= before.saturating_add(1) {
            self.is_shut.store(true, Ordering::Release);
        }
    }

    /// Notes a whole deadline of silence: one caller's patience is enough to know that Redis stands still.
    pub(in crate::quota) fn silent(&self) {
        self.is_shut.store(true, Ordering::Release);
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
    fn one_deadline_of_silence_shuts_at_once() {
        let breaker = Breaker::default();

        breaker.silent();

        assert!(!breaker.permits());
    }
}
