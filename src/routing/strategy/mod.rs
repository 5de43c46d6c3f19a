//! How offers are put in order: six ways, each with bounds.

mod score;

pub(super) use score::score;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    base::{NanoUsd, StrategyId, Tokens},
    catalog::Offer,
};

/// What goes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// What is free, then what this call costs least with.
    #[default]
    Miser,
    /// Whose first byte comes soonest.
    Performance,
    /// Who fails least.
    Reliability,
    /// What is best in cost, latency and success together, as they weigh.
    Balanced,
    /// What the catalog prefers.
    Priority,
    /// By lot, as providers weigh.
    Weighted,
}

/// What may not be passed; `None` sets no bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// What a million tokens of this call may cost.
    pub max_cost_per_million: Option<NanoUsd>,
    /// How long the first byte may usually take.
    pub max_latency_ms: Option<u32>,
    /// How many of a hundred calls must succeed.
    pub min_success_percent: Option<u8>,
    /// Whether anything may be spent.
    pub is_paid_allowed: bool,
}

impl Bounds {
    /// No bounds.
    pub const NONE: Self = Self {
        max_cost_per_million: None,
        max_latency_ms: None,
        min_success_percent: None,
        is_paid_allowed: true,
    };
}

/// What weighs how much.
///
/// `cost`, `latency` and `success` for [`Kind::Balanced`], providers (`name`) and single offers (`name/model`) for
/// [`Kind::Weighted`]. Empty: everything weighs the same; else what is not named weighs nothing.
pub type Weights = BTreeMap<String, u32>;

/// How somebody's offers are put in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strategy {
    /// Its id; `None` for what holds when nobody says anything.
    pub id: Option<StrategyId>,
    /// What goes first.
    pub kind: Kind,
    /// What weighs how much.
    pub weights: Weights,
    /// What may not be passed.
    pub bounds: Bounds,
}

/// What holds when nobody says anything.
pub static MISER: Strategy = Strategy {
    id: None,
    kind: Kind::Miser,
    weights: Weights::new(),
    bounds: Bounds::NONE,
};

impl Kind {
    /// Returns the word the books use.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Miser => "miser",
            Self::Performance => "performance",
            Self::Reliability => "reliability",
            Self::Balanced => "balanced",
            Self::Priority => "priority",
            Self::Weighted => "weighted",
        }
    }

    /// Returns why an offer is a candidate, in one word; `None` where that differs from offer to offer.
    pub(super) const fn why(self) -> Option<&'static str> {
        match self {
            Self::Miser => None,
            Self::Performance => Some("fastest"),
            Self::Reliability => Some("steadiest"),
            Self::Balanced => Some("balanced"),
            Self::Priority => Some("preferred"),
            Self::Weighted => Some("weighted"),
        }
    }
}

impl Strategy {
    /// Returns how much `offer` weighs in a lot.
    fn weight_of(&self, offer: &Offer) -> u32 {
        let provider = offer.provider.name.as_str();
        let is_offer = |name: &str| {
            let rest = name.strip_prefix(provider);
            rest.and_then(|rest| rest.strip_prefix('/')) == Some(&offer.upstream_name)
        };
        let mut named = self.weights.iter();
        let own = named.find_map(|(name, weight)| is_offer(name).then_some(*weight));
        own.unwrap_or_else(|| self.weight(provider))
    }

    fn weight(&self, name: &str) -> u32 {
        let unnamed = u32::from(self.weights.is_empty());
        self.weights.get(name).copied().unwrap_or(unnamed)
    }
}

/// Returns what a million tokens cost when `tokens` cost `cost`.
#[must_use]
pub fn per_million(cost: NanoUsd, tokens: Tokens) -> NanoUsd {
    let million = u128::from(cost.0) * 1_000_000;
    let each = million / u128::from(tokens.0.max(1));
    NanoUsd(u64::try_from(each).unwrap_or(u64::MAX))
}
