//! A person's stays: one ended, or all.

use serde_json::json;

use super::{Door, Visit, trail};
use crate::{
    audit::Event,
    base::{Moment, Page, Paging, SessionId, UserId},
    identity::{
        session::{EndReason, Session},
        store::{person, session},
    },
    store::StoreError,
};

/// Returns a page of a person's sessions that are not over.
///
/// # Errors
/// When the books do not answer.
pub async fn list(
    door: &Door,
    person: UserId,
    paging: &Paging,
    now: Moment,
) -> Result<Page<Session>, StoreError> {
    let mut tx = door.postgres.begin_as_person(person).await?;
    session::list_open(&mut tx, paging, now).await
}

/// Ends a session of a person; says whether it was open.
///
/// # Errors
/// When the books do not answer.
pub async fn end(
    door: &Door,
    person: UserId,
    ended: SessionId,
    reason: EndReason,
    visit: &Visit,
) -> Result<bool, StoreError> {
    let mut tx = door.postgres.begin_as_person(person).await?;
    if !session::end(&mut tx, ended, reason, visit.now).await? {
        return Ok(false);
    }
    let terms = person::terms(&mut tx, person).await?;
    let event = Event {
        action: "session.end",
        target_kind: "session",
        target_id: Some(ended.uuid()),
        details: json!({ "reason": reason.word() }),
    };
    trail::record(&mut tx, &terms.organizations, visit.by(person), &event).await?;
    tx.commit().await?;
    Ok(true)
}

/// Ends every session of a person, this one too, and every token made so far.
///
/// # Errors
/// When the books do not answer.
pub async fn end_all(door: &Door, person: UserId, visit: &Visit) -> Result<u64, StoreError> {
    let mut tx = door.postgres.begin_as_person(person).await?;
    let ended = session::end_all(&mut tx, None, EndReason::SignedOutEverywhere, visit.now).await?;
    person::raise_token_version(&mut tx).await?;
    let terms = person::terms(&mut tx, person).await?;
    let event = Event {
        action: "session.end_all",
        target_kind: "user",
        target_id: Some(person.uuid()),
        details: json!({ "sessions": ended }),
    };
    trail::record(&mut tx, &terms.organizations, visit.by(person), &event).await?;
    tx.commit().await?;
    Ok(ended)
}
