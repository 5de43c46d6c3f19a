//! When days and months begin: in any zone, across daylight saving, remembered until they end.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
};

use chrono::{Datelike, Days, Duration, LocalResult, Months, NaiveDate, TimeZone};
use chrono_tz::Tz;

use super::limit::Window;
use crate::base::Moment;

/// The current calendar window and the next: `[start, end)` and `[end, after)`, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Spans {
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) after: i64,
}

/// The windows that were asked for last, per kind and zone.
#[derive(Debug, Default)]
pub(super) struct Calendar {
    seen: RwLock<HashMap<(Window, Tz), Spans>>,
}

impl Calendar {
    /// Returns the window around `now` and the one after it; zeros for windows that are not calendar ones.
    pub(super) fn spans(&self, window: Window, zone: Tz, now: Moment) -> Spans {
        if !matches!(window, Window::Day | Window::Month) {
            return Spans::default();
        }
        let key = (window, zone);
        let seen = self
            .seen
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&key)
            .copied();
        if let Some(spans) = seen
            && spans.start <= now.millis()
            && now.millis() < spans.end
        {
            return spans;
        }
        let spans = spans(window, zone, now);
        self.seen
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key, spans);
        spans
    }
}

/// Returns what [`Calendar::spans`] remembers.
pub(super) fn spans(window: Window, zone: Tz, now: Moment) -> Spans {
    let today = now.utc().with_timezone(&zone).date_naive();
    let first = match window {
        Window::Month => today.with_day(1).unwrap_or(today),
        _ => today,
    };
    let next = following(window, first);
    Spans {
        start: midnight(zone, first),
        end: midnight(zone, next),
        after: midnight(zone, following(window, next)),
    }
}

fn following(window: Window, first: NaiveDate) -> NaiveDate {
    let next = match window {
        Window::Month => first.checked_add_months(Months::new(1)),
        _ => first.checked_add_days(Days::new(1)),
    };
    next.unwrap_or(first)
}

/// Returns the first moment of `day` in `zone`: where clocks skip midnight, the moment they skip to.
fn midnight(zone: Tz, day: NaiveDate) -> i64 {
    let start = day.and_time(chrono::NaiveTime::MIN);
    for quarters in 0..=12 {
        match zone.from_local_datetime(&(start + Duration::minutes(15 * quarters))) {
            LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => {
                return at.timestamp_millis();
            }
            LocalResult::None => {}
        }
    }
    start.and_utc().timestamp_millis()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Moment {
        let time = chrono::DateTime::parse_from_rfc3339(text).unwrap();
        Moment::from_millis(time.timestamp_millis())
    }

    fn check(window: Window, zone: Tz, now: &str, expected: [&str; 3]) {
        let calendar = Calendar::default();
        let [start, end, after] = expected.map(|text| at(text).millis());
        assert_eq!(
            calendar.spans(window, zone, at(now)),
            Spans { start, end, after }
        );
        assert_eq!(
            calendar.spans(window, zone, at(now)),
            Spans { start, end, after }
        );
    }

    #[test]
    fn a_day_begins_at_midnight_of_its_own_zone() {
        let day = [
            "2026-11-01T00:00:00-07:00",
            "2026-11-02T00:00:00-08:00",
            "2026-11-03T00:00:00-08:00",
        ];
        check(
            Window::Day,
            Tz::America__Los_Angeles,
            "2026-11-01T12:00:00-08:00",
            day,
        );
    }

    #[test]
    fn a_month_ends_where_the_next_begins() {
        let month = [
            "2026-12-01T00:00:00Z",
            "2027-01-01T00:00:00Z",
            "2027-02-01T00:00:00Z",
        ];
        check(Window::Month, Tz::UTC, "2026-12-31T23:59:59.999Z", month);
    }

    #[test]
    fn a_day_whose_midnight_is_skipped_begins_when_clocks_move_on() {
        let day = [
            "2026-03-29T01:00:00+03:00",
            "2026-03-30T00:00:00+03:00",
            "2026-03-31T00:00:00+03:00",
        ];
        check(
            Window::Day,
            Tz::Asia__Beirut,
            "2026-03-29T12:00:00+03:00",
            day,
        );
    }

    #[test]
    fn what_is_remembered_ends_with_its_window() {
        let calendar = Calendar::default();
        let first = calendar.spans(Window::Day, Tz::UTC, at("2026-06-01T23:59:59Z"));
        let second = calendar.spans(Window::Day, Tz::UTC, at("2026-06-02T00:00:00Z"));
        assert_eq!(first.end, second.start);
    }
}
