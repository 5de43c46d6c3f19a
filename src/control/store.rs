//! Limits in the books.

use chrono::{DateTime, Utc};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use uuid::Uuid;

use super::limits::Terms;
use crate::{
    base::{ApiKeyId, GroupId, LimitId, Moment, Page, Paging, UserId},
    quota::limit::{Limit, Subject},
    store::{OrgTx, Scope, StoreError},
};

/// A subject as the columns hold it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SubjectColumns {
    kind: &'static str,
    group: Option<Uuid>,
    user: Option<Uuid>,
    api_key: Option<Uuid>,
    model: Option<Uuid>,
    credential: Option<Uuid>,
}

impl SubjectColumns {
    /// Returns the columns, or `None` for another organization and for what only the catalog limits.
    #[must_use]
    pub fn of(subject: Subject, scope: Scope) -> Option<Self> {
        let none = Self::default();
        let columns = match subject {
            Subject::Organization(id) if id == scope.organization() => Self {
                kind: "organization",
                ..none
            },
            Subject::Organization(_) | Subject::CredentialOffer(..) => return None,
            Subject::Group(id) => Self {
                kind: "group",
                group: Some(id.uuid()),
                ..none
            },
            Subject::User(id) => Self {
                kind: "user",
                user: Some(id.uuid()),
                ..none
            },
            Subject::Key(id) => Self {
                kind: "key",
                api_key: Some(id.uuid()),
                ..none
            },
            Subject::KeyModel(id, model) => Self {
                kind: "key_model",
                api_key: Some(id.uuid()),
                model: Some(model.uuid()),
                ..none
            },
            Subject::Credential(id) => Self {
                kind: "credential",
                credential: Some(id.uuid()),
                ..none
            },
        };
        Some(columns)
    }
}

/// Writes a limit, or changes the one with the same subject, meter and window; returns its id.
///
/// # Errors
/// `limits_…_fk` or `limits_owner_ck` when the organization has no such subject.
pub async fn upsert_limit(
    tx: &mut OrgTx,
    id: LimitId,
    subject: &SubjectColumns,
    terms: &Terms,
) -> Result<LimitId, StoreError> {
    let organization = tx.scope().organization().uuid();
    let id = sqlx::query_scalar!(
        "insert into operations.limits (id, organization_id, subject_kind, group_id, user_id, api_key_id, model_id,
             credential_id, meter, time_window, amount, enforcement, mode, zone)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
         on conflict (organization_id, subject_kind, group_id, user_id, api_key_id, model_id, credential_id, meter,
             time_window) where deleted_at is null
         do update set amount = excluded.amount, enforcement = excluded.enforcement, mode = excluded.mode,
             zone = excluded.zone
         returning id",
        id.uuid(),
        organization,
        subject.kind,
        subject.group,
        subject.user,
        subject.api_key,
        subject.model,
        subject.credential,
        word(terms.meter)?,
        word(terms.window)?,
        i64::try_from(terms.amount).unwrap_or(i64::MAX),
        word(terms.enforcement)?,
        word(terms.mode)?,
        terms.zone.name(),
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(id.into())
}

/// Writes a limit.
///
/// # Errors
/// `limits_uq` when there is one with the same subject, meter and window, `limits_…_fk` or `limits_owner_ck` when the
/// organization has no such subject.
pub async fn insert_limit(
    tx: &mut OrgTx,
    id: LimitId,
    subject: &SubjectColumns,
    terms: &Terms,
) -> Result<(), StoreError> {
    let organization = tx.scope().organization().uuid();
    sqlx::query!(
        "insert into operations.limits (id, organization_id, subject_kind, group_id, user_id, api_key_id, model_id,
             credential_id, meter, time_window, amount, enforcement, mode, zone)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        id.uuid(),
        organization,
        subject.kind,
        subject.group,
        subject.user,
        subject.api_key,
        subject.model,
        subject.credential,
        word(terms.meter)?,
        word(terms.window)?,
        i64::try_from(terms.amount).unwrap_or(i64::MAX),
        word(terms.enforcement)?,
        word(terms.mode)?,
        terms.zone.name(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Writes how much a limit permits and how strictly. Its meter and window stay: others are another limit.
///
/// # Errors
/// `limits_amount_ck` when it is too much.
pub async fn update_limit(
    tx: &mut OrgTx,
    id: LimitId,
    terms: &Terms,
) -> Result<Moment, StoreError> {
    let organization = tx.scope().organization().uuid();
    let updated_at = sqlx::query_scalar!(
        "update operations.limits
         set amount = $3, enforcement = $4, mode = $5, zone = $6
         where organization_id = $1 and id = $2 and deleted_at is null
         returning updated_at",
        organization,
        id.uuid(),
        i64::try_from(terms.amount).unwrap_or(i64::MAX),
        word(terms.enforcement)?,
        word(terms.mode)?,
        terms.zone.name(),
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(updated_at.into())
}

/// A limit as the books keep it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptLimit {
    /// The limit.
    pub limit: Limit,
    /// When it was made.
    pub created_at: Moment,
    /// When it was last changed.
    pub updated_at: Moment,
}

struct LimitRow {
    id: Uuid,
    subject: Value,
    meter: String,
    time_window: String,
    amount: i64,
    enforcement: String,
    mode: String,
    zone: String,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl TryFrom<LimitRow> for KeptLimit {
    type Error = StoreError;

    fn try_from(row: LimitRow) -> Result<Self, StoreError> {
        let limit = Limit {
            id: row.id,
            subject: serde_json::from_value(row.subject).map_err(StoreError::Malformed)?,
            meter: noun(row.meter)?,
            window: noun(row.time_window)?,
            amount: u64::try_from(row.amount).unwrap_or_default(),
            enforcement: noun(row.enforcement)?,
            mode: noun(row.mode)?,
            zone: noun(row.zone)?,
        };
        Ok(Self {
            limit,
            created_at: row.created_at.into(),
            updated_at: row.updated_at.into(),
        })
    }
}

/// What limits are looked for by.
#[derive(Clone, Copy, Debug, Default)]
pub struct LimitFilter<'a> {
    /// The one with this id.
    pub id: Option<LimitId>,
    /// Of one kind of subject.
    pub kind: Option<&'a str>,
    /// Of one group.
    pub group: Option<GroupId>,
    /// Of one member.
    pub user: Option<UserId>,
    /// Of one key, which is the first of its lineage.
    pub api_key: Option<ApiKeyId>,
}

/// Returns one page of the limits of this transaction's organization.
///
/// # Errors
/// When Postgres does not answer.
pub async fn find_limits(
    tx: &mut OrgTx,
    filter: LimitFilter<'_>,
    paging: Paging,
) -> Result<Page<KeptLimit>, StoreError> {
    let organization = tx.scope().organization().uuid();
    let rows = sqlx::query_as!(
        LimitRow,
        r#"select id,
                  jsonb_build_object('kind', subject_kind, 'id', case subject_kind
                      when 'organization' then to_jsonb(organization_id)
                      when 'group' then to_jsonb(group_id)
                      when 'user' then to_jsonb(user_id)
                      when 'key' then to_jsonb(api_key_id)
                      when 'credential' then to_jsonb(credential_id)
                      else jsonb_build_array(api_key_id, model_id) end) as "subject!",
                  meter, time_window, amount, enforcement, mode, zone, created_at, updated_at
           from operations.limits
           where organization_id = $1 and deleted_at is null
               and ($6::uuid is null or id = $6) and ($7::text is null or subject_kind = $7)
               and ($8::uuid is null or group_id = $8) and ($9::uuid is null or user_id = $9)
               and ($10::uuid is null or api_key_id = $10)
               and ($3::uuid is null
                   or case when $4 then (created_at, id) < ($2, $3) else (created_at, id) > ($2, $3) end)
           order by case when $4 then created_at end desc, case when $4 then id end desc, created_at, id
           limit $5"#,
        organization,
        paging.after_at(),
        paging.after_id(),
        paging.is_descending(),
        paging.fetched(),
        filter.id.map(LimitId::uuid),
        filter.kind,
        filter.group.map(GroupId::uuid),
        filter.user.map(UserId::uuid),
        filter.api_key.map(ApiKeyId::uuid),
    )
    .fetch_all(&mut **tx)
    .await?;
    let limits = rows.into_iter().map(KeptLimit::try_from);
    let limits = limits.collect::<Result<Vec<_>, _>>()?;
    Ok(paging.page(limits, |kept| (kept.created_at, kept.limit.id)))
}

/// Returns every limit that holds for a key, a member, a group (those given) and their organization, in that order.
///
/// # Errors
/// When Postgres does not answer.
pub async fn limits_holding(
    tx: &mut OrgTx,
    api_key: Option<ApiKeyId>,
    user: Option<UserId>,
    group: Option<GroupId>,
) -> Result<Vec<Limit>, StoreError> {
    let organization = tx.scope().organization().uuid();
    let found = sqlx::query_scalar!(
        r#"select operations.limits_holding($1, $2, $3, $4) as "limits!""#,
        organization,
        api_key.map(ApiKeyId::uuid),
        user.map(UserId::uuid),
        group.map(GroupId::uuid),
    )
    .fetch_one(&mut **tx)
    .await?;
    serde_json::from_value(found).map_err(StoreError::Malformed)
}

/// Keeps others from changing a limit until the transaction ends.
///
/// # Errors
/// When Postgres does not answer.
pub async fn lock_limit(tx: &mut OrgTx, id: LimitId) -> Result<(), StoreError> {
    let organization = tx.scope().organization().uuid();
    sqlx::query!(
        "select id from operations.limits where organization_id = $1 and id = $2 for no key update",
        organization,
        id.uuid(),
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(())
}

/// Takes a limit away; says whether it was there.
///
/// # Errors
/// When Postgres does not answer.
pub async fn delete_limit(tx: &mut OrgTx, id: LimitId) -> Result<bool, StoreError> {
    let organization = tx.scope().organization().uuid();
    let done = sqlx::query!(
        "update operations.limits set deleted_at = now() where organization_id = $1 and id = $2 and deleted_at is null",
        organization,
        id.uuid(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Reads a word of the books.
fn noun<T: DeserializeOwned>(word: String) -> Result<T, StoreError> {
    serde_json::from_value(Value::String(word)).map_err(StoreError::Malformed)
}

/// Returns the word the books and the wire share for a meter, a window, an enforcement or a mode.
fn word(noun: impl Serialize) -> Result<String, StoreError> {
    match serde_json::to_value(noun) {
        Ok(value) => Ok(value.as_str().unwrap_or_default().to_owned()),
        Err(error) => Err(StoreError::Malformed(error)),
    }
}
