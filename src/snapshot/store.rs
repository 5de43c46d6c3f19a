//! The one question to the books a snapshot is built from.

use crate::store::{Conn, StoreError};

/// Returns the whole catalog as JSON text, its secrets sealed.
pub(super) async fn read(conn: &mut Conn) -> Result<String, StoreError> {
    let text = sqlx::query_scalar!(r#"select platform.snapshot()::text as "snapshot!""#)
        .fetch_one(conn)
        .await?;
    Ok(text)
}
