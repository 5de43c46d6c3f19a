//! Findings in the books.

use super::{Finding, FindingFilter};
use crate::{
    base::{Page, Paging},
    store::{Conn, StoreError, Whose},
};

/// Reads one page of the findings this transaction sees.
///
/// # Errors
/// When Postgres does not answer.
pub async fn page(
    conn: &mut Conn,
    whose: Whose,
    filter: &FindingFilter,
    paging: &Paging,
) -> Result<Page<Finding>, StoreError> {
    let rows = sqlx::query_as!(
        Finding,
        "select id, kind, severity, message, target_kind, target_id, details, created_at, last_seen_at, accepted_at,
            accepted_reason, resolved_at
        from audit.security_findings
        where organization_id is not distinct from $1 and deleted_at is null
            and ($2::text is null or severity = $2)
            and ($3::boolean is null or (resolved_at is null) = $3)
            and ($4::timestamptz is null
                or ($6 and (created_at, id) < ($4, $5)) or (not $6 and (created_at, id) > ($4, $5)))
        order by case when $6 then created_at end desc, case when $6 then id end desc, created_at, id
        limit $7",
        whose.organization(),
        filter.severity,
        filter.is_open,
        paging.after_at(),
        paging.after_id(),
        paging.is_descending(),
        paging.fetched(),
    )
    .fetch_all(conn)
    .await?;
    Ok(paging.page(rows, |row| (row.created_at.into(), row.id)))
}
