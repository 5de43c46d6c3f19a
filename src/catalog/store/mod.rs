//! Changes the catalog in the books, and takes the snapshot out of them.
//!
//! Whose rows may be changed is the transaction's; statements name the owner as well, because an organization's
//! transaction also sees what the platform shares.

pub mod access;
pub mod aliases;
pub mod allowances;
pub mod credentials;
pub mod models;
pub mod offers;
pub mod price_books;
pub mod prices;
pub mod providers;
pub mod quarantine;
pub mod sealing;
pub mod substitutes;

use crate::store::{Conn, OwnerTx, StoreError};

/// Waits until nobody else changes this owner's catalog; the transaction's end lets the next one in.
///
/// # Errors
/// When the books are away.
pub async fn wait_for_others(tx: &mut OwnerTx) -> Result<(), StoreError> {
    let owner = tx.owner().map(|id| id.to_string()).unwrap_or_default();
    sqlx::query_scalar!(
        r#"select pg_advisory_xact_lock(hashtextextended('synaxis catalog ' || $1, 0))::text"#,
        owner
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(())
}

/// Returns everything the data path reads, at one instant, unread: the catalog and what is wanted of it.
///
/// # Errors
/// When the books are away.
pub async fn snapshot(conn: &mut Conn) -> Result<String, StoreError> {
    let text = sqlx::query_scalar!(
        r#"select (platform.snapshot() || operations.routing_snapshot())::text as "text!""#
    )
    .fetch_one(conn)
    .await?;
    Ok(text)
}
