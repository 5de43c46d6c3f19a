//! The doors to the roll-ups: moving them, and comparing them.

use crate::{
    base::Moment,
    store::{Conn, StoreError},
    usage::report::Period,
};

/// Takes up to `batch` movements in; returns how many there were. None while another does it.
///
/// # Errors
/// When Postgres does not answer.
pub async fn fold(conn: &mut Conn, batch: i32) -> Result<i32, StoreError> {
    let taken = sqlx::query_scalar!(r#"select operations.fold_usage($1) as "taken!""#, batch)
        .fetch_one(conn)
        .await?;
    Ok(taken)
}

/// Returns how many rows of the roll-ups of some whole hours say something else than what they were made of.
///
/// # Errors
/// When Postgres does not answer.
pub async fn faults(conn: &mut Conn, from: Moment, to: Moment) -> Result<u64, StoreError> {
    let Period { from, to } = Period::around(from, to);
    let faults = sqlx::query_scalar!(
        r#"select count(*) as "faults!" from operations.usage_faults($1, $2)"#,
        from.utc(),
        to.utc(),
    )
    .fetch_one(conn)
    .await?;
    Ok(u64::try_from(faults).unwrap_or_default())
}

/// Returns how many movements wait to be taken in.
///
/// # Errors
/// When Postgres does not answer.
pub async fn waiting(conn: &mut Conn) -> Result<u64, StoreError> {
    let waiting = sqlx::query_scalar!(r#"select operations.waiting_moves() as "waiting!""#)
        .fetch_one(conn)
        .await?;
    Ok(u64::try_from(waiting).unwrap_or_default())
}
