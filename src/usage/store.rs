//! The doors to the books: booking entries, and making room for the months to come.

use super::rows::Part;
use crate::store::{Conn, StoreError};

/// How many months are made ahead of time.
const MONTHS_AHEAD: i32 = 3;

/// Why entries were not booked.
#[derive(Debug, thiserror::Error)]
pub enum NotBooked {
    /// One of the entries can never be booked.
    #[error("the books refuse an entry")]
    Refused(#[source] StoreError),
    /// They were too many for the time a statement may take.
    #[error("booking took too long")]
    TooSlow(#[source] StoreError),
    /// Nothing is wrong with the entries: they must be sent again.
    #[error("the books are away")]
    Away(#[source] StoreError),
}

/// Books rows, each exactly once however often it is sent; returns how many were added or replaced.
///
/// # Errors
/// When none of them was booked.
pub async fn ingest(conn: &mut Conn, rows: Part<'_>) -> Result<i32, NotBooked> {
    sqlx::query_scalar!(
        r#"select operations.ingest(('[' || $1::text || ']')::json) as "moved!""#,
        rows.text()
    )
    .fetch_one(conn)
    .await
    .map_err(judge)
}

/// Makes this month and the next ones in the books, when they are not there.
///
/// # Errors
/// When Postgres is away.
pub async fn ensure_partitions(conn: &mut Conn) -> Result<(), StoreError> {
    sqlx::query!(
        "select operations.ensure_usage_partitions($1)",
        MONTHS_AHEAD
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Says whose fault it was that nothing was booked.
fn judge(error: sqlx::Error) -> NotBooked {
    let code = error
        .as_database_error()
        .and_then(|refused| refused.code())
        .unwrap_or_default()
        .into_owned();
    let error = StoreError::from(error);
    match code.get(..2) {
        // Bad data, a broken constraint, or more than Postgres can hold.
        Some("22" | "23" | "54") => NotBooked::Refused(error),
        _ if code == "57014" => NotBooked::TooSlow(error),
        _ => NotBooked::Away(error),
    }
}
