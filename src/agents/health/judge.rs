//! How well an offer does: a pure verdict over a free look at it and what callers saw of it lately.

use std::time::Duration;

use serde::Serialize;

use crate::base::Moment;

/// From this score on an offer is well.
pub const WELL: u8 = 70;
/// Below this score it is out.
const OUT: u8 = 30;
/// Fewer tries than these say less than the look does.
const FEWEST_TRIES: u64 = 5;
/// The longest pause after failures, in minutes.
const LONGEST_PAUSE_MIN: u64 = 60;

/// What a free look at an offer's provider found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Look {
    /// It lists its models.
    Succeeded,
    /// It does not take the key.
    Refused,
    /// It has had too many calls.
    Limited,
    /// It has a fault, or nobody answered.
    Failed,
    /// The answer says nothing.
    Unclear,
}

impl Look {
    /// Returns the word of the books; `None` for what is not kept.
    #[must_use]
    pub const fn word(self) -> Option<&'static str> {
        match self {
            Self::Succeeded => Some("succeeded"),
            Self::Refused => Some("refused"),
            Self::Limited => Some("limited"),
            Self::Failed => Some("failed"),
            Self::Unclear => None,
        }
    }
}

/// What callers saw of an offer lately.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lately {
    /// Tries it answered.
    pub succeeded: u64,
    /// Tries that failed by its fault.
    pub failed: u64,
    /// Tries its provider refused for the key.
    pub refused: u64,
}

/// How an offer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Calls go there.
    Healthy,
    /// Calls go there, and some fail.
    Degraded,
    /// Calls do not go there.
    Out,
}

impl State {
    /// Returns the word of the books.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Out => "out",
        }
    }
}

/// What is made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How it stands.
    pub state: State,
    /// How well it does, of 100.
    pub score: u8,
    /// How many of 100 tries succeeded; `None` when there were none.
    pub success_percent: Option<u8>,
    /// How many looks in a row failed.
    pub consecutive_failures: u32,
    /// Until when nobody should try.
    pub out_until: Option<Moment>,
    /// Why, in one line.
    pub reason: &'static str,
}

/// Judges an offer; `None` when nothing was learnt. `before` is how many looks in a row had failed.
#[must_use]
pub fn judge(look: Look, lately: Lately, before: u32, now: Moment) -> Option<Verdict> {
    let success_percent = percent(lately);
    let (score, reason) = score(look, lately, success_percent)?;
    let has_failed = score < OUT;
    let consecutive_failures = if has_failed {
        before.saturating_add(1)
    } else {
        0
    };
    let state = match score {
        WELL.. => State::Healthy,
        OUT.. => State::Degraded,
        _ => State::Out,
    };
    let out_until = has_failed.then(|| now.plus(pause(consecutive_failures)));
    Some(Verdict {
        state,
        score,
        success_percent,
        consecutive_failures,
        out_until,
        reason,
    })
}

/// Says whether people are told of this failure: of the first, and of every fifth.
#[must_use]
pub const fn is_told(consecutive_failures: u32) -> bool {
    consecutive_failures == 1
        || (0 < consecutive_failures && consecutive_failures.is_multiple_of(5))
}

/// How long nobody should try after so many failures in a row: one minute, doubled each time, an hour at most.
#[must_use]
pub fn pause(consecutive_failures: u32) -> Duration {
    let doublings = consecutive_failures.saturating_sub(1).min(6);
    let minutes = (1_u64 << doublings).min(LONGEST_PAUSE_MIN);
    Duration::from_secs(minutes * 60)
}

fn percent(lately: Lately) -> Option<u8> {
    let all = lately.succeeded + lately.failed;
    let percent = (lately.succeeded * 100).checked_div(all)?;
    u8::try_from(percent).ok()
}

fn score(look: Look, lately: Lately, seen: Option<u8>) -> Option<(u8, &'static str)> {
    let is_much = FEWEST_TRIES <= lately.succeeded + lately.failed;
    match (look, seen) {
        (Look::Refused, _) => Some((0, "the provider does not take the key")),
        // Callers count more than a list of models.
        (_, Some(seen)) if is_much => Some((seen, "as callers saw it")),
        (Look::Failed, Some(seen)) if 0 < seen => Some((seen / 2, "the provider does not answer")),
        (Look::Failed, _) => Some((0, "the provider does not answer")),
        (Look::Succeeded, Some(seen)) => Some((50 + seen / 2, "the provider answers")),
        (Look::Succeeded, None) => Some((100, "the provider answers")),
        (Look::Limited | Look::Unclear, Some(seen)) => Some((seen, "as callers saw it")),
        (Look::Limited | Look::Unclear, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment::from_millis(1_795_000_000_000);

    fn lately(succeeded: u64, failed: u64) -> Lately {
        Lately {
            succeeded,
            failed,
            refused: 0,
        }
    }

    #[test]
    fn a_pause_doubles_from_a_minute_to_an_hour() {
        let minutes = |failures| pause(failures).as_secs() / 60;

        let pauses: Vec<_> = [1, 2, 3, 4, 5, 6, 7, 8, 1_000].map(minutes).to_vec();

        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }

    #[test]
    fn the_first_and_every_fifth_failure_are_told() {
        let told: Vec<_> = (0..=15).filter(|failures| is_told(*failures)).collect();

        assert_eq!(told, [1, 5, 10, 15]);
    }

    #[test]
    fn what_callers_saw_goes_before_a_look_and_a_look_before_nothing() {
        let score = |look, lately| judge(look, lately, 0, NOW).map(|verdict| verdict.score);

        assert_eq!(score(Look::Succeeded, Lately::default()), Some(100));
        assert_eq!(score(Look::Succeeded, lately(1, 9)), Some(10));
        assert_eq!(score(Look::Failed, lately(99, 1)), Some(99));
        assert_eq!(score(Look::Failed, Lately::default()), Some(0));
        assert_eq!(score(Look::Succeeded, lately(0, 1)), Some(50));
        assert_eq!(score(Look::Refused, lately(100, 0)), Some(0));
        assert_eq!(score(Look::Unclear, Lately::default()), None);
        assert_eq!(score(Look::Limited, lately(3, 0)), Some(100));
    }

    #[test]
    fn failures_in_a_row_are_counted_until_one_look_is_better() {
        let fails = |before| judge(Look::Failed, Lately::default(), before, NOW).unwrap();
        let first = fails(0);
        assert_eq!(first.out_until, Some(NOW.plus(Duration::from_secs(60))));
        assert_eq!(fails(4).consecutive_failures, 5);

        let well = judge(Look::Succeeded, Lately::default(), 5, NOW).unwrap();

        assert_eq!((well.consecutive_failures, well.out_until), (0, None));
        assert_eq!(well.state, State::Healthy);
    }
}
