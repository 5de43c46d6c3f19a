//! Brings one file into the books, section by section, each before those that name it.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Change, ChangeKind, Import, ImportRefused, change::between, judge::origin};
use crate::{
    base::{AllowanceId, CredentialId, ModelId, Moment, OfferId, ProviderId},
    catalog::{
        Holdings, Price, Vault,
        file::{AliasEntry, AllowanceEntry, CredentialEntry, OfferEntry},
        holdings::{Held, HeldCredential},
        store::{self, Retired},
        vault::Place,
    },
    store::Conn,
};

pub(super) struct Importer<'a> {
    conn: &'a mut Conn,
    import: Import<'a>,
    held: &'a Holdings,
    shared: &'a Holdings,
    now: Moment,
    /// Every model and provider that may be named: the owner's own before the platform's.
    models: BTreeMap<String, Uuid>,
    providers: BTreeMap<String, Uuid>,
    book: Option<Uuid>,
    pub(super) changes: Vec<Change>,
}

impl<'a> Importer<'a> {
    pub(super) fn new(
        conn: &'a mut Conn,
        import: Import<'a>,
        held: &'a Holdings,
        shared: &'a Holdings,
        now: Moment,
    ) -> Self {
        Self {
            conn,
            import,
            held,
            shared,
            now,
            models: ids(&shared.models, &held.models),
            providers: ids(&shared.providers, &held.providers),
            book: None,
            changes: Vec::new(),
        }
    }

    pub(super) async fn write(&mut self) -> Result<(), ImportRefused> {
        self.write_models().await?;
        self.write_providers().await?;
        for credential in &self.import.file.credentials {
            self.write_credential(credential).await?;
        }
        for offer in &self.import.file.offers {
            self.write_offer(offer).await?;
        }
        for alias in &self.import.file.aliases {
            self.write_alias(alias).await?;
        }
        if self.import.is_pruning {
            self.prune().await?;
        }
        Ok(())
    }

    async fn write_models(&mut self) -> Result<(), ImportRefused> {
        for model in &self.import.file.models {
            let held = self.held.models.get(&model.name);
            let id = held.map_or_else(|| ModelId::new(self.now).uuid(), |held| held.id);
            self.models.insert(model.name.clone(), id);
            if let Some(change) = between("model", &model.name, held, model) {
                store::put_model(&mut *self.conn, self.import.owner, id, model).await?;
                self.changes.push(change);
            }
        }
        Ok(())
    }

    async fn write_providers(&mut self) -> Result<(), ImportRefused> {
        for provider in &self.import.file.providers {
            let held = self.held.providers.get(&provider.name);
            let id = held.map_or_else(|| ProviderId::new(self.now).uuid(), |held| held.id);
            self.providers.insert(provider.name.clone(), id);
            if let Some(change) = between("provider", &provider.name, held, provider) {
                store::put_provider(&mut *self.conn, self.import.owner, id, provider).await?;
                let old = held.map_or(&[][..], |held| &held.entry.allowances);
                self.write_allowances(id, None, old, &provider.allowances)
                    .await?;
                self.changes.push(change);
            }
        }
        Ok(())
    }

    async fn write_credential(&mut self, wanted: &CredentialEntry) -> Result<(), ImportRefused> {
        let (Some(vault), Some(provider_id)) = (
            self.import.vault,
            self.providers.get(&wanted.provider).copied(),
        ) else {
            return Ok(());
        };
        let owner = self.import.owner;
        let origin = origin(&self.import, self.held, self.shared, &wanted.provider);
        let is_it =
            |held: &&HeldCredential| held.provider_id == provider_id && held.name == wanted.name;
        let held = self.held.credentials.iter().find(is_it);
        let id = held.map_or_else(|| CredentialId::new(self.now).uuid(), |held| held.id);
        let place = Place::of_credential(CredentialId(id), owner, &origin);
        let has_same_secret = held.is_some_and(|held| holds(vault, held, wanted, place));
        let is_same = held.is_some_and(|held| {
            (held.position, held.is_enabled) == (wanted.position, wanted.enabled)
        });
        if is_same && has_same_secret {
            return Ok(());
        }
        let credential = HeldCredential {
            id,
            provider_id,
            name: wanted.name.clone(),
            position: wanted.position,
            is_enabled: wanted.enabled,
            sealed: vault.seal(&wanted.secret, place)?,
        };
        store::put_credential(&mut *self.conn, owner, &credential).await?;
        let detail = if held.is_some() && !has_same_secret {
            "another key"
        } else {
            ""
        };
        self.changes.push(Change {
            kind: if held.is_some() {
                ChangeKind::Changed
            } else {
                ChangeKind::Added
            },
            what: "credential",
            name: format!("{}/{}", wanted.provider, wanted.name),
            detail: detail.to_owned(),
        });
        Ok(())
    }

    async fn write_offer(&mut self, wanted: &OfferEntry) -> Result<(), ImportRefused> {
        let name = wanted.key();
        let held = self.held.offers.get(&name);
        let mut wanted = wanted.clone();
        // A file that does not speak of the price leaves it as it is.
        wanted.price = wanted.price.or(held.and_then(|held| held.entry.price));
        let Some(change) = between("offer", &name, held, &wanted) else {
            return Ok(());
        };
        let (Some(provider), Some(model)) = (
            self.providers.get(&wanted.provider).copied(),
            self.models.get(&wanted.model).copied(),
        ) else {
            return Ok(());
        };
        let id = held.map_or_else(|| OfferId::new(self.now).uuid(), |held| held.id);
        let owner = self.import.owner;
        store::put_offer(&mut *self.conn, owner, id, provider, model, &wanted).await?;
        let old = held.map(|held| &held.entry);
        if let Some(price) = wanted
            .price
            .filter(|price| old.and_then(|old| old.price) != Some(*price))
        {
            self.write_price(id, &price).await?;
        }
        let old = old.map_or(&[][..], |old| &old.allowances);
        self.write_allowances(provider, Some(id), old, &wanted.allowances)
            .await?;
        self.changes.push(change);
        Ok(())
    }

    async fn write_price(&mut self, offer: Uuid, price: &Price) -> Result<(), ImportRefused> {
        let owner = self.import.owner;
        let book = match self.book {
            Some(book) => book,
            None => {
                let id = OfferId::new(self.now).uuid();
                let hash = content_hash(&self.import.file.offers);
                store::price_book(&mut *self.conn, owner, id, &hash, self.import.source).await?
            }
        };
        self.book = Some(book);
        let id = OfferId::new(self.now).uuid();
        Ok(store::change_price(&mut *self.conn, owner, id, offer, book, price).await?)
    }

    async fn write_allowances(
        &mut self,
        provider: Uuid,
        offer: Option<Uuid>,
        old: &[AllowanceEntry],
        new: &[AllowanceEntry],
    ) -> Result<(), ImportRefused> {
        if old == new {
            return Ok(());
        }
        let entries = new
            .iter()
            .map(|entry| (AllowanceId::new(self.now).uuid(), entry));
        let entries: Vec<(Uuid, &AllowanceEntry)> = entries.collect();
        let owner = self.import.owner;
        Ok(store::put_allowances(&mut *self.conn, owner, provider, offer, &entries).await?)
    }

    async fn write_alias(&mut self, wanted: &AliasEntry) -> Result<(), ImportRefused> {
        let held = self.held.aliases.get(&wanted.name);
        let Some(change) = between("alias", &wanted.name, held, wanted) else {
            return Ok(());
        };
        let id = held.map_or_else(|| ModelId::new(self.now).uuid(), |held| held.id);
        let models = wanted
            .models
            .iter()
            .filter_map(|name| self.models.get(name).copied());
        let models: Vec<Uuid> = models.collect();
        store::put_alias(&mut *self.conn, self.import.owner, id, wanted, &models).await?;
        self.changes.push(change);
        Ok(())
    }

    /// Takes out what the file does not name; a model or provider that an offer or alias of it names stays.
    async fn prune(&mut self) -> Result<(), ImportRefused> {
        let (file, held) = (self.import.file, self.held);
        let offers: BTreeSet<String> = file.offers.iter().map(OfferEntry::key).collect();
        let aliases: BTreeSet<String> = file.aliases.iter().map(|one| one.name.clone()).collect();
        let providers = file.providers.iter().map(|one| &one.name);
        let providers = providers.chain(file.offers.iter().map(|one| &one.provider));
        let providers: BTreeSet<String> = providers.cloned().collect();
        let models = file.models.iter().map(|one| &one.name);
        let models = models.chain(file.offers.iter().map(|one| &one.model));
        let models = models.chain(file.aliases.iter().flat_map(|one| &one.models));
        let models: BTreeSet<String> = models.cloned().collect();
        self.retire(Retired::Alias, "alias", &held.aliases, &aliases)
            .await?;
        self.retire(Retired::Offer, "offer", &held.offers, &offers)
            .await?;
        self.retire(Retired::Provider, "provider", &held.providers, &providers)
            .await?;
        self.retire(Retired::Model, "model", &held.models, &models)
            .await
    }

    async fn retire<T>(
        &mut self,
        retired: Retired,
        what: &'static str,
        held: &BTreeMap<String, Held<T>>,
        kept: &BTreeSet<String>,
    ) -> Result<(), ImportRefused> {
        for (name, row) in held.iter().filter(|(name, _)| !kept.contains(*name)) {
            store::retire(&mut *self.conn, retired, row.id).await?;
            self.changes.push(Change {
                kind: ChangeKind::Removed,
                what,
                name: name.clone(),
                detail: String::new(),
            });
        }
        Ok(())
    }
}

/// Says whether a held key is the wanted one, sealed as it would be sealed today.
fn holds(vault: &Vault, held: &HeldCredential, wanted: &CredentialEntry, place: Place<'_>) -> bool {
    let opened = vault.open(&held.sealed, place);
    held.sealed.sealing_key_id == vault.sealing_key_id()
        && opened.is_ok_and(|secret| secret.expose() == wanted.secret.expose())
}

fn ids<T>(
    shared: &BTreeMap<String, Held<T>>,
    own: &BTreeMap<String, Held<T>>,
) -> BTreeMap<String, Uuid> {
    let all = shared.iter().chain(own);
    all.map(|(name, held)| (name.clone(), held.id)).collect()
}

/// The same prices give the same hash, in whatever order the file lists them.
fn content_hash(offers: &[OfferEntry]) -> [u8; 32] {
    let mut lines: Vec<String> = offers
        .iter()
        .filter_map(|offer| {
            let price = serde_json::to_string(&offer.price?).ok()?;
            Some(format!("{}\t{price}\n", offer.key()))
        })
        .collect();
    lines.sort_unstable();
    Sha256::digest(lines.concat()).into()
}
