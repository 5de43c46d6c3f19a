//! Times of day that come again, as cron writes them, told in one zone.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use croner::Cron;

use crate::base::Moment;

/// The times of one schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Times {
    cron: Cron,
    zone: Tz,
}

/// What was written is no schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTimes {
    /// The pattern cannot be read.
    #[error("this is no cron pattern")]
    NoCron,
    /// No zone is called so.
    #[error("there is no such time zone")]
    NoZone,
    /// No day is like that: the 31st of February.
    #[error("that time never comes")]
    Never,
}

impl Times {
    /// Reads a pattern of five fields, or of six with seconds in front, and an IANA zone.
    ///
    /// # Errors
    /// See [`NotTimes`].
    pub fn read(cron: &str, zone: &str) -> Result<Self, NotTimes> {
        let zone = Tz::from_str(zone).map_err(|_| NotTimes::NoZone)?;
        let cron = Cron::from_str(cron).map_err(|_| NotTimes::NoCron)?;
        let times = Self { cron, zone };
        let ever = times.next(Moment::default());
        ever.map(|_| times).ok_or(NotTimes::Never)
    }

    /// Returns the latest time that is not after `now`.
    #[must_use]
    pub fn latest(&self, now: Moment) -> Option<Moment> {
        let latest = self.cron.find_previous_occurrence(&self.local(now), true);
        latest.ok().map(moment)
    }

    /// Returns the first time after `now`.
    #[must_use]
    pub fn next(&self, now: Moment) -> Option<Moment> {
        let next = self.cron.find_next_occurrence(&self.local(now), false);
        next.ok().map(moment)
    }

    fn local(&self, moment: Moment) -> DateTime<Tz> {
        moment.utc().with_timezone(&self.zone)
    }
}

fn moment(at: DateTime<Tz>) -> Moment {
    at.with_timezone(&Utc).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Moment {
        let moment: DateTime<Utc> = text.parse().unwrap();
        moment.into()
    }

    #[test]
    fn times_are_told_in_their_zone_through_a_change_of_clocks() {
        // Two in the morning comes twice in Berlin on this day, and once where clocks never change.
        let berlin = Times::read("0 2 * * *", "Europe/Berlin").unwrap();
        let utc = Times::read("0 2 * * *", "UTC").unwrap();
        let evening = at("2026-10-24T20:00:00Z");

        assert_eq!(berlin.next(evening), Some(at("2026-10-25T00:00:00Z")));
        assert_eq!(utc.next(evening), Some(at("2026-10-25T02:00:00Z")));
        let noon = at("2026-10-25T12:00:00Z");
        assert_eq!(berlin.next(noon), Some(at("2026-10-26T01:00:00Z")));
    }

    #[test]
    fn a_moment_of_the_pattern_is_its_own_latest_and_not_its_next() {
        let times = Times::read("*/15 * * * *", "UTC").unwrap();
        let quarter = at("2026-11-24T05:15:00Z");

        assert_eq!(times.latest(quarter), Some(quarter));
        assert_eq!(times.latest(at("2026-11-24T05:29:59.999Z")), Some(quarter));
        assert_eq!(times.next(quarter), Some(at("2026-11-24T05:30:00Z")));
    }

    #[test]
    fn what_is_no_schedule_is_refused_with_the_reason() {
        for (cron, zone, refused) in [
            ("every hour", "UTC", NotTimes::NoCron),
            ("61 * * * *", "UTC", NotTimes::NoCron),
            ("0 * * * *", "Mars/Olympus", NotTimes::NoZone),
            ("0 0 31 2 *", "UTC", NotTimes::Never),
        ] {
            assert_eq!(Times::read(cron, zone), Err(refused), "{cron} {zone}");
        }
        assert!(Times::read("*/5 * * * * *", "UTC").is_ok());
    }
}
