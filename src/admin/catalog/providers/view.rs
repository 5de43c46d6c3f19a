//! Providers, as callers send and read them.

use chrono::NaiveDate;
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    admin::catalog::{OwnerWord, patch::given},
    base::Moment,
    catalog::{Deadlines, Dialect, Quirks, Row, file::ProviderEntry},
};

/// Somebody who serves models.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProviderView {
    /// Its id.
    id: Uuid,
    /// Whose it is.
    owner: OwnerWord,
    /// Its short name, as in `x-synaxis-provider` and `provider/model`.
    name: String,
    /// The language it speaks.
    dialect: Dialect,
    /// What stands before the path of a call.
    base_url: String,
    /// How it departs from its dialect.
    quirks: Quirks,
    /// How long it may take.
    deadlines: Deadlines,
    /// Whether it may train its models on what it is sent.
    trains_on_data: bool,
    /// Whether it serves nobody who has no key for it.
    requires_key: bool,
    /// Whether it is used.
    is_enabled: bool,
    /// What people should know of it.
    note: String,
    /// Where this was read.
    source: String,
    /// When it was read there.
    stated_on: Option<NaiveDate>,
    /// When it was made.
    created_at: Moment,
    /// When it was last changed.
    updated_at: Moment,
}

impl ProviderView {
    pub(super) fn of(row: Row<ProviderEntry>) -> Self {
        Self {
            id: row.id,
            owner: OwnerWord::of(row.owner),
            name: row.entry.name,
            dialect: row.entry.dialect,
            base_url: row.entry.base_url.into(),
            quirks: row.entry.quirks,
            deadlines: row.entry.deadlines,
            trains_on_data: row.entry.trains_on_data,
            requires_key: row.entry.requires_key,
            is_enabled: row.entry.enabled,
            note: row.entry.note,
            source: row.entry.source,
            stated_on: row.entry.stated_on,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// A provider to be added.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct CreateProvider {
    /// Its short name: up to 63 of `a-z 0-9 . _ -`, a letter or digit first.
    pub(super) name: String,
    /// The language it speaks.
    pub(super) dialect: Dialect,
    /// What stands before the path of a call, `/v1` included where the provider has one: https and a public host.
    #[schema(format = "uri")]
    pub(super) base_url: String,
    /// How it departs from its dialect.
    #[serde(default)]
    pub(super) quirks: Quirks,
    /// How long it may take.
    #[serde(default)]
    pub(super) deadlines: Deadlines,
    /// Whether it may train its models on what it is sent.
    #[serde(default)]
    pub(super) trains_on_data: bool,
    /// Whether it serves nobody who has no key for it.
    #[serde(default)]
    pub(super) requires_key: bool,
    /// Whether it is used; true when absent.
    #[serde(default)]
    pub(super) is_enabled: Option<bool>,
    /// What people should know of it.
    #[serde(default)]
    pub(super) note: String,
    /// Where this was read.
    #[serde(default)]
    pub(super) source: String,
    /// When it was read there.
    #[serde(default)]
    pub(super) stated_on: Option<NaiveDate>,
}

/// What is to change of a provider; what is absent stays, null clears.
#[derive(Debug, Default, Deserialize, Validate, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct ChangeProvider {
    /// Its short name.
    pub(super) name: Option<String>,
    /// What stands before the path of a call. A provider with keys stays at its host.
    #[schema(format = "uri")]
    pub(super) base_url: Option<String>,
    /// How it departs from its dialect, as a whole.
    pub(super) quirks: Option<Quirks>,
    /// How long it may take, as a whole.
    pub(super) deadlines: Option<Deadlines>,
    /// Whether it may train its models on what it is sent.
    pub(super) trains_on_data: Option<bool>,
    /// Whether it serves nobody who has no key for it.
    pub(super) requires_key: Option<bool>,
    /// Whether it is used.
    pub(super) is_enabled: Option<bool>,
    /// What people should know of it.
    pub(super) note: Option<String>,
    /// Where this was read.
    pub(super) source: Option<String>,
    /// When it was read there.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<NaiveDate>)]
    pub(super) stated_on: Option<Option<NaiveDate>>,
}
