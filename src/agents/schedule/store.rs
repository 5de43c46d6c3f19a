//! Schedules in the books.

use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Due, Nudge, Schedule};
use crate::{
    agents::journal::{self, Cause},
    base::{Moment, RunId},
    store::{Conn, Lease, StoreError},
};

struct Row {
    id: Uuid,
    agent: String,
    cron: String,
    zone: String,
    is_paused: bool,
    is_dry: bool,
    deadline_s: i32,
    ticked_at: Option<DateTime<Utc>>,
    nudged_run: Option<Uuid>,
    nudged_by: Option<String>,
    edited_at: DateTime<Utc>,
}

impl From<Row> for Schedule {
    fn from(row: Row) -> Self {
        let nudged_by = row.nudged_by.as_deref().and_then(Cause::of_word);
        Self {
            id: row.id,
            agent: row.agent,
            cron: row.cron,
            zone: row.zone,
            is_paused: row.is_paused,
            is_dry: row.is_dry,
            deadline: Duration::from_secs(u64::try_from(row.deadline_s).unwrap_or_default()),
            ticked_at: row.ticked_at.map(Moment::from),
            nudge: row.nudged_run.zip(nudged_by).map(|(run, cause)| Nudge {
                run: run.into(),
                cause,
            }),
            edited_at: row.edited_at.into(),
        }
    }
}

/// Reads every schedule, by the agent's name, and what time it is in the books.
///
/// # Errors
/// When Postgres does not answer.
pub async fn all(conn: &mut Conn) -> Result<(Vec<Schedule>, Moment), StoreError> {
    let now = sqlx::query_scalar!(r#"select clock_timestamp() as "now!""#)
        .fetch_one(&mut *conn)
        .await?;
    let rows = sqlx::query_as!(
        Row,
        "select id, agent, cron, zone, is_paused, is_dry, deadline_s, ticked_at, nudged_run, nudged_by, edited_at
         from platform.agent_schedules
         where deleted_at is null
         order by agent"
    )
    .fetch_all(conn)
    .await?;
    let schedules = rows.into_iter().map(Schedule::from).collect();
    Ok((schedules, now.into()))
}

/// Finds an agent's schedule, and keeps others from changing it until the transaction ends.
pub(super) async fn lock(tx: &mut Conn, agent: &str) -> Result<Option<Schedule>, StoreError> {
    let row = sqlx::query_as!(
        Row,
        "select id, agent, cron, zone, is_paused, is_dry, deadline_s, ticked_at, nudged_run, nudged_by, edited_at
         from platform.agent_schedules
         where agent = $1 and deleted_at is null
         for update",
        agent
    )
    .fetch_optional(tx)
    .await?;
    Ok(row.map(Schedule::from))
}

/// Writes a schedule; its times count from now on.
pub(super) async fn update(tx: &mut Conn, schedule: &Schedule) -> Result<Moment, StoreError> {
    let edited_at = sqlx::query_scalar!(
        "update platform.agent_schedules
         set cron = $2, zone = $3, is_paused = $4, is_dry = $5, deadline_s = $6, ticked_at = clock_timestamp(),
             edited_at = clock_timestamp()
         where id = $1
         returning edited_at",
        schedule.id,
        schedule.cron,
        schedule.zone,
        schedule.is_paused,
        schedule.is_dry,
        i32::try_from(schedule.deadline.as_secs()).unwrap_or(i32::MAX),
    )
    .fetch_one(tx)
    .await?;
    Ok(edited_at.into())
}

/// Writes down that a run is asked for.
pub(super) async fn ask(tx: &mut Conn, id: Uuid, nudge: Nudge) -> Result<(), StoreError> {
    sqlx::query!(
        "update platform.agent_schedules
         set nudged_at = clock_timestamp(), nudged_run = $2, nudged_by = $3
         where id = $1",
        id,
        nudge.run.uuid(),
        nudge.cause.word(),
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Takes what is due, in a transaction of the leader; returns the run that has begun, `None` when there is none or the
/// schedule is another by now.
///
/// # Errors
/// When Postgres does not answer.
pub async fn claim(
    tx: &mut Conn,
    schedule: &Schedule,
    due: Due,
    lease: &Lease,
) -> Result<Option<RunId>, StoreError> {
    let (run, cause) = match due {
        Due::Begin => {
            begin(tx, schedule).await?;
            return Ok(None);
        }
        Due::Tick(at) => {
            if !tick(tx, schedule, at).await? {
                return Ok(None);
            }
            (RunId::new(at), Cause::Schedule)
        }
        Due::Nudge(nudge) => {
            if !answer(tx, schedule, nudge).await? {
                return Ok(None);
            }
            (nudge.run, nudge.cause)
        }
    };
    journal::store::begin(tx, run, &schedule.agent, cause, lease).await?;
    Ok(Some(run))
}

async fn begin(tx: &mut Conn, schedule: &Schedule) -> Result<(), StoreError> {
    sqlx::query!(
        "update platform.agent_schedules set ticked_at = clock_timestamp() where id = $1 and ticked_at is null",
        schedule.id
    )
    .execute(tx)
    .await?;
    Ok(())
}

async fn tick(tx: &mut Conn, schedule: &Schedule, at: Moment) -> Result<bool, StoreError> {
    let ticked = sqlx::query!(
        "update platform.agent_schedules
         set ticked_at = $3
         where id = $1 and edited_at = $2 and ticked_at < $3 and not is_paused",
        schedule.id,
        schedule.edited_at.utc(),
        at.utc(),
    )
    .execute(tx)
    .await?;
    Ok(ticked.rows_affected() == 1)
}

async fn answer(tx: &mut Conn, schedule: &Schedule, nudge: Nudge) -> Result<bool, StoreError> {
    let answered = sqlx::query!(
        "update platform.agent_schedules
         set nudged_at = null, nudged_run = null, nudged_by = null
         where id = $1 and nudged_run = $2",
        schedule.id,
        nudge.run.uuid(),
    )
    .execute(tx)
    .await?;
    Ok(answered.rows_affected() == 1)
}
