//! When each agent wakes: rows that may be changed at run time.

pub mod store;
pub mod times;

use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use super::journal::Cause;
use crate::{
    audit::{self, By, Event},
    base::{Moment, RunId},
    store::{Conn, StoreError},
};
use times::{NotTimes, Times};

/// When one agent wakes.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// Its row.
    pub id: Uuid,
    /// Who wakes.
    pub agent: String,
    /// At which times.
    pub cron: String,
    /// Where those times are told.
    pub zone: String,
    /// Does it sleep through its times?
    pub is_paused: bool,
    /// Does it look and report only?
    pub is_dry: bool,
    /// How long a waking may take.
    pub deadline: Duration,
    /// The latest time that was looked at.
    pub ticked_at: Option<Moment>,
    /// The run somebody asked for.
    pub nudge: Option<Nudge>,
    /// When somebody last changed it.
    pub edited_at: Moment,
}

/// A run that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nudge {
    /// Its id.
    pub run: RunId,
    /// Who asks.
    pub cause: Cause,
}

/// What a schedule asks for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing yet: it is seen for the first time, and begins to count.
    Begin,
    /// A run, because its time has come.
    Tick(Moment),
    /// A run, because somebody asked.
    Nudge(Nudge),
}

impl Schedule {
    /// Returns what it asks for now. Times that were missed ask for one run.
    ///
    /// # Errors
    /// When its times cannot be read: somebody wrote them past us.
    pub fn due(&self, now: Moment) -> Result<Option<Due>, NotTimes> {
        if let Some(nudge) = self.nudge {
            return Ok(Some(Due::Nudge(nudge)));
        }
        if self.is_paused {
            return Ok(None);
        }
        let Some(ticked_at) = self.ticked_at else {
            return Ok(Some(Due::Begin));
        };
        let latest = Times::read(&self.cron, &self.zone)?.latest(now);
        let latest = latest.filter(|latest| ticked_at < *latest);
        Ok(latest.map(Due::Tick))
    }

    /// Returns when it wakes next by itself; `None` while it is paused, or when it never does.
    #[must_use]
    pub fn next_at(&self, now: Moment) -> Option<Moment> {
        let times = Times::read(&self.cron, &self.zone).ok()?;
        times.next(now).filter(|_| !self.is_paused)
    }
}

/// What shall be other; `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct ScheduleChange {
    /// At which times.
    pub cron: Option<String>,
    /// Where those times are told.
    pub zone: Option<String>,
    /// Does it sleep through its times?
    pub is_paused: Option<bool>,
    /// Does it look and report only?
    pub is_dry: Option<bool>,
    /// How long a waking may take, in seconds.
    pub deadline_s: Option<u32>,
}

/// Why a schedule cannot be changed.
#[derive(Debug, thiserror::Error)]
pub enum ScheduleRefused {
    /// There is no such agent.
    #[error("there is no such agent")]
    NoAgent,
    /// Its times cannot be read.
    #[error(transparent)]
    NotTimes(#[from] NotTimes),
    /// Somebody changed it since the caller read it.
    #[error("it was changed since it was read")]
    NotExpected,
    /// The books did not take it.
    #[error("the schedule could not be written")]
    Store(#[from] StoreError),
}

/// Changes when an agent wakes, in a transaction of the platform; times that passed before do not count.
///
/// # Errors
/// See [`ScheduleRefused`].
pub async fn change(
    tx: &mut Conn,
    agent: &str,
    change: ScheduleChange,
    expected: Option<Moment>,
    by: By,
) -> Result<Schedule, ScheduleRefused> {
    let before = store::lock(tx, agent).await?;
    let before = before.ok_or(ScheduleRefused::NoAgent)?;
    if expected.is_some_and(|expected| expected != before.edited_at) {
        return Err(ScheduleRefused::NotExpected);
    }
    let mut after = before.clone();
    set(&mut after.cron, change.cron);
    set(&mut after.zone, change.zone);
    set(&mut after.is_paused, change.is_paused);
    set(&mut after.is_dry, change.is_dry);
    if let Some(deadline_s) = change.deadline_s {
        after.deadline = Duration::from_secs(deadline_s.into());
    }
    Times::read(&after.cron, &after.zone)?;
    after.edited_at = store::update(tx, &after).await?;
    let details = json!({ "before": told(&before), "after": told(&after) });
    note(tx, "agent.change", &after, details, by).await?;
    Ok(after)
}

/// Asks for a run at once, paused or not, and returns its id; a run that was asked for and has not begun is that one.
///
/// # Errors
/// See [`ScheduleRefused`].
pub async fn run_now(tx: &mut Conn, agent: &str, by: By) -> Result<RunId, ScheduleRefused> {
    let schedule = store::lock(tx, agent).await?;
    let schedule = schedule.ok_or(ScheduleRefused::NoAgent)?;
    let run = match schedule.nudge {
        Some(nudge) => nudge.run,
        None => RunId::new(by.now),
    };
    let cause = Cause::Person;
    store::ask(tx, schedule.id, Nudge { run, cause }).await?;
    let details = json!({ "agent": agent, "run_id": run });
    note(tx, "agent.run", &schedule, details, by).await?;
    Ok(run)
}

/// Wakes an agent soon, because something happened that it should look at. Nothing when it is asked to already.
///
/// # Errors
/// When Postgres does not answer.
pub async fn nudge(tx: &mut Conn, agent: &str, now: Moment) -> Result<(), StoreError> {
    let Some(schedule) = store::lock(tx, agent).await? else {
        return Ok(());
    };
    if schedule.nudge.is_some() || schedule.is_paused {
        return Ok(());
    }
    let run = RunId::new(now);
    let cause = Cause::Nudge;
    store::ask(tx, schedule.id, Nudge { run, cause }).await
}

fn told(schedule: &Schedule) -> Value {
    json!({
        "agent": schedule.agent, "cron": schedule.cron, "zone": schedule.zone, "is_paused": schedule.is_paused,
        "is_dry": schedule.is_dry,
        "deadline_s": schedule.deadline.as_secs(),
    })
}

async fn note(
    tx: &mut Conn,
    action: &'static str,
    schedule: &Schedule,
    details: Value,
    by: By,
) -> Result<(), StoreError> {
    let event = Event {
        action,
        target_kind: "agent",
        target_id: Some(schedule.id),
        details,
    };
    audit::store::record(tx, by, &event).await
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Moment {
        let moment: chrono::DateTime<chrono::Utc> = text.parse().unwrap();
        moment.into()
    }

    fn schedule(ticked_at: Option<&str>) -> Schedule {
        Schedule {
            id: Uuid::nil(),
            agent: "maintenance".to_owned(),
            cron: "0 * * * *".to_owned(),
            zone: "UTC".to_owned(),
            is_paused: false,
            is_dry: false,
            deadline: Duration::from_secs(1),
            ticked_at: ticked_at.map(at),
            nudge: None,
            edited_at: Moment::default(),
        }
    }

    #[test]
    fn a_schedule_that_is_seen_for_the_first_time_makes_up_for_nothing() {
        let due = schedule(None).due(at("2026-11-24T05:30:00Z"));

        assert_eq!(due, Ok(Some(Due::Begin)));
    }

    #[test]
    fn a_time_asks_for_one_run_and_missed_times_for_one_together() {
        let now = at("2026-11-24T05:00:00Z");

        for (ticked_at, due) in [
            ("2026-11-24T04:00:00Z", Some(Due::Tick(now))),
            ("2026-11-20T04:00:00Z", Some(Due::Tick(now))),
            ("2026-11-24T05:00:00Z", None),
        ] {
            assert_eq!(schedule(Some(ticked_at)).due(now), Ok(due), "{ticked_at}");
        }
    }

    #[test]
    fn a_paused_agent_wakes_only_when_somebody_asks() {
        let now = at("2026-11-24T05:00:00Z");
        let mut paused = schedule(Some("2026-11-24T01:00:00Z"));
        paused.is_paused = true;
        assert_eq!(paused.due(now), Ok(None));
        assert_eq!(paused.next_at(now), None);
        let nudge = Nudge {
            run: RunId::new(now),
            cause: Cause::Person,
        };

        paused.nudge = Some(nudge);

        assert_eq!(paused.due(now), Ok(Some(Due::Nudge(nudge))));
    }
}
