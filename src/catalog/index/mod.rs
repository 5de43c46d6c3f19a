//! The catalog as the data path reads it: every offer, found by the names callers use. Asks nobody.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use self::draft::Draft;
use super::{
    ability::Abilities,
    offer::{Model, Offer},
    provider::Provider,
    wishes::Wishes,
};
use crate::base::{ModelId, Moment, OrganizationId, ProviderId, Tokens};

mod closest;
mod draft;
#[cfg(test)]
mod tests;

/// Everything that can be bought, found by the names callers use.
#[derive(Debug, Default)]
pub struct Catalog {
    /// Every enabled offer of the platform and of all organizations, by id.
    pub offers: Vec<Arc<Offer>>,
    shared: Names,
    /// For each organization with rows of its own, the names that mean something else to it.
    own: HashMap<OrganizationId, Names>,
    by_provider: HashMap<ProviderId, Vec<Arc<Offer>>>,
    wishes: HashMap<OrganizationId, Wishes>,
}

#[derive(Debug, Default)]
struct Names {
    chains: HashMap<String, Arc<Chain>>,
    providers: HashMap<String, Arc<Provider>>,
    /// Whether a name that is not here means nothing: what is shared was taken in already.
    are_all: bool,
}

/// A name callers use for an ordered list of models.
#[derive(Clone, Debug)]
pub struct Alias {
    /// Whose alias this is; `None` is everybody's.
    pub organization_id: Option<OrganizationId>,
    /// The name.
    pub name: String,
    /// The models, in the order they are tried.
    pub models: Vec<ModelId>,
}

/// What one name stands for: the models to try, in order, each with the offers that serve it.
#[derive(Debug)]
pub struct Chain {
    /// The name callers use: an alias, a canonical name or a provider's name for the model.
    pub name: String,
    /// How the name came to mean this.
    pub kind: NameKind,
    /// The models, never empty; each has at least one offer.
    pub links: Vec<Link>,
}

/// What sort of name a caller used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameKind {
    /// An alias.
    Alias,
    /// A model's canonical name.
    Model,
    /// What a provider calls the model.
    Upstream,
}

/// One model of a chain, with the offers an organization may use.
#[derive(Clone, Debug)]
pub struct Link {
    /// The model.
    pub model: Arc<Model>,
    /// Its offers, in no particular order.
    pub offers: Vec<Arc<Offer>>,
}

/// What a requested name was found to mean.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The models and their offers.
    pub chain: Arc<Chain>,
    /// The provider the caller insisted on by `provider/model`; the chain holds only its offers.
    pub pinned: Option<Arc<Provider>>,
}

impl Resolved {
    /// Returns the alias the caller used, if it was one.
    #[must_use]
    pub fn alias(&self) -> Option<&str> {
        (self.chain.kind == NameKind::Alias).then_some(self.chain.name.as_str())
    }

    /// Says whether a list of allowed models lets `model` be reached by this name.
    ///
    /// A list may hold the name the caller writes or the canonical name.
    #[must_use]
    pub fn is_allowed(&self, model: &Model, allowed: &[String]) -> bool {
        allowed
            .iter()
            .any(|name| *name == model.name || self.is_written(name))
    }

    fn is_written(&self, name: &str) -> bool {
        let Some(provider) = &self.pinned else {
            return name == self.chain.name;
        };
        name.strip_prefix(provider.name.as_str())
            .and_then(|rest| rest.strip_prefix('/'))
            .is_some_and(|rest| rest == self.chain.name)
    }
}

/// Nobody serves a model of this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no model has this name")]
pub struct UnknownModel {
    /// Names that read like it, the closest first.
    pub closest: Vec<String>,
}

/// A model as `GET /v1/models` lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedModel {
    /// The name callers use.
    pub id: String,
    /// Since when it is in the catalog.
    pub created: Moment,
    /// Who made it.
    pub owned_by: String,
    /// Everything at least one of its offers can do.
    pub abilities: Abilities,
    /// The largest window among its offers, when known.
    pub context_window: Option<Tokens>,
    /// The longest answer among its offers, when known.
    pub max_output: Option<Tokens>,
}

impl Catalog {
    /// Indexes the enabled offers and the aliases under every name that reaches them.
    #[must_use]
    pub fn new(
        mut offers: Vec<Arc<Offer>>,
        aliases: &[Alias],
        wishes: HashMap<OrganizationId, Wishes>,
    ) -> Self {
        offers.sort_unstable_by_key(|offer| offer.id);
        let draft = Draft::new(&offers, aliases, &wishes);
        let shared = draft.names(None, draft.names_of(None));
        let own = draft.organizations().into_iter().map(|organization| {
            let names = draft.names_touched_by(organization);
            (organization, draft.names(Some(organization), names))
        });
        let own = own.collect();
        let mut by_provider: HashMap<ProviderId, Vec<Arc<Offer>>> = HashMap::new();
        for offer in &offers {
            by_provider
                .entry(offer.provider.id)
                .or_default()
                .push(Arc::clone(offer));
        }
        Self {
            offers,
            shared,
            own,
            by_provider,
            wishes,
        }
    }

    /// Says whether `organization` may use `offer`: by whose it is, whose key there is, and what it said.
    fn is_usable(&self, organization: OrganizationId, offer: &Offer) -> bool {
        let wishes = self.wishes.get(&organization);
        offer
            .organization_id
            .is_none_or(|owner| owner == organization)
            && offer.provider.serves(organization)
            && wishes.is_none_or(|wishes| wishes.allow(offer))
    }

    /// Finds what `requested` means to `organization`.
    ///
    /// In this order: its own alias, the platform's alias, a canonical model, a provider's name for a model; then
    /// `provider/model`, where the part after the slash is a model of that provider or an alias.
    ///
    /// # Errors
    /// The name means nothing; the error carries the closest ones.
    pub fn resolve(
        &self,
        organization: OrganizationId,
        requested: &str,
    ) -> Result<Resolved, UnknownModel> {
        if let Some(chain) = self.find_chain(organization, requested) {
            let chain = Arc::clone(chain);
            return Ok(Resolved {
                chain,
                pinned: None,
            });
        }
        self.find_pinned(organization, requested)
            .ok_or_else(|| UnknownModel {
                closest: closest::names(requested, self.chains(organization).into_keys()),
            })
    }

    /// Lists the aliases and canonical models `organization` may use, by name; `allowed` narrows the list.
    #[must_use]
    pub fn models_for(
        &self,
        organization: OrganizationId,
        allowed: Option<&[String]>,
    ) -> Vec<ListedModel> {
        let is_allowed = |chain: &Chain| {
            let Some(allowed) = allowed else { return true };
            let has = |name: &String| allowed.contains(name);
            has(&chain.name) || chain.links.iter().any(|link| has(&link.model.name))
        };
        self.chains(organization)
            .into_values()
            .filter(|chain| chain.kind != NameKind::Upstream && is_allowed(chain))
            .map(ListedModel::of)
            .collect()
    }

    fn find_chain(&self, organization: OrganizationId, name: &str) -> Option<&Arc<Chain>> {
        let Some(own) = self.own.get(&organization) else {
            return self.shared.chains.get(name);
        };
        let shared = (!own.are_all).then_some(&self.shared);
        own.chains.get(name).or_else(|| shared?.chains.get(name))
    }

    fn find_pinned(&self, organization: OrganizationId, requested: &str) -> Option<Resolved> {
        let (provider, name) = requested.split_once('/')?;
        let own = self.own.get(&organization);
        let provider = own
            .and_then(|names| names.providers.get(provider))
            .or_else(|| self.shared.providers.get(provider))?;
        let offers = self.by_provider.get(&provider.id)?.iter();
        let named = offers
            .filter(|offer| self.is_usable(organization, offer))
            .filter(|offer| offer.model.name == name || offer.upstream_name == name);
        let mut links = links_of(named.cloned());
        let mut kind = NameKind::Model;
        if links.is_empty() {
            let chain = self.find_chain(organization, name)?;
            kind = (chain.kind == NameKind::Alias).then_some(chain.kind)?;
            links = narrowed(&chain.links, provider.id);
        }
        let name = name.to_owned();
        let chain = Arc::new(Chain { name, kind, links });
        (!chain.links.is_empty()).then(|| Resolved {
            chain,
            pinned: Some(Arc::clone(provider)),
        })
    }

    /// Returns every name `organization` may use, in order.
    fn chains(&self, organization: OrganizationId) -> BTreeMap<&str, &Arc<Chain>> {
        let own = self.own.get(&organization);
        let shared = (!own.is_some_and(|own| own.are_all)).then_some(&self.shared);
        let both = shared.into_iter().chain(own);
        both.flat_map(|names| &names.chains)
            .map(|(name, chain)| (name.as_str(), chain))
            .collect()
    }
}

impl ListedModel {
    fn of(chain: &Arc<Chain>) -> Self {
        let offers = || chain.links.iter().flat_map(|link| &link.offers);
        let first = chain.links.first().map(|link| &link.model);
        Self {
            id: chain.name.clone(),
            created: first.map(|model| model.created).unwrap_or_default(),
            owned_by: match (chain.kind, first) {
                (NameKind::Model | NameKind::Upstream, Some(model)) => model.owned_by.clone(),
                _ => "synaxis".to_owned(),
            },
            abilities: offers().fold(Abilities::NONE, |sum, offer| sum.union(offer.abilities)),
            context_window: offers().filter_map(|offer| offer.context_window()).max(),
            max_output: offers().filter_map(|offer| offer.max_output()).max(),
        }
    }
}

/// Groups offers by their model, keeping the order in which the models come.
fn links_of(offers: impl Iterator<Item = Arc<Offer>>) -> Vec<Link> {
    let mut links: Vec<Link> = Vec::new();
    for offer in offers {
        match links
            .iter_mut()
            .find(|link| link.model.id == offer.model.id)
        {
            Some(link) => link.offers.push(offer),
            None => links.push(Link {
                model: Arc::clone(&offer.model),
                offers: vec![offer],
            }),
        }
    }
    links
}

fn narrowed(links: &[Link], provider: ProviderId) -> Vec<Link> {
    let narrow = |link: &Link| Link {
        model: Arc::clone(&link.model),
        offers: link
            .offers
            .iter()
            .filter(|offer| offer.provider.id == provider)
            .cloned()
            .collect(),
    };
    links
        .iter()
        .map(narrow)
        .filter(|link| !link.offers.is_empty())
        .collect()
}
