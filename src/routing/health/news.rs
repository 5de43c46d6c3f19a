//! What a proxy found out and has not told the others yet, and whose turn it is to try the sick.

use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use super::Cool;
use crate::base::{CredentialId, Moment, OfferId};

/// How many news wait at most; an outage of Redis must not fill the memory.
const WAITING: usize = 10_000;

/// Where a breaker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State {
    /// Until when it is open; `None` is closed.
    pub(super) open_until: Option<Moment>,
    /// How often it opened since it was last closed.
    pub(super) openings: u32,
    /// How many trials went well since.
    pub(super) successes: u32,
    /// When it came to stand so.
    pub(super) at: Moment,
}

/// One thing a proxy found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// A breaker opened or closed, or a trial of an open one went well or not.
    Breaker(OfferId, Option<CredentialId>, State),
    /// Something is left alone until then.
    Cool(Cool, Moment),
}

/// The news that wait to be told.
#[derive(Debug, Default)]
pub(super) struct Tray {
    waiting: Mutex<Vec<News>>,
    came: Notify,
}

impl Tray {
    pub(super) fn add(&self, news: News) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < WAITING {
            waiting.push(news);
            self.came.notify_one();
        }
    }

    pub(super) fn take(&self) -> Vec<News> {
        std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts back what nobody heard, before what came since.
    pub(super) fn put_back(&self, mut news: Vec<News>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        news.append(&mut waiting);
        news.truncate(WAITING);
        *waiting = news;
    }

    pub(super) async fn comes(&self) {
        self.came.notified().await;
    }
}

/// Whose turn it is to try somebody who fails: of all proxies one per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Turns {
    /// No other proxy is known: every turn is ours.
    #[default]
    Alone,
    /// The others do not know yet that we ask for turns.
    Waiting,
    /// We have every so manieth turn.
    Place {
        /// Which of them, from 0.
        place: u64,
        /// Among how many.
        of: u64,
    },
}

impl Turns {
    /// Reads what the board says: how many proxies live, how many ask for trials, and our place among them from 1.
    pub(super) fn of(living: u64, asking: u64, place: u64) -> Self {
        match (living, place.checked_sub(1)) {
            (0 | 1, _) => Self::Alone,
            (_, None) => Self::Waiting,
            (_, Some(place)) => Self::Place {
                place,
                of: asking.max(1),
            },
        }
    }

    /// Says whether the turn of `now` is ours; a turn lasts `every_ms`.
    pub(super) fn is_ours(self, now: Moment, every_ms: u64) -> bool {
        match self {
            Self::Alone => true,
            Self::Waiting => false,
            Self::Place { place, of } => {
                let turn = u64::try_from(now.millis()).unwrap_or_default() / every_ms.max(1);
                turn % of == place
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_second_is_the_turn_of_exactly_one() {
        for of in 1..5 {
            let turns: Vec<Turns> = (1..=of).map(|place| Turns::of(5, of, place)).collect();
            for second in 0..20 {
                let now = Moment::from_millis(1_795_000_000_000 + second * 1_000);
                let ours = turns
                    .iter()
                    .filter(|turns| turns.is_ours(now, 1_000))
                    .count();
                assert_eq!(ours, 1, "{of} at {second}");
            }
        }
    }

    #[test]
    fn nobody_takes_a_turn_before_the_others_know() {
        assert_eq!(Turns::of(1, 0, 0), Turns::Alone);
        assert_eq!(Turns::of(2, 1, 0), Turns::Waiting);
        assert_eq!(Turns::of(2, 1, 1), Turns::Place { place: 0, of: 1 });
    }
}
