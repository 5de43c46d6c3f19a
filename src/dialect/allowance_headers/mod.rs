//! What a provider's answer says about its allowances: one tolerant reader for all families of rate-limit headers.
//!
//! Absent means unknown; negatives and what cannot be read are ignored; a limit of 0 is kept: it is no allowance.

use std::time::Duration;

use chrono::DateTime;

use crate::base::Moment;

/// What an allowance counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Counted {
    /// Calls.
    Requests,
    /// Tokens read and written.
    Tokens,
    /// Tokens read.
    InputTokens,
    /// Tokens written.
    OutputTokens,
}

/// Per which stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Per {
    /// 60 seconds, or whatever the provider does not say.
    Minute,
    /// 60 minutes.
    Hour,
    /// A day.
    Day,
    /// A month.
    Month,
}

/// Where one allowance stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// What it counts.
    pub counted: Counted,
    /// Per which stretch of time.
    pub per: Per,
    /// How much there is in all; 0 is no allowance.
    pub limit: Option<u64>,
    /// How much is left.
    pub remaining: Option<u64>,
    /// When it is full again.
    pub reset: Option<Duration>,
}

impl Allowed {
    /// Reads off its reset over which time it counts, where one name stands for several windows.
    fn guess_window(&mut self) {
        self.per = match self.reset.map(|reset| reset.as_secs()) {
            None | Some(0..=60) => Per::Minute,
            Some(61..=3_600) => Per::Hour,
            Some(3_601..=90_000) => Per::Day,
            Some(_) => Per::Month,
        };
    }
}

/// All an answer's headers say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Learned {
    /// Every allowance named.
    pub allowed: Vec<Allowed>,
    /// When to come again.
    pub retry_after: Option<Duration>,
}

impl Learned {
    /// Finds the allowance of `counted` with the least left.
    #[must_use]
    pub fn find_tightest(&self, counted: Counted) -> Option<&Allowed> {
        self.allowed
            .iter()
            .filter(|allowed| allowed.counted == counted)
            .min_by_key(|allowed| allowed.remaining.unwrap_or(u64::MAX))
    }
}

/// Which of an allowance's numbers a header holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Number {
    Limit,
    Remaining,
    Reset,
}

/// Reads the headers of an answer that came at `now`; `family` is the provider's (wire.md).
///
/// Names may be in any case. Unknown families are read as `openai`; `none` reads `retry-after` alone.
pub fn read<'a>(
    family: &str,
    headers: impl Iterator<Item = (&'a str, &'a str)>,
    now: Moment,
) -> Learned {
    let mut learned = Learned::default();
    let mut retry_after_ms = None;
    for (name, value) in headers {
        let value = value.trim();
        if name.eq_ignore_ascii_case("retry-after-ms") {
            retry_after_ms = duration(value).map(|wait| wait / 1_000);
        } else if name.eq_ignore_ascii_case("retry-after") {
            learned.retry_after = wait_or_date(value, now);
        } else if family != "none"
            && let Some((number, counted, per)) = meaning(family, &name.to_ascii_lowercase())
        {
            learned.note(number, counted, per, value, now);
        }
    }
    learned.retry_after = retry_after_ms.or(learned.retry_after);
    if family == "openrouter" {
        learned.allowed.iter_mut().for_each(Allowed::guess_window);
    }
    learned.allowed.retain(|allowed| {
        allowed.limit.is_some() || allowed.remaining.is_some() || allowed.reset.is_some()
    });
    learned
}

impl Learned {
    fn note(&mut self, number: Number, counted: Counted, per: Per, value: &str, now: Moment) {
        let is_same = |allowed: &Allowed| allowed.counted == counted && allowed.per == per;
        let position = self.allowed.iter().position(is_same).unwrap_or_else(|| {
            self.allowed.push(Allowed {
                counted,
                per,
                limit: None,
                remaining: None,
                reset: None,
            });
            self.allowed.len() - 1
        });
        let Some(allowed) = self.allowed.get_mut(position) else {
            return;
        };
        match number {
            Number::Limit => allowed.limit = whole(value),
            Number::Remaining => allowed.remaining = whole(value),
            Number::Reset => allowed.reset = wait_or_date(value, now),
        }
    }
}

/// Tells what a header holds by the words in its name: families differ in their order, not in the words.
fn meaning(family: &str, name: &str) -> Option<(Number, Counted, Per)> {
    let is_one = name.starts_with("x-ratelimit-")
        || name.starts_with("anthropic-ratelimit-")
        || name.starts_with("ratelimit")
        || name.starts_with("x-rate-limit-")
        || name.starts_with("ratelimitbysize-");
    if !is_one {
        return None;
    }
    let mut words = name.split('-');
    let has = |word: &str| name.split('-').any(|one| one == word);
    let number = words.find_map(|word| match word {
        "limit" => Some(Number::Limit),
        "remaining" => Some(Number::Remaining),
        "reset" => Some(Number::Reset),
        _ => None,
    })?;
    let counted = match () {
        () if has("input") => Counted::InputTokens,
        () if has("output") => Counted::OutputTokens,
        () if has("tokens") || has("query") => Counted::Tokens,
        () => Counted::Requests,
    };
    let per = match () {
        () if has("month") => Per::Month,
        () if has("day") => Per::Day,
        () if has("hour") => Per::Hour,
        // Groq's request counts are those of the day.
        () if family == "groq" && counted == Counted::Requests => Per::Day,
        () => Per::Minute,
    };
    Some((number, counted, per))
}

/// Reads a count; fractions are cut off.
fn whole(value: &str) -> Option<u64> {
    let value = value.split([',', ';']).next().unwrap_or_default().trim();
    let value = value.split('.').next().unwrap_or_default();
    value.parse().ok()
}

/// Reads a duration, a date, or a moment since 1970 in seconds or milliseconds.
fn wait_or_date(value: &str, now: Moment) -> Option<Duration> {
    if let Ok(number) = value.parse::<i64>() {
        return match number {
            ..0 => None,
            0..1_000_000_000 => duration(value),
            1_000_000_000..100_000_000_000 => {
                Some(Moment::from_millis(number.saturating_mul(1_000)).since(now))
            }
            _ => Some(Moment::from_millis(number).since(now)),
        };
    }
    let date = DateTime::parse_from_rfc3339(value).or_else(|_| DateTime::parse_from_rfc2822(value));
    match date {
        Ok(date) => Some(Moment::from_millis(date.timestamp_millis()).since(now)),
        Err(_) => duration(value),
    }
}

/// Reads a duration as providers write it: `1s`, `6m0s`, `1.5s`, `12ms`, `2h3m`, `1d`, or bare seconds.
#[must_use]
pub(super) fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    let mut nanos: u128 = 0;
    while !rest.is_empty() {
        let digits = rest
            .find(|letter: char| !letter.is_ascii_digit() && letter != '.')
            .unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let letters = after
            .find(|letter: char| letter.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, next) = after.split_at(letters);
        let unit: u128 = match unit.trim() {
            "ns" => 1,
            "us" | "µs" => 1_000,
            "ms" => 1_000_000,
            "" | "s" | "sec" | "secs" => 1_000_000_000,
            "m" | "min" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "d" => 86_400_000_000_000,
            _ => return None,
        };
        nanos = nanos.checked_add(times(number, unit)?)?;
        rest = next;
    }
    u64::try_from(nanos).ok().map(Duration::from_nanos)
}

/// Multiplies a decimal number with a unit, exactly but for what lies below a billionth of the unit.
fn times(number: &str, unit: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let fraction: String = fraction.chars().take(9).collect();
    let whole: u64 = whole.parse().ok()?;
    let billionths: u128 = match fraction.is_empty() {
        true => 0,
        false => format!("{fraction:0<9}").parse().ok()?,
    };
    Some(u128::from(whole) * unit + billionths * unit / 1_000_000_000)
}

#[cfg(test)]
mod tests;
