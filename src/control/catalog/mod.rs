//! The catalog, as operators change it: a file is compared with the books, and only what differs is written.

mod change;
mod importer;
mod judge;

use serde_json::json;

pub use self::change::{Change, ChangeKind};
use self::importer::Importer;
use crate::{
    audit::{self, By, Event},
    base::{Fault, OrganizationId},
    catalog::{
        CatalogFile, Holdings, Vault,
        store::{act_for_everybody, wait_for_other_imports},
        vault::NotSealed,
    },
    egress::Guard,
    store::{Conn, StoreError},
};

/// A file on its way into the books.
#[derive(Clone, Copy, Debug)]
pub struct Import<'a> {
    /// Whose catalog it changes; `None` is the platform's.
    pub owner: Option<OrganizationId>,
    /// What is to hold afterwards.
    pub file: &'a CatalogFile,
    /// Where the file came from, for the price book.
    pub source: &'a str,
    /// Seals providers' keys; a file without any needs none.
    pub vault: Option<&'a Vault>,
    /// Says which providers may be reached.
    pub guard: &'a Guard,
    /// Whether models, providers, offers and aliases that the file does not name are taken out.
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
/// The transaction must be the caller's own, and its organization the owner's; rolled back, it was a rehearsal.
///
/// # Errors
/// See [`ImportRefused`]; the transaction must be rolled back then.
pub async fn import(
    conn: &mut Conn,
    import: &Import<'_>,
    by: By,
) -> Result<Vec<Change>, ImportRefused> {
    act_for_everybody(&mut *conn).await?;
    wait_for_other_imports(&mut *conn).await?;
    let held = Holdings::read(&mut *conn, import.owner).await?;
    let shared = match import.owner {
        Some(_) => Holdings::read(&mut *conn, None).await?,
        None => Holdings::default(),
    };
    let faults = judge::faults(import, &held, &shared);
    if !faults.is_empty() {
        return Err(ImportRefused::Faulty(faults));
    }
    let mut importer = Importer::new(&mut *conn, *import, &held, &shared, by.now);
    importer.write().await?;
    let changes = importer.changes;
    if !changes.is_empty() {
        audit::store::record(conn, by, &event(import, &changes)).await?;
    }
    Ok(changes)
}

/// How many changes the audit log spells out.
const TOLD: usize = 200;

fn event(import: &Import<'_>, changes: &[Change]) -> Event {
    let told: Vec<String> = changes.iter().take(TOLD).map(ToString::to_string).collect();
    Event {
        action: "catalog.import",
        target_kind: "catalog",
        target_id: import.owner.map(OrganizationId::uuid),
        details: json!({ "source": import.source, "count": changes.len(), "changes": told }),
    }
}
