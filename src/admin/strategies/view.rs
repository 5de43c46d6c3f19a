//! How strategies are written and read.

use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    base::{ApiKeyId, GroupId, Moment, NanoUsd, StrategyId},
    control::strategies::{DEAREST, SLOWEST_MS},
    routing::{
        Bounds, Kind, Weights,
        store::strategies::{Attachment, KeptStrategy, Terms},
    },
};

/// What a strategy is attached to within an organization. Of several that fit a call, the first of its key's, its
/// alias's, its group's, its organization's and the platform's holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum StrategySubject {
    /// All of the organization.
    Organization {},
    /// A group.
    Group {
        /// Which.
        group_id: GroupId,
    },
    /// A key, and those that take over from it.
    Key {
        /// Which: the first of its chain of rotations.
        key_id: ApiKeyId,
    },
    /// A name callers use.
    Alias {
        /// Which.
        alias_id: Uuid,
    },
}

impl StrategySubject {
    /// Returns what the books attach it to.
    pub(super) const fn attachment(self) -> Attachment {
        match self {
            Self::Organization {} => Attachment::Organization,
            Self::Group { group_id } => Attachment::Group(group_id),
            Self::Key { key_id } => Attachment::Key(key_id),
            Self::Alias { alias_id } => Attachment::Alias(alias_id),
        }
    }

    const fn of(attached: Attachment) -> Option<Self> {
        Some(match attached {
            Attachment::Platform => return None,
            Attachment::Organization => Self::Organization {},
            Attachment::Group(group_id) => Self::Group { group_id },
            Attachment::Key(key_id) => Self::Key { key_id },
            Attachment::Alias(alias_id) => Self::Alias { alias_id },
        })
    }
}

/// What a strategy says. What is absent sets no bound.
#[derive(Clone, Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct StrategyTerms {
    /// What goes first.
    kind: Kind,
    /// What weighs how much: `cost`, `latency` and `success` for `balanced`, providers (`name`) and single offers
    /// (`name/model`) for `weighted`. Empty: everything the same; else what is not named weighs nothing.
    #[serde(default)]
    weights: Weights,
    /// What a million tokens of a call may cost, in billionths of a dollar.
    #[garde(range(max = DEAREST.0))]
    max_cost_per_million_nano_usd: Option<u64>,
    /// How long the first byte may usually take.
    #[garde(range(min = 1, max = SLOWEST_MS))]
    max_latency_ms: Option<u32>,
    /// How many of a hundred calls must lately have succeeded.
    #[garde(range(max = 100))]
    min_success_percent: Option<u8>,
    /// Whether anything may be spent; true when absent.
    #[serde(default = "yes")]
    is_paid_allowed: bool,
}

const fn yes() -> bool {
    true
}

impl From<StrategyTerms> for Terms {
    fn from(terms: StrategyTerms) -> Self {
        Self {
            kind: terms.kind,
            weights: terms.weights,
            bounds: Bounds {
                max_cost_per_million: terms.max_cost_per_million_nano_usd.map(NanoUsd),
                max_latency_ms: terms.max_latency_ms,
                min_success_percent: terms.min_success_percent,
                is_paid_allowed: terms.is_paid_allowed,
            },
        }
    }
}

/// A strategy to be attached.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateStrategy {
    /// To what.
    #[garde(skip)]
    pub(super) subject: StrategySubject,
    /// What it says.
    #[garde(dive)]
    pub(super) terms: StrategyTerms,
}

/// How somebody's offers are put in order.
#[derive(Debug, Serialize, ToSchema)]
pub struct StrategyView {
    /// Its id.
    id: StrategyId,
    /// What it is attached to; null for the platform's, which holds for everybody who has none.
    subject: Option<StrategySubject>,
    /// What goes first.
    kind: Kind,
    /// What weighs how much.
    weights: Weights,
    /// What a million tokens of a call may cost, in billionths of a dollar.
    max_cost_per_million_nano_usd: Option<u64>,
    /// How long the first byte may usually take.
    max_latency_ms: Option<u32>,
    /// How many of a hundred calls must lately have succeeded.
    min_success_percent: Option<u8>,
    /// Whether anything may be spent.
    is_paid_allowed: bool,
    /// When it was made.
    created_at: Moment,
    /// When it was last changed.
    updated_at: Moment,
}

impl From<KeptStrategy> for StrategyView {
    fn from(kept: KeptStrategy) -> Self {
        let bounds = kept.terms.bounds;
        Self {
            id: kept.id,
            subject: StrategySubject::of(kept.attached),
            kind: kept.terms.kind,
            weights: kept.terms.weights,
            max_cost_per_million_nano_usd: bounds.max_cost_per_million.map(|most| most.0),
            max_latency_ms: bounds.max_latency_ms,
            min_success_percent: bounds.min_success_percent,
            is_paid_allowed: bounds.is_paid_allowed,
            created_at: kept.created_at,
            updated_at: kept.updated_at,
        }
    }
}
