//! Another sealing key: what the old one seals is sealed anew in batches, until the old one seals nothing.

use uuid::Uuid;

use crate::{
    base::{CredentialId, SigningKeyId},
    catalog::{
        Vault,
        store::{self, credentials::SealedCredential, sealing::Unwrapped},
        vault::{Place, origin_of},
    },
    identity::signing,
    store::{Postgres, StoreError, seal::NotRewrapped},
};

/// How many keys are sealed anew in one transaction.
const BATCH: i32 = 100;

/// What one round did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// How many providers' keys and signing keys were sealed anew.
    pub rewrapped: usize,
    /// How many could not be: they were sealed with a key that is not configured, or were changed.
    pub stuck: usize,
    /// The sealing keys that seal nothing any more, and never will again.
    pub retired: Vec<String>,
}

/// The configured sealing key was retired: this configuration is an old one.
#[derive(Debug, thiserror::Error)]
pub enum NotSealing {
    /// The configured sealing key was retired.
    #[error("security.sealing_key was retired: another one has taken its place")]
    Retired,
    /// The books are away.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Seals with the current key all that earlier ones seal, and retires those that seal nothing any more.
///
/// Idempotent; several sidecars may do it at once.
///
/// # Errors
/// The books are away, or the configured key was retired.
pub async fn rewrap(postgres: &Postgres, vault: &Vault) -> Result<Round, NotSealing> {
    let current = vault.sealing_key_id();
    let mut conn = postgres.acquire().await?;
    if !store::sealing::know(&mut conn, current).await? {
        return Err(NotSealing::Retired);
    }
    drop(conn);
    let mut round = Round::default();
    let mut after = Uuid::nil();
    while let Some(last) = batch(postgres, vault, after, &mut round).await? {
        after = last;
    }
    signing_keys(postgres, vault, &mut round).await?;
    let mut conn = postgres.acquire().await?;
    round.retired = store::sealing::retire_unused(&mut conn, current).await?;
    Ok(round)
}

/// Does one batch and returns the last id it saw; `None` when nothing was left.
async fn batch(
    postgres: &Postgres,
    vault: &Vault,
    after: Uuid,
    round: &mut Round,
) -> Result<Option<Uuid>, StoreError> {
    let mut tx = postgres.begin().await?;
    let current = vault.sealing_key_id();
    let found = store::sealing::to_rewrap(&mut tx, current, BATCH, after).await?;
    let last = found.last().map(|one| one.id);
    for one in found {
        match sealed_anew(vault, &one) {
            Ok(sealed) => {
                store::sealing::put_rewrapped(&mut tx, one.id, &sealed).await?;
                round.rewrapped += 1;
            }
            Err(error) => {
                tracing::error!(credential.id = %one.id, error = %error, "a provider's key cannot be sealed anew");
                round.stuck += 1;
            }
        }
    }
    tx.commit().await?;
    Ok(last)
}

/// Does the signing keys: a handful. Those that a key of the sidecar's own seals are left alone.
async fn signing_keys(
    postgres: &Postgres,
    vault: &Vault,
    round: &mut Round,
) -> Result<(), StoreError> {
    let mut tx = postgres.begin().await?;
    let found = store::sealing::signing_keys(&mut tx, vault.sealing_key_id()).await?;
    let ours = found
        .into_iter()
        .filter(|(_, sealed)| vault.opens(&sealed.sealing_key_id));
    for (id, sealed) in ours {
        match vault.rewrap(&sealed, signing::place(SigningKeyId(id))) {
            Ok(sealed) => {
                store::sealing::put_signing_key(&mut tx, id, &sealed).await?;
                round.rewrapped += 1;
            }
            Err(error) => {
                tracing::error!(signing_key.id = %id, error = %error, "a signing key cannot be sealed anew");
                round.stuck += 1;
            }
        }
    }
    Ok(tx.commit().await?)
}

fn sealed_anew(vault: &Vault, one: &Unwrapped) -> Result<SealedCredential, NotRewrapped> {
    let origin = one.base_url.parse().map(|url| origin_of(&url));
    let origin = origin.unwrap_or_default();
    let place = Place::of_credential(CredentialId(one.id), one.owner, &origin);
    let pending = one.sealed.pending.as_ref();
    Ok(SealedCredential {
        current: vault.rewrap(&one.sealed.current, place)?,
        pending: pending
            .map(|sealed| vault.rewrap(sealed, place))
            .transpose()?,
    })
}
