//! Limits, as they are read.

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::{KeptLimit, LimitFilter, noun};
use crate::{
    base::{ApiKeyId, GroupId, LimitId, Page, Paging, UserId},
    quota::limit::Limit,
    store::{OrgTx, StoreError},
};

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
