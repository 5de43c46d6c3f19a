//! How long answers usually are: what 95 of 100 of a key's answers by one model stay under.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use moka::sync::Cache;

use crate::base::{ApiKeyId, Tokens};

/// How many keys and models are remembered.
const MOST: u64 = 100_000;
/// A token, in the parts the estimate moves by.
const PARTS: u64 = 1_024;
/// One part in so many of the estimate is what one answer moves it by at most.
const PACE: u64 = 16;
/// No estimate moves by less.
const LEAST_PACE: u64 = 2 * PARTS;

/// A key's use of a model, as the caller named it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Habit(u64);

/// What is usual, learnt from answers as they end; forgotten with the process.
#[derive(Debug)]
pub struct Usual {
    seen: Cache<u64, Arc<AtomicU64>>,
    hasher: RandomState,
}

impl Default for Usual {
    fn default() -> Self {
        Self {
            seen: Cache::new(MOST),
            hasher: RandomState::new(),
        }
    }
}

impl Usual {
    /// Names a key's use of a model.
    #[must_use]
    pub fn habit(&self, key: ApiKeyId, model: &str) -> Habit {
        Habit(self.hasher.hash_one((key, model)))
    }

    /// Returns what 95 of 100 answers stayed under; `None` when none was seen yet.
    #[must_use]
    pub fn output(&self, habit: Habit) -> Option<Tokens> {
        let estimate = self.seen.get(&habit.0)?;
        Some(Tokens(estimate.load(Ordering::Relaxed) / PARTS))
    }

    /// Learns from an answer of so many tokens.
    pub fn learn(&self, habit: Habit, output: Tokens) {
        let answer = output.0.saturating_mul(PARTS);
        // One answer says little: others are likely to be longer.
        let begin = || Arc::new(AtomicU64::new(answer.saturating_mul(2)));
        let estimate = self.seen.get_with(habit.0, begin);
        // An answer that is lost to another thread's is one of very many.
        let known = estimate.load(Ordering::Relaxed);
        estimate.store(after(known, answer), Ordering::Relaxed);
    }
}

/// Moves the estimate up by 19 parts for an answer above it, down by one for an answer below: it rests where one in
/// twenty is above.
fn after(estimate: u64, answer: u64) -> u64 {
    let pace = (estimate / PACE).max(LEAST_PACE);
    if estimate < answer {
        estimate.saturating_add(pace * 19 / 20)
    } else {
        estimate.saturating_sub(pace / 20)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn habit(usual: &Usual) -> Habit {
        usual.habit(ApiKeyId(Uuid::from_u128(7)), "swift")
    }

    #[test]
    fn nothing_is_usual_before_anything_was_seen() {
        let usual = Usual::default();
        assert_eq!(usual.output(habit(&usual)), None);
    }

    #[test]
    fn the_estimate_comes_to_rest_where_one_in_twenty_is_longer() {
        let usual = Usual::default();
        let habit = habit(&usual);

        // Every length from 0 to 999 equally often, in no order.
        for turn in 0..20_000_u64 {
            usual.learn(habit, Tokens(turn * 379 % 1_000));
        }

        let estimate = usual.output(habit).unwrap().0;
        assert!((850..=1_050).contains(&estimate), "{estimate}");
    }

    #[test]
    fn short_answers_make_small_estimates_and_a_habit_that_changes_is_followed() {
        let usual = Usual::default();
        let habit = habit(&usual);
        for _ in 0..2_000 {
            usual.learn(habit, Tokens(10));
        }
        let short = usual.output(habit).unwrap().0;
        assert!((5..=25).contains(&short), "{short}");

        for _ in 0..200 {
            usual.learn(habit, Tokens(4_000));
        }

        assert!(3_500 < usual.output(habit).unwrap().0);
    }
}
