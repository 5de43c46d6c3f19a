//! The audit log in the books.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::{
    Actor, By, Event,
    chain::{Keyed, Previous, Row},
    key::AuditKeys,
    verify::Head,
};
use crate::{
    base::RequestId,
    store::{Conn, StoreError, Whose},
};

/// Writes one event about the organization of this transaction, or about the platform when it has none.
///
/// # Errors
/// When it cannot be written; the change must not be kept then.
pub async fn record(conn: &mut Conn, by: By, event: &Event) -> Result<(), StoreError> {
    let keys = AuditKeys::installed().ok_or(StoreError::NoAuditKey)?;
    let (previous, mut row) = next_row(conn, by, event).await?;
    let Keyed { key_id, hash } = keys.link(&previous, &row);
    row.key_id = Some(key_id);
    row.hash = Some(hash);
    append(conn, &row, &event.details).await
}

/// Locks the end of the chain, and makes the row that hangs on it.
async fn next_row(conn: &mut Conn, by: By, event: &Event) -> Result<(Previous, Row), StoreError> {
    let link = sqlx::query!(
        r#"select organization_id, seq as "seq!", at as "at!", previous, unchained as "unchained!", written as "written!"
        from audit.next_link($1)"#,
        event.details,
    )
    .fetch_one(conn)
    .await?;
    let previous = match link.previous {
        Some(hash) => Previous::Hash(hash),
        None => Previous::Beginning {
            unchained: link.unchained,
        },
    };
    let (actor_kind, actor_id) = columns(by.actor);
    let row = Row {
        id: RequestId::new(by.now).uuid(),
        at: link.at,
        organization_id: link.organization_id,
        seq: link.seq,
        actor_kind: actor_kind.to_owned(),
        actor_id,
        action: event.action.to_owned(),
        target_kind: event.target_kind.to_owned(),
        target_id: event.target_id,
        details: link.written,
        address: by.source.address,
        request_id: by.source.request_id.map(RequestId::uuid),
        user_agent: by.source.user_agent.map(|agent| agent.as_str().to_owned()),
        key_id: None,
        hash: None,
    };
    Ok((previous, row))
}

async fn append(conn: &mut Conn, row: &Row, details: &Value) -> Result<(), StoreError> {
    sqlx::query!(
        "select audit.append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::text::inet, $11, $12, $13, $14)",
        row.id,
        row.seq,
        row.at,
        row.actor_kind,
        row.actor_id,
        row.action,
        row.target_kind,
        row.target_id,
        details,
        row.address.map(|address| address.to_string()),
        row.request_id,
        row.user_agent,
        row.key_id,
        row.hash,
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

/// The recorded end of every chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Whose chain.
    pub whose: Whose,
    /// Its last row's place; zero when nothing was written.
    pub seq: i64,
    /// Its last row's hash.
    pub hash: Option<Vec<u8>>,
}

/// Reads the end of every chain.
///
/// # Errors
/// When Postgres does not answer.
pub async fn ends(conn: &mut Conn) -> Result<Vec<End>, StoreError> {
    let rows = sqlx::query!(
        r#"select organization_id, seq as "seq!", hash from audit.all_chains() order by organization_id nulls first"#
    )
    .fetch_all(conn)
    .await?;
    let ends = rows.into_iter().map(|row| End {
        whose: row.organization_id.into(),
        seq: row.seq,
        hash: row.hash,
    });
    Ok(ends.collect())
}

/// Finds the recorded end and beginning of the chain this transaction sees.
///
/// # Errors
/// When Postgres does not answer.
pub async fn find_head(conn: &mut Conn, whose: Whose) -> Result<Option<Head>, StoreError> {
    let row = sqlx::query!(
        "select seq, hash, unchained, pruned_seq, pruned_hash, pruned_key_id, pruned_mac, checkpoint_seq
        from audit.chain_heads
        where organization_id is not distinct from $1",
        whose.organization(),
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| Head {
        seq: row.seq,
        hash: row.hash,
        unchained: row.unchained,
        pruned_seq: row.pruned_seq,
        pruned_hash: row.pruned_hash,
        pruned_by: row
            .pruned_key_id
            .zip(row.pruned_mac)
            .map(|(key_id, hash)| Keyed { key_id, hash }),
        checkpoint_seq: row.checkpoint_seq,
    }))
}

/// A row as the columns hold it.
#[derive(sqlx::FromRow)]
pub(super) struct Columns {
    id: Uuid,
    at: DateTime<Utc>,
    organization_id: Option<Uuid>,
    seq: i64,
    actor_kind: String,
    actor_id: Option<Uuid>,
    action: String,
    target_kind: String,
    target_id: Option<Uuid>,
    details: String,
    address: Option<String>,
    request_id: Option<Uuid>,
    user_agent: Option<String>,
    key_id: Option<String>,
    hash: Option<Vec<u8>>,
}

impl From<Columns> for Row {
    fn from(row: Columns) -> Self {
        Self {
            id: row.id,
            at: row.at,
            organization_id: row.organization_id,
            seq: row.seq,
            actor_kind: row.actor_kind,
            actor_id: row.actor_id,
            action: row.action,
            target_kind: row.target_kind,
            target_id: row.target_id,
            details: row.details,
            address: row.address.and_then(|text| text.parse::<IpAddr>().ok()),
            request_id: row.request_id,
            user_agent: row.user_agent,
            key_id: row.key_id,
            hash: row.hash,
        }
    }
}

/// Reads the next `batch` rows of the chain this transaction sees, by place; `after` is the last one read.
///
/// # Errors
/// When Postgres does not answer.
pub async fn rows_in_order(
    conn: &mut Conn,
    whose: Whose,
    after: Option<(i64, Uuid)>,
    batch: i64,
) -> Result<Vec<Row>, StoreError> {
    let (seq, id) = after.unwrap_or((i64::MIN, Uuid::nil()));
    let rows = match whose.organization() {
        Some(organization) => {
            sqlx::query_as!(
                Columns,
                r#"select id, at, organization_id, seq, actor_kind, actor_id, action, target_kind, target_id,
                    details::text as "details!", abbrev(address) as address, request_id, user_agent, key_id, hash
                from audit.audit_logs
                where organization_id = $1 and (seq, id) > ($2, $3)
                order by seq, id
                limit $4"#,
                organization,
                seq,
                id,
                batch,
            )
            .fetch_all(conn)
            .await?
        }
        // No index answers `is not distinct from`.
        None => {
            sqlx::query_as!(
                Columns,
                r#"select id, at, organization_id, seq, actor_kind, actor_id, action, target_kind, target_id,
                    details::text as "details!", abbrev(address) as address, request_id, user_agent, key_id, hash
                from audit.audit_logs
                where organization_id is null and (seq, id) > ($1, $2)
                order by seq, id
                limit $3"#,
                seq,
                id,
                batch,
            )
            .fetch_all(conn)
            .await?
        }
    };
    Ok(rows.into_iter().map(Row::from).collect())
}
