//! Who serves models: where, in which language, with which quirks, deadlines and credentials.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;

use crate::base::{CredentialId, OrganizationId, ProviderId, Secret};

/// The wire language a provider speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// `OpenAI`'s chat, completions, embeddings and responses.
    Openai,
    /// Anthropic's messages.
    Anthropic,
}

/// Somebody who serves models.
#[derive(Debug)]
pub struct Provider {
    /// Its id.
    pub id: ProviderId,
    /// Whose provider this is; `None` serves every organization.
    pub organization_id: Option<OrganizationId>,
    /// The short name in `x-synaxis-provider`, in metrics and in `provider/model`.
    pub name: String,
    /// The language it speaks.
    pub dialect: Dialect,
    /// What stands before the path of a call, `/v1` included where the provider has one.
    pub base_url: Url,
    /// How it departs from its dialect.
    pub quirks: Quirks,
    /// How long it may take.
    pub deadlines: Deadlines,
    /// Whether it may train its models on what it is sent.
    pub trains_on_data: bool,
    /// Its keys, the platform's first and then by organization, each in the order they should be tried.
    /// Empty: it takes calls without one.
    pub credentials: Vec<Arc<Credential>>,
}

impl Provider {
    /// Says whether `organization` can call it: with a key of its own or the platform's, or without any.
    #[must_use]
    pub fn serves(&self, organization: OrganizationId) -> bool {
        !self.wants_key() || self.credentials_of(organization).next().is_some()
    }

    /// Says whether it is called with a key: one without any takes calls without.
    #[must_use]
    pub fn wants_key(&self) -> bool {
        self.quirks.auth != Auth::None && !self.credentials.is_empty()
    }

    /// Returns the keys `organization` may use, its own before the platform's.
    pub fn credentials_of(
        &self,
        organization: OrganizationId,
    ) -> impl Iterator<Item = &Arc<Credential>> {
        let owner = |credential: &Arc<Credential>| credential.organization_id;
        let platform = self.credentials.partition_point(|one| owner(one).is_none());
        let (shared, owned) = self.credentials.split_at(platform);
        let from = owned.partition_point(|one| owner(one) < Some(organization));
        let mine = owned.iter().skip(from);
        mine.take_while(move |one| owner(one) == Some(organization))
            .chain(shared)
    }
}

/// A provider's key, in memory only.
#[derive(Debug)]
pub struct Credential {
    /// Its id.
    pub id: CredentialId,
    /// Whose credential this is; `None` is the platform's, shared by all.
    pub organization_id: Option<OrganizationId>,
    /// The key itself.
    pub secret: Secret,
}

/// How a provider departs from its dialect: data, not branches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Quirks {
    /// Ask for `stream_options.include_usage` upstream when a caller streams.
    pub inject_usage: bool,
    /// The name this provider gives to the limit of output tokens, instead of the caller's own.
    pub max_tokens_field: Option<String>,
    /// Top-level fields this provider refuses; they are left out of the body.
    pub drop_fields: Vec<String>,
    /// How the key is sent: `bearer`, `x-api-key`, `api-key`, or `none`.
    pub auth: Auth,
    /// The family of rate-limit headers it answers with (wire.md).
    pub header_family: String,
}

impl Default for Quirks {
    fn default() -> Self {
        Self {
            inject_usage: true,
            max_tokens_field: None,
            drop_fields: Vec::new(),
            auth: Auth::Bearer,
            header_family: "openai".to_owned(),
        }
    }
}

/// How a provider wants its key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Auth {
    /// `authorization: Bearer …`.
    #[default]
    Bearer,
    /// `x-api-key: …`.
    XApiKey,
    /// `api-key: …`.
    ApiKey,
    /// No key at all.
    None,
}

/// How long each part of a call may take at one provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Deadlines {
    /// Until the connection stands.
    pub connect_ms: u64,
    /// Until the first byte of a streamed answer.
    pub first_byte_ms: u64,
    /// Until a whole answer.
    pub whole_ms: u64,
    /// Between two pieces of an answer.
    pub gap_ms: u64,
    /// The call altogether.
    pub total_ms: u64,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            connect_ms: 2_000,
            first_byte_ms: 60_000,
            whole_ms: 600_000,
            gap_ms: 60_000,
            total_ms: 900_000,
        }
    }
}

impl Deadlines {
    /// Returns until when the first byte must be there.
    #[must_use]
    pub const fn first_byte(&self, is_stream: bool) -> Duration {
        Duration::from_millis(if is_stream {
            self.first_byte_ms
        } else {
            self.whole_ms
        })
    }
}
