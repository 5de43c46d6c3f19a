//! Offers, as callers send and read them.

use chrono::NaiveDate;
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    admin::catalog::{OwnerWord, patch::given, prices::PriceAmounts},
    base::Moment,
    catalog::{Ability, Row, Tier, store::offers::OfferRow},
};

/// A model as one provider sells it.
#[derive(Debug, Serialize, ToSchema)]
pub struct OfferView {
    /// Its id.
    id: Uuid,
    /// Whose it is.
    owner: OwnerWord,
    /// Who sells it.
    provider_id: Uuid,
    /// The provider's name.
    provider: String,
    /// What is sold.
    model_id: Uuid,
    /// The model's name.
    model: String,
    /// What the provider calls the model.
    upstream_name: String,
    /// Whether calls cost money.
    tier: Tier,
    /// What it can do; null is not known, so it is tried for everything.
    abilities: Option<Vec<Ability>>,
    /// How many tokens it reads and writes together, where this differs from the model.
    context_window: Option<i64>,
    /// How many tokens it writes at most, where this differs from the model.
    max_output: Option<i64>,
    /// Between equals, lower goes first.
    preference: i32,
    /// Whether it is used.
    is_enabled: bool,
    /// What calls cost now; null is not known, and then it is not used.
    price: Option<PriceAmounts>,
    /// The version of the price book the price stands in.
    price_book: Option<String>,
    /// Where its figures were read.
    source: String,
    /// When they were read there.
    stated_on: Option<NaiveDate>,
    /// When it was made.
    created_at: Moment,
    /// When it was last changed.
    updated_at: Moment,
}

impl OfferView {
    pub(super) fn of(row: Row<OfferRow>) -> Self {
        let OfferRow {
            provider_id,
            model_id,
            entry,
            price_book,
        } = row.entry;
        Self {
            id: row.id,
            owner: OwnerWord::of(row.owner),
            provider_id,
            provider: entry.provider,
            model_id,
            model: entry.model,
            upstream_name: entry.upstream_name,
            tier: entry.tier,
            abilities: entry.abilities,
            context_window: entry.context_window,
            max_output: entry.max_output,
            preference: entry.preference,
            is_enabled: entry.enabled,
            price: entry.price.map(|price| PriceAmounts::of(&price.quote)),
            price_book,
            source: entry.source,
            stated_on: entry.stated_on,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// An offer to be added.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct CreateOffer {
    /// Who sells it: the organization's provider, or one of the platform.
    pub(super) provider_id: Uuid,
    /// What is sold: the organization's model, or one of the platform.
    pub(super) model_id: Uuid,
    /// What the provider calls the model; as the model when absent.
    #[serde(default)]
    pub(super) upstream_name: String,
    /// Whether calls cost money.
    pub(super) tier: Tier,
    /// What calls cost; a paid offer is not used before it has a price. One that looks wrong waits in quarantine.
    #[serde(default)]
    pub(super) price: Option<PriceAmounts>,
    /// What it can do; when absent it is tried for everything.
    #[serde(default)]
    pub(super) abilities: Option<Vec<Ability>>,
    /// How many tokens it reads and writes together, where this differs from the model.
    #[serde(default)]
    #[schema(minimum = 1)]
    pub(super) context_window: Option<i64>,
    /// How many tokens it writes at most, where this differs from the model.
    #[serde(default)]
    #[schema(minimum = 1)]
    pub(super) max_output: Option<i64>,
    /// Between equals, lower goes first.
    #[serde(default)]
    pub(super) preference: i32,
    /// Whether it is used; true when absent.
    #[serde(default)]
    pub(super) is_enabled: Option<bool>,
    /// Where its figures were read.
    #[serde(default)]
    pub(super) source: String,
    /// When they were read there.
    #[serde(default)]
    pub(super) stated_on: Option<NaiveDate>,
}

/// What is to change of an offer; what is absent stays, null clears.
#[derive(Debug, Default, Deserialize, Validate, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct ChangeOffer {
    /// What is sold.
    pub(super) model_id: Option<Uuid>,
    /// What the provider calls the model.
    pub(super) upstream_name: Option<String>,
    /// What it can do.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<Vec<Ability>>)]
    pub(super) abilities: Option<Option<Vec<Ability>>>,
    /// How many tokens it reads and writes together.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<i64>, minimum = 1)]
    pub(super) context_window: Option<Option<i64>>,
    /// How many tokens it writes at most.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<i64>, minimum = 1)]
    pub(super) max_output: Option<Option<i64>>,
    /// Between equals, lower goes first.
    pub(super) preference: Option<i32>,
    /// Whether it is used.
    pub(super) is_enabled: Option<bool>,
    /// Where its figures were read.
    pub(super) source: Option<String>,
    /// When they were read there.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<NaiveDate>)]
    pub(super) stated_on: Option<Option<NaiveDate>>,
}
