//! People in the books: found before anybody is known, changed when they are.

use std::time::Duration;

use serde_json::Value;

use crate::{
    base::{Moment, OrganizationId, RequestId, Secret, UserId},
    identity::{Person, Standing, Terms, password, token},
    store::{Conn, PersonTx, StoreError},
};

/// Finds who has an e-mail address.
///
/// # Errors
/// When Postgres does not answer.
pub async fn find_by_email(conn: &mut Conn, email: &str) -> Result<Option<Person>, StoreError> {
    find(conn, Some(email), None).await
}

/// Finds somebody by id.
///
/// # Errors
/// When Postgres does not answer.
pub async fn find_by_id(conn: &mut Conn, id: UserId) -> Result<Option<Person>, StoreError> {
    find(conn, None, Some(id)).await
}

async fn find(
    conn: &mut Conn,
    email: Option<&str>,
    id: Option<UserId>,
) -> Result<Option<Person>, StoreError> {
    let row = sqlx::query!(
        r#"select id as "id!", email as "email!", display_name as "display_name!", password_hash, status as "status!",
                  token_version as "token_version!", is_platform_admin as "is_platform_admin!",
                  has_second_factor as "has_second_factor!"
           from identity.find_person($1, $2)"#,
        email,
        id.map(UserId::uuid),
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| Person {
        id: row.id.into(),
        email: row.email,
        display_name: row.display_name,
        password_hash: row.password_hash.map(Secret::new),
        standing: Standing::of(&row.status),
        token_version: row.token_version,
        is_platform_admin: row.is_platform_admin,
        has_second_factor: row.has_second_factor,
    }))
}

/// Returns what a person's organizations ask of their sign-in.
///
/// # Errors
/// When Postgres does not answer.
pub async fn terms(conn: &mut Conn, id: UserId) -> Result<Terms, StoreError> {
    let row = sqlx::query!(
        r#"select organizations as "organizations!", access_token_lifetime_s, password_min_length,
                  password_history as "password_history!", mfa_required as "mfa_required!"
           from identity.terms_of($1)"#,
        id.uuid(),
    )
    .fetch_one(conn)
    .await?;
    let lifetime = row
        .access_token_lifetime_s
        .and_then(|s| u64::try_from(s).ok());
    let shortest = row
        .password_min_length
        .and_then(|n| usize::try_from(n).ok());
    Ok(Terms {
        organizations: row.organizations.into_iter().map(OrganizationId).collect(),
        access_lifetime: lifetime.map_or(token::USUAL, Duration::from_secs),
        password_shortest: shortest.unwrap_or(password::SHORTEST),
        password_history: row.password_history,
        is_second_factor_required: row.mfa_required,
    })
}

/// Writes a person who has not proved their address.
///
/// # Errors
/// `users_email_unique` when somebody has it, `users_email_form` when it is none.
pub async fn register(
    conn: &mut Conn,
    id: UserId,
    email: &str,
    display_name: &str,
    password_hash: Option<&Secret>,
) -> Result<(), StoreError> {
    sqlx::query!(
        "select identity.register_user($1, $2, $3, $4)",
        id.uuid(),
        email,
        display_name,
        password_hash.map(Secret::expose),
    )
    .fetch_one(conn)
    .await?;
    Ok(())
}

/// Takes an address as proved; with another than theirs, it becomes theirs.
///
/// # Errors
/// `users_email_unique` when somebody else has it by now.
pub async fn prove_email(
    conn: &mut Conn,
    id: UserId,
    email: &str,
    now: Moment,
) -> Result<(), StoreError> {
    sqlx::query!(
        "select identity.prove_email($1, $2, $3)",
        id.uuid(),
        email,
        now.utc()
    )
    .fetch_one(conn)
    .await?;
    Ok(())
}

/// Gives a person another password and returns their new token version: tokens made before no longer count.
///
/// # Errors
/// When Postgres does not answer.
pub async fn set_password(
    tx: &mut PersonTx,
    hash: &Secret,
    now: Moment,
) -> Result<i32, StoreError> {
    let id = tx.person().uuid();
    let version = sqlx::query_scalar!(
        "select identity.set_password($1, $2, $3)",
        RequestId::new(now).uuid(),
        id,
        hash.expose(),
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(version.unwrap_or_default())
}

/// Keeps the same password under a dearer hash.
///
/// # Errors
/// When Postgres does not answer.
pub async fn rehash(tx: &mut PersonTx, earlier: &Secret, hash: &Secret) -> Result<(), StoreError> {
    let id = tx.person().uuid();
    sqlx::query!(
        "select identity.rehash_password($1, $2, $3)",
        id,
        earlier.expose(),
        hash.expose(),
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(())
}

/// Returns the hashes of a person's last passwords before the present one.
///
/// # Errors
/// When Postgres does not answer.
pub async fn earlier_passwords(
    conn: &mut Conn,
    id: UserId,
    batch: i32,
) -> Result<Vec<Secret>, StoreError> {
    let rows = sqlx::query_scalar!(
        r#"select earlier_passwords as "hash!" from identity.earlier_passwords($1, $2)"#,
        id.uuid(),
        batch,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(Secret::new).collect())
}

/// Ends every right that tokens made so far carry; returns the new version.
///
/// # Errors
/// When Postgres does not answer.
pub async fn raise_token_version(tx: &mut PersonTx) -> Result<i32, StoreError> {
    let id = tx.person().uuid();
    let version = sqlx::query_scalar!("select identity.raise_token_version($1)", id)
        .fetch_one(&mut **tx)
        .await?;
    Ok(version.unwrap_or_default())
}

/// Writes down when a person last signed in.
///
/// # Errors
/// When Postgres does not answer.
pub async fn note_sign_in(tx: &mut PersonTx, now: Moment) -> Result<(), StoreError> {
    let id = tx.person().uuid();
    sqlx::query!("select identity.note_sign_in($1, $2)", id, now.utc())
        .fetch_one(&mut **tx)
        .await?;
    Ok(())
}

/// What a person may read about themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Their id.
    pub id: UserId,
    /// Where mail reaches them.
    pub email: String,
    /// When they proved it; operators prove it for those they make.
    pub email_verified_at: Option<Moment>,
    /// The name people read.
    pub display_name: String,
    /// May they change the platform itself?
    pub is_platform_admin: bool,
    /// When they last signed in.
    pub last_sign_in_at: Option<Moment>,
    /// When they were made.
    pub created_at: Moment,
    /// When they last changed.
    pub updated_at: Moment,
}

/// Returns the transaction's person.
///
/// # Errors
/// When Postgres does not answer.
pub async fn profile(tx: &mut PersonTx) -> Result<Option<Profile>, StoreError> {
    let id = tx.person().uuid();
    let row = sqlx::query!(
        "select id, email, email_verified_at, display_name, is_platform_admin, last_sign_in_at, created_at, updated_at
         from identity.users
         where id = $1 and deleted_at is null",
        id
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(row.map(|row| Profile {
        id: row.id.into(),
        email: row.email,
        email_verified_at: row.email_verified_at.map(Moment::from),
        display_name: row.display_name,
        is_platform_admin: row.is_platform_admin,
        last_sign_in_at: row.last_sign_in_at.map(Moment::from),
        created_at: row.created_at.into(),
        updated_at: row.updated_at.into(),
    }))
}

/// Changes the name people read; says whether the row is still the `expected` one.
///
/// # Errors
/// `users_display_name_length` when it is too long.
pub async fn rename(
    tx: &mut PersonTx,
    display_name: &str,
    expected: Option<Moment>,
) -> Result<bool, StoreError> {
    let id = tx.person().uuid();
    let done = sqlx::query!(
        "update identity.users
         set display_name = $2
         where id = $1 and deleted_at is null and ($3::timestamptz is null or updated_at = $3)",
        id,
        display_name,
        expected.map(Moment::utc),
    )
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Returns the organizations nobody would own without the transaction's person.
///
/// # Errors
/// When Postgres does not answer.
pub async fn solely_owned(tx: &mut PersonTx) -> Result<Vec<OrganizationId>, StoreError> {
    let id = tx.person().uuid();
    let rows = sqlx::query_scalar!(
        r#"select solely_owned_by as "id!" from identity.solely_owned_by($1)"#,
        id
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows.into_iter().map(OrganizationId).collect())
}

/// Takes out of the books what tells who the transaction's person was.
///
/// # Errors
/// `organization_memberships_one_owner`, at the latest at the commit, when an organization would be left alone.
pub async fn erase(tx: &mut PersonTx, now: Moment) -> Result<(), StoreError> {
    let id = tx.person().uuid();
    sqlx::query!("select identity.erase_person($1, $2)", id, now.utc())
        .fetch_one(&mut **tx)
        .await?;
    Ok(())
}

/// Returns all that is held about the transaction's person.
///
/// # Errors
/// When Postgres does not answer.
pub async fn export(tx: &mut PersonTx) -> Result<Option<Value>, StoreError> {
    let id = tx.person().uuid();
    let export = sqlx::query_scalar!("select identity.export_person($1)", id)
        .fetch_optional(&mut **tx)
        .await?;
    Ok(export.flatten())
}

/// Forgets what has run out, and makes room for the attempts to come; returns how many rows went.
///
/// # Errors
/// When Postgres does not answer.
pub async fn prune(conn: &mut Conn, now: Moment, oldest: Moment) -> Result<i64, StoreError> {
    let gone = sqlx::query_scalar!("select identity.prune($1)", now.utc())
        .fetch_one(&mut *conn)
        .await?;
    sqlx::query!("select audit.ensure_sign_in_partitions()")
        .fetch_one(&mut *conn)
        .await?;
    sqlx::query!("select audit.drop_sign_in_partitions($1)", oldest.utc())
        .fetch_one(&mut *conn)
        .await?;
    Ok(gone.unwrap_or_default())
}
