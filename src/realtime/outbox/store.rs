//! Writing events, and reading them in order.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::postgres::types::PgInterval;
use uuid::Uuid;

use super::Committed;
use crate::{
    base::{EventId, Moment, OrganizationId},
    realtime::Event,
    store::{Conn, StoreError},
};

/// Writes an event in the transaction of what happened: whoever may know is told when that is committed, and never
/// when it is not. Without an organization it is the platform's own.
///
/// # Errors
/// When Postgres refuses or does not answer; what happened must not be kept then.
pub async fn emit(
    conn: &mut Conn,
    organization: Option<OrganizationId>,
    event: &Event,
) -> Result<EventId, StoreError> {
    let data = event.data().map_err(StoreError::Malformed)?;
    let id = sqlx::query_scalar!(
        r#"select operations.emit_event($1, $2, $3) as "id!""#,
        organization.map(OrganizationId::uuid),
        event.kind(),
        data,
    )
    .fetch_one(conn)
    .await?;
    Ok(EventId(id))
}

struct Columns {
    seq: i64,
    id: Uuid,
    at: DateTime<Utc>,
    organization_id: Option<Uuid>,
    kind: String,
    data: String,
}

impl From<Columns> for Committed {
    fn from(row: Columns) -> Self {
        Self {
            seq: row.seq,
            id: row.id,
            at: Moment::from(row.at),
            organization: row.organization_id.map(OrganizationId),
            kind: row.kind,
            data: row.data,
        }
    }
}

/// Reads at most `batch` events of everybody behind place `last`, in order.
///
/// # Errors
/// When Postgres does not answer.
pub async fn since(conn: &mut Conn, last: i64, batch: i32) -> Result<Vec<Committed>, StoreError> {
    let rows = sqlx::query_as!(
        Columns,
        r#"select seq as "seq!", id as "id!", at as "at!", organization_id, kind as "kind!", data as "data!"
           from operations.events_since($1, $2)"#,
        last,
        batch,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(Committed::from).collect())
}

/// Reads at most `batch` events of some organizations and of the platform behind place `last` and up to place `end`,
/// in order, as far as they can be read again.
///
/// # Errors
/// When Postgres does not answer.
pub async fn between(
    conn: &mut Conn,
    organizations: &[Uuid],
    (last, end): (i64, i64),
    batch: i32,
) -> Result<Vec<Committed>, StoreError> {
    let rows = sqlx::query_as!(
        Columns,
        r#"select seq as "seq!", id as "id!", at as "at!", organization_id, kind as "kind!", data as "data!"
           from operations.events_between($1, $2, $3, $4, $5)"#,
        organizations,
        last,
        end,
        interval(super::KEPT),
        batch,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(Committed::from).collect())
}

/// Returns the place of the last event; zero before the first.
///
/// # Errors
/// When Postgres does not answer.
pub async fn last(conn: &mut Conn) -> Result<i64, StoreError> {
    let place = sqlx::query_scalar!(r#"select operations.last_event() as "place!""#)
        .fetch_one(conn)
        .await?;
    Ok(place)
}

/// Returns the place of an event; `None` when it cannot be read again, or never was.
///
/// # Errors
/// When Postgres does not answer.
pub async fn place_of(conn: &mut Conn, event: EventId) -> Result<Option<i64>, StoreError> {
    let place = sqlx::query_scalar!(
        "select operations.place_of_event($1, $2)",
        event.uuid(),
        interval(super::KEPT),
    )
    .fetch_one(conn)
    .await?;
    Ok(place)
}

fn interval(time: Duration) -> PgInterval {
    PgInterval {
        months: 0,
        days: 0,
        microseconds: i64::try_from(time.as_micros()).unwrap_or(i64::MAX),
    }
}
