//! What the layers around every handler keep in the books: idempotency keys, tries, tenants' origins.

use std::time::Duration;

use uuid::Uuid;

use crate::{
    base::OrganizationId,
    store::{Conn, Postgres, Scope, StoreError, seal::Sealed},
};

/// A keyed digest, as the books keep it.
pub(super) type Digest = [u8; 32];

/// What became of an idempotency key that was claimed.
#[derive(Debug)]
pub(super) enum Claimed {
    /// It is the claimant's: the request is to be done.
    Mine,
    /// Another request with it is at work.
    Busy,
    /// It came with another request before.
    Other,
    /// The request was done: its answer, sealed under this row.
    Kept(Uuid, Sealed),
}

/// A request that wants to be done once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim<'a> {
    pub(super) id: Uuid,
    pub(super) caller: &'a Digest,
    pub(super) key: &'a str,
    pub(super) fingerprint: &'a Digest,
    /// How long it may be at work before it counts as lost.
    pub(super) hold: Duration,
    /// How long its answer is kept.
    pub(super) keep: Duration,
}

pub(super) async fn claim(conn: &mut Conn, claim: &Claim<'_>) -> Result<Claimed, StoreError> {
    let row = sqlx::query!(
        r#"select outcome as "outcome!", kept_id, sealing_key_id, sealed_key, sealed_answer
           from operations.claim_idempotency_key($1, $2, $3, $4, $5::bigint * interval '1 millisecond',
               $6::bigint * interval '1 millisecond')"#,
        claim.id,
        &claim.caller[..],
        claim.key,
        &claim.fingerprint[..],
        millis(claim.hold),
        millis(claim.keep),
    )
    .fetch_one(conn)
    .await?;
    let sealed = match (row.sealing_key_id, row.sealed_key, row.sealed_answer) {
        (Some(sealing_key_id), Some(sealed_key), Some(sealed_secret)) => Some(Sealed {
            sealing_key_id,
            sealed_key,
            sealed_secret,
        }),
        _ => None,
    };
    Ok(match (row.outcome.as_str(), row.kept_id, sealed) {
        ("mine", ..) => Claimed::Mine,
        ("other", ..) => Claimed::Other,
        ("kept", Some(id), Some(sealed)) => Claimed::Kept(id, sealed),
        _ => Claimed::Busy,
    })
}

pub(super) async fn keep_answer(
    conn: &mut Conn,
    id: Uuid,
    sealed: &Sealed,
) -> Result<(), StoreError> {
    sqlx::query!(
        "select operations.keep_idempotent_answer($1, $2, $3, $4)",
        id,
        sealed.sealing_key_id,
        sealed.sealed_key,
        sealed.sealed_secret,
    )
    .fetch_one(conn)
    .await?;
    Ok(())
}

pub(super) async fn release(conn: &mut Conn, id: Uuid) -> Result<(), StoreError> {
    sqlx::query!("select operations.release_idempotency_key($1)", id)
        .fetch_one(conn)
        .await?;
    Ok(())
}

/// Counts a try; returns how long to wait when it is one too many.
pub(super) async fn count_try(
    conn: &mut Conn,
    subject: &Digest,
    pace: Duration,
    burst: u32,
) -> Result<Option<Duration>, StoreError> {
    let wait_ms = sqlx::query_scalar!(
        "select (extract(epoch from operations.count_try($1, $2::bigint * interval '1 millisecond', $3)) * 1000)::bigint",
        &subject[..],
        millis(pace),
        i32::try_from(burst).unwrap_or(i32::MAX),
    )
    .fetch_one(conn)
    .await?;
    Ok(wait_ms.map(|wait_ms| Duration::from_millis(u64::try_from(wait_ms).unwrap_or_default())))
}

/// Returns the origins from which an organization lets browsers read; none when there is no such organization.
pub(super) async fn allowed_origins(
    postgres: &Postgres,
    organization: OrganizationId,
) -> Result<Vec<String>, StoreError> {
    let mut tx = postgres.begin_for(Scope::of(organization)).await?;
    let origins = sqlx::query_scalar!(
        "select s.allowed_origins
         from identity.organization_settings s
         join identity.organizations o on o.id = s.organization_id
         where s.organization_id = $1 and o.deleted_at is null",
        organization.uuid(),
    )
    .fetch_optional(&mut *tx)
    .await?;
    Ok(origins.unwrap_or_default())
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
