//! What an audit of security found.

pub mod store;

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

/// Something that weakens an organization, or the platform.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Which one.
    pub id: Uuid,
    /// What was found, as one word.
    pub kind: String,
    /// How bad it is: `low`, `medium`, `high` or `critical`.
    pub severity: String,
    /// What to tell people.
    pub message: String,
    /// The kind of thing it is about.
    pub target_kind: Option<String>,
    /// Which one.
    pub target_id: Option<Uuid>,
    /// What a reader needs to understand it: an object.
    pub details: Value,
    /// When it was first found.
    pub created_at: DateTime<Utc>,
    /// When it was last found.
    pub last_seen_at: DateTime<Utc>,
    /// Since when somebody lives with it.
    pub accepted_at: Option<DateTime<Utc>>,
    /// Why they do.
    pub accepted_reason: Option<String>,
    /// Since when it is gone.
    pub resolved_at: Option<DateTime<Utc>>,
}

/// Which findings are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FindingFilter {
    /// Only those of this severity.
    pub severity: Option<String>,
    /// Only those that are still there, or only those that are gone.
    pub is_open: Option<bool>,
}

/// Something that was found just now.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// What it is, as one word.
    pub kind: String,
    /// How bad it is: `low`, `medium`, `high` or `critical`.
    pub severity: String,
    /// Says which findings are the same one.
    pub fingerprint: String,
    /// What to tell people.
    pub message: String,
    /// The kind of thing it is about.
    pub target_kind: Option<String>,
    /// Which one.
    pub target_id: Option<Uuid>,
    /// What a reader needs to understand it: an object.
    pub details: Value,
}

/// What became of the findings of one owner.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Noted {
    /// What was not there before.
    pub opened: Vec<Found>,
    /// The fingerprints of what is there no more.
    pub resolved: Vec<String>,
}

impl Noted {
    /// Says whether nothing changed.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.opened.is_empty() && self.resolved.is_empty()
    }
}
