//! What one owner holds of the catalog, as a file would say it.

pub mod store;

use std::collections::BTreeMap;

use uuid::Uuid;

use super::file::{
    AliasEntry, CatalogFile, ModelEntry, OfferEntry, ProviderEntry, SubstituteEntry,
};
use crate::{
    base::OrganizationId,
    store::{Conn, StoreError},
};

/// Everything one owner holds, by name.
#[derive(Clone, Debug, Default)]
pub struct Holdings {
    /// Models by name.
    pub models: BTreeMap<String, Held<ModelEntry>>,
    /// Providers by name.
    pub providers: BTreeMap<String, Held<ProviderEntry>>,
    /// Providers' keys.
    pub credentials: Vec<HeldCredential>,
    /// Offers by what tells them apart.
    pub offers: BTreeMap<String, Held<OfferEntry>>,
    /// Aliases by name.
    pub aliases: BTreeMap<String, Held<AliasEntry>>,
    /// Substitutes by what tells them apart.
    pub substitutes: BTreeMap<String, Held<SubstituteEntry>>,
}

/// A row and what a file would say of it.
#[derive(Clone, Debug)]
pub struct Held<T> {
    /// Its id.
    pub id: Uuid,
    /// What it holds.
    pub entry: T,
}

/// A provider's key; the key itself stays in the books.
#[derive(Clone, Debug)]
pub struct HeldCredential {
    /// Its id.
    pub id: Uuid,
    /// Whose key.
    pub provider_id: Uuid,
    /// What tells it from the provider's other keys.
    pub name: String,
    /// Lower is tried first.
    pub position: i32,
    /// Whether it is used.
    pub is_enabled: bool,
}

impl Holdings {
    /// Reads what `owner` holds; `None` is the platform.
    ///
    /// # Errors
    /// When the books are away, or a row does not hold what it should.
    pub async fn read(conn: &mut Conn, owner: Option<OrganizationId>) -> Result<Self, StoreError> {
        Ok(Self {
            models: store::models(&mut *conn, owner).await?,
            providers: store::providers(&mut *conn, owner).await?,
            credentials: store::credentials(&mut *conn, owner).await?,
            offers: store::offers(&mut *conn, owner).await?,
            aliases: store::aliases(&mut *conn, owner).await?,
            substitutes: store::substitutes(&mut *conn, owner).await?,
        })
    }

    /// Returns the file that would say the same; providers' keys are not in it.
    #[must_use]
    pub fn to_file(&self) -> CatalogFile {
        CatalogFile {
            models: entries(&self.models),
            providers: entries(&self.providers),
            credentials: Vec::new(),
            offers: entries(&self.offers),
            aliases: entries(&self.aliases),
            substitutes: entries(&self.substitutes),
        }
    }
}

fn entries<T: Clone>(held: &BTreeMap<String, Held<T>>) -> Vec<T> {
    held.values().map(|held| held.entry.clone()).collect()
}
