//! How calls to each offer went lately, over all proxies: what nobody had to call a model for to know.

use std::fmt::Write as _;

use super::redis::{Call, Redis, RedisError, Script};
use crate::base::{CredentialId, Moment, OfferId};

/// How many minutes are remembered.
const MINUTES: &str = "10";

/// The upper bounds of the classes first-byte times are counted in, in milliseconds; the last has none.
pub const CLASSES: [u32; 15] = [
    25, 50, 75, 100, 150, 200, 300, 400, 600, 800, 1_200, 1_600, 2_400, 4_800, 9_600,
];

/// How many classes there are.
pub const CLASS_COUNT: usize = CLASSES.len() + 1;

/// How many numbers a tally is.
const NUMBERS: usize = 8 + CLASS_COUNT;

/// An offer and the credential it was called with.
pub type Pair = (OfferId, Option<CredentialId>);

/// How calls went, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Answers.
    pub successes: u64,
    /// No connection.
    pub connect: u64,
    /// No answer in time.
    pub timeout: u64,
    /// Answers of 5xx.
    pub server: u64,
    /// Answers that broke off or made no sense.
    pub broken: u64,
    /// A rate or an allowance was used up: no failure.
    pub limited: u64,
    /// The credential was refused, or its money is spent.
    pub refused: u64,
    /// The provider does not know the model.
    pub missing: u64,
    /// How many answers' first bytes fell into each of [`CLASSES`].
    pub classes: [u64; CLASS_COUNT],
}

impl Tally {
    /// Counts an answer whose first byte took so long.
    pub fn succeeded(&mut self, first_byte_ms: u32) {
        self.successes += 1;
        let class = CLASSES.partition_point(|bound| *bound < first_byte_ms);
        if let Some(count) = self.classes.get_mut(class) {
            *count += 1;
        }
    }

    /// Adds what another one counted.
    pub fn add(&mut self, other: &Self) {
        let sums: Vec<u64> = self
            .numbers()
            .zip(other.numbers())
            .map(|(a, b)| a + b)
            .collect();
        if let Some(sum) = Self::of(&sums) {
            *self = sum;
        }
    }

    /// Says whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn numbers(&self) -> impl Iterator<Item = u64> {
        [
            self.successes,
            self.connect,
            self.timeout,
            self.server,
            self.broken,
            self.limited,
            self.refused,
            self.missing,
        ]
        .into_iter()
        .chain(self.classes)
    }

    fn of(numbers: &[u64]) -> Option<Self> {
        let (counts, classes) = numbers.split_first_chunk::<8>()?;
        let [
            successes,
            connect,
            timeout,
            server,
            broken,
            limited,
            refused,
            missing,
        ] = *counts;
        Some(Self {
            successes,
            connect,
            timeout,
            server,
            broken,
            limited,
            refused,
            missing,
            classes: classes.try_into().ok()?,
        })
    }
}

/// How calls to one offer with one credential went in the last ten minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The offer.
    pub offer: OfferId,
    /// The credential; `None` where none is wanted.
    pub credential: Option<CredentialId>,
    /// All proxies' calls added up.
    pub tally: Tally,
    /// What half of all first bytes took at most, to the class; `None` when there was no answer.
    pub p50_ms: Option<u32>,
    /// What ninety-five in a hundred took at most, to the class.
    pub p95_ms: Option<u32>,
    /// When a proxy last told of it, by Redis's clock; `None` when none did.
    pub last_at: Option<Moment>,
}

/// The outcomes in Redis: one string per pair, in the offer's slot.
#[derive(Debug)]
pub struct Outcomes {
    redis: Redis,
    add: Script,
    read: Script,
}

impl Outcomes {
    /// Opens them; nothing is connected before they are used.
    #[must_use]
    pub fn new(redis: Redis) -> Self {
        let script = |text: &str| Script::new(text.to_owned());
        Self {
            redis,
            add: script(include_str!("lua/outcomes_add.lua")),
            read: script(include_str!("lua/outcomes_read.lua")),
        }
    }

    /// Adds what a proxy counted since it last did.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn add(&self, pair: Pair, tally: &Tally) -> Result<(), RedisError> {
        let mut call = self.call(&self.add, pair);
        call.push(MINUTES);
        for number in tally.numbers() {
            call.push(&number.to_string());
        }
        let link = self.redis.link(self.redis.deadline()).await?;
        self.redis.run(&link, &call, self.redis.deadline()).await?;
        Ok(())
    }

    /// Returns how calls to each pair went in the last ten minutes, in their order.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn read(&self, pairs: &[Pair]) -> Result<Vec<Outcome>, RedisError> {
        let mut outcomes = Vec::with_capacity(pairs.len());
        for pair in pairs {
            let mut call = self.call(&self.read, *pair);
            call.push(MINUTES);
            let link = self.redis.link(self.redis.deadline()).await?;
            let answer = self.redis.run(&link, &call, self.redis.deadline()).await?;
            let numbers: Vec<u64> = answer
                .iter()
                .map(|number| u64::try_from(*number).unwrap_or_default())
                .collect();
            outcomes.push(outcome(*pair, &numbers).ok_or(RedisError::Garbled)?);
        }
        Ok(outcomes)
    }

    fn call<'a>(&self, script: &'a Script, (offer, credential): Pair) -> Call<'a> {
        let mut name = String::new();
        self.redis.names().outcomes(&mut name, offer.uuid());
        let _ = match credential {
            Some(credential) => write!(name, "{}", credential.uuid()),
            None => write!(name, "none"),
        };
        let mut call = Call::new(script, 1, 512);
        call.push(&name);
        call
    }
}

fn outcome((offer, credential): Pair, numbers: &[u64]) -> Option<Outcome> {
    let (last_at, counts) = numbers.split_first()?;
    let tally = match counts.len() {
        NUMBERS => Tally::of(counts)?,
        0 => Tally::default(),
        _ => return None,
    };
    Some(Outcome {
        offer,
        credential,
        p50_ms: percentile(&tally, 50),
        p95_ms: percentile(&tally, 95),
        tally,
        last_at: i64::try_from(*last_at)
            .ok()
            .filter(|at| *at != 0)
            .map(Moment::from_millis),
    })
}

/// Returns the bound of the class the percentile falls into; twice the largest bound for what has none.
fn percentile(tally: &Tally, percent: u64) -> Option<u32> {
    let all: u64 = tally.classes.iter().sum();
    let wanted = (all * percent).div_ceil(100);
    let mut counted = 0;
    let class = tally.classes.iter().position(|count| {
        counted += count;
        0 < counted && wanted <= counted
    })?;
    let [.., largest] = CLASSES;
    Some(CLASSES.get(class).copied().unwrap_or(2 * largest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_bounds_of_classes() {
        let mut tally = Tally::default();
        assert_eq!(percentile(&tally, 50), None);
        for _ in 0..94 {
            tally.succeeded(80);
        }
        for _ in 0..6 {
            tally.succeeded(2_000);
        }

        assert_eq!(percentile(&tally, 50), Some(100));
        assert_eq!(percentile(&tally, 94), Some(100));
        assert_eq!(percentile(&tally, 95), Some(2_400));
        tally.succeeded(60_000);
        assert_eq!(percentile(&tally, 100), Some(19_200));
    }

    #[test]
    fn a_tally_is_read_as_it_was_written() {
        let mut tally = Tally {
            connect: 1,
            timeout: 2,
            server: 3,
            broken: 4,
            limited: 5,
            refused: 6,
            missing: 7,
            ..Tally::default()
        };
        tally.succeeded(25);
        let numbers: Vec<u64> = tally.numbers().collect();

        assert_eq!(numbers.len(), NUMBERS);
        assert_eq!(Tally::of(&numbers), Some(tally));
    }
}
