//! How long a period the roll-ups answer in a moment, by what is asked.

use std::time::Duration;

use chrono_tz::Tz;

use super::{Dimension, Filters, Interval, Question, Whose};

/// Why a question is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAnswered {
    /// The period ends before it begins.
    #[error("ends before it begins")]
    Backwards,
    /// The period is longer than questions of this kind may be.
    #[error("at most {} days at once for this question: ask for a shorter period{}", .0.as_secs() / DAY.as_secs(), .1.advice())]
    TooLong(Duration, Bound),
    /// Nobody keeps a roll-up of everybody's calls that could answer.
    #[error(
        "give an organization_id too: across organizations only one thing can be asked at once"
    )]
    TooWide,
}

/// What bounds a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// How far back anything can be asked.
    Past,
    /// How fine its steps are.
    Steps,
    /// That one sum over all of it is wanted, of many or out of whole calls.
    Sum,
    /// That one sum out of nearly all calls is wanted.
    Breadth,
    /// That even its total is a sum out of whole calls.
    Detail,
}

impl Bound {
    /// Returns what else would be answered, to be read behind "ask for a shorter period".
    fn advice(self) -> &'static str {
        match self {
            Self::Past => "",
            Self::Steps => ", or for longer steps",
            Self::Sum => ", or in steps of a month",
            Self::Breadth => ", or in steps of a day",
            Self::Detail => ", or about one key or person",
        }
    }
}

/// One day.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How much longer than asked for a period may be.
const WIDENED: Duration = Duration::from_secs(2 * 60 * 60);
/// The longest period of any question.
const LONGEST: Duration = DAY.saturating_mul(400);
/// The longest one in steps of an hour.
const LONGEST_BY_HOUR: Duration = DAY.saturating_mul(31);
/// The longest one in days that are not UTC's: hours answer it.
const LONGEST_BY_FOREIGN_DAY: Duration = DAY.saturating_mul(92);
/// The longest one that is summed up for each of many.
const LONGEST_OF_MANY: Duration = DAY.saturating_mul(92);
/// The longest one that is summed up out of whole calls, because totals know one side of them.
const LONGEST_IN_DETAIL: Duration = DAY.saturating_mul(31);
/// The same when a good part of all calls is summed up.
const LONGEST_IN_BREADTH: Duration = DAY.saturating_mul(14);

impl Question {
    /// Says whether the roll-ups can answer in a moment.
    ///
    /// # Errors
    /// Why they cannot.
    pub fn check(&self) -> Result<(), NotAnswered> {
        if self.period.to <= self.period.from {
            return Err(NotAnswered::Backwards);
        }
        // A shorter period would not help.
        if self.whose == Whose::Everybody && !self.is_total() {
            return Err(NotAnswered::TooWide);
        }
        let (longest, bound) = self.longest();
        // Widening it to whole hours must not make a period too long that was not.
        if longest + WIDENED < self.period.length() {
            return Err(NotAnswered::TooLong(longest, bound));
        }
        Ok(())
    }

    fn longest(&self) -> (Duration, Bound) {
        let is_foreign = self.zone != Tz::UTC;
        if self.is_broad() {
            (LONGEST_IN_BREADTH, Bound::Breadth)
        } else if self.is_detailed() {
            let by_month = Self {
                interval: Interval::Month,
                ..*self
            };
            let bound = if by_month.is_detailed() {
                Bound::Detail
            } else {
                Bound::Sum
            };
            (LONGEST_IN_DETAIL, bound)
        } else if self.interval == Interval::None && self.is_of_many_organizations() {
            (LONGEST_IN_DETAIL, Bound::Sum)
        } else if self.interval == Interval::Hour {
            (LONGEST_BY_HOUR, Bound::Steps)
        } else if self.interval == Interval::Day && is_foreign {
            (LONGEST_BY_FOREIGN_DAY, Bound::Steps)
        } else if self.interval == Interval::None && self.is_of_many() {
            (LONGEST_OF_MANY, Bound::Sum)
        } else {
            (LONGEST, Bound::Past)
        }
    }

    /// Says whether a sum over the whole period is made of whole calls, and of more than one key's or person's. In
    /// steps that is the total alone, which does not know by what the question is divided.
    fn is_detailed(&self) -> bool {
        let summed = Self {
            by: match self.interval {
                Interval::None => self.by,
                Interval::Hour | Interval::Day | Interval::Month => Dimension::None,
            },
            ..*self
        };
        let Filters { user, key, .. } = self.filters;
        !summed.is_total() && user.is_none() && key.is_none()
    }

    /// Says whether sums over months are made of whole calls that nothing but their tier narrows.
    fn is_broad(&self) -> bool {
        let is_long = matches!(self.interval, Interval::None | Interval::Month);
        let of_tier = Filters {
            tier: self.filters.tier,
            ..Filters::default()
        };
        is_long && self.filters == of_tier && !self.is_total()
    }

    /// Says whether it tells what each organization has of something: what is far apart in the books.
    fn is_of_many_organizations(&self) -> bool {
        self.whose == Whose::Everybody
            && self.by == Dimension::Organization
            && 1 < self.sides().len()
    }

    /// Says whether there may be thousands of what it is divided by.
    fn is_of_many(&self) -> bool {
        match self.by {
            Dimension::User | Dimension::Key => self.is_total(),
            Dimension::Organization => self.whose == Whose::Everybody,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{
        base::{ApiKeyId, Moment, OrganizationId, ProviderId},
        catalog::Tier,
        usage::report::Period,
    };

    const OF_ALL: Filters = Filters {
        group: None,
        user: None,
        key: None,
        model: None,
        provider: None,
        offer: None,
        tier: None,
    };
    const OF_KEY: Filters = Filters {
        key: Some(ApiKeyId(Uuid::nil())),
        ..OF_ALL
    };
    const OF_PROVIDER: Filters = Filters {
        provider: Some(ProviderId(Uuid::nil())),
        ..OF_ALL
    };
    const OF_TIER: Filters = Filters {
        tier: Some(Tier::Free),
        ..OF_ALL
    };
    const OF_BOTH: Filters = Filters {
        tier: Some(Tier::Free),
        ..OF_PROVIDER
    };

    fn question(by: Dimension, interval: Interval, filters: Filters) -> Question {
        Question {
            whose: Whose::Organization(OrganizationId(Uuid::nil())),
            by,
            interval,
            zone: Tz::UTC,
            period: Period::until(Moment::from_millis(1_795_000_000_000), DAY),
            filters,
        }
    }

    fn everybodys(by: Dimension, filters: Filters) -> Question {
        Question {
            whose: Whose::Everybody,
            ..question(by, Interval::None, filters)
        }
    }

    #[track_caller]
    fn is_bounded(question: Question, days: u32, bound: Bound) {
        let longest = DAY.saturating_mul(days);
        let lasting = |length| Question {
            period: Period::until(question.period.to, length),
            ..question
        };

        assert_eq!(lasting(longest).check(), Ok(()));
        let refused = Err(NotAnswered::TooLong(longest, bound));
        assert_eq!(lasting(longest + DAY).check(), refused);
    }

    #[test]
    fn the_finer_the_steps_the_shorter_the_period() {
        let in_berlin = Question {
            zone: Tz::Europe__Berlin,
            ..question(Dimension::Key, Interval::Day, OF_ALL)
        };

        is_bounded(
            question(Dimension::None, Interval::Month, OF_ALL),
            400,
            Bound::Past,
        );
        is_bounded(
            question(Dimension::Key, Interval::Day, OF_ALL),
            400,
            Bound::Past,
        );
        is_bounded(
            question(Dimension::Key, Interval::Hour, OF_ALL),
            31,
            Bound::Steps,
        );
        is_bounded(in_berlin, 92, Bound::Steps);
    }

    #[test]
    fn the_more_is_summed_up_at_once_the_shorter_the_period() {
        let (none, day, month) = (Interval::None, Interval::Day, Interval::Month);

        is_bounded(question(Dimension::Model, none, OF_ALL), 400, Bound::Past);
        is_bounded(question(Dimension::Key, none, OF_ALL), 92, Bound::Sum);
        is_bounded(question(Dimension::Model, none, OF_KEY), 400, Bound::Past);
        is_bounded(
            question(Dimension::Model, none, OF_PROVIDER),
            31,
            Bound::Sum,
        );
        is_bounded(
            question(Dimension::Model, day, OF_PROVIDER),
            400,
            Bound::Past,
        );
        is_bounded(question(Dimension::Model, day, OF_BOTH), 31, Bound::Detail);
        is_bounded(question(Dimension::Key, month, OF_TIER), 14, Bound::Breadth);
        is_bounded(question(Dimension::Key, day, OF_TIER), 400, Bound::Past);
        is_bounded(everybodys(Dimension::Organization, OF_ALL), 92, Bound::Sum);
        is_bounded(
            everybodys(Dimension::Organization, OF_PROVIDER),
            31,
            Bound::Sum,
        );
    }

    #[test]
    fn a_refusal_says_how_to_ask() {
        let mut question = question(Dimension::Key, Interval::None, OF_ALL);
        question.period.from = question.period.to.minus(DAY * 200);

        assert_eq!(
            question.check().unwrap_err().to_string(),
            "at most 92 days at once for this question: ask for a shorter period, or in steps of a month"
        );
    }

    #[test]
    fn a_period_that_ends_before_it_begins_is_refused() {
        let mut question = question(Dimension::None, Interval::None, OF_ALL);
        question.period.to = question.period.from;

        assert_eq!(question.check(), Err(NotAnswered::Backwards));
    }

    #[test]
    fn across_organizations_one_side_is_asked_at_once() {
        let across = |by, filters| everybodys(by, filters).check();

        assert_eq!(across(Dimension::Organization, OF_ALL), Ok(()));
        assert_eq!(across(Dimension::Tier, OF_ALL), Ok(()));
        assert_eq!(across(Dimension::Organization, OF_PROVIDER), Ok(()));
        assert_eq!(across(Dimension::None, OF_PROVIDER), Ok(()));
        for (by, filters) in [
            (Dimension::Model, OF_PROVIDER),
            (Dimension::None, OF_KEY),
            (Dimension::Key, OF_ALL),
        ] {
            assert_eq!(across(by, filters), Err(NotAnswered::TooWide));
        }
    }
}
