//! What a report is asked.

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

impl Question {
    /// Returns the sides of a call that the question touches; a tier is a side of its offer.
    pub(super) fn sides(&self) -> Vec<Dimension> {
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
    use super::*;

    #[test]
    fn a_period_is_widened_to_whole_hours() {
        let at = |millis| Moment::from_millis(HOUR * 1_000 + millis);

        let period = Period::around(at(1), at(HOUR + 1));

        assert_eq!((period.from, period.to), (at(0), at(2 * HOUR)));
        assert_eq!(Period::around(at(0), at(HOUR)).to, at(HOUR));
    }
}
