//! What a file names, and so does not want taken out.

use std::collections::BTreeSet;

use crate::catalog::{
    CatalogFile,
    file::{OfferEntry, SubstituteEntry},
};

/// The names a file speaks of, by kind.
pub(super) struct Kept {
    pub(super) models: BTreeSet<String>,
    pub(super) providers: BTreeSet<String>,
    pub(super) offers: BTreeSet<String>,
    pub(super) aliases: BTreeSet<String>,
    pub(super) substitutes: BTreeSet<String>,
}

impl Kept {
    pub(super) fn by(file: &CatalogFile) -> Self {
        let providers = file.providers.iter().map(|one| &one.name);
        let providers = providers.chain(file.offers.iter().map(|one| &one.provider));
        let models = file.models.iter().map(|one| &one.name);
        let models = models.chain(file.offers.iter().map(|one| &one.model));
        let models = models.chain(file.aliases.iter().flat_map(|one| &one.models));
        let stand_ins = file.substitutes.iter();
        let stand_ins = stand_ins.flat_map(|one| [&one.model, &one.substitute]);
        Self {
            models: models.chain(stand_ins).cloned().collect(),
            providers: providers.cloned().collect(),
            offers: file.offers.iter().map(OfferEntry::key).collect(),
            aliases: file.aliases.iter().map(|one| one.name.clone()).collect(),
            substitutes: file.substitutes.iter().map(SubstituteEntry::key).collect(),
        }
    }
}
