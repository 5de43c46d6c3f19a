//! Alerts in the books: raised, resolved, read; and their channels and deliveries.

pub mod channels;
pub mod deliveries;

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::{Alert, Kept, Raised, Severity};
use crate::{
    base::{AlertId, Clock, Moment, OrganizationId, Page, Paging, UserId},
    store::{Conn, StoreError},
};

/// The longest message that is kept.
const LONGEST_MESSAGE: usize = 2_000;

/// Raises an alert in this transaction. While one with its fingerprint is open it is that one, seen once more; the
/// channels are told of a new one, and of one that matters more than before.
///
/// # Errors
/// When Postgres refuses or does not answer.
pub async fn raise(conn: &mut Conn, alert: &Alert) -> Result<Raised, StoreError> {
    let before = open_severity(conn, alert).await?;
    let severity = before.map_or(alert.severity, |before| before.max(alert.severity));
    let message: String = alert.message.chars().take(LONGEST_MESSAGE).collect();
    let row = sqlx::query!(
        r#"
        insert into operations.alerts as a (id, organization_id, kind, severity, fingerprint, message, details)
        values ($1, $2, $3, $4, $5, $6, $7)
        on conflict (organization_id, fingerprint) where resolved_at is null and deleted_at is null
        do update set occurrences = a.occurrences + 1, last_seen_at = clock_timestamp(), severity = excluded.severity,
            message = excluded.message, details = excluded.details
        returning id, occurrences
        "#,
        AlertId::new(Clock::System.now()).uuid(),
        alert.organization.map(OrganizationId::uuid),
        alert.kind,
        severity.word(),
        alert.fingerprint,
        message,
        alert.details,
    )
    .fetch_one(&mut *conn)
    .await?;
    let raised = Raised {
        id: AlertId(row.id),
        is_new: row.occurrences == 1,
    };
    if raised.is_new || before.is_some_and(|before| before < severity) {
        deliveries::queue_raised(conn, raised.id).await?;
    }
    Ok(raised)
}

/// Returns how much the open alert of this fingerprint matters, and keeps others from changing it.
async fn open_severity(conn: &mut Conn, alert: &Alert) -> Result<Option<Severity>, StoreError> {
    let word = sqlx::query_scalar!(
        "
        select severity from operations.alerts
        where organization_id is not distinct from $1 and fingerprint = $2
            and resolved_at is null and deleted_at is null
        for update
        ",
        alert.organization.map(OrganizationId::uuid),
        alert.fingerprint,
    )
    .fetch_optional(conn)
    .await?;
    Ok(word.map(|word| Severity::of(&word)))
}

/// Resolves the open alert of a fingerprint in this transaction, when there is one; whoever was told of it is told.
/// Says whether there was.
///
/// # Errors
/// When Postgres refuses or does not answer.
pub async fn resolve(
    conn: &mut Conn,
    organization: Option<OrganizationId>,
    fingerprint: &str,
) -> Result<bool, StoreError> {
    let id = sqlx::query_scalar!(
        "
        update operations.alerts set resolved_at = clock_timestamp()
        where organization_id is not distinct from $1 and fingerprint = $2
            and resolved_at is null and deleted_at is null
        returning id
        ",
        organization.map(OrganizationId::uuid),
        fingerprint,
    )
    .fetch_optional(&mut *conn)
    .await?;
    if let Some(id) = id {
        deliveries::queue_resolved(conn, AlertId(id)).await?;
    }
    Ok(id.is_some())
}

/// Resolves an open alert by its id, as [`resolve`] does; false when it is not open.
///
/// # Errors
/// When Postgres refuses or does not answer.
pub async fn resolve_one(
    conn: &mut Conn,
    organization: Option<OrganizationId>,
    id: AlertId,
) -> Result<bool, StoreError> {
    let resolved = sqlx::query_scalar!(
        "
        update operations.alerts set resolved_at = clock_timestamp()
        where organization_id is not distinct from $1 and id = $2 and resolved_at is null and deleted_at is null
        returning id
        ",
        organization.map(OrganizationId::uuid),
        id.uuid(),
    )
    .fetch_optional(&mut *conn)
    .await?;
    if resolved.is_some() {
        deliveries::queue_resolved(conn, id).await?;
    }
    Ok(resolved.is_some())
}

/// Notes who has seen an open alert; false when it is not open, or somebody has.
///
/// # Errors
/// When Postgres refuses or does not answer.
pub async fn acknowledge(
    conn: &mut Conn,
    organization: Option<OrganizationId>,
    id: AlertId,
    by: Option<UserId>,
) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        "
        update operations.alerts set acknowledged_at = clock_timestamp(), acknowledged_by = $3
        where organization_id is not distinct from $1 and id = $2
            and resolved_at is null and acknowledged_at is null and deleted_at is null
        ",
        organization.map(OrganizationId::uuid),
        id.uuid(),
        by.map(UserId::uuid),
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

struct Columns {
    id: Uuid,
    organization_id: Option<Uuid>,
    kind: String,
    severity: String,
    fingerprint: String,
    message: String,
    details: Value,
    occurrences: i32,
    last_seen_at: DateTime<Utc>,
    acknowledged_at: Option<DateTime<Utc>>,
    acknowledged_by: Option<Uuid>,
    resolved_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<Columns> for Kept {
    fn from(row: Columns) -> Self {
        Self {
            id: AlertId(row.id),
            alert: Alert {
                organization: row.organization_id.map(OrganizationId),
                kind: row.kind,
                severity: Severity::of(&row.severity),
                fingerprint: row.fingerprint,
                message: row.message,
                details: row.details,
            },
            occurrences: u32::try_from(row.occurrences).unwrap_or_default(),
            last_seen_at: Moment::from(row.last_seen_at),
            acknowledged_at: row.acknowledged_at.map(Moment::from),
            acknowledged_by: row.acknowledged_by.map(UserId),
            resolved_at: row.resolved_at.map(Moment::from),
            created_at: Moment::from(row.created_at),
            updated_at: Moment::from(row.updated_at),
        }
    }
}

/// Which alerts are sought; `None` is all.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// One alone.
    pub id: Option<AlertId>,
    /// Open ones, or those that are over.
    pub is_open: Option<bool>,
    /// Of one kind.
    pub kind: Option<String>,
    /// That matter so much.
    pub severity: Option<Severity>,
}

/// Returns a page of the alerts of one owner, by when they were raised first.
///
/// # Errors
/// When Postgres does not answer.
pub async fn list(
    conn: &mut Conn,
    organization: Option<OrganizationId>,
    filter: &Filter,
    paging: &Paging,
) -> Result<Page<Kept>, StoreError> {
    let rows = sqlx::query_as!(
        Columns,
        r#"
        select id, organization_id, kind, severity, fingerprint, message, details, occurrences, last_seen_at,
            acknowledged_at, acknowledged_by, resolved_at, created_at, updated_at
        from operations.alerts
        where organization_id is not distinct from $1 and deleted_at is null
            and ($2::uuid is null or id = $2)
            and ($3::boolean is null or (resolved_at is null) = $3)
            and ($4::text is null or kind = $4)
            and ($5::text is null or severity = $5)
            and ($6::timestamptz is null or case when $8 then (created_at, id) < ($6, $7) else (created_at, id) > ($6, $7) end)
        order by case when $8 then created_at end desc, case when $8 then id end desc, created_at, id
        limit $9
        "#,
        organization.map(OrganizationId::uuid),
        filter.id.map(AlertId::uuid),
        filter.is_open,
        filter.kind,
        filter.severity.map(Severity::word),
        paging.after_at(),
        paging.after_id(),
        paging.is_descending(),
        paging.fetched(),
    )
    .fetch_all(conn)
    .await?;
    let rows = rows.into_iter().map(Kept::from).collect();
    Ok(paging.page(rows, |kept: &Kept| (kept.created_at, kept.id.uuid())))
}

/// Returns one alert of an owner.
///
/// # Errors
/// When Postgres does not answer.
pub async fn find(
    conn: &mut Conn,
    organization: Option<OrganizationId>,
    id: AlertId,
) -> Result<Option<Kept>, StoreError> {
    let filter = Filter {
        id: Some(id),
        ..Filter::default()
    };
    let paging = Paging {
        limit: 1,
        after: None,
        order: crate::base::Order::Desc,
    };
    let page = list(conn, organization, &filter, &paging).await?;
    Ok(page.rows.into_iter().next())
}
