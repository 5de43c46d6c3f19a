//! Agents, as the platform's own people see and run them.

mod view;

use axum::{extract::State, response::IntoResponse};

pub use view::{
    AgentLeaderView, AgentRunView, AgentView, AgentsView, AskedRunView, ChangeAgent, RunQuery,
};

use super::{
    Plane,
    error::ApiError,
    etag::{IfMatch, Tagged},
    extract::{Created, Json, Path, PlatformAdmin, Query},
    list::{Listed, paging},
    openapi::Problems,
};
use crate::{
    agents::{
        LEASE,
        journal::{self, RunFilter},
        schedule::{self, Schedule, ScheduleRefused},
    },
    base::{Moment, RunId},
    store::{Conn, lease},
};

/// List the agents
///
/// When each wakes, how its last waking stands, and which sidecar wakes them.
#[utoipa::path(
    get,
    path = "/api/v1/platform/agents",
    tag = "agents",
    responses((status = 200, description = "All agents.", body = AgentsView), Problems)
)]
pub async fn list_agents(
    State(plane): State<Plane>,
    _: PlatformAdmin,
) -> Result<Json<AgentsView>, ApiError> {
    let mut conn = plane.postgres.acquire().await?;
    let (schedules, now) = schedule::store::all(&mut conn).await?;
    let leader = lease::find_leader(&mut conn, LEASE).await?;
    Ok(Json(AgentsView {
        leader: leader.map(AgentLeaderView::from),
        data: views(&mut conn, schedules, now).await?,
    }))
}

/// Tell about an agent
#[utoipa::path(
    get,
    path = "/api/v1/platform/agents/{agent}",
    tag = "agents",
    params(("agent" = String, Path, description = "Its name.")),
    responses((status = 200, description = "The agent.", body = AgentView), Problems)
)]
pub async fn show_agent(
    State(plane): State<Plane>,
    _: PlatformAdmin,
    Path(agent): Path<String>,
) -> Result<impl IntoResponse, ApiError> {
    shown(&plane, &agent).await
}

/// Change when an agent wakes
///
/// Holds at once, also for a pause. Times that passed before do not count.
#[utoipa::path(
    patch,
    path = "/api/v1/platform/agents/{agent}",
    tag = "agents",
    params(("agent" = String, Path, description = "Its name."), IfMatch),
    request_body = ChangeAgent,
    responses((status = 200, description = "The agent as it is now.", body = AgentView), Problems)
)]
pub async fn change_agent(
    State(plane): State<Plane>,
    admin: PlatformAdmin,
    Path(agent): Path<String>,
    IfMatch(expected): IfMatch,
    Json(body): Json<ChangeAgent>,
) -> Result<impl IntoResponse, ApiError> {
    let mut tx = plane.postgres.begin_for_platform().await?;
    schedule::change(&mut tx, &agent, body.into(), expected, admin.by()).await?;
    tx.commit().await.map_err(crate::store::StoreError::from)?;
    shown(&plane, &agent).await
}

/// Wake an agent now
///
/// Paused or not. The run begins within a second, or when the agent has ended the one it is at.
#[utoipa::path(
    post,
    path = "/api/v1/platform/agents/{agent}/run",
    tag = "agents",
    params(("agent" = String, Path, description = "Its name.")),
    responses((status = 201, description = "The run that was asked for.", body = AskedRunView), Problems)
)]
pub async fn run_agent(
    State(plane): State<Plane>,
    admin: PlatformAdmin,
    Path(agent): Path<String>,
) -> Result<Created<Json<AskedRunView>>, ApiError> {
    let mut tx = plane.postgres.begin_for_platform().await?;
    let run_id = schedule::run_now(&mut tx, &agent, admin.by()).await?;
    tx.commit().await.map_err(crate::store::StoreError::from)?;
    let location = format!("/api/v1/platform/agent-runs/{run_id}");
    Ok(Created(location, Json(AskedRunView { run_id })))
}

/// List runs of agents
#[utoipa::path(
    get,
    path = "/api/v1/platform/agent-runs",
    tag = "agents",
    params(RunQuery),
    responses((status = 200, description = "A page of runs.", body = Listed<AgentRunView>), Problems)
)]
pub async fn list_agent_runs(
    State(plane): State<Plane>,
    _: PlatformAdmin,
    Query(query): Query<RunQuery>,
) -> Result<Json<Listed<AgentRunView>>, ApiError> {
    let paging = paging(query.limit, query.cursor.as_deref(), query.order)?;
    let filter = RunFilter {
        agent: query.agent,
        outcome: query.outcome,
    };
    let mut conn = plane.postgres.acquire().await?;
    let page = journal::store::page(&mut conn, &filter, &paging).await?;
    Ok(Json(Listed::of(page, AgentRunView::from)))
}

/// Tell about a run
///
/// A run that was asked for and has not begun is not there yet.
#[utoipa::path(
    get,
    path = "/api/v1/platform/agent-runs/{run_id}",
    tag = "agents",
    params(("run_id" = RunId, Path, description = "The run.")),
    responses((status = 200, description = "The run.", body = AgentRunView), Problems)
)]
pub async fn show_agent_run(
    State(plane): State<Plane>,
    _: PlatformAdmin,
    Path(run): Path<RunId>,
) -> Result<Json<AgentRunView>, ApiError> {
    let mut conn = plane.postgres.acquire().await?;
    let run = journal::store::find(&mut conn, run).await?;
    let run = run.ok_or(ApiError::NotFound)?;
    Ok(Json(AgentRunView::from(run)))
}

async fn shown(plane: &Plane, agent: &str) -> Result<Tagged<AgentView>, ApiError> {
    let mut conn = plane.postgres.acquire().await?;
    let (mut schedules, now) = schedule::store::all(&mut conn).await?;
    schedules.retain(|schedule| schedule.agent == agent);
    let edited_at = schedules.first().map(|schedule| schedule.edited_at);
    let view = views(&mut conn, schedules, now).await?.pop();
    let found = edited_at.zip(view).ok_or(ApiError::NotFound)?;
    Ok(Tagged(found.0, found.1))
}

async fn views(
    conn: &mut Conn,
    schedules: Vec<Schedule>,
    now: Moment,
) -> Result<Vec<AgentView>, ApiError> {
    let mut latest = journal::store::latest(conn).await?;
    let views = schedules.into_iter().map(|schedule| {
        let place = latest.iter().position(|run| run.agent == schedule.agent);
        let last_run = place.map(|place| latest.swap_remove(place));
        AgentView::of(schedule, last_run, now)
    });
    Ok(views.collect())
}

impl From<ScheduleRefused> for ApiError {
    fn from(error: ScheduleRefused) -> Self {
        match error {
            ScheduleRefused::NoAgent => Self::NotFound,
            ScheduleRefused::NotExpected => Self::PreconditionFailed,
            ScheduleRefused::NotTimes(error) => {
                let field = match error {
                    schedule::times::NotTimes::NoZone => "zone",
                    schedule::times::NotTimes::NoCron | schedule::times::NotTimes::Never => "cron",
                };
                Self::invalid(field, error.to_string())
            }
            ScheduleRefused::Store(error) => error.into(),
        }
    }
}
