//! What agents read and forget that is no module's own.

use crate::store::{Conn, StoreError};

/// Forgets up to `batch` answers that nobody can ask for again; returns how many.
pub(super) async fn prune_idempotency_keys(tx: &mut Conn, batch: i32) -> Result<i32, StoreError> {
    let gone = sqlx::query_scalar!(
        r#"select operations.prune_idempotency_keys($1) as "gone!""#,
        batch
    )
    .fetch_one(tx)
    .await?;
    Ok(gone)
}
