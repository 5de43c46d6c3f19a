//! The keys that sign: made when there is none, followed by the next, retired when their tokens have run out.

use serde_json::json;

use super::Door;
use crate::{
    audit::{self, By, Event},
    base::{Moment, SigningKeyId},
    identity::{
        signing::{KeptKey, LEAD, TAIL},
        store::signing,
    },
    store::{Conn, StoreError, seal::NotSealed},
};

/// Why the keys are as they were.
#[derive(Debug, thiserror::Error)]
pub enum KeyRefused {
    /// There is no such key, or it is retired.
    #[error("there is no such signing key")]
    NoKey,
    /// The next key is published already and signs soon.
    #[error("the next signing key is published already")]
    IsFollowed,
    /// The new key cannot be sealed.
    #[error(transparent)]
    NotSealed(#[from] NotSealed),
    /// The books did not take it.
    #[error("the signing keys could not be written")]
    Store(#[from] StoreError),
}

/// Returns every key that is not retired, oldest first.
///
/// # Errors
/// When the books do not answer.
pub async fn list(door: &Door, now: Moment) -> Result<Vec<KeptKey>, StoreError> {
    let mut conn = door.postgres.acquire().await?;
    signing::live_keys(&mut conn, now).await
}

/// Makes the first key, which signs at once; says whether one was missing.
///
/// # Errors
/// See [`KeyRefused`].
pub async fn ensure(door: &Door, by: By) -> Result<bool, KeyRefused> {
    let mut tx = door.postgres.begin().await?;
    signing::lock(&mut tx).await?;
    let keys = signing::live_keys(&mut tx, by.now).await?;
    let can_sign = keys.iter().any(|key| {
        key.signs_from <= by.now && key.sealed.sealing_key_id == door.vault.sealing_key_id()
    });
    if can_sign {
        return Ok(false);
    }
    add(door, &mut tx, by.now, by).await?;
    tx.commit().await.map_err(StoreError::from)?;
    Ok(true)
}

/// Publishes the next key; it signs when everybody has seen it, and those before it verify until their tokens ran out.
///
/// # Errors
/// See [`KeyRefused`].
pub async fn rotate(door: &Door, by: By) -> Result<KeptKey, KeyRefused> {
    let mut tx = door.postgres.begin().await?;
    signing::lock(&mut tx).await?;
    let keys = signing::live_keys(&mut tx, by.now).await?;
    if keys.iter().any(|key| by.now < key.signs_from) {
        return Err(KeyRefused::IsFollowed);
    }
    let signs_from = by.now.plus(LEAD);
    for key in keys.iter().filter(|key| key.retires_at.is_none()) {
        signing::retire(&mut tx, key.id, signs_from.plus(TAIL)).await?;
    }
    let next = add(door, &mut tx, signs_from, by).await?;
    tx.commit().await.map_err(StoreError::from)?;
    Ok(next)
}

/// Publishes the next key when the present one has signed long enough; says whether it did.
///
/// # Errors
/// See [`KeyRefused`].
pub async fn rotate_if_due(door: &Door, by: By) -> Result<bool, KeyRefused> {
    let days = std::time::Duration::from_secs(door.settings.signing_key_days * 86_400);
    let keys = list(door, by.now).await?;
    let is_fresh = keys
        .iter()
        .any(|key| by.now < key.signs_from.plus(days).minus(LEAD));
    if is_fresh {
        return Ok(false);
    }
    match rotate(door, by).await {
        Ok(_) => Ok(true),
        Err(KeyRefused::IsFollowed) => Ok(false),
        Err(refused) => Err(refused),
    }
}

/// Retires a key at once: every token it signed is refused. Another signs from now on.
///
/// # Errors
/// See [`KeyRefused`].
pub async fn revoke(door: &Door, id: SigningKeyId, by: By) -> Result<(), KeyRefused> {
    let mut tx = door.postgres.begin().await?;
    signing::lock(&mut tx).await?;
    if !signing::retire(&mut tx, id, by.now).await? {
        return Err(KeyRefused::NoKey);
    }
    record(&mut tx, "signing_key.revoke", id, by).await?;
    let left = signing::live_keys(&mut tx, by.now).await?;
    if !left.iter().any(|key| key.signs_from <= by.now) {
        add(door, &mut tx, by.now, by).await?;
    }
    tx.commit().await.map_err(StoreError::from)?;
    Ok(())
}

async fn add(
    door: &Door,
    conn: &mut Conn,
    signs_from: Moment,
    by: By,
) -> Result<KeptKey, KeyRefused> {
    let key = KeptKey::make(&door.vault, by.now, signs_from)?;
    signing::insert(conn, &key).await?;
    record(conn, "signing_key.create", key.id, by).await?;
    Ok(key)
}

async fn record(
    conn: &mut Conn,
    action: &'static str,
    id: SigningKeyId,
    by: By,
) -> Result<(), StoreError> {
    let event = Event {
        action,
        target_kind: "signing_key",
        target_id: Some(id.uuid()),
        details: json!({}),
    };
    audit::store::record(conn, by, &event).await
}
