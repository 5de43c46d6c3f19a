//! What callers send and read about agents.

use garde::Validate;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::{
    agents::{
        journal::{Cause, Outcome, Run},
        schedule::{Schedule, ScheduleChange},
    },
    base::{Moment, NanoUsd, Order, RunId},
    store::lease::Leader,
};

/// All agents; there are never many.
#[derive(Debug, Serialize, ToSchema)]
pub struct AgentsView {
    /// The sidecar that wakes them; null while none does.
    pub leader: Option<AgentLeaderView>,
    /// The agents, by name.
    pub data: Vec<AgentView>,
}

/// The sidecar that wakes the agents.
#[derive(Debug, Serialize, ToSchema)]
pub struct AgentLeaderView {
    /// Its machine and its id.
    pub node: String,
    /// Grows with every change of leader.
    pub epoch: i64,
    /// When another may take over, unless it is heard of before.
    pub expires_at: Moment,
}

impl From<Leader> for AgentLeaderView {
    fn from(leader: Leader) -> Self {
        Self {
            node: leader.holder,
            epoch: leader.epoch,
            expires_at: leader.expires_at,
        }
    }
}

/// An agent.
#[derive(Debug, Serialize, ToSchema)]
pub struct AgentView {
    /// Its name.
    pub agent: String,
    /// At which times it wakes.
    pub cron: String,
    /// The zone those times are told in.
    pub zone: String,
    /// Whether it sleeps through its times.
    pub is_paused: bool,
    /// Whether it looks and reports, and changes nothing.
    pub is_dry: bool,
    /// How long a waking may take.
    pub deadline_s: u64,
    /// When it wakes next by itself; null while it is paused.
    pub next_at: Option<Moment>,
    /// The run that was asked for and has not begun.
    pub asked_run_id: Option<RunId>,
    /// How its last waking stands.
    pub last_run: Option<AgentRunView>,
    /// When somebody last changed its schedule.
    pub edited_at: Moment,
}

impl AgentView {
    /// Shows an agent as it is at `now`.
    #[must_use]
    pub fn of(schedule: Schedule, last_run: Option<Run>, now: Moment) -> Self {
        Self {
            next_at: schedule.next_at(now),
            agent: schedule.agent,
            cron: schedule.cron,
            zone: schedule.zone,
            is_paused: schedule.is_paused,
            is_dry: schedule.is_dry,
            deadline_s: schedule.deadline.as_secs(),
            asked_run_id: schedule.nudge.map(|nudge| nudge.run),
            last_run: last_run.map(AgentRunView::from),
            edited_at: schedule.edited_at,
        }
    }
}

/// One waking of an agent.
#[derive(Debug, Serialize, ToSchema)]
pub struct AgentRunView {
    /// Its id.
    pub id: RunId,
    /// When it began.
    pub at: Moment,
    /// Who woke.
    pub agent: String,
    /// Why.
    pub cause: Cause,
    /// In which sidecar.
    pub node: String,
    /// The epoch of that sidecar's lease.
    pub epoch: i64,
    /// When it ended.
    pub ended_at: Option<Moment>,
    /// How it stands.
    pub outcome: Outcome,
    /// What it saw and did.
    #[schema(value_type = Object)]
    pub report: Value,
    /// Why it failed or was given up.
    pub fault: Option<String>,
    /// What it spent, in billionths of a dollar.
    pub cost_nano_usd: NanoUsd,
}

impl From<Run> for AgentRunView {
    fn from(run: Run) -> Self {
        Self {
            id: run.id,
            at: run.at,
            agent: run.agent,
            cause: run.cause,
            node: run.node,
            epoch: run.epoch,
            ended_at: run.ended_at,
            outcome: run.outcome,
            report: run.report,
            fault: run.fault,
            cost_nano_usd: run.cost,
        }
    }
}

/// A run that was asked for.
#[derive(Debug, Serialize, ToSchema)]
pub struct AskedRunView {
    /// Its id; it can be read once it has begun.
    pub run_id: RunId,
}

/// What shall be other; absent fields stay.
#[derive(Debug, Default, Deserialize, Validate, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ChangeAgent {
    /// At which times it wakes: five fields, or six with seconds in front.
    #[garde(length(chars, min = 9, max = 200))]
    #[schema(example = "*/15 * * * *")]
    pub cron: Option<String>,
    /// The IANA zone those times are told in.
    #[garde(length(chars, min = 1, max = 64))]
    #[schema(example = "Europe/Berlin")]
    pub zone: Option<String>,
    /// Whether it sleeps through its times.
    #[garde(skip)]
    pub is_paused: Option<bool>,
    /// Whether it looks and reports, and changes nothing.
    #[garde(skip)]
    pub is_dry: Option<bool>,
    /// How long a waking may take.
    #[garde(range(min = 1, max = 3600))]
    #[schema(minimum = 1, maximum = 3600)]
    pub deadline_s: Option<u32>,
}

impl From<ChangeAgent> for ScheduleChange {
    fn from(body: ChangeAgent) -> Self {
        Self {
            cron: body.cron,
            zone: body.zone,
            is_paused: body.is_paused,
            is_dry: body.is_dry,
            deadline_s: body.deadline_s,
        }
    }
}

/// Which runs.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RunQuery {
    /// Only those of this agent.
    pub agent: Option<String>,
    /// Only those that stand so.
    #[param(inline)]
    pub outcome: Option<Outcome>,
    /// How many at most; 50 when absent.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u32>,
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Which end comes first: the newest (`desc`) when absent.
    #[param(inline)]
    pub order: Option<Order>,
}
