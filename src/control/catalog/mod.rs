//! The catalog, as people and operators change it: one thing at a time, or by a file that is compared with the books.

pub mod access;
pub mod aliases;
pub mod allowances;
pub mod credentials;
pub mod models;
pub mod offers;
pub mod prices;
pub mod providers;
pub mod quarantine;
pub mod refused;
pub mod sealing;
pub mod substitutes;

mod book;
mod change;
mod importer;
mod judge;
mod kept;
mod trail;

use serde_json::json;

use self::importer::Importer;
pub use self::{
    change::{Change, ChangeKind},
    refused::CatalogRefused,
};
use crate::{
    audit::{self, By, Event},
    base::{Fault, OrganizationId},
    catalog::{CatalogFile, Holdings, Vault, store::wait_for_others, vault::NotSealed},
    egress::Guard,
    store::{OwnerTx, StoreError},
};

/// A file on its way into the books.
#[derive(Clone, Copy, Debug)]
pub struct Import<'a> {
    /// What is to hold afterwards.
    pub file: &'a CatalogFile,
    /// Where the file came from, for the price book.
    pub source: &'a str,
    /// Seals providers' keys; a file without any needs none.
    pub vault: Option<&'a Vault>,
    /// Says which providers may be reached.
    pub guard: &'a Guard,
    /// Whether models, providers, offers, aliases and substitutes that the file does not name are taken out.
    pub is_pruning: bool,
}

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportRefused {
    /// The file does not fit the books.
    #[error("the file does not fit the catalog")]
    Faulty(Vec<Fault>),
    /// There is no such organization.
    #[error("there is no such organization")]
    NoOrganization,
    /// The organization may not have providers of its own.
    #[error("this organization may not have providers of its own")]
    NoCustomProviders,
    /// A provider's key could not be sealed.
    #[error("a provider's key could not be sealed")]
    NotSealed(#[from] NotSealed),
    /// The books did not take it.
    #[error("the catalog could not be written")]
    Store(#[source] StoreError),
}

impl From<StoreError> for ImportRefused {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Constraint { name, .. } if name.ends_with("_organization_fk") => {
                Self::NoOrganization
            }
            _ => Self::Store(error),
        }
    }
}

/// Makes the books say what the file says, and returns what that changed; twice in a row, the second changes nothing.
///
/// Whose catalog it is, is the transaction's; rolled back, it was a rehearsal.
///
/// # Errors
/// See [`ImportRefused`]; the transaction must be rolled back then.
pub async fn import(
    tx: &mut OwnerTx,
    import: &Import<'_>,
    by: By,
) -> Result<Vec<Change>, ImportRefused> {
    wait_for_others(tx).await?;
    let owner = tx.owner();
    let held = Holdings::read(tx, owner).await?;
    let shared = match owner {
        Some(_) => Holdings::read(tx, None).await?,
        None => Holdings::default(),
    };
    if let Some(owner) = owner
        && brings_providers(import.file, &held)
        && !crate::catalog::store::providers::may_have_own(tx, owner).await?
    {
        return Err(ImportRefused::NoCustomProviders);
    }
    let faults = judge::faults(import, &held, &shared);
    if !faults.is_empty() {
        return Err(ImportRefused::Faulty(faults));
    }
    let mut importer = Importer::new(tx, *import, &held, &shared, by.now);
    importer.write().await?;
    let changes = importer.changes;
    if !changes.is_empty() {
        let event = event(owner, import, &changes);
        audit::store::record(tx, by, &event).await?;
    }
    Ok(changes)
}

fn brings_providers(file: &CatalogFile, held: &Holdings) -> bool {
    let mut providers = file.providers.iter();
    providers.any(|one| !held.providers.contains_key(&one.name))
}

/// How many changes the audit log spells out.
const TOLD: usize = 200;

fn event(owner: Option<OrganizationId>, import: &Import<'_>, changes: &[Change]) -> Event {
    let told: Vec<String> = changes.iter().take(TOLD).map(ToString::to_string).collect();
    Event {
        action: "catalog.import",
        target_kind: "catalog",
        target_id: owner.map(OrganizationId::uuid),
        details: json!({ "source": import.source, "count": changes.len(), "changes": told }),
    }
}
