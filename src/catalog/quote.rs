//! A price as somebody states it: it may be nonsense, so it is judged before it counts.

use std::fmt;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::price::Price;
use crate::base::NanoUsd;

/// A price that grows or falls by more than this factor waits for somebody's word.
const JUMP: i128 = 10;

/// A price as it was stated, in nano-dollars per million tokens; amounts may be negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quote {
    /// A million tokens read.
    pub input: i64,
    /// A million tokens read from the provider's cache; as `input` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cached_input: Option<i64>,
    /// A million tokens written to the provider's cache; as `input` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_write: Option<i64>,
    /// A million tokens written.
    pub output: i64,
    /// A million reasoning tokens; as `output` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<i64>,
    /// One call, whatever it reads and writes.
    pub per_request: i64,
}

/// A stated price, with where and when it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PriceEntry {
    /// The amounts.
    #[serde(flatten)]
    pub quote: Quote,
    /// Where it was read.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// When it was read there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stated_on: Option<NaiveDate>,
}

/// Why a price waits for somebody's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Suspicion {
    /// An amount is more than ten times what it was, or less than a tenth.
    Jump,
    /// What cost something is to cost nothing.
    Zero,
    /// An amount is negative.
    Negative,
}

impl Quote {
    /// Returns the price this is; `None` when an amount is negative.
    #[must_use]
    pub fn price(&self) -> Option<Price> {
        let amount = |nano: i64| u64::try_from(nano).ok().map(NanoUsd);
        let maybe = |nano: Option<i64>| match nano {
            None => Some(None),
            Some(nano) => amount(nano).map(Some),
        };
        Some(Price {
            input: amount(self.input)?,
            cached_input: maybe(self.cached_input)?,
            cache_write: maybe(self.cache_write)?,
            output: amount(self.output)?,
            reasoning: maybe(self.reasoning)?,
            per_request: amount(self.per_request)?,
        })
    }

    /// Returns every amount that is stated.
    pub fn amounts(&self) -> impl Iterator<Item = i64> {
        let all = [
            Some(self.input),
            self.cached_input,
            self.cache_write,
            Some(self.output),
            self.reasoning,
            Some(self.per_request),
        ];
        all.into_iter().flatten()
    }

    /// Says whether every amount is zero.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.amounts().all(|amount| amount == 0)
    }

    /// Judges this price of a paid offer against the one in force; `None` when nothing is odd about it.
    #[must_use]
    pub fn suspicion(&self, in_force: Option<&Self>) -> Option<Suspicion> {
        if self.amounts().any(|amount| amount < 0) {
            return Some(Suspicion::Negative);
        }
        let Some(old) = in_force else {
            return self.is_zero().then_some(Suspicion::Zero);
        };
        let pairs = || old.in_effect().into_iter().zip(self.in_effect());
        if pairs().any(|(old, new)| 0 < old && new == 0) {
            return Some(Suspicion::Zero);
        }
        let is_jump = |(old, new): (i64, i64)| {
            let (old, new) = (i128::from(old), i128::from(new));
            0 < old && (old * JUMP < new || new * JUMP < old)
        };
        pairs().any(is_jump).then_some(Suspicion::Jump)
    }

    /// Returns what each kind of token and a call cost, whether stated or inherited.
    fn in_effect(&self) -> [i64; 6] {
        [
            self.input,
            self.cached_input.unwrap_or(self.input),
            self.cache_write.unwrap_or(self.input),
            self.output,
            self.reasoning.unwrap_or(self.output),
            self.per_request,
        ]
    }
}

impl From<&Price> for Quote {
    fn from(price: &Price) -> Self {
        Self {
            input: price.input.column(),
            cached_input: price.cached_input.map(NanoUsd::column),
            cache_write: price.cache_write.map(NanoUsd::column),
            output: price.output.column(),
            reasoning: price.reasoning.map(NanoUsd::column),
            per_request: price.per_request.column(),
        }
    }
}

impl PriceEntry {
    /// Returns the price with nothing said of where it comes from.
    #[must_use]
    pub fn of(quote: Quote) -> Self {
        Self {
            quote,
            ..Self::default()
        }
    }
}

impl fmt::Display for Quote {
    /// Writes dollars per million tokens.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "input {}", dollars(self.input))?;
        let others = [
            ("cached_input", self.cached_input),
            ("cache_write", self.cache_write),
            ("output", Some(self.output)),
            ("reasoning", self.reasoning),
            (
                "per_request",
                Some(self.per_request).filter(|amount| *amount != 0),
            ),
        ];
        for (name, amount) in others {
            if let Some(amount) = amount {
                write!(f, ", {name} {}", dollars(amount))?;
            }
        }
        Ok(())
    }
}

/// Writes an amount with no more decimals than it needs.
#[must_use]
pub(super) fn dollars(amount: i64) -> String {
    let text = NanoUsd(amount.unsigned_abs()).to_string();
    let text = text.trim_end_matches('0');
    let text = text.strip_suffix('.').unwrap_or(text);
    let sign = if amount < 0 { "-" } else { "" };
    format!("{sign}{text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quote(input: i64, output: i64) -> Quote {
        Quote {
            input,
            output,
            ..Quote::default()
        }
    }

    #[test]
    fn a_price_that_jumps_turns_zero_or_negative_is_suspicious() {
        let old = quote(100, 400);
        for (new, suspicion) in [
            (quote(1_000, 400), None),
            (quote(1_001, 400), Some(Suspicion::Jump)),
            (quote(100, 40), None),
            (quote(100, 39), Some(Suspicion::Jump)),
            (quote(0, 400), Some(Suspicion::Zero)),
            (quote(0, 0), Some(Suspicion::Zero)),
            (quote(-1, 400), Some(Suspicion::Negative)),
            (quote(i64::MAX, 400), Some(Suspicion::Jump)),
        ] {
            assert_eq!(new.suspicion(Some(&old)), suspicion, "{new:?}");
        }
    }

    #[test]
    fn a_cached_token_is_judged_by_what_it_cost_until_now() {
        let old = quote(100, 400);
        let cheap_cache = |cached| Quote {
            cached_input: Some(cached),
            ..old
        };

        assert_eq!(cheap_cache(10).suspicion(Some(&old)), None);
        assert_eq!(cheap_cache(0).suspicion(Some(&old)), Some(Suspicion::Zero));
    }

    #[test]
    fn a_first_price_is_suspicious_when_it_is_nothing_or_less() {
        assert_eq!(quote(100, 0).suspicion(None), None);
        assert_eq!(quote(0, 0).suspicion(None), Some(Suspicion::Zero));
        assert_eq!(quote(1, -1).suspicion(None), Some(Suspicion::Negative));
        assert_eq!(quote(1, -1).price(), None);
    }

    #[test]
    fn what_began_at_zero_may_begin_to_cost() {
        assert_eq!(quote(100, 5).suspicion(Some(&quote(100, 0))), None);
    }
}
