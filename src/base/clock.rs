//! The wall clock, and one that tests wind by hand.

use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use chrono::{DateTime, Datelike, Timelike, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{KnownFormat, ObjectBuilder, RefOr, Schema, SchemaFormat, Type},
};

/// A point in time, as fine as the store keeps it: whole microseconds since 1970 (UTC). Written as RFC 3339.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Moment(i64);

/// Microseconds of a millisecond.
const MICROS: i64 = 1_000;

impl Moment {
    /// Makes a moment from milliseconds since 1970.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(MICROS))
    }

    /// Makes a moment from microseconds since 1970.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Returns whole milliseconds since 1970.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0.div_euclid(MICROS)
    }

    /// Returns microseconds since 1970.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Returns the moment `after` later.
    #[must_use]
    pub fn plus(self, after: Duration) -> Self {
        Self(self.0.saturating_add(micros_of(after)))
    }

    /// Returns the moment `before` earlier.
    #[must_use]
    pub fn minus(self, before: Duration) -> Self {
        Self(self.0.saturating_sub(micros_of(before)))
    }

    /// Returns how long ago `earlier` was; zero when it lies ahead.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or_default())
    }

    /// Returns the moment as the store binds it.
    #[must_use]
    pub fn utc(self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.0).unwrap_or_default()
    }

    /// Appends the moment as RFC 3339 writes it, to the millisecond: `2026-10-12T07:08:09.012Z`.
    pub fn write(self, out: &mut Vec<u8>) {
        let at = self.utc();
        // A year of five digits is written with its sign.
        let Ok(year @ ..=9_999) = u32::try_from(at.year()) else {
            return out.extend_from_slice(at.to_rfc3339().as_bytes());
        };
        let millis = at.timestamp_subsec_millis();
        let (century, years) = (two(year / 100), two(year));
        let (month, day) = (two(at.month()), two(at.day()));
        let (hour, minute, second) = (two(at.hour()), two(at.minute()), two(at.second()));
        for (digits, behind) in [
            (century, &b""[..]),
            (years, b"-"),
            (month, b"-"),
            (day, b"T"),
            (hour, b":"),
            (minute, b":"),
            (second, b"."),
            (two(millis / 10), b""),
        ] {
            out.extend_from_slice(&digits);
            out.extend_from_slice(behind);
        }
        out.extend_from_slice(&[digit(millis), b'Z']);
    }
}

/// Returns the last two digits of a number.
fn two(number: u32) -> [u8; 2] {
    [digit(number / 10), digit(number)]
}

/// Returns the last digit of a number.
fn digit(number: u32) -> u8 {
    b'0' + u8::try_from(number % 10).unwrap_or_default()
}

impl From<DateTime<Utc>> for Moment {
    fn from(at: DateTime<Utc>) -> Self {
        Self(at.timestamp_micros())
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.utc().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        DateTime::<Utc>::deserialize(deserializer).map(Self::from)
    }
}

impl PartialSchema for Moment {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .into()
    }
}

impl ToSchema for Moment {
    fn name() -> Cow<'static, str> {
        "Moment".into()
    }
}

fn micros_of(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

fn millis_of(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Tells the time of day, to the millisecond.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The machine's clock.
    #[default]
    System,
    /// A clock that stands still until it is wound.
    Hand(Arc<AtomicI64>),
}

impl Clock {
    /// Makes a clock that shows `at` until it is wound.
    #[must_use]
    pub fn by_hand(at: Moment) -> Self {
        Self::Hand(Arc::new(AtomicI64::new(at.millis())))
    }

    /// Returns what the clock shows.
    #[must_use]
    pub fn now(&self) -> Moment {
        match self {
            Self::System => system_now(),
            Self::Hand(millis) => Moment::from_millis(millis.load(Ordering::Relaxed)),
        }
    }

    /// Moves a hand-wound clock forward; the machine's clock cannot be wound.
    pub fn wind(&self, by: Duration) {
        if let Self::Hand(millis) = self {
            millis.fetch_add(millis_of(by), Ordering::Relaxed);
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that asks the machine"
)]
fn system_now() -> Moment {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Moment::from_millis(millis_of(since))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_of_the_store_comes_back_to_the_microsecond() {
        let stored = DateTime::from_timestamp_micros(1_795_000_123_456_789).unwrap();

        let moment = Moment::from(stored);

        assert_eq!(moment.utc(), stored);
        assert_eq!(moment.millis(), 1_795_000_123_456);
        let written = serde_json::to_string(&moment).unwrap();
        assert_eq!(serde_json::from_str::<Moment>(&written).unwrap(), moment);
    }

    #[test]
    fn milliseconds_before_1970_round_down() {
        assert_eq!(Moment::from_micros(-1).millis(), -1);
        assert_eq!(Moment::from_millis(-5).millis(), -5);
    }

    #[test]
    fn a_moment_is_written_as_rfc_3339_has_it() {
        for millis in [
            0,
            999,
            1_795_000_123_456,
            -62_135_596_800_000,
            253_402_300_799_999,
            253_402_300_800_000,
        ] {
            let moment = Moment::from_millis(millis);
            let mut text = Vec::new();

            moment.write(&mut text);

            let text = String::from_utf8(text).unwrap();
            let read = DateTime::parse_from_rfc3339(&text).map(|at| at.timestamp_millis());
            assert!(read == Ok(millis) || text.starts_with("+10000-"), "{text}");
        }
    }
}
