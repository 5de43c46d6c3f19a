//! Providers, as people change them.

use serde_json::json;
use uuid::Uuid;

use super::{
    refused::{CatalogRefused, own, visible},
    trail::record,
};
use crate::{
    audit::By,
    base::{Fault, Moment, ProviderId},
    catalog::{
        Row, Sought,
        file::{ProviderEntry, judge::faults_of_provider},
        store,
        vault::origin_of,
    },
    egress::{Forbidden, Guard, NoAddress},
    store::OwnerTx,
};

/// A base URL that was judged where it stands: by its text, and by the addresses its host has now.
///
/// What is called later is judged again at every connection.
#[derive(Clone, Copy, Debug)]
pub struct Reachable(());

impl Reachable {
    /// Judges the base URL of a provider that is to be saved. A host nobody knows yet passes: it leads nowhere.
    ///
    /// # Errors
    /// `Faulty` when we would not connect there.
    pub async fn judge(guard: &Guard, url: &url::Url) -> Result<Self, CatalogRefused> {
        match guard.resolve_url(url).await {
            Ok(_) | Err(NoAddress::Unresolvable) => Ok(Self(())),
            Err(NoAddress::Forbidden(forbidden)) => {
                Err(CatalogRefused::Faulty(vec![fault(forbidden)]))
            }
        }
    }
}

fn fault(forbidden: Forbidden) -> Fault {
    let mend = "use https and a public host name";
    Fault::new("base_url", forbidden.to_string(), mend)
}

/// Adds a provider.
///
/// # Errors
/// See [`CatalogRefused`].
pub async fn create(
    tx: &mut OwnerTx,
    entry: ProviderEntry,
    _reachable: Reachable,
    by: By,
) -> Result<Row<ProviderEntry>, CatalogRefused> {
    store::wait_for_others(tx).await?;
    if let Some(owner) = tx.owner()
        && !store::providers::may_have_own(tx, owner).await?
    {
        return Err(CatalogRefused::NoCustomProviders);
    }
    CatalogRefused::unless_sound(faults_of_provider(&entry))?;
    let id = ProviderId::new(by.now).uuid();
    store::providers::put(tx, id, &entry).await?;
    let details = json!({ "provider": entry });
    record(tx, by, ("provider.create", "provider", id), details).await?;
    one(tx, id).await
}

/// Changes a provider. One that has keys stays at its host: they were given for that one.
///
/// # Errors
/// See [`CatalogRefused`].
pub async fn change(
    tx: &mut OwnerTx,
    id: Uuid,
    expected: Option<Moment>,
    patch: impl FnOnce(&mut ProviderEntry),
    _reachable: Option<Reachable>,
    by: By,
) -> Result<Row<ProviderEntry>, CatalogRefused> {
    store::wait_for_others(tx).await?;
    let old = own_provider(tx, id, expected).await?;
    let mut entry = old.entry.clone();
    patch(&mut entry);
    CatalogRefused::unless_sound(faults_of_provider(&entry))?;
    let is_moved = origin_of(&old.entry.base_url) != origin_of(&entry.base_url);
    if is_moved && store::providers::has_keys(tx, id).await? {
        return Err(CatalogRefused::KeysBound);
    }
    store::providers::put(tx, id, &entry).await?;
    let details = json!({ "was": old.entry, "is": entry });
    record(tx, by, ("provider.change", "provider", id), details).await?;
    one(tx, id).await
}

/// Takes a provider out of the catalog, with the owner's offers, allowances and keys of it.
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
    let old = own_provider(tx, id, expected).await?;
    store::providers::retire(tx, id).await?;
    let details = json!({ "provider": old.entry.name });
    Ok(record(tx, by, ("provider.remove", "provider", id), details).await?)
}

/// Returns one provider, the owner's or one the platform shares.
///
/// # Errors
/// `Missing` when there is none.
pub async fn one(tx: &mut OwnerTx, id: Uuid) -> Result<Row<ProviderEntry>, CatalogRefused> {
    let owner = tx.owner();
    visible(store::providers::list(tx, owner, &Sought::one(id)).await?)
}

/// Returns the provider that a field of a change names.
pub(super) async fn named(
    tx: &mut OwnerTx,
    field: &'static str,
    id: Uuid,
) -> Result<Row<ProviderEntry>, CatalogRefused> {
    one(tx, id).await.map_err(|refused| match refused {
        CatalogRefused::Missing => CatalogRefused::NoSuch(field),
        other => other,
    })
}

async fn own_provider(
    tx: &mut OwnerTx,
    id: Uuid,
    expected: Option<Moment>,
) -> Result<Row<ProviderEntry>, CatalogRefused> {
    let owner = tx.owner();
    let rows = store::providers::list(tx, owner, &Sought::one(id)).await?;
    own(tx, rows, expected)
}
