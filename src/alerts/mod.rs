//! Who is told what they should look at: alerts, raised once while they last, and the channels that carry them.

pub mod channel;
pub mod deliver;
pub mod store;
pub mod webhook;

pub use channel::{Channel, ChannelKind};
pub use store::{raise, resolve};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::base::{AlertId, Moment, OrganizationId, UserId};

/// How much an alert matters, from the least to the most.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Somebody should look at it.
    Warning,
    /// Somebody should look at it now.
    Critical,
}

impl Severity {
    /// Returns the word the books and the wire share.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    /// Reads the books' word; what this build does not know matters most.
    #[must_use]
    pub fn of(word: &str) -> Self {
        match word {
            "info" => Self::Info,
            "warning" => Self::Warning,
            _ => Self::Critical,
        }
    }
}

/// Something somebody should look at.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// Whose it is; `None` is the platform's own.
    pub organization: Option<OrganizationId>,
    /// What kind of thing, as one word in lower case (`provider_down`).
    pub kind: String,
    /// How much it matters.
    pub severity: Severity,
    /// Says which alerts are the same one: at most 200 characters.
    pub fingerprint: String,
    /// What it is, for people; cut at 2 000 characters.
    pub message: String,
    /// What programs want to know of it: an object.
    pub details: Value,
}

/// An alert that stands in the books.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raised {
    /// Which one.
    pub id: AlertId,
    /// Whether it was not open before.
    pub is_new: bool,
}

/// An alert as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// Which one.
    pub id: AlertId,
    /// What it says.
    pub alert: Alert,
    /// How often it was raised while it was open.
    pub occurrences: u32,
    /// When it was raised last.
    pub last_seen_at: Moment,
    /// When somebody said they have seen it.
    pub acknowledged_at: Option<Moment>,
    /// Who.
    pub acknowledged_by: Option<UserId>,
    /// When it was over.
    pub resolved_at: Option<Moment>,
    /// When it was raised first.
    pub created_at: Moment,
    /// When it last changed.
    pub updated_at: Moment,
}
