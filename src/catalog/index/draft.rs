//! The rows on their way into the index.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{Alias, Chain, Link, NameKind, Names};
use crate::{
    base::{ModelId, OrganizationId},
    catalog::{offer::Offer, wishes::Wishes},
};

/// The rows by owner.
pub(super) struct Draft<'a> {
    aliases: HashMap<(Owner, &'a str), &'a Alias>,
    models: HashMap<(Owner, &'a str), ModelId>,
    upstream: HashMap<(Owner, &'a str), Vec<ModelId>>,
    offers: HashMap<(Owner, ModelId), Vec<&'a Arc<Offer>>>,
    names: HashMap<Owner, HashSet<&'a str>>,
    wishes: &'a HashMap<OrganizationId, Wishes>,
}

/// Whose a row is; `None` is the platform's.
pub(super) type Owner = Option<OrganizationId>;

impl<'a> Draft<'a> {
    pub(super) fn new(
        offers: &'a [Arc<Offer>],
        aliases: &'a [Alias],
        wishes: &'a HashMap<OrganizationId, Wishes>,
    ) -> Self {
        let mut draft = Self {
            aliases: HashMap::new(),
            models: HashMap::new(),
            upstream: HashMap::new(),
            offers: HashMap::new(),
            names: HashMap::new(),
            wishes,
        };
        for alias in aliases {
            let (owner, name) = (alias.organization_id, alias.name.as_str());
            draft.aliases.insert((owner, name), alias);
            draft.names.entry(owner).or_default().insert(name);
        }
        for offer in offers {
            draft.take(offer);
        }
        draft
    }

    fn take(&mut self, offer: &'a Arc<Offer>) {
        let model = &offer.model;
        self.models
            .insert((model.organization_id, &model.name), model.id);
        for owner in users_of(offer) {
            self.take_for(owner, offer);
        }
    }

    fn take_for(&mut self, owner: Owner, offer: &'a Arc<Offer>) {
        let (model, upstream_name) = (&offer.model, offer.upstream_name.as_str());
        let models = self.upstream.entry((owner, upstream_name)).or_default();
        if !models.contains(&model.id) {
            models.push(model.id);
        }
        self.offers
            .entry((owner, model.id))
            .or_default()
            .push(offer);
        let names = self.names.entry(owner).or_default();
        names.insert(upstream_name);
        names.insert(&model.name);
    }

    /// Every organization to which some name means something else than to everybody.
    pub(super) fn organizations(&self) -> HashSet<OrganizationId> {
        let own = self.names.keys().copied().flatten();
        own.chain(self.wishes.keys().copied()).collect()
    }

    pub(super) fn names_of(&self, owner: Owner) -> HashSet<&'a str> {
        self.names.get(&owner).cloned().unwrap_or_default()
    }

    /// The names that may mean something else to `organization` than to everybody: its own, and every shared one
    /// that leads to a model it has an offer of. Where it said what it wants of what is shared, every name may.
    pub(super) fn names_touched_by(&self, organization: OrganizationId) -> HashSet<&'a str> {
        if self.wishes.contains_key(&organization) {
            let own = self.names_of(Some(organization));
            return own.union(&self.names_of(None)).copied().collect();
        }
        let has_offer = |model: &ModelId| self.offers.contains_key(&(Some(organization), *model));
        let mut names = self.names_of(Some(organization));
        let aliases = self
            .aliases
            .iter()
            .filter(|((owner, _), alias)| owner.is_none() && alias.models.iter().any(has_offer));
        names.extend(aliases.map(|((_, name), _)| *name));
        let upstream = self
            .upstream
            .iter()
            .filter(|((owner, _), models)| owner.is_none() && models.iter().any(has_offer));
        names.extend(upstream.map(|((_, name), _)| *name));
        names
    }

    pub(super) fn names(&self, owner: Owner, names: HashSet<&'a str>) -> Names {
        let chains = names.into_iter().filter_map(|name| {
            let chain = self.chain(owner, name)?;
            Some((name.to_owned(), Arc::new(chain)))
        });
        let offers = self.offers.iter().filter(|((of, _), _)| *of == owner);
        let providers = offers
            .flat_map(|(_, offers)| offers)
            .filter(|offer| offer.provider.organization_id == owner)
            .map(|offer| (offer.provider.name.clone(), Arc::clone(&offer.provider)));
        Names {
            chains: chains.collect(),
            providers: providers.collect(),
            are_all: owner.is_some_and(|owner| self.wishes.contains_key(&owner)),
        }
    }

    fn chain(&self, owner: Owner, name: &'a str) -> Option<Chain> {
        let (kind, mut models) = self.meaning(owner, name)?;
        if let Some(wishes) = self.wishes_of(owner) {
            models = wishes.with_substitutes(models);
        }
        let links: Vec<Link> = models
            .into_iter()
            .filter_map(|model| self.link(owner, model))
            .collect();
        let name = name.to_owned();
        (!links.is_empty()).then_some(Chain { name, kind, links })
    }

    fn meaning(&self, owner: Owner, name: &'a str) -> Option<(NameKind, Vec<ModelId>)> {
        let owners = [owner, None];
        let alias = owners
            .iter()
            .find_map(|owner| self.aliases.get(&(*owner, name)));
        if let Some(alias) = alias {
            return Some((NameKind::Alias, alias.models.clone()));
        }
        let model = owners
            .iter()
            .find_map(|owner| self.models.get(&(*owner, name)));
        if let Some(model) = model {
            return Some((NameKind::Model, vec![*model]));
        }
        let mut models: Vec<ModelId> = Vec::new();
        for owner in owners {
            let more = self.upstream.get(&(owner, name)).into_iter().flatten();
            let fresh: Vec<ModelId> = more
                .filter(|model| !models.contains(model))
                .copied()
                .collect();
            models.extend(fresh);
        }
        Some((NameKind::Upstream, models))
    }

    fn wishes_of(&self, owner: Owner) -> Option<&Wishes> {
        self.wishes.get(&owner?)
    }

    fn link(&self, owner: Owner, model: ModelId) -> Option<Link> {
        let shared = self.offers.get(&(None, model)).into_iter().flatten();
        let own = owner.and_then(|_| self.offers.get(&(owner, model)));
        let offers: Vec<Arc<Offer>> = own
            .into_iter()
            .flatten()
            .chain(shared)
            .filter(|offer| {
                self.wishes_of(owner)
                    .is_none_or(|wishes| wishes.allow(offer))
            })
            .map(|offer| Arc::clone(offer))
            .collect();
        let model = Arc::clone(&offers.first()?.model);
        Some(Link { model, offers })
    }
}

/// Who may use an offer: its owner or everybody; where only some have a key for its provider, those.
fn users_of(offer: &Offer) -> Vec<Owner> {
    let provider = &offer.provider;
    let mut holders: Vec<Owner> = provider
        .credentials
        .iter()
        .map(|key| key.organization_id)
        .collect();
    holders.dedup();
    match offer.organization_id {
        Some(owner) => vec![Some(owner)],
        None if !provider.wants_key() || holders.contains(&None) => vec![None],
        None => holders,
    }
}
