//! Providers' keys, as callers send and read them.

use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    admin::catalog::OwnerWord,
    base::{Moment, Secret},
    catalog::{
        Row,
        probe::{Finding, Outcome},
        store::credentials::CredentialRow,
    },
};

/// A provider's key: everything but the key.
#[derive(Debug, Serialize, ToSchema)]
pub struct CredentialView {
    /// Its id.
    id: Uuid,
    /// Whose it is.
    owner: OwnerWord,
    /// Whose key it is.
    provider_id: Uuid,
    /// The provider's name.
    provider: String,
    /// What tells it from the provider's other keys.
    name: String,
    /// Lower is tried first.
    position: i32,
    /// Whether it is used.
    is_enabled: bool,
    /// Since when a new key waits to take its place; null when none does.
    pending_since: Option<Moment>,
    /// When it was last replaced.
    rotated_at: Option<Moment>,
    /// What was found when it was last tried; null when it never was.
    last_test: Option<CredentialFindingView>,
    /// Names the sealing key it is sealed with.
    sealing_key_id: String,
    /// When it was made.
    created_at: Moment,
    /// When it was last changed.
    updated_at: Moment,
}

/// What was found when a key was tried.
#[derive(Debug, Serialize, ToSchema)]
pub struct CredentialFindingView {
    /// When.
    tested_at: Moment,
    /// In one word.
    outcome: Outcome,
    /// The status the provider answered with; null when it did not answer.
    status: Option<u16>,
    /// In words.
    detail: String,
}

impl CredentialFindingView {
    pub(super) fn of(tested_at: Moment, finding: Finding) -> Self {
        Self {
            tested_at,
            outcome: finding.outcome,
            status: finding.status,
            detail: finding.detail,
        }
    }
}

impl CredentialView {
    pub(super) fn of(row: Row<CredentialRow>) -> Self {
        let entry = row.entry;
        let last_test = entry.tested;
        Self {
            id: row.id,
            owner: OwnerWord::of(row.owner),
            provider_id: entry.provider_id,
            provider: entry.provider,
            name: entry.name,
            position: entry.position,
            is_enabled: entry.is_enabled,
            pending_since: entry.pending_since,
            rotated_at: entry.rotated_at,
            last_test: last_test.map(|(at, finding)| CredentialFindingView::of(at, finding)),
            sealing_key_id: entry.sealing_key_id,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// A key to be given.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct CreateCredential {
    /// Whose key: the organization's provider, or one of the platform.
    pub(super) provider_id: Uuid,
    /// What tells it from the provider's other keys; `default` when absent.
    #[serde(default)]
    pub(super) name: Option<String>,
    /// Lower is tried first.
    #[serde(default)]
    pub(super) position: i32,
    /// Whether it is used; true when absent.
    #[serde(default)]
    pub(super) is_enabled: Option<bool>,
    /// The key. It is sealed and never shown again.
    pub(super) secret: Secret,
}

/// What is to change of a key; what is absent stays.
#[derive(Debug, Default, Deserialize, Validate, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct ChangeCredential {
    /// What tells it from the provider's other keys.
    pub(super) name: Option<String>,
    /// Lower is tried first.
    pub(super) position: Option<i32>,
    /// Whether it is used.
    pub(super) is_enabled: Option<bool>,
}

/// A key to be laid beside the one in use.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct RotateCredential {
    /// The new key. It is sealed and never shown again.
    pub(super) secret: Secret,
}

/// Which of a credential's keys is to be tried.
#[derive(Debug, Default, Deserialize, Validate, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct TestCredential {
    /// The one that waits to take the other's place, rather than the one in use.
    pub(super) is_pending: bool,
}
