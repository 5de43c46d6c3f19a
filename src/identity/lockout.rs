//! How wrong guesses are slowed down and stopped, by account and source: the owner elsewhere goes on.

use std::time::Duration;

use crate::base::Moment;

/// Wrong guesses that cost nothing: fingers slip.
const FREE: u32 = 4;
/// Wrong guesses after which only another password helps.
const STOP: u32 = 100;
/// The wait after the fifth.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(15 * 60);
/// What a stopped guesser is told to wait.
const STOPPED_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// The wrong guesses of one source about one account, in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard {
    /// How many.
    pub failures: u32,
    /// When the last was.
    pub last_failed_at: Moment,
}

/// Another guess comes too early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many wrong guesses; wait {}s", wait.as_secs())]
pub struct Locked {
    /// How long to wait.
    pub wait: Duration,
    /// Will waiting not help, only a reset of the password?
    pub is_stopped: bool,
}

impl Guard {
    /// Says whether another guess may be judged at `now`.
    ///
    /// # Errors
    /// It comes too early, or after too many.
    pub fn judge(self, now: Moment) -> Result<(), Locked> {
        if STOP <= self.failures {
            return Err(Locked {
                wait: STOPPED_WAIT,
                is_stopped: true,
            });
        }
        let passed = now.since(self.last_failed_at);
        match wait_after(self.failures).checked_sub(passed) {
            Some(wait) if !wait.is_zero() => Err(Locked {
                wait,
                is_stopped: false,
            }),
            _ => Ok(()),
        }
    }
}

fn wait_after(failures: u32) -> Duration {
    let Some(doublings) = failures.checked_sub(FREE + 1) else {
        return Duration::ZERO;
    };
    let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
    FIRST_WAIT.saturating_mul(factor).min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_from_the_fifth_failure_to_a_quarter_of_an_hour() {
        for (failures, seconds) in [
            (0, 0),
            (4, 0),
            (5, 1),
            (6, 2),
            (9, 16),
            (15, 900),
            (99, 900),
        ] {
            assert_eq!(wait_after(failures).as_secs(), seconds, "{failures}");
        }
    }

    #[test]
    fn a_guess_is_judged_when_the_wait_is_over_and_never_after_a_hundred() {
        let guard = |failures| Guard {
            failures,
            last_failed_at: Moment::from_millis(10_000),
        };

        assert_eq!(guard(4).judge(Moment::from_millis(10_000)), Ok(()));
        let early = guard(6).judge(Moment::from_millis(11_500)).unwrap_err();
        assert_eq!(early.wait, Duration::from_millis(500));
        assert_eq!(guard(6).judge(Moment::from_millis(12_000)), Ok(()));
        let years = Moment::from_millis(10_000_000_000);
        assert!(guard(100).judge(years).unwrap_err().is_stopped);
    }
}
