//! Switches of the platform, as they are kept.

use crate::{
    base::Moment,
    control::enforcement::Enforcement,
    store::{Conn, StoreError},
};

/// Returns how the switch of all limits stands.
///
/// # Errors
/// When the books do not answer.
pub async fn enforcement(conn: &mut Conn) -> Result<Enforcement, StoreError> {
    let row = sqlx::query!("select is_on, updated_at from platform.switches where name = 'limits'")
        .fetch_one(conn)
        .await?;
    Ok(Enforcement {
        is_on: row.is_on,
        updated_at: row.updated_at.into(),
    })
}

/// Turns the switch of all limits; returns since when it stands so.
///
/// # Errors
/// When the books do not answer.
pub async fn enforce(conn: &mut Conn, is_on: bool) -> Result<Moment, StoreError> {
    let updated_at = sqlx::query_scalar!(
        "update platform.switches set is_on = $1 where name = 'limits' returning updated_at",
        is_on
    )
    .fetch_one(conn)
    .await?;
    Ok(updated_at.into())
}
