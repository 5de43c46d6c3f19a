//! What somebody is permitted: whose, of what, per which window, and how strictly.

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::base::{ApiKeyId, CredentialId, GroupId, ModelId, OfferId, OrganizationId, UserId};

/// Whose use a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "id")]
pub enum Subject {
    /// A whole tenant.
    Organization(OrganizationId),
    /// A team.
    Group(GroupId),
    /// A person.
    User(UserId),
    /// A key.
    Key(ApiKeyId),
    /// A key's use of one model.
    KeyModel(ApiKeyId, ModelId),
    /// A provider's key, all models together.
    Credential(CredentialId),
    /// A provider's key (or none), one offer.
    CredentialOffer(Option<CredentialId>, OfferId),
}

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Meter {
    /// Calls.
    Requests,
    /// Tokens read.
    InputTokens,
    /// Tokens written.
    OutputTokens,
    /// Tokens read and written.
    TotalTokens,
    /// Money.
    NanoUsd,
    /// Calls in flight at once.
    Concurrent,
}

/// The stretch of time a limit covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Window {
    /// Any 60 seconds.
    Minute,
    /// Any 60 minutes.
    Hour,
    /// A calendar day in the limit's zone.
    Day,
    /// A calendar month in the limit's zone.
    Month,
    /// This instant: for calls in flight.
    Instant,
}

/// Whether the true use may pass the amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Enforcement {
    /// Never: an upper bound is held.
    Hard,
    /// A little: the expected use is held, an overrun is counted and charged.
    Soft,
}

/// Whether a limit refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// It refuses.
    Enforce,
    /// It counts what it would have refused.
    Shadow,
}

/// What somebody is permitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// The limit's id, or the allowance's it was made from.
    pub id: Uuid,
    /// Whose use it counts.
    pub subject: Subject,
    /// What it counts.
    pub meter: Meter,
    /// Over which time.
    pub window: Window,
    /// How much: calls, tokens or nano-dollars.
    pub amount: u64,
    /// Whether the true use may pass the amount.
    pub enforcement: Enforcement,
    /// Whether it refuses.
    pub mode: Mode,
    /// Where its day begins.
    pub zone: Tz,
}
