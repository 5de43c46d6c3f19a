//! What the door does by itself: follows the signing keys and replaces them. What has run out is forgotten on demand.

use std::time::Duration;

use super::{Door, signing_keys};
use crate::{
    audit::{Actor, By},
    base::{Moment, tasks::Tasks},
    identity::store::person,
    store::{Postgres, StoreError},
};

/// How often the keys are read: how long a key that was revoked elsewhere may still verify here.
const BEAT: Duration = Duration::from_secs(5);
/// How many beats pass between two looks at what is due; each look is cheap, what it does is done once a day.
const BEATS_PER_LOOK: u32 = 720;

/// Begins to keep the door, until the process ends.
pub fn start(door: Door, tasks: &Tasks) {
    tasks.spawn("identity upkeep", async move {
        let mut beats = 0_u32;
        loop {
            let is_kept = beat(&door).await;
            if is_kept && beats.is_multiple_of(BEATS_PER_LOOK) {
                look(&door).await;
            }
            if is_kept {
                beats = beats.wrapping_add(1);
            }
            tokio::time::sleep(BEAT).await;
        }
    });
}

/// Reads the keys, and makes the first; says whether the books answered.
async fn beat(door: &Door) -> bool {
    if let Err(error) = door.signer.reload().await {
        tracing::warn!(%error, "the signing keys cannot be read");
        return false;
    }
    if door.signer.signing_key().is_some() {
        return true;
    }
    match signing_keys::ensure(door, by_itself(door.clock.now())).await {
        Ok(_) => door.signer.reload().await.is_ok(),
        Err(error) => {
            tracing::error!(%error, "there is no signing key, and none could be made");
            false
        }
    }
}

async fn look(door: &Door) {
    let now = door.clock.now();
    match signing_keys::rotate_if_due(door, by_itself(now)).await {
        Ok(true) => tracing::info!("the next signing key is published"),
        Ok(false) => {}
        Err(error) => tracing::error!(%error, "the signing key could not be replaced"),
    }
}

/// Forgets what has run out: tokens, sessions, attempts to sign in; returns how many rows.
///
/// # Errors
/// When the books do not answer.
pub async fn prune(
    postgres: &Postgres,
    now: Moment,
    attempts_kept: Duration,
) -> Result<i64, StoreError> {
    let mut tx = postgres.begin().await?;
    let rows = person::prune(&mut tx, now, now.minus(attempts_kept)).await?;
    tx.commit().await.map_err(StoreError::from)?;
    Ok(rows)
}

fn by_itself(now: Moment) -> By {
    By::new(Actor::System, now)
}
