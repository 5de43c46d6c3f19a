//! Retention in the books: functions that refuse what is not due.

use sqlx::postgres::types::PgInterval;
use uuid::Uuid;

use crate::{
    audit::{chain::Keyed, store::End},
    base::{Moment, OrganizationId},
    store::{Conn, Postgres, StoreError},
};

/// Takes the lock that lets one process at a time keep retention; says whether it was free.
pub(super) async fn is_first(conn: &mut Conn) -> Result<bool, StoreError> {
    let is_first = sqlx::query_scalar!(
        r#"select pg_try_advisory_xact_lock(hashtext('synaxis retention')) as "is_first!""#
    )
    .fetch_one(conn)
    .await?;
    Ok(is_first)
}

/// Waits until nobody else writes a checkpoint.
pub(super) async fn lock_folder(conn: &mut Conn) -> Result<(), StoreError> {
    sqlx::query!("select pg_advisory_xact_lock(hashtext('synaxis checkpoints'))")
        .fetch_one(conn)
        .await?;
    Ok(())
}

/// Notes what a checkpoint outside now vouches for.
pub(super) async fn note_checkpoint(conn: &mut Conn, ends: &[End]) -> Result<(), StoreError> {
    let organizations: Vec<Option<Uuid>> =
        ends.iter().map(|end| end.whose.organization()).collect();
    let seqs: Vec<i64> = ends.iter().map(|end| end.seq).collect();
    sqlx::query!(
        "select audit.note_checkpoint($1, $2)",
        &organizations as &[Option<Uuid>],
        &seqs
    )
    .fetch_one(conn)
    .await?;
    Ok(())
}

/// Makes this month and those after it wherever they are missing; returns how many were.
pub(super) async fn make_months(postgres: &Postgres, ahead: i32) -> Result<i32, StoreError> {
    let mut tx = postgres.begin().await?;
    let made = sqlx::query_scalar!(r#"select platform.make_months($1) as "made!""#, ahead)
        .fetch_one(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(made)
}

/// A month of a table.
pub(super) struct Month {
    /// Its name, with its schema.
    pub(super) partition: String,
    /// Is it one of the audit log?
    pub(super) is_audit: bool,
}

/// Reads the months that ended before `moment`, oldest first.
pub(super) async fn ended_months(
    postgres: &Postgres,
    moment: Moment,
) -> Result<Vec<Month>, StoreError> {
    let mut conn = postgres.acquire().await?;
    let months = sqlx::query_as!(
        Month,
        r#"select m.partition::text as "partition!", m.parent = 'audit.audit_logs'::regclass as "is_audit!"
        from platform.months() m
        where m.ends <= $1
        order by m.ends, m.parent::text"#,
        moment.utc(),
    )
    .fetch_all(&mut *conn)
    .await?;
    Ok(months)
}

/// Lets a month go when it is due: `kept`, `dropped` or `rewritten`.
pub(super) async fn retire_month(
    postgres: &Postgres,
    partition: &str,
    days: i32,
) -> Result<String, StoreError> {
    let mut tx = postgres.begin().await?;
    let outcome = sqlx::query_scalar!(
        r#"select platform.retire_month($1::text::regclass, $2) as "outcome!""#,
        partition,
        days
    )
    .fetch_one(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(outcome)
}

/// Where a chain ends inside a month.
pub(super) struct MonthEnd {
    pub(super) organization_id: Option<Uuid>,
    pub(super) seq: i64,
    pub(super) hash: Option<Vec<u8>>,
    pub(super) checkpoint_seq: i64,
    pub(super) is_due: bool,
}

/// Reads where every chain ends inside a month of the audit log.
pub(super) async fn ends_of_month(
    postgres: &Postgres,
    partition: &str,
    days: i32,
) -> Result<Vec<MonthEnd>, StoreError> {
    let mut conn = postgres.acquire().await?;
    let ends = sqlx::query_as!(
        MonthEnd,
        r#"select organization_id, seq as "seq!", hash, checkpoint_seq as "checkpoint_seq!", is_due as "is_due!"
        from audit.ends_of_month($1::text::regclass, $2)"#,
        partition,
        days,
    )
    .fetch_all(&mut *conn)
    .await?;
    Ok(ends)
}

/// Lets a month of the audit log go for the chains in `due`, each vouched for in the same order.
pub(super) async fn retire_audit_month(
    postgres: &Postgres,
    partition: &str,
    days: i32,
    due: &[MonthEnd],
    vouched: &[Keyed],
) -> Result<String, StoreError> {
    let organizations: Vec<Option<Uuid>> = due.iter().map(|end| end.organization_id).collect();
    let seqs: Vec<i64> = due.iter().map(|end| end.seq).collect();
    let macs: Vec<Vec<u8>> = vouched.iter().map(|keyed| keyed.hash.clone()).collect();
    let key_id = vouched.first().map(|keyed| keyed.key_id.clone());
    let mut tx = postgres.begin().await?;
    let outcome = sqlx::query_scalar!(
        r#"select audit.retire_month($1::text::regclass, $2, $3, $4, $5, $6) as "outcome!""#,
        partition,
        days,
        &organizations as &[Option<Uuid>],
        &seqs,
        key_id,
        &macs,
    )
    .fetch_one(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(outcome)
}

/// Reads which organizations keep their rows for less than `days`, and for how long.
pub(super) async fn shorter_retentions(
    postgres: &Postgres,
    days: i32,
    is_audit: bool,
) -> Result<Vec<(OrganizationId, i32)>, StoreError> {
    let mut conn = postgres.acquire().await?;
    let rows = sqlx::query!(
        r#"select organization_id as "organization_id!", days as "days!"
        from platform.shorter_retentions($1, $2)"#,
        days,
        is_audit,
    )
    .fetch_all(&mut *conn)
    .await?;
    let shorter = rows
        .into_iter()
        .map(|row| (row.organization_id.into(), row.days));
    Ok(shorter.collect())
}

/// Reads which tables kept by month have rows of organizations; the audit log goes its own way.
pub(super) async fn tables_of_tenants(postgres: &Postgres) -> Result<Vec<String>, StoreError> {
    let mut conn = postgres.acquire().await?;
    let tables = sqlx::query_scalar!(
        r#"select t::text as "table!"
        from platform.tables_by_month() t
        join pg_attribute a on a.attrelid = t and a.attname = 'organization_id' and not a.attisdropped
        where t <> 'audit.audit_logs'::regclass
        order by 1"#
    )
    .fetch_all(&mut *conn)
    .await?;
    Ok(tables)
}

/// Deletes the oldest rows of one organization that are due; returns how many.
pub(super) async fn prune_rows(
    postgres: &Postgres,
    table: &str,
    organization: OrganizationId,
    before: Moment,
    batch: i32,
) -> Result<i64, StoreError> {
    let mut tx = postgres.begin().await?;
    let pruned = sqlx::query_scalar!(
        r#"select platform.prune_rows($1::text::regclass, $2, $3, $4) as "pruned!""#,
        table,
        organization.uuid(),
        before.utc(),
        batch,
    )
    .fetch_one(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(pruned)
}

/// Deletes the beginning of one chain, up to `seq`; returns how many rows.
pub(super) async fn prune_audit(
    conn: &mut Conn,
    organization: OrganizationId,
    seq: i64,
    vouched: &Keyed,
) -> Result<i64, StoreError> {
    let pruned = sqlx::query_scalar!(
        r#"select audit.prune($1, $2, $3, $4) as "pruned!""#,
        organization.uuid(),
        seq,
        vouched.key_id,
        vouched.hash,
    )
    .fetch_one(conn)
    .await?;
    Ok(pruned)
}

/// Forgets changes that no reader can still need; returns how many.
pub(super) async fn prune_changes(postgres: &Postgres, days: i32) -> Result<i64, StoreError> {
    let keep = PgInterval {
        months: 0,
        days,
        microseconds: 0,
    };
    let mut tx = postgres.begin().await?;
    let pruned = sqlx::query_scalar!(r#"select platform.prune_changes($1) as "pruned!""#, keep)
        .fetch_one(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(pruned)
}
