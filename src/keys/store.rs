//! The keys in the books.

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use uuid::Uuid;

use super::{
    api_key::{ApiKey, KeyState},
    grant::Grant,
};
use crate::{
    base::{ApiKeyId, GroupId, Moment, OrganizationId, Page, Paging, UserId},
    store::{Conn, OrgTx, StoreError},
};

/// Returns what the key with this public id grants, whoever's it is.
///
/// Goes through the definer's function: whose key it is, is the answer and not the question.
///
/// # Errors
/// When Postgres does not answer.
pub async fn find_grant(conn: &mut Conn, public_id: &str) -> Result<Option<Grant>, StoreError> {
    let grant = sqlx::query_scalar!(
        r#"select operations.grant_by_public_id($1) as "grant: Json<Grant>""#,
        public_id
    )
    .fetch_one(conn)
    .await?;
    Ok(grant.map(|Json(grant)| grant))
}

/// Returns what a key of this transaction's organization grants; what its secret is made of is not told.
///
/// # Errors
/// When Postgres does not answer.
pub async fn find_grant_of(tx: &mut OrgTx, key: ApiKeyId) -> Result<Option<Grant>, StoreError> {
    let grant = sqlx::query_scalar!(
        r#"select operations.grant_of_key($1) as "grant: Json<Grant>""#,
        key.uuid()
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(grant.map(|Json(grant)| grant))
}

/// Who a key is.
#[derive(Clone, Copy, Debug)]
pub struct KeyIdentity<'a> {
    /// Its id.
    pub id: ApiKeyId,
    /// The 16 characters callers see.
    pub public_id: &'a str,
    /// SHA-256 of the 43 secret characters.
    pub secret_hash: &'a [u8; 32],
    /// The person who made it.
    pub created_by: Option<UserId>,
}

/// What a key may do.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyRights<'a> {
    /// What it is for.
    pub name: &'a str,
    /// The team it counts for.
    pub group_id: Option<GroupId>,
    /// The person it counts for.
    pub user_id: Option<UserId>,
    /// The models it may ask for; `None` allows all.
    pub allowed_models: Option<&'a [String]>,
    /// Where it may come from; `None` allows everywhere.
    pub allowed_cidrs: Option<&'a [String]>,
    /// What it may be used for.
    pub scopes: &'a [String],
    /// When it stops.
    pub expires_at: Option<Moment>,
    /// The key it takes over from.
    pub rotated_from: Option<ApiKeyId>,
    /// The first key of that chain, whose limits it goes on with.
    pub lineage_id: Option<ApiKeyId>,
}

/// Writes a key of this transaction's organization.
///
/// # Errors
/// `api_keys_group_fk` or `api_keys_user_fk` when the organization has no such group or member.
pub async fn insert_key(
    tx: &mut OrgTx,
    key: KeyIdentity<'_>,
    rights: KeyRights<'_>,
) -> Result<(), StoreError> {
    let organization = tx.scope().organization().uuid();
    sqlx::query!(
        "insert into operations.api_keys (id, organization_id, public_id, secret_hash, name, group_id, user_id,
             allowed_models, allowed_cidrs, scopes, expires_at, rotated_from, lineage_id, created_by)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9::text[]::cidr[], $10, $11, $12, $13, $14)",
        key.id.uuid(),
        organization,
        key.public_id,
        key.secret_hash.as_slice(),
        rights.name,
        rights.group_id.map(GroupId::uuid),
        rights.user_id.map(UserId::uuid),
        rights.allowed_models,
        rights.allowed_cidrs,
        rights.scopes,
        rights.expires_at.map(Moment::utc),
        rights.rotated_from.map(ApiKeyId::uuid),
        rights.lineage_id.map(ApiKeyId::uuid),
        key.created_by.map(UserId::uuid),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Takes a key of this transaction's organization back, for good; says whether it was there and not yet revoked.
///
/// # Errors
/// When Postgres does not answer.
pub async fn revoke_key(
    tx: &mut OrgTx,
    id: ApiKeyId,
    by: Option<UserId>,
    reason: Option<&str>,
) -> Result<bool, StoreError> {
    let organization = tx.scope().organization().uuid();
    let done = sqlx::query!(
        "update operations.api_keys
         set revoked_at = now(), revoked_by = $3, revoked_reason = $4
         where organization_id = $1 and id = $2 and revoked_at is null and deleted_at is null",
        organization,
        id.uuid(),
        by.map(UserId::uuid),
        reason,
    )
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Lets a key stop at `at`, or earlier when it already would.
///
/// # Errors
/// When Postgres does not answer.
pub async fn expire_key(tx: &mut OrgTx, id: ApiKeyId, at: Moment) -> Result<(), StoreError> {
    let organization = tx.scope().organization().uuid();
    sqlx::query!(
        "update operations.api_keys
         set expires_at = least(expires_at, $3)
         where organization_id = $1 and id = $2",
        organization,
        id.uuid(),
        at.utc(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

struct ListedRow {
    id: Uuid,
    public_id: String,
    name: String,
    group_id: Option<Uuid>,
    user_id: Option<Uuid>,
    allowed_models: Option<Vec<String>>,
    allowed_cidrs: Option<Vec<String>>,
    scopes: Vec<String>,
    created_by: Option<Uuid>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
    revoked_by: Option<Uuid>,
    revoked_reason: Option<String>,
    last_used_at: Option<DateTime<Utc>>,
    rotated_from: Option<Uuid>,
    lineage_id: Option<Uuid>,
}

impl From<ListedRow> for ApiKey {
    fn from(row: ListedRow) -> Self {
        Self {
            id: row.id.into(),
            public_id: row.public_id,
            name: row.name,
            group_id: row.group_id.map(GroupId),
            user_id: row.user_id.map(UserId),
            allowed_models: row.allowed_models,
            allowed_cidrs: row.allowed_cidrs,
            scopes: row.scopes,
            created_by: row.created_by.map(UserId),
            created_at: row.created_at.into(),
            updated_at: row.updated_at.into(),
            expires_at: row.expires_at.map(Moment::from),
            revoked_at: row.revoked_at.map(Moment::from),
            revoked_by: row.revoked_by.map(UserId),
            revoked_reason: row.revoked_reason,
            last_used_at: row.last_used_at.map(Moment::from),
            rotated_from: row.rotated_from.map(ApiKeyId),
            lineage_id: row.lineage_id.map(ApiKeyId),
        }
    }
}

/// Returns up to `batch` keys of this transaction's organization made before one, newest first.
///
/// # Errors
/// When Postgres does not answer.
pub async fn list_keys(
    tx: &mut OrgTx,
    before: Option<ApiKeyId>,
    batch: i64,
) -> Result<Vec<ApiKey>, StoreError> {
    let organization = tx.scope().organization().uuid();
    let rows = sqlx::query_as!(
        ListedRow,
        r#"select id, public_id, name, group_id, user_id, allowed_models,
                  allowed_cidrs::text[] as "allowed_cidrs: Vec<String>", scopes, created_by, created_at, updated_at,
                  expires_at, revoked_at, revoked_by, revoked_reason, last_used_at, rotated_from, lineage_id
           from operations.api_keys
           where organization_id = $1 and deleted_at is null and ($2::uuid is null or id < $2)
           order by id desc
           limit $3"#,
        organization,
        before.map(ApiKeyId::uuid),
        batch,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows.into_iter().map(ApiKey::from).collect())
}

/// What keys are looked for by.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyFilter<'a> {
    /// Of one member.
    pub user: Option<UserId>,
    /// Of one group.
    pub group: Option<GroupId>,
    /// Only those that open the door, that stopped, or that were taken back.
    pub state: Option<KeyState>,
    /// Part of a name, or a public id.
    pub search: Option<&'a str>,
}

/// Returns one page of the keys of this transaction's organization.
///
/// # Errors
/// When Postgres does not answer.
pub async fn find_keys(
    tx: &mut OrgTx,
    filter: KeyFilter<'_>,
    paging: Paging,
) -> Result<Page<ApiKey>, StoreError> {
    let organization = tx.scope().organization().uuid();
    let rows = sqlx::query_as!(
        ListedRow,
        r#"select id, public_id, name, group_id, user_id, allowed_models,
                  allowed_cidrs::text[] as "allowed_cidrs: Vec<String>", scopes, created_by, created_at, updated_at,
                  expires_at, revoked_at, revoked_by, revoked_reason, last_used_at, rotated_from, lineage_id
           from operations.api_keys
           where organization_id = $1 and deleted_at is null
               and ($6::uuid is null or user_id = $6) and ($7::uuid is null or group_id = $7)
               and ($8::text is null or $8 = case
                   when revoked_at <= now() then 'revoked' when expires_at <= now() then 'expired' else 'active' end)
               and ($9::text is null or strpos(lower(name), lower($9)) > 0 or public_id = $9)
               and ($3::uuid is null
                   or case when $4 then (created_at, id) < ($2, $3) else (created_at, id) > ($2, $3) end)
           order by case when $4 then created_at end desc, case when $4 then id end desc, created_at, id
           limit $5"#,
        organization,
        paging.after_at(),
        paging.after_id(),
        paging.is_descending(),
        paging.fetched(),
        filter.user.map(UserId::uuid),
        filter.group.map(GroupId::uuid),
        filter.state.map(KeyState::word),
        filter.search,
    )
    .fetch_all(&mut **tx)
    .await?;
    let keys = rows.into_iter().map(ApiKey::from).collect();
    Ok(paging.page(keys, |key: &ApiKey| (key.created_at, key.id.uuid())))
}

/// Returns one key of this transaction's organization, by its id or its public id.
///
/// # Errors
/// When Postgres does not answer.
pub async fn find_key(tx: &mut OrgTx, wanted: &str) -> Result<Option<ApiKey>, StoreError> {
    let organization = tx.scope().organization().uuid();
    let row = sqlx::query_as!(
        ListedRow,
        r#"select id, public_id, name, group_id, user_id, allowed_models,
                  allowed_cidrs::text[] as "allowed_cidrs: Vec<String>", scopes, created_by, created_at, updated_at,
                  expires_at, revoked_at, revoked_by, revoked_reason, last_used_at, rotated_from, lineage_id
           from operations.api_keys
           where organization_id = $1 and deleted_at is null and (public_id = $2 or id::text = lower($2))"#,
        organization,
        wanted,
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(row.map(ApiKey::from))
}

/// Keeps others from changing a key of this transaction's organization until it ends.
///
/// # Errors
/// When Postgres does not answer.
pub async fn lock_key(tx: &mut OrgTx, id: ApiKeyId) -> Result<(), StoreError> {
    let organization = tx.scope().organization().uuid();
    sqlx::query!(
        "select id from operations.api_keys where organization_id = $1 and id = $2 for no key update",
        organization,
        id.uuid(),
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(())
}

/// Writes what may change of a key.
///
/// # Errors
/// `api_keys_group_fk` when the organization has no such group, `api_keys_name_ck` when the name is missing or long.
pub async fn update_key(tx: &mut OrgTx, key: &ApiKey) -> Result<Moment, StoreError> {
    let organization = tx.scope().organization().uuid();
    let updated_at = sqlx::query_scalar!(
        "update operations.api_keys
         set name = $3, group_id = $4, allowed_models = $5, allowed_cidrs = $6::text[]::cidr[], scopes = $7,
             expires_at = $8
         where organization_id = $1 and id = $2 and deleted_at is null
         returning updated_at",
        organization,
        key.id.uuid(),
        key.name,
        key.group_id.map(GroupId::uuid),
        key.allowed_models.as_deref(),
        key.allowed_cidrs.as_deref(),
        &key.scopes,
        key.expires_at.map(Moment::utc),
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(updated_at.into())
}

/// Whose keys are taken back together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeysOf {
    /// All that count for a group.
    Group(GroupId),
    /// All that count for a member.
    Member(UserId),
    /// All that count for a member in a group.
    MemberInGroup(UserId, GroupId),
}

/// Takes keys of this transaction's organization back, for good; returns those that were not yet revoked.
///
/// # Errors
/// When Postgres does not answer.
pub async fn revoke_keys(
    tx: &mut OrgTx,
    whose: KeysOf,
    by: Option<UserId>,
    reason: &str,
) -> Result<Vec<ApiKeyId>, StoreError> {
    let organization = tx.scope().organization().uuid();
    let (user, group) = match whose {
        KeysOf::Group(group) => (None, Some(group)),
        KeysOf::Member(user) => (Some(user), None),
        KeysOf::MemberInGroup(user, group) => (Some(user), Some(group)),
    };
    let revoked = sqlx::query_scalar!(
        "update operations.api_keys
         set revoked_at = now(), revoked_by = $4, revoked_reason = $5
         where organization_id = $1 and ($2::uuid is null or user_id = $2) and ($3::uuid is null or group_id = $3)
             and revoked_at is null and deleted_at is null
         returning id",
        organization,
        user.map(UserId::uuid),
        group.map(GroupId::uuid),
        by.map(UserId::uuid),
        reason,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(revoked.into_iter().map(ApiKeyId).collect())
}

/// Returns whose key has this id or public id. Looks across tenants; only the schema's owner may.
///
/// # Errors
/// When Postgres refuses.
pub async fn find_owner(
    conn: &mut Conn,
    wanted: &str,
) -> Result<Option<OrganizationId>, StoreError> {
    let owner = sqlx::query_scalar!("select operations.owner_of_key($1)", wanted)
        .fetch_one(conn)
        .await?;
    Ok(owner.map(OrganizationId))
}
