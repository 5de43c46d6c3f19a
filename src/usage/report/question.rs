//! What a report is asked, and whether the roll-ups can answer it in a moment.

use std::time::Duration;

use chrono_tz::Tz;

use super::{Dimension, Filters, Interval};
use crate::base::{Moment, OrganizationId};

/// A stretch of time in whole hours: the roll-ups know no finer ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// Its first moment.
    pub from: Moment,
    /// The moment behind its last one.
    pub to: Moment,
}

/// Milliseconds of an hour.
const HOUR: i64 = 3_600_000;

impl Period {
    /// Makes the period of all hours that begin before `to` and end after `from`.
    #[must_use]
    pub fn around(from: Moment, to: Moment) -> Self {
        Self {
            from: hour_with(from),
            to: hour_from(to),
        }
    }

    /// Makes the period that ends with the present hour.
    #[must_use]
    pub fn until(now: Moment, length: Duration) -> Self {
        Self::around(now.minus(length), now)
    }

    /// Returns how long it is.
    #[must_use]
    pub fn length(&self) -> Duration {
        self.to.since(self.from)
    }
}

/// Returns the beginning of the hour (UTC) with `at` in it.
pub(super) fn hour_with(at: Moment) -> Moment {
    Moment::from_millis(at.millis().div_euclid(HOUR).saturating_mul(HOUR))
}

/// Returns the first beginning of an hour (UTC) that is not before `at`.
pub(super) fn hour_from(at: Moment) -> Moment {
    hour_with(Moment::from_millis(at.millis().saturating_add(HOUR - 1)))
}

/// Whose calls a report is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// One tenant's.
    Organization(OrganizationId),
    /// Everybody's.
    Everybody,
}

/// What a report is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// Whose calls.
    pub whose: Whose,
    /// By what it is divided.
    pub by: Dimension,
    /// Into which steps of time.
    pub interval: Interval,
    /// Whose calendar counts.
    pub zone: Tz,
    /// When the calls began.
    pub period: Period,
    /// Which calls.
    pub filters: Filters,
}

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

impl Question {
    /// Says whether the roll-ups can answer in a moment.
    ///
    /// # Errors
    /// Why they cannot.
    pub fn check(&self) -> Result<(), NotAnswered> {
        if self.period.to <= self.period.from {
            return Err(NotAnswered::Backwards);
        }
        let (longest, bound) = self.longest();
        // Widening it to whole hours must not make a period too long that was not.
        if longest + WIDENED < self.period.length() {
            return Err(NotAnswered::TooLong(longest, bound));
        }
        if self.whose == Whose::Everybody && !self.is_total() {
            return Err(NotAnswered::TooWide);
        }
        Ok(())
    }

    fn longest(&self) -> (Duration, Bound) {
        let is_foreign = self.zone != Tz::UTC;
        if self.is_detailed() {
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

    /// Says whether there may be thousands of what it is divided by.
    fn is_of_many(&self) -> bool {
        match self.by {
            Dimension::User | Dimension::Key => self.is_total(),
            Dimension::Organization => self.whose == Whose::Everybody,
            _ => false,
        }
    }

    /// Returns the sides of a call that the question touches; a tier is a side of its offer.
    fn sides(&self) -> Vec<Dimension> {
        let Filters {
            group,
            user,
            key,
            model,
            provider,
            offer,
            tier,
        } = self.filters;
        let filtered = [
            (group.is_some(), Dimension::Group),
            (user.is_some(), Dimension::User),
            (key.is_some(), Dimension::Key),
            (model.is_some(), Dimension::Model),
            (provider.is_some(), Dimension::Provider),
            (offer.is_some() || tier.is_some(), Dimension::Offer),
        ];
        let mut sides: Vec<Dimension> = filtered
            .into_iter()
            .filter_map(|(is_set, side)| is_set.then_some(side))
            .collect();
        let divided = match self.by {
            Dimension::Tier => Dimension::Offer,
            other => other,
        };
        let is_side = match divided {
            Dimension::None => false,
            Dimension::Organization => self.whose == Whose::Everybody,
            _ => !sides.contains(&divided),
        };
        if is_side {
            sides.push(divided);
        }
        sides
    }

    /// Says whether totals of one side answer it, or which organizations have some model, provider or offer.
    pub(super) fn is_total(&self) -> bool {
        let is_shared = |side: &Dimension| {
            matches!(
                side,
                Dimension::Model | Dimension::Provider | Dimension::Offer
            )
        };
        match (self.whose, self.sides().as_slice()) {
            (_, []) => true,
            (Whose::Organization(_), [_]) => true,
            (Whose::Organization(_), _) => false,
            (Whose::Everybody, [side]) => is_shared(side) || *side == Dimension::Organization,
            (Whose::Everybody, [side, Dimension::Organization]) => is_shared(side),
            (Whose::Everybody, _) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{
        base::{ApiKeyId, ProviderId},
        catalog::Tier,
    };

    fn question(by: Dimension, interval: Interval, days: u64) -> Question {
        let now = Moment::from_millis(1_795_000_000_000);
        Question {
            whose: Whose::Organization(OrganizationId(Uuid::nil())),
            by,
            interval,
            zone: Tz::UTC,
            period: Period::until(now, DAY * u32::try_from(days).unwrap()),
            filters: Filters::default(),
        }
    }

    #[test]
    fn a_period_is_widened_to_whole_hours() {
        let at = |millis| Moment::from_millis(HOUR * 1_000 + millis);

        let period = Period::around(at(1), at(HOUR + 1));

        assert_eq!((period.from, period.to), (at(0), at(2 * HOUR)));
        assert_eq!(Period::around(at(0), at(HOUR)).to, at(HOUR));
    }

    #[test]
    fn the_more_a_question_adds_up_the_shorter_its_period() {
        let in_berlin = |by, days| {
            let zone = Tz::Europe__Berlin;
            Question {
                zone,
                ..question(by, Interval::Day, days)
            }
        };
        let narrowed = |by, interval, days, filters| Question {
            filters,
            ..question(by, interval, days)
        };
        let of_key = Filters {
            key: Some(ApiKeyId(Uuid::nil())),
            ..Filters::default()
        };
        let of_provider = Filters {
            provider: Some(ProviderId(Uuid::nil())),
            ..Filters::default()
        };
        let of_tier = Filters {
            tier: Some(Tier::Free),
            ..of_provider
        };
        for (question, days, bound) in [
            (
                question(Dimension::None, Interval::Month, 401),
                400,
                Bound::Past,
            ),
            (
                question(Dimension::Key, Interval::Day, 401),
                400,
                Bound::Past,
            ),
            (
                question(Dimension::Key, Interval::Hour, 32),
                31,
                Bound::Steps,
            ),
            (in_berlin(Dimension::Key, 93), 92, Bound::Steps),
            (
                question(Dimension::Model, Interval::None, 401),
                400,
                Bound::Past,
            ),
            (question(Dimension::Key, Interval::None, 93), 92, Bound::Sum),
            (
                narrowed(Dimension::Model, Interval::None, 401, of_key),
                400,
                Bound::Past,
            ),
            (
                narrowed(Dimension::Model, Interval::None, 32, of_provider),
                31,
                Bound::Sum,
            ),
            (
                narrowed(Dimension::Model, Interval::Day, 401, of_provider),
                400,
                Bound::Past,
            ),
            (
                narrowed(Dimension::Model, Interval::Day, 32, of_tier),
                31,
                Bound::Detail,
            ),
        ] {
            let longest = DAY.saturating_mul(days);
            let mut bounded = question;
            bounded.period = Period::until(question.period.to, longest);

            assert_eq!(
                question.check(),
                Err(NotAnswered::TooLong(longest, bound)),
                "{question:?}"
            );
            assert_eq!(bounded.check(), Ok(()), "{question:?}");
        }
    }

    #[test]
    fn a_refusal_says_how_to_ask() {
        let refused = question(Dimension::Key, Interval::None, 200).check();

        assert_eq!(
            refused.unwrap_err().to_string(),
            "at most 92 days at once for this question: ask for a shorter period, or in steps of a month"
        );
    }

    #[test]
    fn a_period_that_ends_before_it_begins_is_refused() {
        let mut question = question(Dimension::None, Interval::None, 1);
        question.period.to = question.period.from;

        assert_eq!(question.check(), Err(NotAnswered::Backwards));
    }

    #[test]
    fn across_organizations_one_side_is_asked_at_once() {
        let across = |by, filters| {
            Question {
                whose: Whose::Everybody,
                filters,
                ..question(by, Interval::Day, 30)
            }
            .check()
        };
        let of_provider = Filters {
            provider: Some(ProviderId(Uuid::nil())),
            ..Filters::default()
        };
        let of_key = Filters {
            key: Some(ApiKeyId(Uuid::nil())),
            ..Filters::default()
        };

        assert_eq!(across(Dimension::Organization, Filters::default()), Ok(()));
        assert_eq!(across(Dimension::Tier, Filters::default()), Ok(()));
        assert_eq!(across(Dimension::Organization, of_provider), Ok(()));
        assert_eq!(across(Dimension::None, of_provider), Ok(()));
        assert_eq!(
            across(Dimension::Model, of_provider),
            Err(NotAnswered::TooWide)
        );
        assert_eq!(across(Dimension::None, of_key), Err(NotAnswered::TooWide));
        assert_eq!(
            across(Dimension::Key, Filters::default()),
            Err(NotAnswered::TooWide)
        );
    }
}
