//! Lists providers with their keys, and takes offers out of use or back in.

use std::{collections::BTreeMap, sync::Arc};

use url::Url;
use uuid::Uuid;

use crate::{
    agents::{Fault, Mode, Waking},
    base::{CredentialId, OfferId, OrganizationId, ProviderId, Secret},
    catalog::{
        Catalog, Credential, Provider,
        probe::Trial,
        provider::{Auth, Dialect},
    },
    control::catalog::offers,
    snapshot::Snapshot,
    store::Whose,
    tenancy::Permission,
};

/// A provider under one key, with the offers that are sold there.
#[derive(Clone, Debug)]
pub struct Door {
    /// Whose offers and key.
    pub owner: Whose,
    /// The provider.
    pub provider: ProviderId,
    /// Its name.
    pub provider_name: String,
    /// The key; `None` where none is wanted.
    pub credential: Option<CredentialId>,
    /// What is sold.
    pub offers: Vec<OfferId>,
    base_url: Url,
    dialect: Dialect,
    auth: Auth,
    secret: Secret,
}

impl Door {
    /// Returns how it is tried.
    #[must_use]
    pub const fn trial(&self) -> Trial<'_> {
        Trial {
            base_url: &self.base_url,
            dialect: self.dialect,
            auth: self.auth,
            secret: &self.secret,
        }
    }

    fn of(owner: Whose, provider: &Provider, key: Option<&Arc<Credential>>) -> Self {
        Self {
            owner,
            provider: provider.id,
            provider_name: provider.name.clone(),
            credential: key.map(|key| key.id),
            offers: Vec::new(),
            base_url: provider.base_url.clone(),
            dialect: provider.dialect,
            auth: provider.quirks.auth,
            secret: key.map(|key| key.secret.clone()).unwrap_or_default(),
        }
    }
}

/// Returns every provider with enabled offers, once for each key of the offers' own owner.
///
/// # Errors
/// When it is not permitted.
pub fn doors(waking: &Waking, catalog: &Catalog) -> Result<Vec<Door>, Fault> {
    waking.permit(Permission::CatalogRead)?;
    let mut doors: BTreeMap<(Whose, ProviderId, Option<CredentialId>), Door> = BTreeMap::new();
    for offer in &catalog.offers {
        let provider = &*offer.provider;
        let owner = Whose::from(offer.organization_id.map(OrganizationId::uuid));
        for key in keys(provider, offer.organization_id) {
            let place = (owner, provider.id, key.map(|key| key.id));
            let door = doors
                .entry(place)
                .or_insert_with(|| Door::of(owner, provider, key));
            door.offers.push(offer.id);
        }
    }
    Ok(doors.into_values().collect())
}

/// Returns every provider, also who sells nothing now, once for each key of its own owner.
///
/// # Errors
/// When it is not permitted.
pub fn all_doors(waking: &Waking, snapshot: &Snapshot) -> Result<Vec<Door>, Fault> {
    waking.permit(Permission::CatalogRead)?;
    let mut doors = Vec::new();
    for provider in &snapshot.providers {
        let owner = Whose::from(provider.organization_id.map(OrganizationId::uuid));
        let keys = keys(provider, provider.organization_id);
        doors.extend(keys.into_iter().map(|key| Door::of(owner, provider, key)));
    }
    Ok(doors)
}

/// The keys an owner's own offers are sold under; one without a key where the provider wants none.
fn keys(provider: &Provider, owner: Option<OrganizationId>) -> Vec<Option<&Arc<Credential>>> {
    if provider.quirks.auth == Auth::None || provider.credentials.is_empty() {
        return vec![None];
    }
    let keys = provider.credentials.iter();
    keys.filter(|key| key.organization_id == owner)
        .map(Some)
        .collect()
}

/// Takes an offer out of use, or back in; the change and its audit entry are one transaction.
///
/// # Errors
/// When it is not permitted, the offer is gone, or the books do not answer.
pub async fn enable(
    waking: &Waking,
    owner: Option<OrganizationId>,
    offer: Uuid,
    is_enabled: bool,
) -> Result<(), Fault> {
    if waking.permit(Permission::CatalogWrite)? == Mode::Dry {
        return Ok(());
    }
    let mut tx = waking.postgres.begin_for_owner(owner).await?;
    let patch = |entry: &mut crate::catalog::file::OfferEntry| entry.enabled = is_enabled;
    offers::change(&mut tx, offer, None, None, patch, waking.by()).await?;
    tx.commit().await?;
    Ok(())
}
