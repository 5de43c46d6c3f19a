//! Double entry: keeps the accounts up to date, and looks whether every call's money adds up.
//!
//! Every sidecar does this; the books let one of them work at a time.

pub mod store;

use std::{future::Future, pin::pin, time::Duration};

use crate::{
    base::{Clock, Moment},
    store::{Postgres, StoreError},
};

/// How long movements gather before the accounts take them in.
const EVERY: Duration = Duration::from_secs(2);
/// How many are taken in at once.
const BATCH: i32 = 10_000;
/// How often calls are held against what they posted.
const CHECKED_EVERY: Duration = Duration::from_secs(300);
/// How far back; the day before is looked at once, when it is over.
const CHECKED: Duration = Duration::from_secs(2 * 60 * 60);
/// How much is looked at in one statement.
const STEP: Duration = Duration::from_secs(300);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long after its end a day is looked at as a whole: late calls have come by then.
const LATE: Duration = Duration::from_secs(15 * 60);

/// Takes movements in until `shutdown` ends; tells `checked` how many faults each check found.
pub async fn keep(
    postgres: Postgres,
    clock: Clock,
    checked: impl Fn(u64) + Send,
    shutdown: impl Future<Output = ()> + Send,
) {
    let mut shutdown = pin!(shutdown);
    let mut check_at = clock.now();
    let mut day = None;
    loop {
        if let Err(error) = fold(&postgres).await {
            tracing::warn!(%error, "the accounts could not take movements in");
        }
        let now = clock.now();
        if check_at <= now {
            check_at = now.plus(CHECKED_EVERY);
            match check(&postgres, now, &mut day).await {
                Ok(faults) => checked(faults),
                Err(error) => tracing::warn!(%error, "the ledger could not be checked"),
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

/// Looks at the last hours, and once at each day that is over; none while another process is at it. `day` is the last
/// day that was looked at.
async fn check(
    postgres: &Postgres,
    now: Moment,
    day: &mut Option<Moment>,
) -> Result<u64, StoreError> {
    // Held by an open transaction: it ends with the connection, whatever becomes of us.
    let mut lock = postgres.begin().await?;
    if !store::is_first(&mut lock).await? {
        return Ok(0);
    }
    let mut faults = faults(postgres, now.minus(CHECKED), now).await?;
    let over = midnight(now.minus(DAY + LATE));
    if *day != Some(over) {
        faults += self::faults(postgres, over, over.plus(DAY)).await?;
        let mut tx = postgres.begin().await?;
        faults += store::account_faults(&mut tx, over, over.plus(DAY)).await?;
        *day = Some(over);
    }
    if faults != 0 {
        tracing::error!(faults, "the ledger does not add up");
    }
    Ok(faults)
}

/// Returns how many faults the ledger has in a stretch of time, looking at a little of it at once.
///
/// # Errors
/// When Postgres does not answer.
pub async fn faults(postgres: &Postgres, from: Moment, to: Moment) -> Result<u64, StoreError> {
    let mut faults = 0;
    let mut begins = from;
    while begins < to {
        let ends = begins.plus(STEP).min(to);
        faults += store::faults(&mut *postgres.acquire().await?, begins, ends).await?;
        begins = ends;
    }
    Ok(faults)
}

/// Returns when the day (UTC) of a moment began.
fn midnight(moment: Moment) -> Moment {
    let day = i64::try_from(DAY.as_millis()).unwrap_or(i64::MAX);
    Moment::from_millis(moment.millis() - moment.millis().rem_euclid(day))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_at_midnight() {
        let midnight_of = |text: &str| {
            let moment: chrono::DateTime<chrono::Utc> = text.parse().unwrap();
            midnight(moment.into()).utc().to_rfc3339()
        };

        assert_eq!(
            midnight_of("2026-11-23T23:59:59.999Z"),
            "2026-11-23T00:00:00+00:00"
        );
        assert_eq!(
            midnight_of("2026-11-23T00:00:00Z"),
            "2026-11-23T00:00:00+00:00"
        );
        assert_eq!(
            midnight_of("1969-12-31T12:00:00Z"),
            "1969-12-31T00:00:00+00:00"
        );
    }
}
