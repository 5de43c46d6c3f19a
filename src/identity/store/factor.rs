//! Second factors and recovery codes in the books.

use uuid::Uuid;

use crate::{
    base::{Moment, RequestId},
    identity::{opaque::Hash, totp::RecoveryCode},
    store::{
        Conn, PersonTx, StoreError,
        seal::{Place, Sealed},
    },
};

/// A person's second factor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Factor {
    /// Which one.
    pub id: Uuid,
    /// What it shares with the person's app.
    pub sealed: Sealed,
    /// When the first code was shown; until then it asks for nothing.
    pub confirmed_at: Option<Moment>,
}

/// Returns where a shared secret is sealed.
#[must_use]
pub fn place(id: Uuid) -> Place<'static> {
    Place {
        table: "identity.mfa_factors",
        row: id,
        organization: None,
        column: "sealed_secret",
        audience: "",
    }
}

/// Finds the person's second factor.
///
/// # Errors
/// When Postgres does not answer.
pub async fn find(tx: &mut PersonTx) -> Result<Option<Factor>, StoreError> {
    let person = tx.person().uuid();
    let row = sqlx::query!(
        "select id, sealing_key_id, sealed_key, sealed_secret, confirmed_at
         from identity.mfa_factors
         where user_id = $1 and deleted_at is null
         for update",
        person,
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(row.map(|row| Factor {
        id: row.id,
        sealed: Sealed {
            sealing_key_id: row.sealing_key_id,
            sealed_key: row.sealed_key,
            sealed_secret: row.sealed_secret,
        },
        confirmed_at: row.confirmed_at.map(Moment::from),
    }))
}

/// Writes a factor that is not confirmed yet.
///
/// # Errors
/// `mfa_factors_uq` when there is one.
pub async fn insert(
    tx: &mut PersonTx,
    id: Uuid,
    sealed: &Sealed,
    now: Moment,
) -> Result<(), StoreError> {
    let person = tx.person().uuid();
    sqlx::query!(
        "insert into identity.mfa_factors (id, user_id, sealing_key_id, sealed_key, sealed_secret, created_at)
         values ($1, $2, $3, $4, $5, $6)",
        id,
        person,
        sealed.sealing_key_id,
        sealed.sealed_key,
        sealed.sealed_secret,
        now.utc(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Takes a time step whose code was shown, once; says whether it was still to be had. The first confirms the factor.
///
/// # Errors
/// When Postgres does not answer.
pub async fn take_step(
    tx: &mut PersonTx,
    factor: Uuid,
    step: i64,
    now: Moment,
) -> Result<bool, StoreError> {
    let person = tx.person().uuid();
    let done = sqlx::query!(
        "update identity.mfa_factors
         set last_step = $3, confirmed_at = coalesce(confirmed_at, $4)
         where user_id = $1 and id = $2 and deleted_at is null and last_step < $3",
        person,
        factor,
        step,
        now.utc(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Takes the person's factor away.
///
/// # Errors
/// When Postgres does not answer.
pub async fn remove(tx: &mut PersonTx, now: Moment) -> Result<(), StoreError> {
    let person = tx.person().uuid();
    sqlx::query!(
        "update identity.mfa_factors set deleted_at = $2 where user_id = $1 and deleted_at is null",
        person,
        now.utc(),
    )
    .execute(&mut **tx)
    .await?;
    remove_codes(tx).await
}

async fn remove_codes(tx: &mut PersonTx) -> Result<(), StoreError> {
    let person = tx.person().uuid();
    sqlx::query!(
        "delete from identity.recovery_codes where user_id = $1",
        person
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Writes a new set of recovery codes; those before no longer count.
///
/// # Errors
/// When Postgres does not answer.
pub async fn replace_codes(
    tx: &mut PersonTx,
    codes: &[RecoveryCode],
    now: Moment,
) -> Result<(), StoreError> {
    remove_codes(tx).await?;
    let person = tx.person().uuid();
    let ids: Vec<Uuid> = codes.iter().map(|_| RequestId::new(now).uuid()).collect();
    let hashes: Vec<Vec<u8>> = codes.iter().map(|code| code.hash.to_vec()).collect();
    sqlx::query!(
        "insert into identity.recovery_codes (id, user_id, code_hash, created_at)
         select code.id, $1, code.hash, $4
         from unnest($2::uuid[], $3::bytea[]) code (id, hash)",
        person,
        &ids,
        &hashes,
        now.utc(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Spends a recovery code, once; says whether there was one to spend.
///
/// # Errors
/// When Postgres does not answer.
pub async fn spend_code(tx: &mut PersonTx, code: Hash, now: Moment) -> Result<bool, StoreError> {
    let person = tx.person().uuid();
    let done = sqlx::query!(
        "update identity.recovery_codes
         set used_at = $3
         where user_id = $1 and code_hash = $2 and used_at is null",
        person,
        code.as_slice(),
        now.utc(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Counts the recovery codes that are left.
///
/// # Errors
/// When Postgres does not answer.
pub async fn codes_left(tx: &mut PersonTx) -> Result<i64, StoreError> {
    let person = tx.person().uuid();
    let left = sqlx::query_scalar!(
        r#"select count(*) as "left!" from identity.recovery_codes where user_id = $1 and used_at is null"#,
        person,
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(left)
}

/// Takes a batch of second factors that `current` does not seal, whoever they belong to, until the transaction ends.
///
/// # Errors
/// When Postgres does not answer.
pub async fn to_rewrap(
    conn: &mut Conn,
    current: &str,
    batch: i32,
    after: Uuid,
) -> Result<Vec<(Uuid, Sealed)>, StoreError> {
    let rows = sqlx::query!(
        r#"select id as "id!", sealing_key_id as "sealing_key_id!", sealed_key as "sealed_key!",
               sealed_secret as "sealed_secret!"
           from identity.factors_to_rewrap($1, $2, $3)"#,
        current,
        batch,
        after,
    )
    .fetch_all(conn)
    .await?;
    let found = rows.into_iter().map(|row| {
        let sealed = Sealed {
            sealing_key_id: row.sealing_key_id,
            sealed_key: row.sealed_key,
            sealed_secret: row.sealed_secret,
        };
        (row.id, sealed)
    });
    Ok(found.collect())
}

/// Puts a second factor back as it was sealed anew.
///
/// # Errors
/// When Postgres does not answer.
pub async fn put_rewrapped(conn: &mut Conn, id: Uuid, sealed: &Sealed) -> Result<(), StoreError> {
    sqlx::query_scalar!(
        "select identity.rewrap_factor($1, $2, $3, $4)::text",
        id,
        sealed.sealing_key_id,
        sealed.sealed_key,
        sealed.sealed_secret,
    )
    .fetch_one(conn)
    .await?;
    Ok(())
}
