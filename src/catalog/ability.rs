//! What an offer can do, and what a call needs: one set of flags for both.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One thing a call may need of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[repr(u16)]
pub enum Ability {
    /// Answers `/v1/chat/completions` (or the dialect's own chat path).
    Chat = 1,
    /// Answers `/v1/completions`.
    Completions = 1 << 1,
    /// Answers `/v1/embeddings`.
    Embeddings = 1 << 2,
    /// Answers `/v1/responses`.
    Responses = 1 << 3,
    /// Streams its answer.
    Streaming = 1 << 4,
    /// Calls tools.
    Tools = 1 << 5,
    /// Reads images.
    Vision = 1 << 6,
    /// Holds its answer to a JSON schema.
    JsonSchema = 1 << 7,
    /// Reads or writes audio.
    Audio = 1 << 8,
    /// Passes through every other `POST` path that carries a model.
    Other = 1 << 9,
}

impl Ability {
    /// Every ability, in the order of their bits.
    pub const ALL: [Self; 10] = [
        Self::Chat,
        Self::Completions,
        Self::Embeddings,
        Self::Responses,
        Self::Streaming,
        Self::Tools,
        Self::Vision,
        Self::JsonSchema,
        Self::Audio,
        Self::Other,
    ];
}

/// A set of abilities.
///
/// An offer whose abilities nobody stated can do everything (`Abilities::UNSTATED`): flags that default to
/// false would refuse streaming to every new offer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Abilities(u16);

impl Abilities {
    /// No ability: what a call needs before anything was asked.
    pub const NONE: Self = Self(0);
    /// All of them.
    pub const UNSTATED: Self = Self(u16::MAX);

    /// Returns the set with `ability` in it.
    #[must_use]
    pub const fn with(self, ability: Ability) -> Self {
        Self(self.0 | ability as u16)
    }

    /// Says whether `ability` is in the set.
    #[must_use]
    pub const fn has(self, ability: Ability) -> bool {
        self.0 & ability as u16 != 0
    }

    /// Returns everything in either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns the first ability of `needed` that is not in the set.
    #[must_use]
    pub fn first_missing(self, needed: Self) -> Option<Ability> {
        needed.iter().find(|ability| !self.has(*ability))
    }

    /// Lists the set in the order of its bits.
    pub fn iter(self) -> impl Iterator<Item = Ability> {
        Ability::ALL
            .into_iter()
            .filter(move |ability| self.has(*ability))
    }

    /// Says whether everything in `needed` is in the set.
    #[must_use]
    pub const fn cover(self, needed: Self) -> bool {
        self.0 & needed.0 == needed.0
    }
}

impl FromIterator<Ability> for Abilities {
    fn from_iter<I: IntoIterator<Item = Ability>>(abilities: I) -> Self {
        abilities.into_iter().fold(Self::NONE, Self::with)
    }
}
