//! Signing keys in the books.

use crate::{
    base::{Moment, SigningKeyId},
    identity::signing::KeptKey,
    store::{Conn, StoreError, seal::Sealed},
};

/// Returns every key that is not retired at `now`, oldest first.
///
/// # Errors
/// When Postgres does not answer.
pub async fn live_keys(conn: &mut Conn, now: Moment) -> Result<Vec<KeptKey>, StoreError> {
    let rows = sqlx::query!(
        "select id, public_key, sealing_key_id, sealed_key, sealed_secret, signs_from, retires_at, created_at
         from platform.signing_keys
         where retires_at is null or retires_at > $1
         order by signs_from, id",
        now.utc(),
    )
    .fetch_all(conn)
    .await?;
    let keys = rows.into_iter().filter_map(|row| {
        Some(KeptKey {
            id: row.id.into(),
            public_key: row.public_key.try_into().ok()?,
            sealed: Sealed {
                sealing_key_id: row.sealing_key_id,
                sealed_key: row.sealed_key,
                sealed_secret: row.sealed_secret,
            },
            signs_from: row.signs_from.into(),
            retires_at: row.retires_at.map(Moment::from),
            created_at: row.created_at.into(),
        })
    });
    Ok(keys.collect())
}

/// Lets one process after the other look at the keys and change them, until it commits.
///
/// # Errors
/// When Postgres does not answer.
pub async fn lock(conn: &mut Conn) -> Result<(), StoreError> {
    sqlx::query!("select pg_advisory_xact_lock(hashtext('synaxis signing keys'))")
        .fetch_one(conn)
        .await?;
    Ok(())
}

/// Writes a key.
///
/// # Errors
/// When Postgres does not answer.
pub async fn insert(conn: &mut Conn, key: &KeptKey) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into platform.signing_keys
             (id, public_key, sealing_key_id, sealed_key, sealed_secret, signs_from, created_at)
         values ($1, $2, $3, $4, $5, $6, $7)",
        key.id.uuid(),
        key.public_key.as_slice(),
        key.sealed.sealing_key_id,
        key.sealed.sealed_key,
        key.sealed.sealed_secret,
        key.signs_from.utc(),
        key.created_at.utc(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Lets a key verify until `at` and no longer; says whether there was such a key to retire.
///
/// # Errors
/// When Postgres does not answer.
pub async fn retire(conn: &mut Conn, id: SigningKeyId, at: Moment) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        "update platform.signing_keys
         set retires_at = $2
         where id = $1 and (retires_at is null or retires_at > $2)",
        id.uuid(),
        at.utc(),
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() > 0)
}
