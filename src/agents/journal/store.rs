//! The journal in the books.

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::{Cause, Outcome, Run, RunFilter};
use crate::{
    base::{Moment, NanoUsd, Page, Paging, RunId},
    store::{Conn, Lease, StoreError},
};

/// Writes that a waking begins.
pub(in crate::agents) async fn begin(
    tx: &mut Conn,
    run: RunId,
    agent: &str,
    cause: Cause,
    lease: &Lease,
) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into operations.agent_runs (id, at, agent, cause, node, epoch)
         values ($1, clock_timestamp(), $2, $3, $4, $5)",
        run.uuid(),
        agent,
        cause.word(),
        lease.holder,
        lease.epoch,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Writes how a waking ended, unless that is written already.
pub(in crate::agents) async fn end(
    tx: &mut Conn,
    run: RunId,
    outcome: Outcome,
    report: &Value,
    fault: Option<&str>,
) -> Result<(), StoreError> {
    sqlx::query!(
        "update operations.agent_runs
         set ended_at = clock_timestamp(), outcome = $2, report = $3, fault = left($4, 2000)
         where id = $1 and outcome = 'running'",
        run.uuid(),
        outcome.word(),
        report,
        fault,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Gives up every waking that has not ended up to an epoch; returns how many there were.
pub(in crate::agents) async fn abandon(
    tx: &mut Conn,
    epoch: i64,
    why: &str,
) -> Result<u64, StoreError> {
    let abandoned = sqlx::query!(
        "update operations.agent_runs
         set ended_at = clock_timestamp(), outcome = 'abandoned', fault = $2
         where outcome = 'running' and epoch <= $1",
        epoch,
        why,
    )
    .execute(tx)
    .await?;
    Ok(abandoned.rows_affected())
}

struct Row {
    id: Uuid,
    at: DateTime<Utc>,
    agent: String,
    cause: String,
    node: String,
    epoch: i64,
    ended_at: Option<DateTime<Utc>>,
    outcome: String,
    report: Value,
    fault: Option<String>,
    cost_nano_usd: i64,
}

impl From<Row> for Run {
    fn from(row: Row) -> Self {
        Self {
            id: row.id.into(),
            at: row.at.into(),
            agent: row.agent,
            cause: Cause::of_word(&row.cause).unwrap_or(Cause::Schedule),
            node: row.node,
            epoch: row.epoch,
            ended_at: row.ended_at.map(Moment::from),
            outcome: Outcome::of_word(&row.outcome).unwrap_or(Outcome::Running),
            report: row.report,
            fault: row.fault,
            cost: NanoUsd::from_column(row.cost_nano_usd),
        }
    }
}

/// Reads a page of wakings.
///
/// # Errors
/// When Postgres does not answer.
pub async fn page(
    conn: &mut Conn,
    filter: &RunFilter,
    paging: &Paging,
) -> Result<Page<Run>, StoreError> {
    let rows = sqlx::query_as!(
        Row,
        "select id, at, agent, cause, node, epoch, ended_at, outcome, report, fault, cost_nano_usd
         from operations.agent_runs
         where ($1::text is null or agent = $1)
             and ($2::text is null or outcome = $2)
             and ($3::timestamptz is null
                 or ($5 and (at, id) < ($3, $4)) or (not $5 and (at, id) > ($3, $4)))
         order by case when $5 then at end desc, case when $5 then id end desc, at, id
         limit $6",
        filter.agent,
        filter.outcome.map(Outcome::word),
        paging.after_at(),
        paging.after_id(),
        paging.is_descending(),
        paging.fetched(),
    )
    .fetch_all(conn)
    .await?;
    let page = paging.page(rows, |row| (row.at.into(), row.id));
    Ok(page.map(Run::from))
}

/// Finds one waking.
///
/// # Errors
/// When Postgres does not answer.
pub async fn find(conn: &mut Conn, run: RunId) -> Result<Option<Run>, StoreError> {
    let row = sqlx::query_as!(
        Row,
        "select id, at, agent, cause, node, epoch, ended_at, outcome, report, fault, cost_nano_usd
         from operations.agent_runs
         where id = $1",
        run.uuid()
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(Run::from))
}

/// Reads the latest waking of each agent.
///
/// # Errors
/// When Postgres does not answer.
pub async fn latest(conn: &mut Conn) -> Result<Vec<Run>, StoreError> {
    let rows = sqlx::query_as!(
        Row,
        r#"select r.id as "id!", r.at as "at!", r.agent as "agent!", r.cause as "cause!", r.node as "node!",
             r.epoch as "epoch!", r.ended_at, r.outcome as "outcome!", r.report as "report!", r.fault,
             r.cost_nano_usd as "cost_nano_usd!"
         from platform.agent_schedules s
         cross join lateral (
             select * from operations.agent_runs a where a.agent = s.agent order by a.at desc, a.id desc limit 1) r
         where s.deleted_at is null"#
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(Run::from).collect())
}
