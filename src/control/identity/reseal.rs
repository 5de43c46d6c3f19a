//! Seals anew what an earlier key sealed: second factors, and the secrets of identity providers, also of those that
//! went with their organization.
//!
//! Signing keys are left to run out: the next one is sealed with the present key. Letters are sent before long.

use uuid::Uuid;

use super::Door;
use crate::{
    identity::store::{factor, provider},
    store::StoreError,
};

/// Rows taken in one transaction.
const BATCH: i32 = 100;

/// What one round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// How many secrets are sealed with the present key now.
    pub resealed: usize,
    /// How many stay as they were: sealed with a key that is not configured, or changed.
    pub stuck: usize,
}

/// Seals anew what the present key does not seal; several sidecars may do it at once.
///
/// # Errors
/// When the books do not answer.
pub async fn all(door: &Door) -> Result<Round, StoreError> {
    let mut round = Round::default();
    let mut after = Uuid::nil();
    while let Some(last) = factors(door, after, &mut round).await? {
        after = last;
    }
    after = Uuid::nil();
    while let Some(last) = providers(door, after, &mut round).await? {
        after = last;
    }
    Ok(round)
}

/// Does a batch of second factors and returns the last it saw; `None` when none was left.
async fn factors(door: &Door, after: Uuid, round: &mut Round) -> Result<Option<Uuid>, StoreError> {
    let mut tx = door.postgres.begin().await?;
    let current = door.vault.sealing_key_id();
    let found = factor::to_rewrap(&mut tx, current, BATCH, after).await?;
    let last = found.last().map(|(id, _)| *id);
    for (id, sealed) in found {
        match door.vault.rewrap(&sealed, factor::place(id)) {
            Ok(sealed) => {
                factor::put_rewrapped(&mut tx, id, &sealed).await?;
                round.resealed += 1;
            }
            Err(error) => {
                tracing::error!(factor.id = %id, %error, "a second factor cannot be sealed anew");
                round.stuck += 1;
            }
        }
    }
    tx.commit().await?;
    Ok(last)
}

/// Does a batch of identity providers and returns the last it saw; `None` when none was left.
async fn providers(
    door: &Door,
    after: Uuid,
    round: &mut Round,
) -> Result<Option<Uuid>, StoreError> {
    let mut tx = door.postgres.begin().await?;
    let current = door.vault.sealing_key_id();
    let found = provider::to_rewrap(&mut tx, current, BATCH, after).await?;
    let last = found.last().map(|one| one.id.uuid());
    for one in found {
        let place = provider::place(one.organization, one.id, &one.issuer);
        match door.vault.rewrap(&one.sealed, place) {
            Ok(sealed) => {
                provider::put_rewrapped(&mut tx, one.id, &sealed).await?;
                round.resealed += 1;
            }
            Err(error) => {
                tracing::error!(
                    identity_provider.id = %one.id, %error,
                    "the secret of an identity provider cannot be sealed anew"
                );
                round.stuck += 1;
            }
        }
    }
    tx.commit().await?;
    Ok(last)
}
