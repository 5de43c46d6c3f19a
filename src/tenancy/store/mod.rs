//! Organizations and people in the books.

pub mod groups;
pub mod invitations;
pub mod members;
pub mod organizations;
pub mod roles;
pub mod settings;

use chrono::{DateTime, Utc};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use uuid::Uuid;

use super::{NewUser, Rank, User};
use crate::{
    base::{GroupId, Moment, UserId},
    store::{Conn, OrgTx, StoreError},
};

/// Reads a word of the books.
fn noun<T: DeserializeOwned>(word: String) -> Result<T, StoreError> {
    serde_json::from_value(Value::String(word)).map_err(StoreError::Malformed)
}

/// Returns the word of the books for a noun.
fn word<T: Serialize>(noun: T) -> Result<String, StoreError> {
    match serde_json::to_value(noun) {
        Ok(value) => Ok(value.as_str().unwrap_or_default().to_owned()),
        Err(error) => Err(StoreError::Malformed(error)),
    }
}

/// Reads a number that is never negative.
fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

/// Reads a small number that is never negative.
fn small(number: i32) -> u32 {
    u32::try_from(number).unwrap_or_default()
}

/// Returns a number as the books hold it; what is too large breaks its constraint there.
fn large(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Returns a small number as the books hold it; what is too large breaks its constraint there.
fn narrow(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// Writes the organization of this transaction, with its settings.
///
/// # Errors
/// `organizations_slug_unique` when the slug is taken, `organizations_slug_form` when it is none.
pub async fn insert_organization(tx: &mut OrgTx, slug: &str, name: &str) -> Result<(), StoreError> {
    let organization = tx.scope().organization().uuid();
    sqlx::query!(
        "insert into identity.organizations (id, slug, legal_name, display_name) values ($1, $2, $3, $3)",
        organization,
        slug,
        name,
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!(
        "insert into identity.organization_settings (organization_id) values ($1)",
        organization
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// What a new organization's limits are made from, per minute; `None` makes none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seeds {
    /// Calls.
    pub requests: Option<u64>,
    /// Tokens read and written.
    pub tokens: Option<u64>,
}

/// Returns what the limits of this transaction's organization are to be made from.
///
/// # Errors
/// When Postgres does not answer, or the organization is not there.
pub async fn seeds(tx: &mut OrgTx) -> Result<Seeds, StoreError> {
    let organization = tx.scope().organization().uuid();
    let row = sqlx::query!(
        "select seed_requests_per_minute, seed_tokens_per_minute
         from identity.organization_settings
         where organization_id = $1",
        organization
    )
    .fetch_one(&mut **tx)
    .await?;
    let amount = |column: Option<i64>| column.and_then(|amount| u64::try_from(amount).ok());
    Ok(Seeds {
        requests: amount(row.seed_requests_per_minute),
        tokens: amount(row.seed_tokens_per_minute),
    })
}

/// Writes the team everybody belongs to.
///
/// # Errors
/// `groups_one_default` when there is one.
pub async fn insert_default_group(tx: &mut OrgTx, id: GroupId) -> Result<(), StoreError> {
    let organization = tx.scope().organization().uuid();
    sqlx::query!(
        "insert into identity.groups (id, organization_id, slug, name, is_default)
         values ($1, $2, 'default', 'Default', true)",
        id.uuid(),
        organization,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Makes a person a member; their primary group is the default one.
///
/// # Errors
/// `organization_memberships_once` when they are one, `organization_memberships_user` when there is no such person.
pub async fn insert_membership(
    tx: &mut OrgTx,
    id: Uuid,
    user: UserId,
    rank: Rank,
) -> Result<(), StoreError> {
    let organization = tx.scope().organization().uuid();
    sqlx::query!(
        "insert into identity.organization_memberships (id, organization_id, user_id, role, primary_group_id)
         values ($1, $2, $3, $4, (
             select g.id
             from identity.groups g
             where g.organization_id = $2 and g.is_default and g.deleted_at is null))",
        id,
        organization,
        user.uuid(),
        rank.word(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Writes a person.
///
/// # Errors
/// `users_email_unique` when the address is taken, `users_email_form` when it is none.
pub async fn insert_user(conn: &mut Conn, id: UserId, new: &NewUser) -> Result<(), StoreError> {
    sqlx::query!(
        "select identity.create_user($1, $2, $3, $4)",
        id.uuid(),
        new.email,
        new.display_name,
        new.password_hash.as_ref().map(crate::base::Secret::expose),
    )
    .fetch_one(conn)
    .await?;
    Ok(())
}

/// Lets a person change the platform itself. Only the schema's owner may.
///
/// # Errors
/// When Postgres refuses.
pub async fn make_platform_admin(conn: &mut Conn, id: UserId) -> Result<(), StoreError> {
    sqlx::query!("select identity.make_platform_admin($1)", id.uuid())
        .fetch_one(conn)
        .await?;
    Ok(())
}

/// Returns up to `batch` people after one, oldest first. Only the schema's owner may.
///
/// # Errors
/// When Postgres refuses.
pub async fn all_users(
    conn: &mut Conn,
    after: Option<UserId>,
    batch: i32,
) -> Result<Vec<User>, StoreError> {
    let rows = sqlx::query!(
        r#"select id as "id!", email as "email!", display_name as "display_name!", status as "status!",
                  is_platform_admin as "is_platform_admin!", created_at as "created_at!: DateTime<Utc>"
           from identity.all_users($1, $2)"#,
        after.map(UserId::uuid),
        batch
    )
    .fetch_all(conn)
    .await?;
    let users = rows.into_iter().map(|row| User {
        id: row.id.into(),
        email: row.email,
        display_name: row.display_name,
        status: row.status,
        is_platform_admin: row.is_platform_admin,
        created_at: Moment::from(row.created_at),
    });
    Ok(users.collect())
}
