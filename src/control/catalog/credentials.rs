//! Providers' keys, as people change them: given, never shown, tried, replaced, taken away.

use serde_json::json;
use uuid::Uuid;

use super::{
    providers,
    refused::{CatalogRefused, own},
    trail::record,
};
use crate::{
    audit::By,
    base::{CredentialId, Fault, Moment, Secret},
    catalog::{
        Row, Sought, Vault,
        file::judge::faults_of_credential_name,
        probe::{Finding, Outcome, Trial, probe},
        store::{
            self,
            credentials::{CredentialRow, NewCredential},
        },
        vault::{NotOpened, Place, Sealed, origin_of},
    },
    egress::Guard,
    store::{OwnerTx, Postgres},
};

/// The longest key.
const LONGEST: usize = 4_096;

/// A key to be given.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// Whose key: the owner's provider, or one the platform shares.
    pub provider: Uuid,
    /// What tells it from the provider's other keys.
    pub name: String,
    /// Lower is tried first.
    pub position: i32,
    /// Whether it is used.
    pub is_enabled: bool,
    /// The key itself.
    pub secret: Secret,
}

/// Keeps a provider's key, sealed.
///
/// # Errors
/// See [`CatalogRefused`].
pub async fn create(
    tx: &mut OwnerTx,
    vault: &Vault,
    new: NewKey,
    by: By,
) -> Result<Row<CredentialRow>, CatalogRefused> {
    store::wait_for_others(tx).await?;
    let mut faults = faults_of_credential_name(&new.name);
    faults.extend(fault_of(&new.secret));
    CatalogRefused::unless_sound(faults)?;
    let provider = providers::named(tx, "provider_id", new.provider).await?;
    let id = CredentialId::new(by.now);
    let origin = origin_of(&provider.entry.base_url);
    let sealed = vault.seal(
        &trimmed(&new.secret),
        Place::of_credential(id, tx.owner(), &origin),
    )?;
    let credential = NewCredential {
        id,
        provider_id: new.provider,
        name: &new.name,
        position: new.position,
        is_enabled: new.is_enabled,
        sealed: &sealed,
    };
    store::credentials::put(tx, credential).await?;
    let details = json!({
        "provider": provider.entry.name, "name": new.name, "position": new.position, "is_enabled": new.is_enabled,
    });
    record(
        tx,
        by,
        ("credential.create", "credential", id.uuid()),
        details,
    )
    .await?;
    one(tx, id.uuid()).await
}

fn trimmed(secret: &Secret) -> Secret {
    Secret::new(secret.expose().trim().to_owned())
}

/// What cannot stand in a header is no key.
fn fault_of(secret: &Secret) -> Option<Fault> {
    let text = secret.expose().trim();
    let is_sound =
        (1..=LONGEST).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    let what = "is empty, too long, or holds what cannot stand in a header";
    (!is_sound).then(|| Fault::new("secret", what, "check how it was copied"))
}

/// What is to change of a key; what is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct CredentialPatch {
    /// What tells it from the provider's other keys.
    pub name: Option<String>,
    /// Lower is tried first.
    pub position: Option<i32>,
    /// Whether it is used.
    pub is_enabled: Option<bool>,
}

/// Changes all of a key but the key itself.
///
/// # Errors
/// See [`CatalogRefused`].
pub async fn change(
    tx: &mut OwnerTx,
    id: Uuid,
    expected: Option<Moment>,
    patch: CredentialPatch,
    by: By,
) -> Result<Row<CredentialRow>, CatalogRefused> {
    store::wait_for_others(tx).await?;
    let old = own_credential(tx, id, expected).await?.entry;
    let name = patch.name.unwrap_or_else(|| old.name.clone());
    let position = patch.position.unwrap_or(old.position);
    let is_enabled = patch.is_enabled.unwrap_or(old.is_enabled);
    CatalogRefused::unless_sound(faults_of_credential_name(&name))?;
    store::credentials::change(tx, id, &name, position, is_enabled).await?;
    let details = json!({
        "was": { "name": old.name, "position": old.position, "is_enabled": old.is_enabled },
        "is": { "name": name, "position": position, "is_enabled": is_enabled },
    });
    record(tx, by, ("credential.change", "credential", id), details).await?;
    one(tx, id).await
}

/// Lays a new key beside the one in use, which goes on until [`switch`]. A new key that waited is replaced.
///
/// # Errors
/// See [`CatalogRefused`].
pub async fn rotate(
    tx: &mut OwnerTx,
    vault: &Vault,
    id: Uuid,
    secret: &Secret,
    by: By,
) -> Result<Row<CredentialRow>, CatalogRefused> {
    store::wait_for_others(tx).await?;
    CatalogRefused::unless_sound(fault_of(secret).into_iter().collect())?;
    let row = own_credential(tx, id, None).await?;
    let origin = origin_of(&row.entry.base_url);
    let place = Place::of_credential(CredentialId(id), tx.owner(), &origin);
    let sealed = vault.seal(&trimmed(secret), place)?;
    store::credentials::put_pending(tx, id, Some(&sealed)).await?;
    let details = json!({ "provider": row.entry.provider, "name": row.entry.name });
    record(tx, by, ("credential.rotate", "credential", id), details).await?;
    one(tx, id).await
}

/// Puts the new key in the place of the one in use, which is forgotten.
///
/// # Errors
/// `NothingPending` when none waits; see [`CatalogRefused`].
pub async fn switch(
    tx: &mut OwnerTx,
    id: Uuid,
    by: By,
) -> Result<Row<CredentialRow>, CatalogRefused> {
    store::wait_for_others(tx).await?;
    let row = own_credential(tx, id, None).await?;
    if !store::credentials::switch(tx, id).await? {
        return Err(CatalogRefused::NothingPending);
    }
    let details = json!({ "provider": row.entry.provider, "name": row.entry.name });
    record(tx, by, ("credential.switch", "credential", id), details).await?;
    one(tx, id).await
}

/// Forgets the new key; the one in use stays.
///
/// # Errors
/// `NothingPending` when none waits; see [`CatalogRefused`].
pub async fn cancel_rotation(
    tx: &mut OwnerTx,
    id: Uuid,
    by: By,
) -> Result<Row<CredentialRow>, CatalogRefused> {
    store::wait_for_others(tx).await?;
    let row = own_credential(tx, id, None).await?;
    if row.entry.pending_since.is_none() {
        return Err(CatalogRefused::NothingPending);
    }
    store::credentials::put_pending(tx, id, None).await?;
    let details = json!({ "provider": row.entry.provider, "name": row.entry.name });
    record(
        tx,
        by,
        ("credential.cancel_rotation", "credential", id),
        details,
    )
    .await?;
    one(tx, id).await
}

/// Takes a key away; nothing of it is kept.
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
    let old = own_credential(tx, id, expected).await?.entry;
    store::credentials::retire(tx, id).await?;
    let details = json!({ "provider": old.provider, "name": old.name });
    Ok(record(tx, by, ("credential.remove", "credential", id), details).await?)
}

/// Which of a credential's keys is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The one in use.
    Current,
    /// The one that waits to take its place.
    Pending,
}

/// Tries a key with a call that costs nothing, and notes what was found. The books are not kept open meanwhile.
///
/// # Errors
/// See [`CatalogRefused`].
pub async fn test(
    postgres: &Postgres,
    owner: Option<crate::base::OrganizationId>,
    (vault, guard): (&Vault, &Guard),
    (id, which): (Uuid, Which),
    by: By,
) -> Result<Finding, CatalogRefused> {
    let mut tx = postgres.begin_for_owner(owner).await?;
    let row = own_credential(&mut tx, id, None).await?.entry;
    let sealed = sealed(&mut tx, id, which).await?;
    drop(tx);
    let origin = origin_of(&row.base_url);
    let finding = match vault.open(
        &sealed,
        Place::of_credential(CredentialId(id), owner, &origin),
    ) {
        Ok(secret) => {
            let trial = Trial {
                base_url: &row.base_url,
                dialect: row.dialect,
                auth: row.auth,
                secret: &secret,
            };
            probe(guard, trial).await
        }
        Err(error) => not_opened(&error),
    };
    let mut tx = postgres.begin_for_owner(owner).await?;
    if which == Which::Current {
        store::credentials::note_test(&mut tx, id, by.now, &finding).await?;
    }
    let details = json!({
        "provider": row.provider, "name": row.name, "outcome": finding.outcome, "status": finding.status,
        "is_pending": which == Which::Pending,
    });
    record(&mut tx, by, ("credential.test", "credential", id), details).await?;
    tx.commit().await?;
    Ok(finding)
}

async fn sealed(tx: &mut OwnerTx, id: Uuid, which: Which) -> Result<Sealed, CatalogRefused> {
    let found = store::credentials::sealed(tx, id).await?;
    let found = found.ok_or(CatalogRefused::Missing)?;
    match which {
        Which::Current => Ok(found.current),
        Which::Pending => found.pending.ok_or(CatalogRefused::NothingPending),
    }
}

fn not_opened(error: &NotOpened) -> Finding {
    tracing::error!(error = %error, "a provider's key does not open");
    Finding {
        outcome: Outcome::Unclear,
        status: None,
        detail: "the stored key does not open; give it again".to_owned(),
    }
}

/// Returns one of the owner's keys, without the key itself.
///
/// # Errors
/// `Missing` when there is none.
pub async fn one(tx: &mut OwnerTx, id: Uuid) -> Result<Row<CredentialRow>, CatalogRefused> {
    own_credential(tx, id, None).await
}

async fn own_credential(
    tx: &mut OwnerTx,
    id: Uuid,
    expected: Option<Moment>,
) -> Result<Row<CredentialRow>, CatalogRefused> {
    let owner = tx.owner();
    let rows = store::credentials::list(tx, owner, &Sought::one(id)).await?;
    own(tx, rows, expected)
}
