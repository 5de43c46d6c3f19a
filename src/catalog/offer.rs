//! Models, and offers: a model as one provider sells it.

use std::sync::Arc;

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ability::Abilities, price::Price, provider::Provider};
use crate::base::{AllowanceId, ModelId, Moment, NanoUsd, OfferId, OrganizationId, Tokens, Usage};

/// A canonical model, whoever serves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// Its id.
    pub id: ModelId,
    /// Whose model this is; `None` is everybody's.
    pub organization_id: Option<OrganizationId>,
    /// Its canonical name, unique on the platform or in its organization.
    pub name: String,
    /// Who made it, as callers see it in the list of models.
    pub owned_by: String,
    /// Since when it is in the catalog.
    pub created: Moment,
    /// How many tokens it reads and writes together, when known.
    pub context_window: Option<Tokens>,
    /// How many tokens it writes at most, when known.
    pub max_output: Option<Tokens>,
}

/// Whether calls cost money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
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
    /// Whose offer this is; `None` serves every organization.
    pub organization_id: Option<OrganizationId>,
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
    /// How many tokens it reads and writes together, where this differs from the model.
    pub context_window: Option<Tokens>,
    /// How many tokens it writes at most, where this differs from the model.
    pub max_output: Option<Tokens>,
    /// The operator's declared preference: lower goes first between equals.
    pub preference: i32,
    /// What the provider gives, and where it stops.
    pub allowances: Vec<Allowance>,
}

impl Offer {
    /// Returns how many tokens it reads and writes together, when known.
    #[must_use]
    pub fn context_window(&self) -> Option<Tokens> {
        self.context_window.or(self.model.context_window)
    }

    /// Returns how many tokens it writes at most, when known.
    #[must_use]
    pub fn max_output(&self) -> Option<Tokens> {
        self.max_output.or(self.model.max_output)
    }

    /// Returns what `usage` costs here: nothing at a free offer; `None` when the price is not known.
    #[must_use]
    pub fn cost(&self, usage: &Usage) -> Option<NanoUsd> {
        let price = self.price.as_ref()?;
        Some(match self.tier {
            Tier::Free => NanoUsd::ZERO,
            Tier::Paid => price.of(usage),
        })
    }
}

/// What an allowance counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AllowanceMeter {
    /// Calls.
    Requests,
    /// Tokens read and written.
    Tokens,
    /// The provider's credits: nano-dollars of its own price.
    Credits,
}

/// The stretch of time an allowance covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AllowanceWindow {
    /// Any 60 seconds.
    Minute,
    /// Any 60 minutes.
    Hour,
    /// A day in the allowance's zone, or any 24 hours when it is rolling.
    Day,
    /// A month in the allowance's zone, or any 30 days when it is rolling.
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
    /// Whether it comes back piece by piece as it was used, rather than all at once when its day or month is over.
    /// Minutes and hours always do: what fits any 60 seconds fits every clock's minute.
    pub is_rolling: bool,
}
