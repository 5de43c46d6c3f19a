//! Those who registered with an address that nobody has proved yet, in the books.

use crate::{
    base::{Moment, RequestId, Secret},
    store::{PersonTx, StoreError},
};

/// Adds somebody who registers with the address of the transaction's person, of whom the newest `most` are kept; the
/// account itself has no password then, until somebody proves the address.
///
/// # Errors
/// When Postgres does not answer.
pub async fn add(
    tx: &mut PersonTx,
    hash: &Secret,
    most: i32,
    now: Moment,
) -> Result<(), StoreError> {
    let id = tx.person().uuid();
    sqlx::query!(
        "select identity.register_again($1, $2, $3, $4)",
        RequestId::new(now).uuid(),
        id,
        hash.expose(),
        most,
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(())
}

/// Returns the hashes of their passwords, the newest first; none while there was only one registration.
///
/// # Errors
/// When Postgres does not answer.
pub async fn passwords(tx: &mut PersonTx) -> Result<Vec<Secret>, StoreError> {
    let id = tx.person().uuid();
    let rows = sqlx::query_scalar!(
        r#"select registered_passwords as "hash!" from identity.registered_passwords($1)"#,
        id,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows.into_iter().map(Secret::new).collect())
}

/// Gives the account the password of the one who proved the address.
///
/// # Errors
/// When Postgres does not answer.
pub async fn settle(tx: &mut PersonTx, hash: &Secret) -> Result<(), StoreError> {
    let id = tx.person().uuid();
    sqlx::query!(
        "select identity.settle_registration($1, $2)",
        id,
        hash.expose()
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(())
}
