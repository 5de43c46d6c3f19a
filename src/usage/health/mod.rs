//! How offers did lately: what background work knows of them, and what callers saw.

pub mod store;

use crate::base::{ModelId, Moment, OfferId, ProviderId};

/// One offer, as it did lately.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferHealth {
    /// The offer.
    pub offer_id: OfferId,
    /// Its provider and the provider's name for the model.
    pub name: String,
    /// Its provider.
    pub provider_id: ProviderId,
    /// Its model.
    pub model_id: ModelId,
    /// Whether the catalog offers it at all.
    pub is_enabled: bool,
    /// `healthy`, `degraded` or `out`; `None` when nobody has looked.
    pub state: Option<String>,
    /// Why.
    pub reason: String,
    /// Until when it is out.
    pub out_until: Option<Moment>,
    /// How long its last look took.
    pub latency_ms: Option<u32>,
    /// When it last succeeded.
    pub succeeded_at: Option<Moment>,
    /// When it last failed.
    pub failed_at: Option<Moment>,
    /// Calls that ended with it in the last whole hour and since.
    pub requests: u64,
    /// Of these, answered with 400 or more, or not at all.
    pub failed_requests: u64,
    /// Since when it is in the catalog.
    pub created_at: Moment,
}
