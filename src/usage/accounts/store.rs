//! The doors to the ledger: its accounts, its faults, and giving money back.

use crate::{
    base::{Moment, NanoUsd, OrganizationId, RequestId},
    store::{Conn, StoreError},
};

/// Takes the lock that lets one process at a time look for faults; says whether it was free.
pub(super) async fn is_first(conn: &mut Conn) -> Result<bool, StoreError> {
    let is_first = sqlx::query_scalar!(
        r#"select pg_try_advisory_xact_lock(hashtext('synaxis ledger faults')) as "is_first!""#
    )
    .fetch_one(conn)
    .await?;
    Ok(is_first)
}

/// Takes up to `batch` movements into the accounts; returns how many there were. None while another does it.
///
/// # Errors
/// When Postgres does not answer.
pub async fn fold(conn: &mut Conn, batch: i32) -> Result<i32, StoreError> {
    let taken = sqlx::query_scalar!(r#"select operations.fold_ledger($1) as "taken!""#, batch)
        .fetch_one(conn)
        .await?;
    Ok(taken)
}

/// Returns how many faults the ledger has in a stretch of time.
///
/// # Errors
/// When Postgres does not answer.
pub async fn faults(conn: &mut Conn, from: Moment, to: Moment) -> Result<u64, StoreError> {
    let faults = sqlx::query_scalar!(
        r#"select count(*) as "faults!" from operations.ledger_faults($1, $2)"#,
        from.utc(),
        to.utc(),
    )
    .fetch_one(conn)
    .await?;
    Ok(u64::try_from(faults).unwrap_or_default())
}

/// Returns how many accounts say something else than their postings on the whole days within a stretch of time.
/// Inside a transaction: it may take minutes.
///
/// # Errors
/// When Postgres does not answer.
pub(super) async fn account_faults(
    tx: &mut Conn,
    from: Moment,
    to: Moment,
) -> Result<u64, StoreError> {
    sqlx::query!("select set_config('statement_timeout', '10min', true)")
        .fetch_one(&mut *tx)
        .await?;
    let faults = sqlx::query_scalar!(
        r#"select count(*) as "faults!" from operations.account_faults($1, $2)"#,
        from.utc(),
        to.utc(),
    )
    .fetch_one(tx)
    .await?;
    Ok(u64::try_from(faults).unwrap_or_default())
}

/// What a refund came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refund {
    /// What was given back now; `None` when more was asked for than is left, or nothing is.
    pub given: Option<NanoUsd>,
    /// What was given back of this call in all.
    pub refunded: NanoUsd,
    /// What of its cost is left.
    pub remaining: NanoUsd,
}

/// Gives back a part of what a call was charged, or all that is left of it; `None` when there is no such call.
///
/// # Errors
/// When Postgres does not answer.
pub async fn refund(
    conn: &mut Conn,
    organization: OrganizationId,
    call: RequestId,
    amount: Option<NanoUsd>,
) -> Result<Option<Refund>, StoreError> {
    let row = sqlx::query!(
        r#"select given as "given?", refunded as "refunded!", remaining as "remaining!"
        from operations.refund($1, $2, $3)"#,
        organization.uuid(),
        call.uuid(),
        amount.map(NanoUsd::column),
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| Refund {
        given: row.given.map(NanoUsd::from_column),
        refunded: NanoUsd::from_column(row.refunded),
        remaining: NanoUsd::from_column(row.remaining),
    }))
}
