//! The limits and allowances histories are made of, and the lines they become.

use chrono_tz::Tz;
use proptest::sample::Index;
use synaxis::{
    base::Moment,
    quota::{Enforcement, Limit, Meter, Mode, Subject, Window, now_of},
};
use uuid::Uuid;

use super::op::Line;

pub const LEASE: i64 = 60_000;
const SLOTS: i64 = 24;

/// One limit of a history.
#[derive(Clone, Debug)]
pub struct Rule {
    pub key: String,
    pub meter: i64,
    pub window: Window,
    pub zone: Tz,
    pub amount: i64,
    pub is_shadow: bool,
}

type Dish = (i64, Window, Tz, i64, bool);

/// Meters: 0 requests, 1 input, 2 output, 3 both, 4 money, 5 calls in flight.
const LIMITS: [Dish; 8] = [
    (0, Window::Minute, Tz::UTC, 6, false),
    (1, Window::Minute, Tz::UTC, 900, false),
    (3, Window::Hour, Tz::UTC, 2_000, false),
    (4, Window::Day, Tz::America__Los_Angeles, 2_500, false),
    (4, Window::Month, Tz::Europe__Berlin, 4_000, false),
    (5, Window::Instant, Tz::UTC, 4, false),
    (1, Window::Minute, Tz::UTC, 500, true),
    (2, Window::Day, Tz::Asia__Beirut, 700, false),
];

const ALLOWANCES: [Dish; 2] = [
    (0, Window::Minute, Tz::UTC, 4, false),
    (3, Window::Day, Tz::America__Los_Angeles, 1_200, false),
];

const OTHERS: Dish = (0, Window::Day, Tz::UTC, 5, false);

/// Days on which some zone of the menu changes its clocks, and one on which none does.
const DAYS: [&str; 6] = [
    "2026-10-24T00:00:00Z",
    "2026-10-31T00:00:00Z",
    "2026-03-28T00:00:00Z",
    "2026-03-07T12:00:00Z",
    "2026-12-30T06:00:00Z",
    "2026-06-11T00:00:00Z",
];

pub fn begin(day: Index, minutes: i64) -> i64 {
    let day = DAYS[day.index(DAYS.len())];
    let day = chrono::DateTime::parse_from_rfc3339(day).expect("a day");
    day.timestamp_millis() + minutes * 60_000 + 137
}

/// Returns the tenant's limits of a history; at least one.
pub fn limits(prefix: &str, bits: u8) -> Vec<Rule> {
    let bits = if bits == 0 { 9 } else { bits };
    chosen(prefix, "l", &LIMITS, bits)
}

/// Returns the first candidate's allowances, and the other's.
pub fn allowances(prefix: &str, bits: u8) -> [Vec<Rule>; 2] {
    let others = if bits & 4 == 0 { 0 } else { 1 };
    [
        chosen(prefix, "a", &ALLOWANCES, bits & 3),
        chosen(prefix, "b", &[OTHERS], others),
    ]
}

fn chosen(prefix: &str, kind: &str, menu: &[Dish], bits: u8) -> Vec<Rule> {
    let dishes = menu.iter().enumerate();
    let wanted = dishes.filter(|(at, _)| bits >> at & 1 == 1);
    let rules = wanted.map(|(at, (meter, window, zone, amount, is_shadow))| Rule {
        key: format!("{prefix}{kind}{at}"),
        meter: *meter,
        window: *window,
        zone: *zone,
        amount: *amount,
        is_shadow: *is_shadow,
    });
    rules.collect()
}

impl Rule {
    /// Returns what the script is told of it by a proxy that thinks it is `now`.
    pub fn line(&self, now: i64) -> Line {
        Line {
            key: self.key.clone(),
            meter: self.meter,
            width: self.width(),
            lead: self.lead(),
            amount: self.amount,
            is_shadow: self.is_shadow,
            spans: self.spans(now),
        }
    }

    pub fn width(&self) -> i64 {
        match self.window {
            Window::Instant => LEASE / SLOTS,
            Window::Minute => 60_000 / SLOTS,
            Window::Hour => 3_600_000 / SLOTS,
            Window::RollingDay => 86_400_000 / SLOTS,
            Window::RollingMonth => 30 * 86_400_000 / SLOTS,
            Window::Day | Window::Month => 0,
        }
    }

    pub fn lead(&self) -> i64 {
        if self.window == Window::Instant {
            LEASE
        } else {
            0
        }
    }

    pub fn is_calendar(&self) -> bool {
        self.width() == 0
    }

    /// Returns when the window around `now` begins, when it ends, and when the next one does.
    pub fn spans(&self, now: i64) -> [i64; 3] {
        if !self.is_calendar() {
            return [0; 3];
        }
        let around = |at: i64| {
            let (span, _) = now_of(&self.limit(), Moment::from_millis(at)).expect("a window");
            [span.from, span.to]
        };
        let [start, end] = around(now);
        let [_, after] = around(end);
        [start, end, after]
    }

    /// Returns when what is charged now is charged elsewhere: the next slot's beginning, or the next window's.
    pub fn edge(&self, now: i64) -> i64 {
        match self.width() {
            0 => self.spans(now)[1],
            width => (now.div_euclid(width) + 1) * width,
        }
    }

    fn limit(&self) -> Limit {
        Limit {
            id: Uuid::nil(),
            subject: Subject::Organization(synaxis::base::OrganizationId(Uuid::nil())),
            meter: Meter::NanoUsd,
            window: self.window,
            amount: 0,
            enforcement: Enforcement::Hard,
            mode: Mode::Enforce,
            zone: self.zone,
        }
    }
}
