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

/// One day.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Period {
    /// Makes the period of all hours that begin before `to` and end after `from`.
    #[must_use]
    pub fn around(from: Moment, to: Moment) -> Self {
        let floor = |millis: i64| millis.div_euclid(HOUR).saturating_mul(HOUR);
        let end = floor(to.millis().saturating_add(HOUR - 1));
        Self {
            from: Moment::from_millis(floor(from.millis())),
            to: Moment::from_millis(end),
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
    #[error("at most {} days at once for this question", .0.as_secs() / DAY.as_secs())]
    TooLong(Duration),
    /// Nobody keeps a roll-up of everybody's calls that could answer.
    #[error(
        "give an organization_id too: across organizations only one thing can be asked at once"
    )]
    TooWide,
}

/// How much longer than asked for a period may be.
const WIDENED: Duration = Duration::from_secs(2 * 60 * 60);
/// The longest period of any question.
const LONGEST: Duration = Duration::from_secs(400 * 24 * 60 * 60);
/// The longest one in steps of an hour.
const LONGEST_BY_HOUR: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// The longest one in days that are not UTC's: the daily roll-ups cannot help.
const LONGEST_BY_FOREIGN_DAY: Duration = Duration::from_secs(92 * 24 * 60 * 60);
/// The same when the totals of an hour cannot help either.
const LONGEST_BY_DETAIL: Duration = Duration::from_secs(31 * 24 * 60 * 60);

impl Question {
    /// Says whether the roll-ups can answer in a moment.
    ///
    /// # Errors
    /// Why they cannot.
    pub fn check(&self) -> Result<(), NotAnswered> {
        if self.period.to <= self.period.from {
            return Err(NotAnswered::Backwards);
        }
        let longest = self.longest();
        // Widening it to whole hours must not make a period too long that was not.
        if longest + WIDENED < self.period.length() {
            return Err(NotAnswered::TooLong(longest));
        }
        if self.whose == Whose::Everybody && !self.is_total() {
            return Err(NotAnswered::TooWide);
        }
        Ok(())
    }

    fn longest(&self) -> Duration {
        match self.interval {
            Interval::Hour => LONGEST_BY_HOUR,
            Interval::Day if self.zone != Tz::UTC && self.is_hourly_total() => {
                LONGEST_BY_FOREIGN_DAY
            }
            Interval::Day if self.zone != Tz::UTC => LONGEST_BY_DETAIL,
            Interval::None | Interval::Day | Interval::Month => LONGEST,
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
    fn is_total(&self) -> bool {
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

    fn is_hourly_total(&self) -> bool {
        let sides = self.sides();
        let is_many = |side: &Dimension| matches!(side, Dimension::User | Dimension::Key);
        self.is_total() && !sides.iter().any(is_many)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::base::{ApiKeyId, ProviderId};

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
    fn the_finer_the_steps_the_shorter_the_period() {
        let hourly = |days| question(Dimension::Key, Interval::Hour, days).check();
        let in_berlin = |by, days| {
            let zone = Tz::Europe__Berlin;
            Question {
                zone,
                ..question(by, Interval::Day, days)
            }
            .check()
        };

        assert_eq!(hourly(6), Ok(()));
        assert_eq!(hourly(8), Err(NotAnswered::TooLong(LONGEST_BY_HOUR)));
        assert_eq!(in_berlin(Dimension::Model, 90), Ok(()));
        assert!(in_berlin(Dimension::Key, 90).is_err());
        assert_eq!(question(Dimension::Key, Interval::Day, 399).check(), Ok(()));
        assert!(
            question(Dimension::None, Interval::Month, 401)
                .check()
                .is_err()
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
