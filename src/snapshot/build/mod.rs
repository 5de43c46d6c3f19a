//! Makes a snapshot of what the books say, or says why it cannot be trusted.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
    sync::Arc,
};

use super::{
    Counts, Snapshot,
    rows::{
        AliasRow, AllowanceRow, CredentialRow, Document, ModelAccessRow, ModelRow, OfferRow,
        ProviderAccessRow, ProviderRow, RouteRow, StrategyRow, SubstituteRow, preferences, rows,
        wishes,
    },
};
use crate::{
    base::{Clock, ModelId, Moment, OfferId, ProviderId},
    catalog::{
        self, Abilities, Alias, Allowance, Catalog, Credential, Model, Offer, Provider, Tier,
        Vault,
        provider::Auth,
        vault::{NotOpened, Place, origin_of},
    },
    store::{Postgres, StoreError},
};

/// Why the books, or the file, gave no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum BadSnapshot {
    /// The books are away.
    #[error("the books cannot be read")]
    Store(#[from] StoreError),
    /// The books take too long.
    #[error("the books do not answer in time")]
    Late,
    /// What was read is no snapshot at all.
    #[error("the snapshot cannot be read")]
    Document(#[source] serde_json::Error),
    /// A row of the platform does not hold what it should.
    #[error("a row of {section} does not hold what it should")]
    Row {
        /// Where it stands.
        section: &'static str,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// There are more rows than can be meant.
    #[error("there are more {section} than can be meant")]
    TooMany {
        /// Where.
        section: &'static str,
    },
    /// Two rows have one id.
    #[error("two rows of {section} have one id")]
    Twice {
        /// Where.
        section: &'static str,
    },
    /// No key of the platform opens: the sealing key is another one.
    #[error("none of the platform's provider keys opens")]
    Sealed(#[source] NotOpened),
    /// All offers, or all their prices, are gone at once.
    #[error("all {section} are gone at once")]
    Emptied {
        /// What is gone.
        section: &'static str,
    },
}

/// Reads the books; also returns the text they gave, in which keys are sealed.
///
/// # Errors
/// See [`BadSnapshot`].
pub async fn build(
    postgres: &Postgres,
    vault: &Vault,
    clock: &Clock,
) -> Result<(Snapshot, String), BadSnapshot> {
    // Taken before the question: what is committed while it travels is not in the answer.
    let taken_at = clock.now();
    let mut conn = postgres.acquire().await?;
    let text = catalog::store::snapshot(&mut conn).await?;
    drop(conn);
    Ok((read(&text, vault, taken_at)?, text))
}

/// Makes a snapshot of the text the books gave at `taken_at`.
///
/// # Errors
/// See [`BadSnapshot`].
pub fn read(text: &str, vault: &Vault, taken_at: Moment) -> Result<Snapshot, BadSnapshot> {
    let document: Document<'_> = serde_json::from_str(text).map_err(BadSnapshot::Document)?;
    let mut left_out = 0;
    let left = &mut left_out;
    let providers = rows::<ProviderRow>("providers", &document.providers, left)?;
    let credentials = rows::<CredentialRow>("credentials", &document.credentials, left)?;
    let models = rows::<ModelRow>("models", &document.models, left)?;
    let offers = rows::<OfferRow>("offers", &document.offers, left)?;
    let allowances = rows::<AllowanceRow>("allowances", &document.allowances, left)?;
    let aliases = rows::<AliasRow>("aliases", &document.aliases, left)?;
    let substitutes = rows::<SubstituteRow>("substitutes", &document.substitutes, left)?;
    let model_access = rows::<ModelAccessRow>("model_access", &document.model_access, left)?;
    let provider_access =
        rows::<ProviderAccessRow>("provider_access", &document.provider_access, left)?;
    let routes = rows::<RouteRow>("routes", &document.routes, left)?;
    let strategies = rows::<StrategyRow>("strategies", &document.strategies, left)?;
    let wishes = wishes(substitutes, model_access, provider_access);
    let keys = Keys::open(&providers, credentials, vault, left)?;
    let shelf = Shelf {
        providers: unique(
            "providers",
            providers.into_iter().map(|row| keys.provider(row)),
        )?,
        models: unique(
            "models",
            models.into_iter().map(Model::from).map(|one| (one.id, one)),
        )?,
        allowances: by_place(allowances),
    };
    let counts = Counts {
        offers: offers.len(),
        priced: offers.iter().filter(|offer| offer.price.is_some()).count(),
        retired: document.retired_offers,
        left_out,
    };
    let offers = offers.into_iter().filter_map(|row| shelf.offer(row));
    let offers = unique("offers", offers.map(|offer| (offer.id, offer)))?;
    let aliases: Vec<Alias> = aliases.into_iter().map(Alias::from).collect();
    Ok(Snapshot {
        seq: document.seq,
        taken_at,
        providers: shelf.usable_providers(),
        catalog: Catalog::new(offers.into_values().collect(), &aliases, wishes),
        preferences: preferences(routes, strategies),
        changes_at: document.changes_at_ms.map(Moment::from_millis),
        counts,
    })
}

fn by_place(rows: Vec<AllowanceRow>) -> HashMap<(ProviderId, Option<OfferId>), Vec<AllowanceRow>> {
    let mut places: HashMap<_, Vec<AllowanceRow>> = HashMap::new();
    for row in rows {
        let place = (row.provider_id, row.offer_id);
        places.entry(place).or_default().push(row);
    }
    places
}

fn unique<K: Eq + Hash, V>(
    section: &'static str,
    rows: impl Iterator<Item = (K, V)>,
) -> Result<HashMap<K, Arc<V>>, BadSnapshot> {
    let mut all = HashMap::new();
    for (id, row) in rows {
        if all.insert(id, Arc::new(row)).is_some() {
            return Err(BadSnapshot::Twice { section });
        }
    }
    Ok(all)
}

/// What offers are put together from.
struct Shelf {
    providers: HashMap<ProviderId, Arc<Stocked>>,
    models: HashMap<ModelId, Arc<Model>>,
    /// By provider and, where it is one offer's, by offer.
    allowances: HashMap<(ProviderId, Option<OfferId>), Vec<AllowanceRow>>,
}

/// A provider, and whether it can be used.
struct Stocked {
    provider: Arc<Provider>,
    is_usable: bool,
}

impl Shelf {
    /// Returns every provider that can be asked, by id.
    fn usable_providers(&self) -> Vec<Arc<Provider>> {
        let usable = self.providers.values().filter(|stocked| stocked.is_usable);
        let mut providers: Vec<_> = usable.map(|one| Arc::clone(&one.provider)).collect();
        providers.sort_unstable_by_key(|provider| provider.id);
        providers
    }

    /// Makes an offer; `None` when it is switched off or hangs on what was left out.
    fn offer(&self, row: OfferRow) -> Option<Offer> {
        let stocked = self.providers.get(&row.provider_id)?;
        let model = self.models.get(&row.model_id)?;
        if !row.is_enabled || !stocked.is_usable {
            return None;
        }
        Some(Offer {
            allowances: self.allowances_of(&row),
            id: row.id,
            organization_id: row.organization_id,
            provider: Arc::clone(&stocked.provider),
            model: Arc::clone(model),
            upstream_name: row.upstream_name,
            tier: row.tier,
            price: row.price,
            price_book: row.price_book.unwrap_or_default(),
            abilities: row
                .abilities
                .map_or(Abilities::UNSTATED, |all| all.into_iter().collect()),
            context_window: row.context_window,
            max_output: row.max_output,
            preference: row.preference,
        })
    }

    /// Its own allowances and, for a free offer, those its provider gives to each.
    fn allowances_of(&self, offer: &OfferRow) -> Vec<Allowance> {
        let of_provider = (offer.tier == Tier::Free).then_some((offer.provider_id, None));
        let places = [Some((offer.provider_id, Some(offer.id))), of_provider];
        let rows = places
            .into_iter()
            .flatten()
            .filter_map(|place| self.allowances.get(&place));
        // An organization's account with a provider has allowances of its own.
        rows.flatten()
            .filter(|row| row.organization_id == offer.organization_id)
            .map(Allowance::from)
            .collect()
    }
}

/// The keys that open, by provider.
struct Keys {
    opened: HashMap<ProviderId, Vec<Arc<Credential>>>,
    /// Providers that have a key, whether it opens or not.
    wanting: HashSet<ProviderId>,
}

impl Keys {
    /// Opens what can be opened. A key that does not is left out; when none of the platform's does, nothing is right.
    fn open(
        providers: &[ProviderRow],
        rows: Vec<CredentialRow>,
        vault: &Vault,
        left_out: &mut usize,
    ) -> Result<Self, BadSnapshot> {
        let origins = providers
            .iter()
            .map(|row| (row.id, origin_of(&row.base_url)));
        let origins: HashMap<ProviderId, String> = origins.collect();
        let mut keys = Self {
            opened: HashMap::new(),
            wanting: rows.iter().map(|row| row.provider_id).collect(),
        };
        let (mut has_platform_key, mut refused) = (false, None);
        for row in rows.into_iter().filter(|row| row.is_enabled) {
            let (id, owner, provider) = (row.id, row.organization_id, row.provider_id);
            let Some(origin) = origins.get(&provider) else {
                continue;
            };
            let place = Place::of_credential(id, owner, origin);
            match vault.open(&row.sealed(), place) {
                Ok(secret) => {
                    has_platform_key |= owner.is_none();
                    let credential = Credential {
                        id,
                        organization_id: owner,
                        secret,
                    };
                    let opened = keys.opened.entry(provider).or_default();
                    opened.push(Arc::new(credential));
                }
                Err(error) => {
                    tracing::error!(credential.id = %id, error = %error, "a provider's key does not open");
                    *left_out += 1;
                    refused = refused.or(owner.is_none().then_some(error));
                }
            }
        }
        match refused {
            Some(refused) if !has_platform_key => Err(BadSnapshot::Sealed(refused)),
            _ => Ok(keys),
        }
    }

    /// Gives a provider its keys. One that has keys of which none opens must not be called without.
    fn provider(&self, row: ProviderRow) -> (ProviderId, Stocked) {
        let mut credentials = self.opened.get(&row.id).cloned().unwrap_or_default();
        credentials.sort_by_key(|one| one.organization_id);
        let has_lost_keys = credentials.is_empty() && self.wanting.contains(&row.id);
        let lacks_key = row.requires_key && credentials.is_empty();
        let needs_key = row.quirks.auth != Auth::None;
        let stocked = Stocked {
            is_usable: row.is_enabled && !((has_lost_keys || lacks_key) && needs_key),
            provider: Arc::new(Provider {
                id: row.id,
                organization_id: row.organization_id,
                name: row.name,
                dialect: row.dialect,
                base_url: row.base_url,
                quirks: row.quirks,
                deadlines: row.deadlines,
                trains_on_data: row.trains_on_data,
                credentials,
            }),
        };
        (row.id, stocked)
    }
}

impl Snapshot {
    /// Says whether this may stand in the place of `old`.
    ///
    /// # Errors
    /// Everything, or every price, is gone at once, and nobody took it out: a table was emptied by accident. What is
    /// to be switched off is disabled or retired row by row, which counts.
    pub fn may_replace(&self, old: &Self) -> Result<(), BadSnapshot> {
        // The order of changes never runs back: these are other books, or a copy from before.
        if self.seq < old.seq {
            return Ok(());
        }
        let (new, old) = (self.counts, old.counts);
        let is_retired = old.retired < new.retired;
        if new.offers == 0 && 0 < old.offers && !is_retired {
            return Err(BadSnapshot::Emptied { section: "offers" });
        }
        if new.priced == 0 && 0 < old.priced && 0 < new.offers {
            return Err(BadSnapshot::Emptied { section: "prices" });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
