//! What callers send and read about findings.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::{
    audit::finding::Finding,
    base::{Moment, Order},
};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Low,
    /// Worth mending.
    Medium,
    /// Mend it soon.
    High,
    /// Mend it now.
    Critical,
}

impl Severity {
    /// Returns the word of the books.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// Which findings.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FindingQuery {
    /// Only those of this severity.
    #[param(inline)]
    pub severity: Option<Severity>,
    /// Only those that are still there (`true`), or only those that are gone.
    pub is_open: Option<bool>,
    /// How many at most; 50 when absent.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u32>,
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Which end comes first: the newest (`desc`) when absent.
    #[param(inline)]
    pub order: Option<Order>,
}

/// Something that weakens an organization, or the platform.
#[derive(Debug, Serialize, ToSchema)]
pub struct FindingView {
    /// Its id.
    pub id: Uuid,
    /// What was found, as one word.
    pub kind: String,
    /// `low`, `medium`, `high` or `critical`.
    pub severity: String,
    /// What was found, for people.
    pub message: String,
    /// The kind of thing it is about.
    pub target_kind: Option<String>,
    /// Which one.
    pub target_id: Option<Uuid>,
    /// What a reader needs to understand it.
    #[schema(value_type = Object)]
    pub details: Value,
    /// When it was first found.
    pub created_at: Moment,
    /// When it was last found.
    pub last_seen_at: Moment,
    /// Since when somebody lives with it.
    pub accepted_at: Option<Moment>,
    /// Why they do.
    pub accepted_reason: Option<String>,
    /// Since when it is gone.
    pub resolved_at: Option<Moment>,
}

impl From<Finding> for FindingView {
    fn from(finding: Finding) -> Self {
        Self {
            id: finding.id,
            kind: finding.kind,
            severity: finding.severity,
            message: finding.message,
            target_kind: finding.target_kind,
            target_id: finding.target_id,
            details: finding.details,
            created_at: finding.created_at.into(),
            last_seen_at: finding.last_seen_at.into(),
            accepted_at: finding.accepted_at.map(Moment::from),
            accepted_reason: finding.accepted_reason,
            resolved_at: finding.resolved_at.map(Moment::from),
        }
    }
}
