//! What an organization said of what the platform shares: what it hides, what it does without, what may stand in.

use std::collections::{HashMap, HashSet};

use super::offer::Offer;
use crate::base::{ModelId, ProviderId};

/// What one organization said.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// Whether models it does not name are hidden.
    pub hides_models: bool,
    /// The models it names, and whether they may be used.
    pub models: HashMap<ModelId, bool>,
    /// Providers it does without.
    pub without_providers: HashSet<ProviderId>,
    /// Providers it does without as long as they may train on what they are sent.
    pub without_training: HashSet<ProviderId>,
    /// Models that may stand in for others, in the order they are tried.
    pub substitutes: HashMap<ModelId, Vec<ModelId>>,
}

impl Wishes {
    /// Says whether the organization uses `offer`.
    #[must_use]
    pub fn allow(&self, offer: &Offer) -> bool {
        let provider = &offer.provider;
        let is_model_allowed = self.models.get(&offer.model.id);
        let trains = provider.trains_on_data && self.without_training.contains(&provider.id);
        is_model_allowed.copied().unwrap_or(!self.hides_models)
            && !self.without_providers.contains(&provider.id)
            && !trains
    }

    /// Adds to `models` those that may stand in for one of them, behind all of them.
    pub(super) fn with_substitutes(&self, mut models: Vec<ModelId>) -> Vec<ModelId> {
        let stand_ins = models
            .iter()
            .filter_map(|model| self.substitutes.get(model));
        let stand_ins: Vec<ModelId> = stand_ins.flatten().copied().collect();
        for model in stand_ins {
            if !models.contains(&model) {
                models.push(model);
            }
        }
        models
    }
}
