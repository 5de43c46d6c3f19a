//! The scripts, what their answers mean, and the arguments they take: whole numbers in one flat JSON list.

use std::cell::RefCell;

use crate::{
    base::Moment,
    quota::{Actual, limit::COUNTABLE},
    store::redis::{Call, Redis, RedisError, Script},
};

/// What an admission's answer begins with.
pub(super) const HELD: i64 = 1;
pub(super) const DENIED: i64 = 2;
pub(super) const FULL: i64 = 3;
pub(super) const TOO_LARGE: i64 = 4;
pub(super) const OTHER_EPOCH: i64 = 5;
pub(super) const CLOSED: i64 = 6;
pub(super) const UNSEEDED: i64 = 7;
pub(super) const CLOCK: i64 = 8;
pub(super) const ENDED: i64 = 9;
pub(super) const UNKNOWN_HOLD: i64 = 10;

const COUNTER: &str = include_str!("lua/counter.lua");
const CLOCK_MARK: &str = "-- the clock";

/// All scripts of the ledger.
#[derive(Debug)]
pub struct Scripts {
    pub(super) admit: Script,
    pub(super) settle: Script,
    pub(super) renew: Script,
    pub(super) seed: Script,
    pub(super) reassert: Script,
    pub(super) epoch: Script,
    pub(super) turn: Script,
    pub(super) learn: Script,
    pub(super) standing: Script,
    pub(super) correct: Script,
    /// Time passes as the clock says, however fast or slow it goes.
    pub(super) is_wound: bool,
}

impl Default for Scripts {
    fn default() -> Self {
        Self::over(COUNTER)
    }
}

impl Scripts {
    /// Returns the scripts with another clock, which may be wrong: `line` sets `now`, in milliseconds. For tests.
    #[must_use]
    pub fn with_clock(line: &str) -> Self {
        let common: Vec<&str> = COUNTER
            .lines()
            .map(|known| {
                if known.ends_with(CLOCK_MARK) {
                    line
                } else {
                    known
                }
            })
            .collect();
        Self::over(&(common.join("\n") + "\n"))
    }

    /// Takes the clock at its word, whatever it does. For tests that wind time.
    #[must_use]
    pub fn wound(self) -> Self {
        Self {
            is_wound: true,
            ..self
        }
    }

    fn over(common: &str) -> Self {
        let script = |own: &str| Script::new(format!("{common}{own}"));
        Self {
            admit: script(include_str!("lua/admit.lua")),
            settle: script(include_str!("lua/settle.lua")),
            renew: script(include_str!("lua/renew.lua")),
            seed: script(include_str!("lua/seed.lua")),
            reassert: script(include_str!("lua/reassert.lua")),
            epoch: script(include_str!("lua/epoch.lua")),
            turn: script(include_str!("lua/turn.lua")),
            learn: script(include_str!("lua/learn.lua")),
            standing: script(include_str!("reconcile/lua/standing.lua")),
            correct: script(include_str!("reconcile/lua/correct.lua")),
            is_wound: false,
        }
    }
}

/// What a script answered.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) numbers: Vec<i64>,
    /// When, by Redis's clock.
    pub(super) at: Moment,
    /// The script's place among all that Redis ran.
    pub(super) number: i64,
}

impl Reply {
    /// Takes the clock and the number off the end.
    pub(super) fn of(mut numbers: Vec<i64>) -> Result<Self, RedisError> {
        let number = numbers.pop().ok_or(RedisError::Garbled)?;
        let at = numbers.pop().ok_or(RedisError::Garbled)?;
        Ok(Self {
            numbers,
            at: Moment::from_millis(at),
            number,
        })
    }

    /// Returns what the answer begins with.
    pub(super) fn kind(&self) -> Option<i64> {
        self.numbers.first().copied()
    }
}

/// Adds the names of the two keys most scripts begin with.
pub(super) fn push_epoch(call: &mut Call<'_>, redis: &Redis, name: &mut String) {
    redis.names().epoch(name);
    call.push(name);
    push_number(call, redis, name);
}

/// Adds the name of the key every script counts on.
pub(super) fn push_number(call: &mut Call<'_>, redis: &Redis, name: &mut String) {
    redis.names().number(name);
    call.push(name);
}

/// A flat JSON list of whole numbers, being written.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    text: String,
}

impl Numbers {
    pub(super) fn push(&mut self, number: u64) -> &mut Self {
        self.text.push(if self.text.is_empty() { '[' } else { ',' });
        self.text
            .push_str(itoa::Buffer::new().format(number.min(COUNTABLE)));
        self
    }

    pub(super) fn push_millis(&mut self, millis: i64) -> &mut Self {
        self.push(u64::try_from(millis).unwrap_or_default())
    }

    pub(super) fn push_actual(&mut self, actual: &Actual) -> &mut Self {
        self.push(actual.requests)
            .push(actual.input)
            .push(actual.output)
            .push(actual.cost_nano_usd)
    }

    /// What no tenant's limit counts stands behind everything else.
    pub(super) fn push_credits(&mut self, actual: &Actual) -> &mut Self {
        self.push(actual.list_nano_usd)
    }

    pub(super) fn finish(&mut self) -> &str {
        self.text
            .push_str(if self.text.is_empty() { "[]" } else { "]" });
        &self.text
    }
}

/// Texts that are written anew for every call; kept per thread so that their memory is.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub(super) name: String,
    pub(super) numbers: Numbers,
}

/// Lends this thread's texts, emptied.
pub(super) fn with_scratch<T>(write: impl FnOnce(&mut Scratch) -> T) -> T {
    thread_local! {
        static SCRATCH: RefCell<Scratch> = RefCell::default();
    }
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.name.clear();
        scratch.numbers.text.clear();
        write(scratch)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_one_flat_list() {
        let mut numbers = Numbers::default();
        assert_eq!(numbers.finish(), "[]");
        let mut numbers = Numbers::default();
        assert_eq!(
            numbers.push(7).push(u64::MAX).finish(),
            "[7,9007199254740991]"
        );
    }

    #[test]
    fn the_clock_is_one_line_of_what_all_scripts_share() {
        let marked = COUNTER
            .lines()
            .filter(|line| line.ends_with(CLOCK_MARK))
            .count();
        assert_eq!(marked, 1);
        assert!(COUNTER.starts_with("#!lua\n"));
    }
}
