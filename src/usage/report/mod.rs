//! What was used: a question to the roll-ups, and its answer.

pub mod store;

mod bounds;
mod question;
mod walk;

pub use bounds::{Bound, NotAnswered};
pub use question::{Period, Question, Whose};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    base::{ApiKeyId, GroupId, ModelId, Moment, NanoUsd, OfferId, ProviderId, UserId},
    catalog::Tier,
};

/// By what a report is divided.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Dimension {
    /// Not at all.
    #[default]
    None,
    /// The tenant.
    Organization,
    /// The team.
    Group,
    /// The person.
    User,
    /// The key.
    Key,
    /// The model that answered.
    Model,
    /// Its provider.
    Provider,
    /// The model as that provider sells it.
    Offer,
    /// Free or paid.
    Tier,
}

/// Into which steps of time a report is divided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Interval {
    /// Into none.
    #[default]
    None,
    /// Hours.
    Hour,
    /// Days of the zone's calendar.
    Day,
    /// Months of the zone's calendar.
    Month,
}

/// Which calls count; those that fit every filter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Filters {
    /// Of one team.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupId>,
    /// Of one person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<UserId>,
    /// Of one key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<ApiKeyId>,
    /// To one model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelId>,
    /// To one provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<ProviderId>,
    /// To one offer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offer: Option<OfferId>,
    /// To free or to paid offers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tier: Option<Tier>,
}

/// What some calls came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    /// Calls.
    pub requests: u64,
    /// Of these, answered with 400 or more, or not at all.
    pub failed_requests: u64,
    /// Of these, with estimated tokens.
    pub estimated_requests: u64,
    /// Of these, streamed.
    pub streamed_requests: u64,
    /// Tokens read, those of caches included.
    pub input_tokens: u64,
    /// Of these, read from a provider's cache.
    pub cached_tokens: u64,
    /// Of these, written to a provider's cache.
    pub cache_write_tokens: u64,
    /// Tokens written, those of reasoning included.
    pub output_tokens: u64,
    /// Of these, spent on reasoning.
    pub reasoning_tokens: u64,
    /// What they cost.
    pub cost: NanoUsd,
    /// What their cheapest paid alternatives would have cost more.
    pub saved: NanoUsd,
    /// How long they took, all together.
    pub duration_ms: u64,
    /// How long their first bytes took, all together.
    pub first_byte_ms: u64,
    /// How many had a first byte.
    pub first_bytes: u64,
}

/// One row of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// When its step begins; `None` when there are none.
    pub at: Option<Moment>,
    /// The value of the dimension; `None` when there is none, or for calls without one.
    pub value: Option<Uuid>,
    /// What that value is called now; a tier's word is its name.
    pub name: Option<String>,
    /// What the calls came to.
    pub amounts: Amounts,
}

/// The answer to a question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The rows asked for.
    pub rows: Vec<Row>,
    /// Where the next page begins; `None` when nothing follows.
    pub next: Option<Place>,
    /// What all rows together come to.
    pub total: Amounts,
}

/// Where a page of an answer begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The whole hour with which its first step begins; `None` is the beginning, and all there is without steps.
    pub at: Option<Moment>,
    /// How many rows of that step, or of an answer without steps, come before it.
    pub skip: u32,
}

/// Which rows of an answer are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Where they begin.
    pub place: Place,
    /// How many to return at most.
    pub take: u32,
    /// Whether to return fewer, and where to go on, rather than look through too much at once.
    pub may_be_short: bool,
}
