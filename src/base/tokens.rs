//! `Tokens`, and `Usage`: what a model says it read and wrote.

use std::ops::Add;

use serde::{Deserialize, Serialize};

/// A number of tokens.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Tokens(pub u64);

impl Tokens {
    /// Returns the difference, or zero when `other` is more.
    #[must_use]
    pub const fn less(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// Returns the number as the store binds it.
    #[must_use]
    pub fn column(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }
}

impl Add for Tokens {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

/// What one call read and wrote, in one form for all dialects.
///
/// `input` includes `cached` and `cache_write`; `output` includes `reasoning`. A dialect that reports them
/// side by side (Anthropic) is added up when it is read, so that nothing is priced twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// All tokens read.
    pub input: Tokens,
    /// Of these, read from the provider's cache.
    pub cached: Tokens,
    /// Of these, written to the provider's cache.
    pub cache_write: Tokens,
    /// All tokens written.
    pub output: Tokens,
    /// Of these, spent on reasoning.
    pub reasoning: Tokens,
}

impl Usage {
    /// Returns everything read and written.
    #[must_use]
    pub fn total(&self) -> Tokens {
        self.input + self.output
    }
}

impl Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            input: self.input + other.input,
            cached: self.cached + other.cached,
            cache_write: self.cache_write + other.cache_write,
            output: self.output + other.output,
            reasoning: self.reasoning + other.reasoning,
        }
    }
}
