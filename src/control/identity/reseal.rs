//! Seals anew what an earlier key sealed: second factors, and the secrets of identity providers.
//!
//! Signing keys are left to run out: the next one is sealed with the present key.

use super::Door;
use crate::{
    identity::store::{factor, provider},
    store::{
        Scope, StoreError,
        seal::{NotOpened, NotSealed},
    },
};

/// Rows looked at in one round.
const BATCH: i32 = 500;

/// Something stays sealed as it was.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotResealed {
    #[error(transparent)]
    NotOpened(#[from] NotOpened),
    #[error(transparent)]
    NotSealed(#[from] NotSealed),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Seals anew what the present key does not seal; returns how many were.
pub(super) async fn all(door: &Door) -> Result<usize, NotResealed> {
    Ok(factors(door).await? + providers(door).await?)
}

async fn factors(door: &Door) -> Result<usize, NotResealed> {
    let current = door.vault.sealing_key_id();
    let mut conn = door.postgres.acquire().await?;
    let others = factor::sealed_by_others(&mut conn, current, BATCH).await?;
    drop(conn);
    for (person, id) in &others {
        let mut tx = door.postgres.begin_as_person(*person).await?;
        let found = factor::find(&mut tx).await?.filter(|found| found.id == *id);
        if let Some(found) = found {
            let seed = door.vault.open(&found.sealed, factor::place(*id))?;
            let sealed = door.vault.seal(&seed, factor::place(*id))?;
            factor::reseal(&mut tx, *id, &sealed).await?;
        }
        tx.commit().await?;
    }
    Ok(others.len())
}

async fn providers(door: &Door) -> Result<usize, NotResealed> {
    let current = door.vault.sealing_key_id();
    let mut conn = door.postgres.acquire().await?;
    let others = provider::sealed_by_others(&mut conn, current, BATCH).await?;
    drop(conn);
    for (organization, id) in &others {
        let mut tx = door.postgres.begin_for(Scope::of(*organization)).await?;
        let known = provider::find(&mut tx, *id).await?;
        let sealed = provider::sealed_secret(&mut tx, *id).await?;
        if let Some((known, sealed)) = known.zip(sealed) {
            let place = provider::place(*organization, *id, &known.terms.issuer);
            let secret = door.vault.open(&sealed, place)?;
            provider::reseal(&mut tx, *id, &door.vault.seal(&secret, place)?).await?;
        }
        tx.commit().await?;
    }
    Ok(others.len())
}
