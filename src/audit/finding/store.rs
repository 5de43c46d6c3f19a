//! Findings in the books.

use std::collections::BTreeSet;

use serde_json::Value;
use uuid::Uuid;

use super::{Finding, FindingFilter, Found, Noted};
use crate::{
    base::{Moment, Page, Paging, RequestId},
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

/// Looks for everything that weakens an organization or the platform and can be seen in the books, by its owner.
///
/// # Errors
/// When Postgres does not answer.
pub async fn current(conn: &mut Conn, now: Moment) -> Result<Vec<(Whose, Found)>, StoreError> {
    let rows = sqlx::query!(
        r#"select organization_id, kind as "kind!", severity as "severity!", fingerprint as "fingerprint!",
             message as "message!", target_kind, target_id, details as "details!"
         from audit.current_findings($1)"#,
        now.utc()
    )
    .fetch_all(conn)
    .await?;
    let found = rows.into_iter().map(|row| {
        let found = Found {
            kind: row.kind,
            severity: row.severity,
            fingerprint: row.fingerprint,
            message: row.message,
            target_kind: row.target_kind,
            target_id: row.target_id,
            details: row.details,
        };
        (Whose::from(row.organization_id), found)
    });
    Ok(found.collect())
}

/// Reads who has findings that are still there.
///
/// # Errors
/// When Postgres does not answer.
pub async fn owners(conn: &mut Conn) -> Result<Vec<Whose>, StoreError> {
    let rows = sqlx::query_scalar!("select organization_id from audit.owners_of_findings()")
        .fetch_all(conn)
        .await?;
    Ok(rows.into_iter().map(Whose::from).collect())
}

/// Says what [`note`] would change, and changes nothing.
///
/// # Errors
/// When Postgres does not answer.
pub async fn compare(conn: &mut Conn, whose: Whose, found: &[Found]) -> Result<Noted, StoreError> {
    let open: BTreeSet<String> = sqlx::query_scalar!(
        "select fingerprint
         from audit.security_findings
         where organization_id is not distinct from $1 and resolved_at is null and deleted_at is null",
        whose.organization()
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .collect();
    let is_new = |found: &&Found| !open.contains(&found.fingerprint);
    let is_gone = |print: &&String| found.iter().all(|found| found.fingerprint != **print);
    Ok(Noted {
        opened: found.iter().filter(is_new).cloned().collect(),
        resolved: open.iter().filter(is_gone).cloned().collect(),
    })
}

/// Keeps everything that was found of one owner: opens what is new, and closes what is not among it.
///
/// # Errors
/// When Postgres does not answer.
pub async fn note(
    tx: &mut Conn,
    whose: Whose,
    found: &[Found],
    now: Moment,
) -> Result<Noted, StoreError> {
    let noted = compare(&mut *tx, whose, found).await?;
    let prints: Vec<String> = found
        .iter()
        .map(|found| found.fingerprint.clone())
        .collect();
    sqlx::query!(
        "update audit.security_findings
         set resolved_at = $3
         where organization_id is not distinct from $1 and resolved_at is null and deleted_at is null
             and fingerprint <> all ($2)",
        whose.organization(),
        &prints,
        now.utc(),
    )
    .execute(&mut *tx)
    .await?;
    upsert(tx, whose, found, now).await?;
    Ok(noted)
}

async fn upsert(
    tx: &mut Conn,
    whose: Whose,
    found: &[Found],
    now: Moment,
) -> Result<(), StoreError> {
    let texts = |field: fn(&Found) -> &String| -> Vec<String> {
        found.iter().map(|found| field(found).clone()).collect()
    };
    let ids: Vec<Uuid> = found.iter().map(|_| RequestId::new(now).uuid()).collect();
    let target_kinds: Vec<Option<String>> = found
        .iter()
        .map(|found| found.target_kind.clone())
        .collect();
    let target_ids: Vec<Option<Uuid>> = found.iter().map(|found| found.target_id).collect();
    let details: Vec<Value> = found.iter().map(|found| found.details.clone()).collect();
    sqlx::query!(
        "insert into audit.security_findings (id, organization_id, kind, severity, fingerprint, message, target_kind,
             target_id, details, last_seen_at)
         select f.id, $2, f.kind, f.severity, f.fingerprint, left(f.message, 2000), f.target_kind, f.target_id, f.details, $10
         from unnest($1::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::uuid[], $9::jsonb[])
             as f (id, kind, severity, fingerprint, message, target_kind, target_id, details)
         on conflict (organization_id, fingerprint) where resolved_at is null and deleted_at is null
         do update set severity = excluded.severity, message = excluded.message, details = excluded.details,
             last_seen_at = excluded.last_seen_at",
        &ids,
        whose.organization(),
        &texts(|found| &found.kind),
        &texts(|found| &found.severity),
        &texts(|found| &found.fingerprint),
        &texts(|found| &found.message),
        &target_kinds as &[Option<String>],
        &target_ids as &[Option<Uuid>],
        &details,
        now.utc(),
    )
    .execute(tx)
    .await?;
    Ok(())
}
