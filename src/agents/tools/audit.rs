//! Records what agents do, keeps findings of security, and verifies the audit log's chains.

use serde_json::Value;
use uuid::Uuid;

use crate::{
    agents::{Fault, Mode, Waking},
    audit::{
        self, AuditKeys, Event,
        finding::{Found, Noted, store as findings},
        inspect::inspect,
        verify::{self, Marks},
    },
    store::{Conn, StoreError, Whose},
    tenancy::Permission,
};

/// Writes down what an agent did, in the transaction of the change.
///
/// # Errors
/// When it cannot be written; the change must not be kept then.
pub async fn record(
    waking: &Waking,
    tx: &mut Conn,
    action: &'static str,
    (target_kind, target_id): (&'static str, Option<Uuid>),
    mut details: Value,
) -> Result<(), StoreError> {
    if let Some(fields) = details.as_object_mut() {
        fields.insert("agent".to_owned(), waking.agent.into());
        fields.insert("run_id".to_owned(), waking.run.to_string().into());
    }
    let event = Event {
        action,
        target_kind,
        target_id,
        details,
    };
    audit::store::record(tx, waking.by(), &event).await
}

/// Reads what can be seen in the books of weaknesses, everybody's.
///
/// # Errors
/// When it is not permitted, or the books do not answer.
pub async fn query(waking: &Waking) -> Result<Vec<(Whose, Found)>, Fault> {
    waking.permit(Permission::SecurityRead)?;
    let mut tx = waking.postgres.begin().await?;
    Ok(findings::current(&mut tx, waking.now).await?)
}

/// Reads who has findings that are still there.
///
/// # Errors
/// When it is not permitted, or the books do not answer.
pub async fn owners(waking: &Waking) -> Result<Vec<Whose>, Fault> {
    waking.permit(Permission::SecurityRead)?;
    let mut tx = waking.postgres.begin().await?;
    Ok(findings::owners(&mut tx).await?)
}

/// Walks every chain; returns those that do not hold.
///
/// # Errors
/// When it is not permitted, or the books do not answer.
pub async fn verify_chains(waking: &Waking) -> Result<Vec<(Whose, verify::Fault)>, Fault> {
    waking.permit(Permission::AuditRead)?;
    let keys = AuditKeys::installed().ok_or(StoreError::NoAuditKey)?;
    let ends = audit::store::ends(&mut *waking.postgres.acquire().await?).await?;
    let mut broken = Vec::new();
    for end in ends {
        let verdict = inspect(&waking.postgres, end.whose, keys, Marks::default()).await?;
        broken.extend(verdict.err().map(|fault| (end.whose, fault)));
    }
    Ok(broken)
}

/// Keeps what was found of one owner in its transaction: opens what is new, closes what is gone. In a dry run it only
/// tells what is new.
///
/// # Errors
/// When it is not permitted, or the books do not answer.
pub async fn keep(
    waking: &Waking,
    tx: &mut Conn,
    whose: Whose,
    found: &[Found],
) -> Result<Noted, Fault> {
    if waking.permit(Permission::SecurityRead)? == Mode::Dry {
        return Ok(findings::compare(tx, whose, found).await?);
    }
    let noted = findings::note(tx, whose, found, waking.now).await?;
    if noted.is_empty() {
        return Ok(noted);
    }
    let kinds: Vec<_> = noted
        .opened
        .iter()
        .map(|found| &found.fingerprint)
        .collect();
    let details = serde_json::json!({ "opened": kinds, "resolved": noted.resolved });
    let target = match whose {
        Whose::Platform => ("platform", None),
        Whose::Organization(organization) => ("organization", Some(organization.uuid())),
    };
    record(waking, tx, "security.audit", target, details).await?;
    Ok(noted)
}
