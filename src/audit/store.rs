//! The audit log in the books.

use uuid::Uuid;

use super::{Actor, By, Event};
use crate::{
    base::RequestId,
    store::{Conn, StoreError},
};

/// Writes one event about the organization of this transaction, or about the platform when it has none.
///
/// # Errors
/// When it cannot be written; the change must not be kept then.
pub async fn record(conn: &mut Conn, by: By, event: &Event) -> Result<(), StoreError> {
    let (actor_kind, actor_id) = columns(by.actor);
    sqlx::query_scalar!(
        "select audit.record($1, $2, $3, $4, $5, $6, $7)",
        RequestId::new(by.now).uuid(),
        actor_kind,
        actor_id,
        event.action,
        event.target_kind,
        event.target_id,
        event.details,
    )
    .fetch_one(conn)
    .await?;
    Ok(())
}

fn columns(actor: Actor) -> (&'static str, Option<Uuid>) {
    match actor {
        Actor::User(user) => ("user", Some(user.uuid())),
        Actor::Key(key) => ("api_key", Some(key.uuid())),
        Actor::Operator => ("operator", None),
        Actor::Agent => ("agent", None),
        Actor::System => ("system", None),
    }
}
