//! Redis's clock, watched: every window hangs on it, so a clock that jumps must not go unnoticed.

use std::time::{Duration, Instant};

use crate::base::Moment;

/// By how much a clock may differ from the time that passed before it is called a jump: more than any slewing.
const TOLERATED_MS: i64 = 2_000;

/// What the clock said last, and between which moments it must have said so.
#[derive(Debug, Default)]
pub(super) struct ClockWatch {
    last: Option<(Instant, Instant, Moment)>,
}

impl ClockWatch {
    /// Notes what the clock said between `asked` and `heard`; returns by how many milliseconds it jumped, if it did.
    pub(super) fn note(&mut self, asked: Instant, heard: Instant, said: Moment) -> Option<i64> {
        let (first_asked, first_heard, first) = self.last.replace((asked, heard, said))?;
        let moved = said.millis() - first.millis();
        let least = millis(asked.saturating_duration_since(first_heard));
        let most = millis(heard.saturating_duration_since(first_asked));
        if moved < least - TOLERATED_MS {
            Some(moved - least)
        } else if most + TOLERATED_MS < moved {
            Some(moved - most)
        } else {
            None
        }
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the watch says of a second look after so long, at a clock that moved so far.
    fn second_look(after_ms: u64, took_ms: u64, moved_ms: i64) -> Option<i64> {
        let mut watch = ClockWatch::default();
        let begin = Instant::now();
        let said = Moment::from_millis(1_795_000_000_000);
        assert_eq!(watch.note(begin, begin, said), None);
        let asked = begin + Duration::from_millis(after_ms);
        let heard = asked + Duration::from_millis(took_ms);
        watch.note(asked, heard, Moment::from_millis(said.millis() + moved_ms))
    }

    #[test]
    fn a_clock_that_runs_as_time_does_never_jumps() {
        assert_eq!(second_look(375, 1, 375), None);
        assert_eq!(second_look(375, 0, 2_375), None);
        assert_eq!(second_look(375, 0, -1_625), None);
    }

    #[test]
    fn a_slow_answer_is_no_jump() {
        assert_eq!(second_look(375, 60_000, 375), None);
        assert_eq!(second_look(375, 60_000, 60_375), None);
    }

    #[test]
    fn a_clock_put_forward_or_back_is_noticed() {
        assert_eq!(second_look(375, 0, 3_600_375), Some(3_600_000));
        assert_eq!(second_look(375, 0, -3_599_625), Some(-3_600_000));
        assert_eq!(second_look(375, 0, -1_626), Some(-2_001));
    }
}
