//! The names callers use, as people change them.

use serde_json::json;
use uuid::Uuid;

use super::{
    models,
    refused::{CatalogRefused, own, visible},
    trail::record,
};
use crate::{
    audit::By,
    base::{ModelId, Moment},
    catalog::{
        Row, Sought,
        file::{AliasEntry, judge::faults_of_alias},
        store::{self, aliases::AliasRow},
    },
    store::OwnerTx,
};

/// Adds an alias for models, in the order they are tried.
///
/// # Errors
/// See [`CatalogRefused`].
pub async fn create(
    tx: &mut OwnerTx,
    name: String,
    targets: &[Uuid],
    is_enabled: bool,
    by: By,
) -> Result<Row<AliasRow>, CatalogRefused> {
    store::wait_for_others(tx).await?;
    let entry = AliasEntry {
        name,
        models: names(tx, targets).await?,
        enabled: is_enabled,
    };
    CatalogRefused::unless_sound(faults_of_alias(&entry))?;
    let id = ModelId::new(by.now).uuid();
    store::aliases::put(tx, id, &entry, targets).await?;
    record(
        tx,
        by,
        ("alias.create", "alias", id),
        json!({ "alias": entry }),
    )
    .await?;
    one(tx, id).await
}

/// What is to change of an alias; what is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct AliasPatch {
    /// Its name.
    pub name: Option<String>,
    /// Its models, in the order they are tried.
    pub targets: Option<Vec<Uuid>>,
    /// Whether it is used.
    pub is_enabled: Option<bool>,
}

/// Changes an alias.
///
/// # Errors
/// See [`CatalogRefused`].
pub async fn change(
    tx: &mut OwnerTx,
    id: Uuid,
    expected: Option<Moment>,
    patch: AliasPatch,
    by: By,
) -> Result<Row<AliasRow>, CatalogRefused> {
    store::wait_for_others(tx).await?;
    let old = own_alias(tx, id, expected).await?;
    let targets = patch.targets.unwrap_or_else(|| old.entry.models.clone());
    let entry = AliasEntry {
        name: patch.name.unwrap_or_else(|| old.entry.entry.name.clone()),
        models: names(tx, &targets).await?,
        enabled: patch.is_enabled.unwrap_or(old.entry.entry.enabled),
    };
    CatalogRefused::unless_sound(faults_of_alias(&entry))?;
    store::aliases::put(tx, id, &entry, &targets).await?;
    let details = json!({ "was": old.entry.entry, "is": entry });
    record(tx, by, ("alias.change", "alias", id), details).await?;
    one(tx, id).await
}

async fn names(tx: &mut OwnerTx, targets: &[Uuid]) -> Result<Vec<String>, CatalogRefused> {
    let mut names = Vec::with_capacity(targets.len());
    for target in targets {
        names.push(models::named(tx, "model_ids", *target).await?.entry.name);
    }
    Ok(names)
}

/// Takes an alias out of the catalog.
///
/// # Errors
/// See [`CatalogRefused`].
pub async fn remove(
    tx: &mut OwnerTx,
    id: Uuid,
    expected: Option<Moment>,
    by: By,
) -> Result<(), CatalogRefused> {
    store::wait_for_others(tx).await?;
    let old = own_alias(tx, id, expected).await?;
    store::aliases::retire(tx, id).await?;
    let details = json!({ "alias": old.entry.entry.name });
    Ok(record(tx, by, ("alias.remove", "alias", id), details).await?)
}

/// Returns one alias, the owner's or one the platform shares.
///
/// # Errors
/// `Missing` when there is none.
pub async fn one(tx: &mut OwnerTx, id: Uuid) -> Result<Row<AliasRow>, CatalogRefused> {
    let owner = tx.owner();
    visible(store::aliases::list(tx, owner, &Sought::one(id)).await?)
}

async fn own_alias(
    tx: &mut OwnerTx,
    id: Uuid,
    expected: Option<Moment>,
) -> Result<Row<AliasRow>, CatalogRefused> {
    let owner = tx.owner();
    let rows = store::aliases::list(tx, owner, &Sought::one(id)).await?;
    own(tx, rows, expected)
}
