//! What each waking saw, did and came to.

pub mod store;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::base::{Moment, NanoUsd, RunId};

/// Why an agent woke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Its time had come.
    Schedule,
    /// Something happened that it should look at.
    Nudge,
    /// A person asked.
    Person,
}

impl Cause {
    /// Returns the word of the books.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::Nudge => "nudge",
            Self::Person => "person",
        }
    }

    /// Finds the cause of that word.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        [Self::Schedule, Self::Nudge, Self::Person]
            .into_iter()
            .find(|one| one.word() == word)
    }
}

/// How a waking stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It goes on.
    Running,
    /// It did what there was to do.
    Succeeded,
    /// It could not, or took too long.
    Failed,
    /// Its process went, or leads no more.
    Abandoned,
}

impl Outcome {
    /// Returns the word of the books and of metrics.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Abandoned => "abandoned",
        }
    }

    /// Finds the outcome of that word.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        [
            Self::Running,
            Self::Succeeded,
            Self::Failed,
            Self::Abandoned,
        ]
        .into_iter()
        .find(|one| one.word() == word)
    }
}

/// One waking of an agent.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Which one.
    pub id: RunId,
    /// When it began.
    pub at: Moment,
    /// Who woke.
    pub agent: String,
    /// Why.
    pub cause: Cause,
    /// In which process.
    pub node: String,
    /// The epoch of that process's lease.
    pub epoch: i64,
    /// When it ended.
    pub ended_at: Option<Moment>,
    /// How it stands.
    pub outcome: Outcome,
    /// What it reported: an object.
    pub report: Value,
    /// Why it failed or was given up.
    pub fault: Option<String>,
    /// What it spent.
    pub cost: NanoUsd,
}

/// Which runs are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// Only those of this agent.
    pub agent: Option<String>,
    /// Only those that stand so.
    pub outcome: Option<Outcome>,
}
