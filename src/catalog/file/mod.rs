//! The catalog as people write it: one documented TOML file (`conf/catalog/README.md`).

mod dollars;
pub mod judge;
mod parse;

use chrono::NaiveDate;
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use url::Url;

pub use self::parse::parse;
use super::{
    ability::Ability,
    offer::{AllowanceMeter, AllowanceWindow, Tier},
    provider::{Deadlines, Dialect, Quirks},
    quote::PriceEntry,
};
use crate::base::{Fault, Secret};

/// What one file says, checked in itself.
#[derive(Clone, Debug, Default, Serialize)]
pub struct CatalogFile {
    /// Canonical models.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<ModelEntry>,
    /// Who serves them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub providers: Vec<ProviderEntry>,
    /// Providers' keys; they are never written out.
    #[serde(skip)]
    pub credentials: Vec<CredentialEntry>,
    /// What is sold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub offers: Vec<OfferEntry>,
    /// The names callers use.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<AliasEntry>,
    /// Which model may stand in for which.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub substitutes: Vec<SubstituteEntry>,
}

/// A canonical model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelEntry {
    /// Its name, unique in the catalog.
    pub name: String,
    /// Who made it, as `GET /v1/models` shows it.
    #[serde(default = "synaxis")]
    pub owned_by: String,
    /// How many tokens it reads and writes together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_window: Option<i64>,
    /// How many tokens it writes at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_output: Option<i64>,
    /// Where its figures were read.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// When they were read there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stated_on: Option<NaiveDate>,
}

/// Somebody who serves models.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderEntry {
    /// Its short name: lower-case letters, digits, `.`, `_`, `-`.
    pub name: String,
    /// The language it speaks.
    pub dialect: Dialect,
    /// What stands before the path of a call.
    pub base_url: Url,
    /// Whether it may train its models on what it is sent.
    #[serde(default)]
    pub trains_on_data: bool,
    /// Whether it serves nobody who has no key for it.
    #[serde(default)]
    pub requires_key: bool,
    /// Whether it is used.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// What people should know of it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// Where its figures were read.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// When they were read there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stated_on: Option<NaiveDate>,
    /// How it departs from its dialect.
    #[serde(default, skip_serializing_if = "is_default")]
    pub quirks: Quirks,
    /// How long it may take.
    #[serde(default, skip_serializing_if = "is_default")]
    pub deadlines: Deadlines,
    /// What it gives to each of its free offers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowances: Vec<AllowanceEntry>,
}

/// A provider's key.
#[derive(Clone, Debug)]
pub struct CredentialEntry {
    /// Whose key.
    pub provider: String,
    /// What tells it from the provider's other keys.
    pub name: String,
    /// Lower is tried first.
    pub position: i32,
    /// Whether it is used.
    pub enabled: bool,
    /// The key itself.
    pub secret: Secret,
}

/// A model as one provider sells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OfferEntry {
    /// Who sells it.
    pub provider: String,
    /// What is sold.
    pub model: String,
    /// What the provider calls the model; as the model when absent.
    #[serde(default)]
    pub upstream_name: String,
    /// Whether calls cost money.
    pub tier: Tier,
    /// What calls cost, in dollars per million tokens; unknown when absent, zero for a free offer.
    #[serde(default, with = "dollars", skip_serializing_if = "Option::is_none")]
    pub price: Option<PriceEntry>,
    /// What it can do; everything when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub abilities: Option<Vec<Ability>>,
    /// The window, where it differs from the model's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_window: Option<i64>,
    /// The longest answer, where it differs from the model's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_output: Option<i64>,
    /// Between equals, lower goes first.
    #[serde(default)]
    pub preference: i32,
    /// Whether it is used.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Where its figures were read.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// When they were read there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stated_on: Option<NaiveDate>,
    /// What the provider gives, and where it stops.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowances: Vec<AllowanceEntry>,
}

/// What a provider gives per window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AllowanceEntry {
    /// What it counts.
    pub meter: AllowanceMeter,
    /// How much per window.
    pub amount: i64,
    /// The window.
    pub window: AllowanceWindow,
    /// Where its day begins.
    #[serde(default = "utc")]
    pub zone: Tz,
    /// Whether all models of a key share one count.
    #[serde(default)]
    pub shared: bool,
    /// Whether a day is any 24 hours and a month any 30 days, rather than the calendar's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rolling: bool,
    /// Where this was read.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// When it was read there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stated_on: Option<NaiveDate>,
}

/// A name callers use for an ordered list of models.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AliasEntry {
    /// The name.
    pub name: String,
    /// The models, in the order they are tried.
    pub models: Vec<String>,
    /// Whether it is used.
    #[serde(default = "yes")]
    pub enabled: bool,
}

/// A model that may stand in for another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubstituteEntry {
    /// For which.
    pub model: String,
    /// Which.
    pub substitute: String,
    /// Lower is tried first.
    #[serde(default)]
    pub position: i32,
    /// Why it may, or with what loss.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

impl SubstituteEntry {
    /// Returns what tells it from every other of the same owner.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{} -> {}", self.model, self.substitute)
    }
}

impl CatalogFile {
    /// Puts the files of a folder together; a model may stand in several, if all say the same of it.
    ///
    /// # Errors
    /// What stands twice.
    pub fn merged(files: impl IntoIterator<Item = Self>) -> Result<Self, Vec<Fault>> {
        let mut whole = Self::default();
        for file in files {
            for model in file.models {
                if !whole.models.contains(&model) {
                    whole.models.push(model);
                }
            }
            whole.providers.extend(file.providers);
            whole.credentials.extend(file.credentials);
            whole.offers.extend(file.offers);
            whole.aliases.extend(file.aliases);
            whole.substitutes.extend(file.substitutes);
        }
        let faults = judge::faults(&whole);
        if faults.is_empty() {
            Ok(whole)
        } else {
            Err(faults)
        }
    }

    /// Writes the file out; providers' keys are not in it.
    ///
    /// # Errors
    /// Never for a file that was read; the writer's own error otherwise.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string_pretty(self)
    }
}

impl AllowanceEntry {
    /// Puts allowances into the one order in which they are compared.
    pub(super) fn sort(allowances: &mut [Self]) {
        allowances.sort_by_key(|one| (one.meter as u8, one.window as u8));
    }
}

fn synaxis() -> String {
    "synaxis".to_owned()
}

const fn yes() -> bool {
    true
}

const fn utc() -> Tz {
    Tz::UTC
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests;
