//! Redis's clock, watched: sliding windows and leases hang on it, so how far it moved is held against how much time
//! truly passed.

use std::time::{Duration, Instant};

use crate::base::Moment;

/// By how much a clock may differ from the time that passed before it is called a jump: more than any slewing.
const TOLERATED_MS: i64 = 2_000;

/// By how much Redis's clock may differ from a new process's own for its word to be taken.
const AGREED_MS: i64 = 60_000;

/// What a beat was told of the clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    pub(super) asked: Instant,
    /// Which memory of Redis it belongs to.
    pub(super) epoch: u64,
    pub(super) at: Moment,
    /// By how much rings and leases lag behind it, in milliseconds.
    pub(super) shift_ms: i64,
}

impl Told {
    /// Returns the moment by which rings and leases go.
    fn tick(&self) -> i64 {
        self.at.millis() - self.shift_ms
    }
}

/// The last beat, and when its answer came.
#[derive(Debug, Default)]
pub(super) struct ClockWatch {
    last: Option<(Told, Instant)>,
}

impl ClockWatch {
    /// Notes what a beat was told, and heard at `heard`; returns by how many milliseconds the clock jumped, when
    /// somebody found that it did.
    pub(super) fn note(&mut self, told: Told, heard: Instant) -> Option<i64> {
        let (before, _) = self.last.replace((told, heard))?;
        let jump_ms = told.shift_ms - before.shift_ms;
        (before.epoch == told.epoch && jump_ms != 0).then_some(jump_ms)
    }

    /// Returns how many milliseconds truly passed until a beat was told the clock, since the clock said `seen`; rather
    /// less than more. `ours` is this process's own clock, for as long as it has seen nothing itself.
    pub(super) fn passed(&self, told: &Told, seen: Moment, ours: Moment) -> i64 {
        let moved = told.at.millis() - seen.millis();
        let known = self.last.filter(|(before, _)| before.epoch == told.epoch);
        let Some((before, heard)) = known else {
            let is_agreed = (told.at.millis() - ours.millis()).abs() <= AGREED_MS;
            return if is_agreed { moved.max(0) } else { 0 };
        };
        let until_seen = seen.millis() - told.shift_ms - before.tick();
        let since = millis(told.asked.saturating_duration_since(heard));
        let passed = (since - until_seen).max(0);
        if (moved - passed).abs() <= TOLERATED_MS {
            moved
        } else {
            passed
        }
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: i64 = 1_795_000_000_000;

    fn told(asked: Instant, at: i64, shift_ms: i64) -> Told {
        Told {
            asked,
            epoch: 7,
            at: Moment::from_millis(at),
            shift_ms,
        }
    }

    /// What passed, as a process sees it that was told the clock, and so long after it once more; another one was
    /// told, `seen_ms` after the first.
    fn passed(after_ms: u64, moved_ms: i64, seen_ms: i64) -> i64 {
        let begin = Instant::now();
        let mut watch = ClockWatch::default();
        assert_eq!(watch.note(told(begin, SAID, 0), begin), None);
        let now = told(begin + Duration::from_millis(after_ms), SAID + moved_ms, 0);
        let seen = Moment::from_millis(SAID + seen_ms);
        watch.passed(&now, seen, Moment::from_millis(0))
    }

    #[test]
    fn a_pause_is_time_that_passed() {
        assert_eq!(passed(5_000, 5_000, 0), 5_000);
        assert_eq!(passed(5_000, 6_999, 0), 6_999);
        assert_eq!(passed(600_000, 600_000, 590_000), 10_000);
    }

    #[test]
    fn a_jump_is_none() {
        assert_eq!(passed(250, 3_600_250, 0), 250);
        assert_eq!(passed(250, -3_599_750, 0), 250);
        assert_eq!(passed(600_000, 4_200_000, 590_000), 10_000);
    }

    #[test]
    fn what_jumped_before_is_no_time_either() {
        let begin = Instant::now();
        let mut watch = ClockWatch::default();
        watch.note(told(begin, SAID, 0), begin);
        let later = begin + Duration::from_secs(10);
        // An hour's jump was found by somebody else, who was told the clock eight seconds ago and is gone.
        let now = told(later, SAID + 3_610_000, 3_600_000);
        let seen = Moment::from_millis(SAID + 3_602_000);

        assert_eq!(watch.passed(&now, seen, Moment::from_millis(0)), 8_000);
        assert_eq!(watch.note(now, later), Some(3_600_000));
        assert_eq!(watch.note(now, later), None);
    }

    #[test]
    fn a_new_process_takes_the_clocks_word_when_its_own_says_the_same() {
        let watch = ClockWatch::default();
        let now = told(Instant::now(), SAID, 0);
        let seen = Moment::from_millis(SAID - 3_600_000);
        let agreed = |ours| watch.passed(&now, seen, Moment::from_millis(ours));

        assert_eq!(agreed(SAID - 59_000), 3_600_000);
        assert_eq!(agreed(SAID - 3_600_000), 0);
        let ahead = Moment::from_millis(SAID + 3_600_000);
        assert_eq!(watch.passed(&now, ahead, Moment::from_millis(SAID)), 0);
    }
}
