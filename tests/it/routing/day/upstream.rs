//! A simulated provider's account: it counts by its own clock and its own windows, whoever calls, and says what is left.

use std::time::Duration;

use chrono_tz::Tz;
use synaxis::{
    base::Moment,
    catalog::{AllowanceMeter, AllowanceWindow},
    dialect::{
        allowance_headers::{Allowed, Counted, Learned, Per},
        fault::{self, UpstreamFault},
    },
    quota::{Actual, Window, window_end},
};

/// One of its allowances.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    pub meter: AllowanceMeter,
    pub window: AllowanceWindow,
    pub amount: u64,
    pub zone: Tz,
}

/// Whose calls it served, or refused: when, how much, and by whom (`None`: somebody beside the gateway).
#[derive(Clone, Copy, Debug)]
pub struct Served {
    pub at: i64,
    pub size: Actual,
    pub by: Option<usize>,
}

/// One account.
#[derive(Debug, Default)]
pub struct Upstream {
    pub rules: Vec<Rule>,
    /// Whether its answers' headers tell what is left.
    pub tells: bool,
    pub served: Vec<Served>,
    pub refused: usize,
}

impl Rule {
    /// How much of a call it counts.
    pub fn of(&self, size: &Actual) -> u64 {
        match self.meter {
            AllowanceMeter::Requests => size.requests,
            AllowanceMeter::Tokens => size.input + size.output,
            AllowanceMeter::Credits => size.list_nano_usd,
        }
    }

    /// The window around `now`: minutes and hours by the clock, days and months in the zone.
    pub fn window(&self, now: Moment) -> (i64, i64) {
        let aligned = |length: i64| {
            let start = now.millis() / length * length;
            (start, start + length)
        };
        match self.window {
            AllowanceWindow::Minute => aligned(60_000),
            AllowanceWindow::Hour => aligned(3_600_000),
            AllowanceWindow::Day => {
                let end = window_end(Window::Day, self.zone, now).millis();
                (end - 86_400_000, end)
            }
            // The simulated day lies within a month.
            AllowanceWindow::Month => (0, window_end(Window::Month, self.zone, now).millis()),
        }
    }

    /// How much of it was used between two moments.
    pub fn used(&self, served: &[Served], from: i64, until: i64) -> u64 {
        let within = served.iter().rev().take_while(|one| from <= one.at);
        let within = within.filter(|one| one.at < until);
        within.map(|one| self.of(&one.size)).sum()
    }

    fn per(&self) -> Per {
        match self.window {
            AllowanceWindow::Minute => Per::Minute,
            AllowanceWindow::Hour => Per::Hour,
            AllowanceWindow::Day => Per::Day,
            AllowanceWindow::Month => Per::Month,
        }
    }
}

impl Upstream {
    /// Serves a call, or refuses it; returns why, and what its headers say.
    pub fn serve(
        &mut self,
        now: Moment,
        size: &Actual,
        by: Option<usize>,
    ) -> (Option<UpstreamFault>, Learned) {
        let full = self.rules.iter().find(|rule| {
            let (from, until) = rule.window(now);
            rule.amount < rule.used(&self.served, from, until) + rule.of(size)
        });
        if let Some(rule) = full.copied() {
            self.refused += 1;
            // Refused calls count as calls to us, not to the provider.
            return (Some(refusal(&rule, now)), self.told(now));
        }
        self.served.push(Served {
            at: now.millis(),
            size: *size,
            by,
        });
        (None, self.told(now))
    }

    fn told(&self, now: Moment) -> Learned {
        let rules = self.rules.iter().filter(|_| self.tells);
        let allowed = rules.filter_map(|rule| {
            let (from, until) = rule.window(now);
            let used = rule.used(&self.served, from, until);
            Some(Allowed {
                counted: match rule.meter {
                    AllowanceMeter::Requests => Counted::Requests,
                    AllowanceMeter::Tokens => Counted::Tokens,
                    AllowanceMeter::Credits => return None,
                },
                per: rule.per(),
                limit: Some(rule.amount),
                remaining: Some(rule.amount.saturating_sub(used)),
                reset: Some(Moment::from_millis(until).since(now)),
            })
        });
        Learned {
            allowed: allowed.collect(),
            retry_after: None,
        }
    }
}

/// What a provider answers whose allowance is used up, read as the gateway reads it.
fn refusal(rule: &Rule, now: Moment) -> UpstreamFault {
    let (_, until) = rule.window(now);
    let what = match rule.meter {
        AllowanceMeter::Requests => "requests",
        AllowanceMeter::Tokens => "tokens",
        AllowanceMeter::Credits => "credits",
    };
    let per = match rule.window {
        AllowanceWindow::Minute => "per minute",
        AllowanceWindow::Hour => "per hour",
        AllowanceWindow::Day => "per day",
        AllowanceWindow::Month => "per month",
    };
    let body = format!(r#"{{"error":{{"message":"Rate limit reached: {what} {per}"}}}}"#);
    let mut fault = fault::upstream(429, body.as_bytes());
    let wait = Moment::from_millis(until).since(now);
    fault.retry_after =
        (rule.window == AllowanceWindow::Minute).then_some(wait + Duration::from_millis(1));
    fault
}
