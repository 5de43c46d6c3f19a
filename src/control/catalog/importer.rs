//! Brings one file into the books, section by section, each before those that name it.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::{
    Change, ChangeKind, Import, ImportRefused,
    book::content_hash,
    change::between,
    judge::origin,
    prices::{Stated, Verdict, take},
};
use crate::{
    base::{AllowanceId, CredentialId, ModelId, Moment, OfferId, ProviderId},
    catalog::{
        Holdings, PriceEntry, Tier, Vault,
        file::{AliasEntry, AllowanceEntry, CredentialEntry, OfferEntry, SubstituteEntry},
        holdings::{Held, HeldCredential},
        store::{self, credentials::NewCredential},
        vault::Place,
    },
    store::OwnerTx,
};

pub(super) struct Importer<'a> {
    tx: &'a mut OwnerTx,
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
        tx: &'a mut OwnerTx,
        import: Import<'a>,
        held: &'a Holdings,
        shared: &'a Holdings,
        now: Moment,
    ) -> Self {
        Self {
            tx,
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
        for substitute in &self.import.file.substitutes {
            self.write_substitute(substitute).await?;
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
                store::models::put(self.tx, id, model).await?;
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
                store::providers::put(self.tx, id, provider).await?;
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
        let origin = origin(&self.import, self.held, self.shared, &wanted.provider);
        let is_it =
            |held: &&HeldCredential| held.provider_id == provider_id && held.name == wanted.name;
        let held = self.held.credentials.iter().find(is_it);
        let id =
            CredentialId(held.map_or_else(|| CredentialId::new(self.now).uuid(), |held| held.id));
        let place = Place::of_credential(id, self.tx.owner(), &origin);
        let has_same_secret = held.is_some() && self.holds(vault, id, wanted, place).await?;
        let is_same = held.is_some_and(|held| {
            (held.position, held.is_enabled) == (wanted.position, wanted.enabled)
        });
        if is_same && has_same_secret {
            return Ok(());
        }
        let credential = NewCredential {
            id,
            provider_id,
            name: &wanted.name,
            position: wanted.position,
            is_enabled: wanted.enabled,
            sealed: &vault.seal(&wanted.secret, place)?,
        };
        store::credentials::put(self.tx, credential).await?;
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

    /// Says whether a held key is the wanted one, sealed as it would be sealed today.
    async fn holds(
        &mut self,
        vault: &Vault,
        id: CredentialId,
        wanted: &CredentialEntry,
        place: Place<'_>,
    ) -> Result<bool, ImportRefused> {
        let held = store::credentials::sealed(self.tx, id.uuid()).await?;
        Ok(held.is_some_and(|held| {
            let opened = vault.open(&held.current, place);
            held.current.sealing_key_id == vault.sealing_key_id()
                && opened.is_ok_and(|secret| secret.expose() == wanted.secret.expose())
        }))
    }

    async fn write_offer(&mut self, wanted: &OfferEntry) -> Result<(), ImportRefused> {
        let name = wanted.key();
        let held = self.held.offers.get(&name);
        let in_force = held.and_then(|held| held.entry.price.clone());
        let (Some(provider), Some(model)) = (
            self.providers.get(&wanted.provider).copied(),
            self.models.get(&wanted.model).copied(),
        ) else {
            return Ok(());
        };
        let id = held.map_or_else(|| OfferId::new(self.now).uuid(), |held| held.id);
        let mut others = wanted.clone();
        // Its price is judged for itself. One the file does not speak of stays as it is.
        others.price.clone_from(&in_force);
        if let Some(change) = between("offer", &name, held, &others) {
            store::offers::put(self.tx, id, provider, model, &others).await?;
            let old = held.map_or(&[][..], |held| &held.entry.allowances);
            self.write_allowances(provider, Some(id), old, &wanted.allowances)
                .await?;
            self.changes.push(change);
        }
        let Some(price) = wanted
            .price
            .clone()
            .filter(|price| in_force.as_ref() != Some(price))
        else {
            return Ok(());
        };
        let book = self.book().await?;
        let stated = Stated {
            offer: id,
            tier: wanted.tier,
            in_force: in_force.as_ref(),
            entry: &price,
            book,
            from: None,
        };
        let verdict = take(self.tx, stated, self.now).await?;
        self.note_price(&name, wanted.tier, in_force.as_ref(), &verdict, &price);
        Ok(())
    }

    fn note_price(
        &mut self,
        name: &str,
        tier: Tier,
        was: Option<&PriceEntry>,
        verdict: &Verdict,
        price: &PriceEntry,
    ) {
        let kind = match verdict {
            Verdict::Known => return,
            // A free offer's price says nothing its tier does not say.
            Verdict::Taken(_) if tier == Tier::Free && was.is_none() => return,
            Verdict::Taken(_) | Verdict::Sourced if was.is_some() => ChangeKind::Changed,
            Verdict::Taken(_) | Verdict::Sourced => ChangeKind::Added,
            Verdict::Held(..) => ChangeKind::Quarantined,
        };
        self.changes.push(Change {
            kind,
            what: "price",
            name: name.to_owned(),
            detail: verdict.told(was, price),
        });
    }

    async fn book(&mut self) -> Result<Uuid, ImportRefused> {
        if let Some(book) = self.book {
            return Ok(book);
        }
        let id = OfferId::new(self.now).uuid();
        let offers = self.import.file.offers.iter();
        let prices = offers.filter_map(|offer| Some((offer.key(), &offer.price.as_ref()?.quote)));
        let hash = content_hash(prices);
        let book = store::price_books::known(self.tx, id, &hash, self.import.source).await?;
        self.book = Some(book);
        Ok(book)
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
        Ok(store::allowances::put_all(self.tx, provider, offer, &entries).await?)
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
        store::aliases::put(self.tx, id, wanted, &models).await?;
        self.changes.push(change);
        Ok(())
    }

    async fn write_substitute(&mut self, wanted: &SubstituteEntry) -> Result<(), ImportRefused> {
        let held = self.held.substitutes.get(&wanted.key());
        let Some(change) = between("substitute", &wanted.key(), held, wanted) else {
            return Ok(());
        };
        let id = held.map_or_else(|| ModelId::new(self.now).uuid(), |held| held.id);
        if let (Some(model), Some(substitute)) = (
            self.models.get(&wanted.model).copied(),
            self.models.get(&wanted.substitute).copied(),
        ) {
            store::substitutes::put(self.tx, id, model, substitute, wanted).await?;
            self.changes.push(change);
        }
        Ok(())
    }

    /// Takes out what the file does not name; a model or provider that another entry of it names stays.
    async fn prune(&mut self) -> Result<(), ImportRefused> {
        let (file, held) = (self.import.file, self.held);
        let kept = super::kept::Kept::by(file);
        for (id, name) in gone(&held.aliases, &kept.aliases) {
            store::aliases::retire(self.tx, id).await?;
            self.note_removed("alias", name);
        }
        for (id, name) in gone(&held.substitutes, &kept.substitutes) {
            store::substitutes::retire(self.tx, id).await?;
            self.note_removed("substitute", name);
        }
        for (id, name) in gone(&held.offers, &kept.offers) {
            store::offers::retire(self.tx, id).await?;
            self.note_removed("offer", name);
        }
        for (id, name) in gone(&held.providers, &kept.providers) {
            store::providers::retire(self.tx, id).await?;
            self.note_removed("provider", name);
        }
        for (id, name) in gone(&held.models, &kept.models) {
            store::models::retire(self.tx, id).await?;
            self.note_removed("model", name);
        }
        Ok(())
    }

    fn note_removed(&mut self, what: &'static str, name: String) {
        self.changes.push(Change {
            kind: ChangeKind::Removed,
            what,
            name,
            detail: String::new(),
        });
    }
}

/// Returns what is held and not kept.
fn gone<T>(held: &BTreeMap<String, Held<T>>, kept: &BTreeSet<String>) -> Vec<(Uuid, String)> {
    let gone = held.iter().filter(|(name, _)| !kept.contains(*name));
    gone.map(|(name, held)| (held.id, name.clone())).collect()
}

fn ids<T>(
    shared: &BTreeMap<String, Held<T>>,
    own: &BTreeMap<String, Held<T>>,
) -> BTreeMap<String, Uuid> {
    let all = shared.iter().chain(own);
    all.map(|(name, held)| (name.clone(), held.id)).collect()
}
