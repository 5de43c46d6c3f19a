//! A channel: where alerts are told, and which.

use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;

use super::Severity;
use crate::{
    base::{AlertChannelId, Moment, OrganizationId},
    store::seal::Place,
};

/// How a channel carries alerts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChannelKind {
    /// A signed POST to a URL.
    Webhook,
    /// A letter to an e-mail address.
    Email,
}

impl ChannelKind {
    /// Returns the word the books and the wire share.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Email => "email",
        }
    }

    /// Reads the books' word.
    #[must_use]
    pub fn of(word: &str) -> Self {
        match word {
            "email" => Self::Email,
            _ => Self::Webhook,
        }
    }
}

/// What somebody decides about a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// What people call it; unique for its owner.
    pub name: String,
    /// How it carries.
    pub kind: ChannelKind,
    /// A URL or an e-mail address.
    pub target: String,
    /// The kinds of alerts it carries; `None` is all.
    pub kinds: Option<Vec<String>>,
    /// The least that matters enough.
    pub min_severity: Severity,
    /// Whether it carries anything now.
    pub is_enabled: bool,
}

/// A channel, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// Which one.
    pub id: AlertChannelId,
    /// Whose; `None` is the platform's.
    pub organization: Option<OrganizationId>,
    /// What was decided about it.
    pub terms: Terms,
    /// When it was made.
    pub created_at: Moment,
    /// When it last changed.
    pub updated_at: Moment,
}

/// Returns the origin of a webhook's URL: all that its secret is bound to. Empty for what is no URL.
#[must_use]
pub fn origin_of(target: &str) -> String {
    Url::parse(target).map_or_else(|_| String::new(), |url| url.origin().ascii_serialization())
}

/// Returns where a webhook's secret is sealed; see [`origin_of`]. Whoever moves the webhook must give it anew.
#[must_use]
pub fn place(id: AlertChannelId, organization: Option<OrganizationId>, origin: &str) -> Place<'_> {
    Place {
        table: "operations.alert_channels",
        row: id.uuid(),
        organization,
        column: "sealed_secret",
        audience: origin,
    }
}
