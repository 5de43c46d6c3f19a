//! Keeps the coarse roll-ups up to date, and looks whether all of them say the same as the entries.

pub mod store;

use std::{future::Future, pin::pin, time::Duration};

use crate::{
    base::{Clock, Moment},
    store::{Postgres, StoreError},
};

/// How long movements gather before they are taken in.
const EVERY: Duration = Duration::from_secs(2);
/// How many are taken in at once.
const BATCH: i32 = 10_000;
/// How often the roll-ups are compared with what they were made of.
const COMPARED_EVERY: Duration = Duration::from_secs(300);
/// How far back; further back nothing moves any more.
const COMPARED: Duration = Duration::from_secs(2 * 60 * 60);

/// What a comparison found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// When it was made.
    pub at: Moment,
    /// How many rows say something else. Each is a bug.
    pub faults: u64,
}

/// Takes movements in until `shutdown` ends; tells `compared` what each comparison found.
///
/// Several may run at once: the books let one of them work at a time.
pub async fn keep(
    postgres: Postgres,
    clock: Clock,
    compared: impl Fn(Comparison) + Send,
    shutdown: impl Future<Output = ()> + Send,
) {
    let mut shutdown = pin!(shutdown);
    let mut compare_at = clock.now();
    loop {
        if let Err(error) = fold(&postgres).await {
            tracing::warn!(%error, "the roll-ups could not be moved; reports add what waits");
        }
        let now = clock.now();
        if compare_at <= now {
            compare_at = now.plus(COMPARED_EVERY);
            match compare(&postgres, now).await {
                Ok(comparison) => compared(comparison),
                Err(error) => tracing::warn!(%error, "the roll-ups could not be compared"),
            }
        }
        tokio::select! {
            () = &mut shutdown => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// Takes in everything that waits.
///
/// # Errors
/// When Postgres does not answer.
pub async fn fold(postgres: &Postgres) -> Result<(), StoreError> {
    loop {
        let mut tx = postgres.begin().await?;
        let taken = store::fold(&mut tx, BATCH).await?;
        tx.commit().await.map_err(StoreError::from)?;
        if taken < BATCH {
            return Ok(());
        }
    }
}

/// Compares the roll-ups of the last hours with the entries.
///
/// # Errors
/// When Postgres does not answer.
pub async fn compare(postgres: &Postgres, now: Moment) -> Result<Comparison, StoreError> {
    let mut conn = postgres.acquire().await?;
    let faults = store::faults(&mut conn, now.minus(COMPARED), now).await?;
    if faults != 0 {
        tracing::error!(faults, "a roll-up says something else than its entries");
    }
    Ok(Comparison { at: now, faults })
}
