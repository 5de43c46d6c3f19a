//! `NanoUsd`: whole billionths of a dollar. Money is never a float.

use std::{fmt, iter::Sum, ops::Add, str::FromStr};

use serde::{Deserialize, Serialize};

/// An amount of money in billionths of a US dollar.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(transparent)]
pub struct NanoUsd(pub u64);

/// How many nano-dollars one dollar has.
const PER_DOLLAR: u64 = 1_000_000_000;

/// The text is no amount of dollars with at most nine decimals.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not an amount in dollars with at most nine decimals")]
pub struct NotMoney(String);

impl NanoUsd {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// Returns the difference, or zero when `other` is more.
    #[must_use]
    pub const fn less(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// Returns the amount as the store binds it.
    #[must_use]
    pub fn column(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }

    /// Reads an amount from the store; a negative one becomes zero.
    #[must_use]
    pub fn from_column(nano: i64) -> Self {
        Self(u64::try_from(nano).unwrap_or_default())
    }
}

impl Add for NanoUsd {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sum for NanoUsd {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

impl FromStr for NanoUsd {
    type Err = NotMoney;

    /// Reads decimal dollars (`"0.15"`), exactly.
    fn from_str(text: &str) -> Result<Self, NotMoney> {
        let wrong = || NotMoney(text.to_owned());
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let is_written_right =
            !whole.is_empty() && fraction.len() <= 9 && digits(whole) && digits(fraction);
        if !is_written_right || text.ends_with('.') {
            return Err(wrong());
        }
        let dollars: u64 = whole.parse().map_err(|_| wrong())?;
        let nanos: u64 = format!("{fraction:0<9}").parse().map_err(|_| wrong())?;
        dollars
            .checked_mul(PER_DOLLAR)
            .and_then(|sum| sum.checked_add(nanos))
            .map(Self)
            .ok_or_else(wrong)
    }
}

impl fmt::Display for NanoUsd {
    /// Writes decimal dollars with all nine decimals, so that two amounts compare as text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}", self.0 / PER_DOLLAR, self.0 % PER_DOLLAR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_are_read_and_written_to_the_nano() {
        for (text, nano) in [
            ("0", 0),
            ("1", PER_DOLLAR),
            ("0.15", 150_000_000),
            ("0.000000001", 1),
        ] {
            assert_eq!(text.parse(), Ok(NanoUsd(nano)));
        }
        assert_eq!(NanoUsd(150_000_001).to_string(), "0.150000001");
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in [
            "",
            ".",
            "1.",
            "-1",
            "1e3",
            "NaN",
            "0.0000000001",
            "1,5",
            "99999999999999999999",
        ] {
            assert!(text.parse::<NanoUsd>().is_err(), "{text}");
        }
    }
}
