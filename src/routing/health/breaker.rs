//! When to stop asking somebody who keeps failing: a pure state machine over outcomes and moments.

use std::time::Duration;

use crate::base::Moment;

use super::{Settings, news::State};

/// How long one piece of the sliding window is.
const SLICE_MS: i64 = 5_000;
/// How many pieces make the window in which the share of failures counts: thirty seconds.
const SLICES: usize = 6;

/// One offer's record with one credential.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    in_a_row: u32,
    recent: [Slice; SLICES],
    /// Until when it is open; afterwards half-open, until it is closed.
    open: Option<Moment>,
    successes: u32,
    /// How often it opened since it was last closed.
    openings: u32,
    /// When it last changed but for its counts, by anybody's word.
    changed: Moment,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slice {
    number: i64,
    calls: u32,
    failures: u32,
}

impl Breaker {
    /// Until when it is open, or was before it became half-open; `None` when it is closed.
    pub(super) fn open_until(&self) -> Option<Moment> {
        self.open
    }

    /// Returns where it stands, as others are told.
    pub(super) fn state(&self) -> State {
        State {
            open_until: self.open,
            openings: self.openings,
            successes: self.successes,
            at: self.changed,
        }
    }

    /// Stands as another proxy says, when that is the later word.
    pub(super) fn adopt(&mut self, state: &State) {
        if self.changed < state.at {
            *self = Self {
                open: state.open_until,
                openings: state.openings,
                successes: state.successes,
                changed: state.at,
                ..Self::default()
            };
        }
    }

    pub(super) fn succeeded(&mut self, now: Moment, settings: &Settings) {
        self.in_a_row = 0;
        if self.open.is_none() {
            self.record(now, 0);
            return;
        }
        self.successes += 1;
        self.changed = now;
        if settings.successes_to_close <= self.successes {
            *self = Self {
                changed: now,
                ..Self::default()
            };
        }
    }

    pub(super) fn failed(&mut self, now: Moment, settings: &Settings) {
        self.successes = 0;
        match self.open {
            // A probe, or a call from before it opened: the pause already stands.
            Some(until) if now < until => {}
            Some(_) => self.open(now, settings),
            None => {
                self.in_a_row += 1;
                self.record(now, 1);
                if settings.failures_to_open <= self.in_a_row
                    || self.is_mostly_failing(now, settings)
                {
                    self.open(now, settings);
                }
            }
        }
    }

    fn open(&mut self, now: Moment, settings: &Settings) {
        let doublings = self.openings.min(16);
        let pause = settings
            .pause_ms
            .saturating_mul(1 << doublings)
            .min(settings.longest_pause_ms);
        *self = Self {
            open: Some(now.plus(Duration::from_millis(pause))),
            openings: self.openings + 1,
            changed: now,
            ..Self::default()
        };
    }

    fn record(&mut self, now: Moment, failures: u32) {
        let number = now.millis().div_euclid(SLICE_MS);
        let place = usize::try_from(number.rem_euclid(6)).unwrap_or_default();
        let Some(slice) = self.recent.get_mut(place) else {
            return;
        };
        if slice.number != number {
            *slice = Slice {
                number,
                ..Slice::default()
            };
        }
        slice.calls = slice.calls.saturating_add(1);
        slice.failures = slice.failures.saturating_add(failures);
    }

    fn is_mostly_failing(&self, now: Moment, settings: &Settings) -> bool {
        let number = now.millis().div_euclid(SLICE_MS);
        let live = self
            .recent
            .iter()
            .filter(|slice| (number - 5..=number).contains(&slice.number));
        let (calls, failures) = live.fold((0_u32, 0_u32), |(calls, failures), slice| {
            (
                calls.saturating_add(slice.calls),
                failures.saturating_add(slice.failures),
            )
        });
        settings.calls_to_judge <= calls && calls <= failures.saturating_mul(2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_795_000_000_000;

    fn at(seconds: i64) -> Moment {
        Moment::from_millis(START + seconds * 1_000)
    }

    fn is_open(breaker: &Breaker, now: Moment) -> bool {
        breaker.open_until().is_some_and(|until| now < until)
    }

    #[test]
    fn five_failures_in_a_row_open_it_for_thirty_seconds() {
        let settings = Settings::default();
        let mut breaker = Breaker::default();

        for _ in 0..4 {
            breaker.failed(at(0), &settings);
        }
        assert!(!is_open(&breaker, at(0)));

        breaker.failed(at(0), &settings);
        assert!(is_open(&breaker, at(29)));
        assert!(!is_open(&breaker, at(30)));
    }

    #[test]
    fn half_of_ten_calls_in_thirty_seconds_open_it() {
        let settings = Settings::default();
        let mut breaker = Breaker::default();

        for second in 0..5 {
            breaker.succeeded(at(second), &settings);
            assert!(!is_open(&breaker, at(second)));
            breaker.failed(at(second), &settings);
        }

        assert!(is_open(&breaker, at(5)));
    }

    #[test]
    fn failures_of_half_a_minute_ago_do_not_count() {
        let settings = Settings::default();
        let mut breaker = Breaker::default();
        for second in 0..4 {
            breaker.failed(at(second), &settings);
            breaker.succeeded(at(second), &settings);
        }

        for second in 40..44 {
            breaker.succeeded(at(second), &settings);
            breaker.failed(at(second), &settings);
        }

        assert!(!is_open(&breaker, at(44)));
    }

    #[test]
    fn a_failed_trial_doubles_the_pause_up_to_ten_minutes() {
        let settings = Settings::default();
        let mut breaker = Breaker::default();
        for _ in 0..5 {
            breaker.failed(at(0), &settings);
        }

        let mut now = 0;
        for pause in [30, 60, 120, 240, 480, 600, 600] {
            let until = breaker.open_until().unwrap();
            assert_eq!(until, at(now + pause));
            now += pause;
            breaker.failed(at(now), &settings);
        }
    }

    #[test]
    fn three_successes_close_it_and_forget_the_past() {
        let settings = Settings::default();
        let mut breaker = Breaker::default();
        for _ in 0..5 {
            breaker.failed(at(0), &settings);
        }
        breaker.failed(at(30), &settings);

        for _ in 0..3 {
            assert!(breaker.open_until().is_some());
            breaker.succeeded(at(100), &settings);
        }

        assert_eq!(breaker.open_until(), None);
        for _ in 0..5 {
            breaker.failed(at(200), &settings);
        }
        assert_eq!(breaker.open_until(), Some(at(230)));
    }

    #[test]
    fn a_failed_probe_of_an_open_one_does_not_lengthen_the_pause() {
        let settings = Settings::default();
        let mut breaker = Breaker::default();
        for _ in 0..9 {
            breaker.failed(at(0), &settings);
        }

        assert_eq!(breaker.open_until(), Some(at(30)));
    }
}
