//! Models, and offers: a model as one provider sells it.

use std::sync::Arc;

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::{ability::Abilities, price::Price, provider::Provider};
use crate::base::{AllowanceId, ModelId, OfferId, Tokens};

/// A canonical model, whoever serves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// Its id.
    pub id: ModelId,
    /// Its canonical name, unique on the platform.
    pub name: String,
    /// How many tokens it reads and writes together, when known.
    pub context_window: Option<Tokens>,
    /// How many tokens it writes at most, when known.
    pub max_output: Option<Tokens>,
}

/// Whether calls cost money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// Calls cost nothing as long as an allowance lasts.
    Free,
    /// Calls cost their price.
    Paid,
}

/// A model as one provider sells it.
#[derive(Debug)]
pub struct Offer {
    /// Its id.
    pub id: OfferId,
    /// Who sells it.
    pub provider: Arc<Provider>,
    /// What is sold.
    pub model: Arc<Model>,
    /// What the provider calls the model.
    pub upstream_name: String,
    /// Whether calls cost money.
    pub tier: Tier,
    /// What calls cost; `None` is unknown, which is not zero and not routable.
    pub price: Option<Price>,
    /// The version of the price book the price stands in.
    pub price_book: String,
    /// What it can do.
    pub abilities: Abilities,
    /// The operator's declared preference: lower goes first between equals.
    pub preference: i32,
    /// What the provider gives, and where it stops.
    pub allowances: Vec<Allowance>,
}

/// What an allowance counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AllowanceMeter {
    /// Calls.
    Requests,
    /// Tokens read and written.
    Tokens,
}

/// The stretch of time an allowance covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AllowanceWindow {
    /// Any 60 seconds.
    Minute,
    /// Any 60 minutes.
    Hour,
    /// A calendar day in the allowance's zone.
    Day,
    /// A calendar month in the allowance's zone.
    Month,
}

/// What a provider gives per window; held and settled like a tenant's limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Its id.
    pub id: AllowanceId,
    /// What it counts.
    pub meter: AllowanceMeter,
    /// How much per window.
    pub amount: u64,
    /// The window.
    pub window: AllowanceWindow,
    /// Where its day begins.
    pub zone: Tz,
    /// Whether all models of a credential share it, rather than each offer having its own.
    pub is_shared: bool,
}
