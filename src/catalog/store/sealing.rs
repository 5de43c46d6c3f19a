//! Sealing keys by their fingerprints, and what each of them seals, in the books.

use uuid::Uuid;

use super::credentials::{SealedCredential, pending};
use crate::{
    base::{Moment, OrganizationId},
    catalog::vault::Sealed,
    store::{Conn, StoreError},
};

/// A sealing key that was ever used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealingKeyRow {
    /// Its fingerprint.
    pub id: String,
    /// The how manieth it is.
    pub version: i32,
    /// How many secrets it seals.
    pub uses: i64,
    /// When it was first used.
    pub created_at: Moment,
    /// Since when nothing is sealed with it, for good.
    pub retired_at: Option<Moment>,
}

/// A provider's key that is to be sealed anew.
#[derive(Clone, Debug)]
pub struct Unwrapped {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub owner: Option<OrganizationId>,
    /// Where it may be sent.
    pub base_url: String,
    /// As it is sealed now.
    pub sealed: SealedCredential,
}

/// Makes a sealing key known; false when it was retired.
///
/// # Errors
/// When the books are away.
pub async fn know(conn: &mut Conn, id: &str) -> Result<bool, StoreError> {
    let may = sqlx::query_scalar!(r#"select platform.know_sealing_key($1) as "may!""#, id)
        .fetch_one(conn)
        .await?;
    Ok(may)
}

/// Takes a batch of what is not sealed with `current`; nobody else takes the same until the transaction ends.
///
/// # Errors
/// When the books are away.
pub async fn to_rewrap(
    conn: &mut Conn,
    current: &str,
    batch: i32,
    after: Uuid,
) -> Result<Vec<Unwrapped>, StoreError> {
    let rows = sqlx::query!(
        r#"
        select id as "id!", organization_id, base_url as "base_url!", sealing_key_id as "sealing_key_id!",
            sealed_key as "sealed_key!", sealed_secret as "sealed_secret!", pending_sealing_key_id, pending_sealed_key,
            pending_sealed_secret
        from platform.credentials_to_rewrap($1, $2, $3)
        "#,
        current,
        batch,
        after,
    )
    .fetch_all(conn)
    .await?;
    let all = rows.into_iter().map(|row| Unwrapped {
        id: row.id,
        owner: row.organization_id.map(OrganizationId),
        base_url: row.base_url,
        sealed: SealedCredential {
            current: Sealed {
                sealing_key_id: row.sealing_key_id,
                sealed_key: row.sealed_key,
                sealed_secret: row.sealed_secret,
            },
            pending: pending(
                row.pending_sealing_key_id,
                row.pending_sealed_key,
                row.pending_sealed_secret,
            ),
        },
    });
    Ok(all.collect())
}

/// Puts a key back as it was sealed anew.
///
/// # Errors
/// When the books refuse or are away.
pub async fn put_rewrapped(
    conn: &mut Conn,
    id: Uuid,
    sealed: &SealedCredential,
) -> Result<(), StoreError> {
    let pending = sealed.pending.as_ref();
    sqlx::query_scalar!(
        r#"select platform.rewrap_credential($1, $2, $3, $4, $5, $6, $7)::text"#,
        id,
        sealed.current.sealing_key_id,
        sealed.current.sealed_key,
        sealed.current.sealed_secret,
        pending.map(|one| one.sealing_key_id.as_str()),
        pending.map(|one| one.sealed_key.as_slice()),
        pending.map(|one| one.sealed_secret.as_slice()),
    )
    .fetch_one(conn)
    .await?;
    Ok(())
}

/// Retires every key but `current` that seals nothing any more; returns those it retired.
///
/// # Errors
/// When the books refuse or are away.
pub async fn retire_unused(conn: &mut Conn, current: &str) -> Result<Vec<String>, StoreError> {
    let retired = sqlx::query_scalar!(
        r#"select platform.retire_sealing_keys($1) as "id!""#,
        current
    )
    .fetch_all(conn)
    .await?;
    Ok(retired)
}

/// Returns every sealing key that was ever used, the newest first.
///
/// # Errors
/// When the books are away.
pub async fn list(conn: &mut Conn) -> Result<Vec<SealingKeyRow>, StoreError> {
    let rows = sqlx::query!(
        r#"
        select s.id, s.version, s.created_at, s.retired_at, coalesce(u.uses, 0) as "uses!"
        from platform.sealing_keys s
        left join platform.sealing_key_uses() u on u.id = s.id
        order by s.version desc
        "#,
    )
    .fetch_all(conn)
    .await?;
    let keys = rows.into_iter().map(|row| SealingKeyRow {
        id: row.id,
        version: row.version,
        uses: row.uses,
        created_at: Moment::from(row.created_at),
        retired_at: row.retired_at.map(Moment::from),
    });
    Ok(keys.collect())
}

/// Returns the signing keys that still verify and are not sealed with `current`.
///
/// # Errors
/// When the books are away.
pub async fn signing_keys(
    conn: &mut Conn,
    current: &str,
) -> Result<Vec<(Uuid, Sealed)>, StoreError> {
    let rows = sqlx::query!(
        "
        select id, sealing_key_id, sealed_key, sealed_secret
        from platform.signing_keys
        where sealing_key_id <> $1 and (retires_at is null or now() < retires_at)
        ",
        current,
    )
    .fetch_all(conn)
    .await?;
    let keys = rows.into_iter().map(|row| {
        let sealed = Sealed {
            sealing_key_id: row.sealing_key_id,
            sealed_key: row.sealed_key,
            sealed_secret: row.sealed_secret,
        };
        (row.id, sealed)
    });
    Ok(keys.collect())
}

/// Puts a signing key back as it was sealed anew.
///
/// # Errors
/// When the books refuse or are away.
pub async fn put_signing_key(conn: &mut Conn, id: Uuid, sealed: &Sealed) -> Result<(), StoreError> {
    sqlx::query_scalar!(
        "select platform.rewrap_signing_key($1, $2, $3, $4)::text",
        id,
        sealed.sealing_key_id,
        sealed.sealed_key,
        sealed.sealed_secret,
    )
    .fetch_one(conn)
    .await?;
    Ok(())
}
