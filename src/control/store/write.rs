//! Limits, as they are written.

use super::{SubjectColumns, word};
use crate::{
    base::{LimitId, Moment},
    control::limits::Terms,
    store::{OrgTx, StoreError},
};

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
