//! Limits in the books.

use serde::Serialize;
use uuid::Uuid;

use super::limits::Terms;
use crate::{
    base::LimitId,
    quota::limit::Subject,
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

/// Returns the word the books and the wire share for a meter, a window, an enforcement or a mode.
fn word(noun: impl Serialize) -> Result<String, StoreError> {
    match serde_json::to_value(noun) {
        Ok(value) => Ok(value.as_str().unwrap_or_default().to_owned()),
        Err(error) => Err(StoreError::Malformed(error)),
    }
}
