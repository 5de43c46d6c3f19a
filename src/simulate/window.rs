//! How much somebody used in the last stretch of time, exactly.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// A sliding window over amounts.
#[derive(Debug)]
pub(super) struct Window {
    limit: u64,
    span: Duration,
    used: VecDeque<(Instant, u64)>,
    sum: u64,
}

impl Window {
    pub(super) const fn new(limit: u64, span: Duration) -> Self {
        Self {
            limit,
            span,
            used: VecDeque::new(),
            sum: 0,
        }
    }

    /// Returns how long `amount` must wait; nothing when it fits now.
    pub(super) fn wait(&mut self, amount: u64, now: Instant) -> Option<Duration> {
        self.forget(now);
        let mut excess = (self.sum + amount)
            .checked_sub(self.limit)
            .filter(|excess| 0 < *excess)?;
        for (at, used) in &self.used {
            if excess <= *used {
                return Some((*at + self.span).saturating_duration_since(now));
            }
            excess -= used;
        }
        Some(self.span)
    }

    /// Counts `amount`.
    pub(super) fn take(&mut self, amount: u64, now: Instant) {
        self.used.push_back((now, amount));
        self.sum += amount;
    }

    /// Returns the limit, what is left, and when all of it is back.
    pub(super) fn standing(&self, now: Instant) -> (u64, u64, Duration) {
        let last = self
            .used
            .back()
            .map(|(at, _)| (*at + self.span).saturating_duration_since(now));
        (
            self.limit,
            self.limit.saturating_sub(self.sum),
            last.unwrap_or_default(),
        )
    }

    fn forget(&mut self, now: Instant) {
        while let Some((at, used)) = self.used.front().copied()
            && at + self.span <= now
        {
            self.used.pop_front();
            self.sum -= used;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_admits_its_limit_and_says_how_long_to_wait() {
        let begin = Instant::now();
        let second = |count: u64| begin + Duration::from_secs(count);
        let mut window = Window::new(2, Duration::from_secs(60));
        for at in [0, 10] {
            assert_eq!(window.wait(1, second(at)), None);
            window.take(1, second(at));
        }

        assert_eq!(window.wait(1, second(20)), Some(Duration::from_secs(40)));
        assert_eq!(window.wait(2, second(20)), Some(Duration::from_secs(50)));
        assert_eq!(window.standing(second(20)).1, 0);
        assert_eq!(window.wait(1, second(60)), None);
    }
}
