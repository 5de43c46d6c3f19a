//! Keeps the books: months, what has run out, and whether everything adds up.

use std::time::Duration;

use serde::Serialize;

use crate::{
    agents::{Fault, Mode, Waking},
    control::{
        identity::upkeep,
        retention::{self, Keeper},
    },
    store::StoreError,
    tenancy::Permission,
    usage::{accounts, rollup},
};

/// Idempotency keys that go in one transaction.
const BATCH: i32 = 1_000;
/// How far back money is held against entries: further back it was looked at in time.
const CHECKED: Duration = Duration::from_secs(2 * 60 * 60);

/// What does not add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Faults {
    /// Rows of roll-ups that say something else than their entries.
    pub roll_ups: u64,
    /// Calls whose money does not add up.
    pub ledger: u64,
}

/// Makes months ahead and lets go what is past its retention; `None` in a dry run, or while another process is at it.
/// The keeper writes the audit entry.
///
/// # Errors
/// When it is not permitted, or the books do not answer.
pub async fn keep_retention(
    waking: &Waking,
    settings: &retention::Settings,
) -> Result<Option<retention::Report>, Fault> {
    if waking.permit(Permission::AuditRead)? == Mode::Dry {
        return Ok(None);
    }
    let keeper = Keeper {
        postgres: waking.postgres.clone(),
        clock: waking.clock.clone(),
        settings: settings.clone(),
    };
    Ok(keeper.round().await?)
}

/// Forgets tokens, sessions and sign-in attempts that have run out; returns how many rows.
///
/// # Errors
/// When it is not permitted, or the books do not answer.
pub async fn forget_people(waking: &Waking, attempts_kept: Duration) -> Result<i64, Fault> {
    if waking.permit(Permission::SecurityRead)? == Mode::Dry {
        return Ok(0);
    }
    Ok(upkeep::prune(&waking.postgres, waking.now, attempts_kept).await?)
}

/// Forgets answers kept for requests that nobody repeats any more; returns how many.
///
/// # Errors
/// When it is not permitted, or the books do not answer.
pub async fn forget_answers(waking: &Waking) -> Result<i64, Fault> {
    if waking.permit(Permission::SecurityRead)? == Mode::Dry {
        return Ok(0);
    }
    let mut forgotten = 0;
    loop {
        let mut tx = waking.postgres.begin().await?;
        let batch = super::super::store::prune_idempotency_keys(&mut tx, BATCH).await?;
        tx.commit().await.map_err(StoreError::from)?;
        forgotten += i64::from(batch);
        if batch < BATCH {
            return Ok(forgotten);
        }
    }
}

/// Brings roll-ups and accounts up to date, and holds both against the calls they were made of.
///
/// # Errors
/// When it is not permitted, or the books do not answer.
pub async fn add_up(waking: &Waking) -> Result<Faults, Fault> {
    let postgres = &waking.postgres;
    if waking.permit(Permission::UsageRead)? == Mode::Act {
        rollup::fold(postgres).await?;
        accounts::fold(postgres).await?;
    }
    let compared = rollup::compare(postgres, waking.now).await?;
    let ledger = accounts::faults(postgres, waking.now.minus(CHECKED), waking.now).await?;
    Ok(Faults {
        roll_ups: compared.faults,
        ledger,
    })
}
