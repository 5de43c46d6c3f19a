//! Rows to a catalog: pure. Whatever does not hold together makes no snapshot, or stays out of it, and is told.

use std::{collections::HashMap, sync::Arc};

use serde::Deserialize;
use url::Url;

use super::Snapshot;
use crate::{
    base::{
        AllowanceId, CredentialId, ModelId, Moment, OfferId, OrganizationId, ProviderId, Tokens,
    },
    catalog::{
        Abilities, Ability, Alias, Allowance, AllowanceMeter, AllowanceWindow, Catalog, Credential,
        Deadlines, Dialect, Model, Offer, Price, Provider, Quirks, Tier, Vault,
        vault::{Place, Sealed},
    },
};

/// The text is no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum NotBuilt {
    /// It is not what the books say.
    #[error("the catalog in the books cannot be read")]
    Malformed(#[from] serde_json::Error),
}

#[derive(Deserialize)]
struct Rows {
    seq: i64,
    taken_at_ms: i64,
    providers: Vec<ProviderRow>,
    credentials: Vec<CredentialRow>,
    models: Vec<ModelRow>,
    offers: Vec<OfferRow>,
    allowances: Vec<AllowanceRow>,
    aliases: Vec<AliasRow>,
}

#[derive(Deserialize)]
struct ProviderRow {
    id: ProviderId,
    organization_id: Option<OrganizationId>,
    name: String,
    dialect: Dialect,
    base_url: Url,
    quirks: Quirks,
    deadlines: Deadlines,
    trains_on_data: bool,
    is_enabled: bool,
}

#[derive(Deserialize)]
struct CredentialRow {
    id: CredentialId,
    organization_id: Option<OrganizationId>,
    provider_id: ProviderId,
    sealing_key_id: String,
    sealed_key: String,
    sealed_secret: String,
}

#[derive(Deserialize)]
struct ModelRow {
    id: ModelId,
    organization_id: Option<OrganizationId>,
    name: String,
    owned_by: String,
    created_at_ms: i64,
    context_window: Option<u64>,
    max_output: Option<u64>,
}

#[derive(Deserialize)]
struct OfferRow {
    id: OfferId,
    organization_id: Option<OrganizationId>,
    provider_id: ProviderId,
    model_id: ModelId,
    upstream_name: String,
    tier: Tier,
    abilities: Option<Vec<Ability>>,
    context_window: Option<u64>,
    max_output: Option<u64>,
    preference: i32,
    is_enabled: bool,
    price: Option<Price>,
    price_book: Option<String>,
}

#[derive(Deserialize)]
struct AllowanceRow {
    id: AllowanceId,
    provider_id: ProviderId,
    offer_id: Option<OfferId>,
    meter: AllowanceMeter,
    amount: u64,
    window: AllowanceWindow,
    zone: chrono_tz::Tz,
    is_shared: bool,
}

#[derive(Deserialize)]
struct AliasRow {
    organization_id: Option<OrganizationId>,
    name: String,
    models: Vec<ModelId>,
}

/// Builds a snapshot from the books' text.
///
/// # Errors
/// When the text is not what the books say; one credential that does not open is only left out.
pub fn build(text: &str, vault: &Vault) -> Result<Snapshot, NotBuilt> {
    let rows: Rows = serde_json::from_str(text)?;
    let credentials = open_all(rows.credentials, vault);
    let providers = providers(rows.providers, &credentials);
    let models = models(rows.models);
    let aliases: Vec<Alias> = rows.aliases.into_iter().map(AliasRow::alias).collect();
    let offers = rows
        .offers
        .into_iter()
        .filter(|row| row.is_enabled)
        .filter_map(|row| row.offer(&providers, &models, &rows.allowances))
        .map(Arc::new)
        .collect();
    Ok(Snapshot {
        seq: rows.seq,
        taken_at: Moment::from_millis(rows.taken_at_ms),
        catalog: Catalog::new(offers, &aliases),
    })
}

type Credentials = HashMap<ProviderId, Vec<Arc<Credential>>>;

fn open_all(rows: Vec<CredentialRow>, vault: &Vault) -> Credentials {
    let mut opened = Credentials::new();
    for row in rows {
        let (id, provider) = (row.id, row.provider_id);
        match row.open(vault) {
            Some(credential) => opened
                .entry(provider)
                .or_default()
                .push(Arc::new(credential)),
            None => tracing::error!(credential.id = %id, "a provider's key does not open"),
        }
    }
    opened
}

fn providers(
    rows: Vec<ProviderRow>,
    credentials: &Credentials,
) -> HashMap<ProviderId, Arc<Provider>> {
    let enabled = rows.into_iter().filter(|row| row.is_enabled);
    enabled
        .map(|row| (row.id, Arc::new(row.provider(credentials))))
        .collect()
}

fn models(rows: Vec<ModelRow>) -> HashMap<ModelId, Arc<Model>> {
    rows.into_iter()
        .map(|row| (row.id, Arc::new(row.model())))
        .collect()
}

impl CredentialRow {
    fn open(self, vault: &Vault) -> Option<Credential> {
        let sealed = Sealed {
            sealing_key_id: self.sealing_key_id,
            sealed_key: of_hex(&self.sealed_key)?,
            sealed_secret: of_hex(&self.sealed_secret)?,
        };
        let secret = vault
            .open(&sealed, Place::of_credential(self.id, self.organization_id))
            .ok()?;
        Some(Credential {
            id: self.id,
            organization_id: self.organization_id,
            secret,
        })
    }
}

impl ProviderRow {
    fn provider(self, credentials: &Credentials) -> Provider {
        Provider {
            credentials: credentials.get(&self.id).cloned().unwrap_or_default(),
            id: self.id,
            organization_id: self.organization_id,
            name: self.name,
            dialect: self.dialect,
            base_url: self.base_url,
            quirks: self.quirks,
            deadlines: self.deadlines,
            trains_on_data: self.trains_on_data,
        }
    }
}

impl ModelRow {
    fn model(self) -> Model {
        Model {
            id: self.id,
            organization_id: self.organization_id,
            name: self.name,
            owned_by: self.owned_by,
            created: Moment::from_millis(self.created_at_ms),
            context_window: self.context_window.map(Tokens),
            max_output: self.max_output.map(Tokens),
        }
    }
}

impl OfferRow {
    /// An offer of a provider or a model that is out is no offer.
    fn offer(
        self,
        providers: &HashMap<ProviderId, Arc<Provider>>,
        models: &HashMap<ModelId, Arc<Model>>,
        allowances: &[AllowanceRow],
    ) -> Option<Offer> {
        let holds = |row: &&AllowanceRow| match row.offer_id {
            Some(offer) => offer == self.id,
            None => row.provider_id == self.provider_id,
        };
        let abilities = self
            .abilities
            .map_or(Abilities::UNSTATED, Abilities::from_iter);
        Some(Offer {
            provider: Arc::clone(providers.get(&self.provider_id)?),
            model: Arc::clone(models.get(&self.model_id)?),
            allowances: allowances
                .iter()
                .filter(holds)
                .map(AllowanceRow::allowance)
                .collect(),
            id: self.id,
            organization_id: self.organization_id,
            upstream_name: self.upstream_name,
            tier: self.tier,
            price: self.price,
            price_book: self.price_book.unwrap_or_default(),
            abilities,
            context_window: self.context_window.map(Tokens),
            max_output: self.max_output.map(Tokens),
            preference: self.preference,
        })
    }
}

impl AllowanceRow {
    fn allowance(&self) -> Allowance {
        Allowance {
            id: self.id,
            meter: self.meter,
            amount: self.amount,
            window: self.window,
            zone: self.zone,
            is_shared: self.is_shared,
        }
    }
}

impl AliasRow {
    fn alias(self) -> Alias {
        Alias {
            organization_id: self.organization_id,
            name: self.name,
            models: self.models,
        }
    }
}

fn of_hex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Secret;

    fn vault() -> Vault {
        Vault::new(&Secret::new(
            "a sealing key of more than thirty-two bytes".to_owned(),
        ))
        .unwrap()
    }

    #[test]
    fn what_the_books_do_not_say_makes_no_snapshot() {
        for text in ["", "{}", "{\"seq\": \"one\"}", "null"] {
            assert!(build(text, &vault()).is_err(), "{text}");
        }
    }

    #[test]
    fn an_empty_catalog_is_a_snapshot() {
        let text = r#"{"seq":7,"taken_at_ms":9,"providers":[],"credentials":[],"models":[],"offers":[],"allowances":[],"aliases":[]}"#;

        let snapshot = build(text, &vault()).unwrap();

        assert_eq!(
            (snapshot.seq, snapshot.taken_at),
            (7, Moment::from_millis(9))
        );
    }
}
