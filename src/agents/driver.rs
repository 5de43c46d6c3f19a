//! Wakes each agent: one process leads, and runs what is due until it stops or leads no more.
//!
//! A waking never overlaps another of the same agent, and never outlives its deadline or the lease: what a process
//! that was stopped still writes is refused by the books.

use std::{
    collections::HashMap,
    panic::AssertUnwindSafe,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::FutureExt;
use serde_json::json;
use tokio::task::JoinHandle;

use super::{
    Agent, Fault, LEASE, Mode, Report, Waking,
    journal::{self, Outcome},
    schedule::{self, Due, Schedule},
};
use crate::{
    base::{Clock, NodeId, RunId, tasks::Tasks},
    store::{Lease, Postgres, StoreError, nodes, postgres::Listener},
};

/// How long a leader may fall silent before another takes over.
const TERM: Duration = Duration::from_secs(6);
/// How often a leader renews, and how long it waits for that.
const RENEWED_EVERY: Duration = Duration::from_secs(2);
/// How often schedules are looked at, and how often those who do not lead look whether they may.
const EVERY: Duration = Duration::from_secs(1);
/// How long wakings may go on after a signal to stop.
const LAST_WORDS: Duration = Duration::from_millis(1_200);
/// Where changes of schedules and calls for a run are announced.
const CHANNEL: &str = "synaxis_agents";

/// What there is to tell of agents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// This process leads, or leads no more.
    Leads(bool),
    /// A waking ended.
    Ended {
        /// Whose.
        agent: &'static str,
        /// How.
        outcome: Outcome,
        /// After how long.
        took: Duration,
    },
}

/// What wakes agents.
pub struct Driver {
    /// The driver's own door to the books: it waits behind no agent.
    pub own: Postgres,
    /// The door agents use.
    pub postgres: Postgres,
    /// The time of day.
    pub clock: Clock,
    /// Who is woken.
    pub agents: Vec<Arc<dyn Agent>>,
    /// Where wakings run.
    pub tasks: Tasks,
    /// Who is told.
    pub tell: Arc<dyn Fn(News) + Send + Sync>,
}

/// The wakings that go on, by their agent.
type Running = HashMap<&'static str, JoinHandle<()>>;

impl Driver {
    /// Leads whenever nobody else does, until `stopped`.
    pub async fn run(self, stopped: impl Future<Output = ()>) {
        let mut stopped = pin!(stopped);
        let id = NodeId::new(self.clock.now());
        let holder = format!("{}/{id}", nodes::host());
        loop {
            let lease = tokio::select! {
                () = &mut stopped => return,
                lease = self.lease(&holder) => lease,
            };
            tracing::info!(epoch = lease.epoch, "this sidecar wakes the agents now");
            (self.tell)(News::Leads(true));
            let mut running = Running::new();
            let is_stopped = tokio::select! {
                () = &mut stopped => true,
                () = self.keep(&lease) => false,
                () = self.work(&lease, &mut running) => false,
            };
            self.leave(&lease, running, is_stopped).await;
            (self.tell)(News::Leads(false));
            if is_stopped {
                return;
            }
            tracing::warn!(epoch = lease.epoch, "this sidecar leads the agents no more");
        }
    }

    /// Waits until this process may lead.
    async fn lease(&self, holder: &str) -> Lease {
        loop {
            match Lease::take(&self.own, LEASE, holder, TERM).await {
                Ok(Some(lease)) => return lease,
                Ok(None) => {}
                Err(error) => tracing::debug!(%error, "nobody knows who leads the agents"),
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Renews the lease until it is lost, or nothing was heard of it for its whole term.
    async fn keep(&self, lease: &Lease) {
        let mut renewed_at = Instant::now();
        loop {
            tokio::time::sleep(RENEWED_EVERY).await;
            let asked_at = Instant::now();
            let renewal = lease.renew(&self.own, TERM);
            match tokio::time::timeout(RENEWED_EVERY, renewal).await {
                Ok(Ok(true)) => renewed_at = asked_at,
                Ok(Ok(false)) => return,
                Ok(Err(_)) | Err(_) if renewed_at.elapsed() < TERM => {}
                Ok(Err(_)) | Err(_) => return,
            }
        }
    }

    /// Starts what is due, again and again.
    async fn work(&self, lease: &Lease, running: &mut Running) {
        let own = self.own.fenced(lease.clone());
        let mut is_tidy = false;
        let mut ear = None;
        loop {
            if !is_tidy {
                is_tidy = tidy(&own, lease).await;
            }
            running.retain(|_, task| !task.is_finished());
            if let Err(error) = self.look(&own, lease, running).await {
                tracing::warn!(%error, "the schedules of agents could not be looked at");
            }
            self.listen(&mut ear).await;
        }
    }

    /// Waits for an announcement, a second at most.
    async fn listen(&self, ear: &mut Option<Listener>) {
        if ear.is_none() {
            *ear = self.own.listen(CHANNEL).await.ok();
        }
        let Some(listener) = ear else {
            return tokio::time::sleep(EVERY).await;
        };
        if let Ok(Err(_)) = tokio::time::timeout(EVERY, listener.heard()).await {
            *ear = None;
        }
    }

    async fn look(
        &self,
        own: &Postgres,
        lease: &Lease,
        running: &mut Running,
    ) -> Result<(), StoreError> {
        let (schedules, now) = schedule::store::all(&mut *own.acquire().await?).await?;
        for schedule in schedules {
            let mut agents = self.agents.iter();
            let Some(agent) = agents.find(|agent| agent.name() == schedule.agent) else {
                continue;
            };
            if running.contains_key(agent.name()) {
                continue;
            }
            let due = schedule.due(now).unwrap_or_else(|error| {
                tracing::error!(agent = schedule.agent, %error, "an agent has no times");
                None
            });
            if let Some(due) = due {
                self.begin(own, lease, agent, schedule, due, running)
                    .await?;
            }
        }
        Ok(())
    }

    async fn begin(
        &self,
        own: &Postgres,
        lease: &Lease,
        agent: &Arc<dyn Agent>,
        schedule: Schedule,
        due: Due,
        running: &mut Running,
    ) -> Result<(), StoreError> {
        let mut tx = own.begin().await?;
        let claimed = schedule::store::claim(&mut tx, &schedule, due, lease).await?;
        tx.commit().await.map_err(StoreError::from)?;
        let Some(run) = claimed else {
            return Ok(());
        };
        let waking = Waking {
            run,
            now: self.clock.now(),
            postgres: self.postgres.fenced(lease.clone()),
            clock: self.clock.clone(),
            agent: agent.name(),
            permissions: agent.permissions(),
            mode: if schedule.is_dry {
                Mode::Dry
            } else {
                Mode::Act
            },
        };
        let (own, agent, tell) = (own.clone(), Arc::clone(agent), Arc::clone(&self.tell));
        let name = agent.name();
        let task = async move {
            let began = Instant::now();
            let end = wake(&*agent, &waking, schedule.deadline).await;
            note(&own, run, &end).await;
            let (outcome, took) = (end.outcome, began.elapsed());
            tell(News::Ended {
                agent: name,
                outcome,
                took,
            });
        };
        running.insert(name, self.tasks.spawn(name, task));
        Ok(())
    }

    /// Ends what still runs; a process that stops lets wakings end first, and lets another lead at once.
    async fn leave(&self, lease: &Lease, running: Running, is_stopped: bool) {
        if is_stopped {
            let all_ended = async {
                while running.values().any(|task| !task.is_finished()) {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            let _in_time = tokio::time::timeout(LAST_WORDS, all_ended).await;
        }
        for task in running.values() {
            task.abort();
        }
        if !is_stopped {
            return;
        }
        let own = self.own.fenced(lease.clone());
        if let Err(error) = give_up(&own, lease.epoch, "its sidecar stopped").await {
            tracing::warn!(%error, "wakings that were broken off could not be given up");
        }
        if let Err(error) = lease.release(&self.own).await {
            tracing::debug!(%error, "the lease of the agents ends with its term");
        }
    }
}

/// Gives up what earlier leaders left running; says whether that was written.
async fn tidy(own: &Postgres, lease: &Lease) -> bool {
    match give_up(own, lease.epoch - 1, "its leader was lost").await {
        Ok(0) => true,
        Ok(runs) => {
            tracing::warn!(runs, "wakings of an earlier leader were given up");
            true
        }
        Err(error) => {
            tracing::warn!(%error, "wakings of earlier leaders could not be given up");
            false
        }
    }
}

async fn give_up(own: &Postgres, epoch: i64, why: &str) -> Result<u64, StoreError> {
    let mut tx = own.begin().await?;
    let runs = journal::store::abandon(&mut tx, epoch, why).await?;
    tx.commit().await.map_err(StoreError::from)?;
    Ok(runs)
}

/// What a waking came to.
struct End {
    outcome: Outcome,
    report: serde_json::Value,
    fault: Option<String>,
}

impl End {
    fn failed(fault: String) -> Self {
        Self {
            outcome: Outcome::Failed,
            report: json!({}),
            fault: Some(fault),
        }
    }
}

/// Wakes an agent, and bears whatever it does.
async fn wake(agent: &dyn Agent, waking: &Waking, deadline: Duration) -> End {
    let woken = AssertUnwindSafe(agent.wake(waking)).catch_unwind();
    match tokio::time::timeout(deadline, woken).await {
        Ok(Ok(Ok(Report { details }))) => End {
            outcome: Outcome::Succeeded,
            report: details,
            fault: None,
        },
        Ok(Ok(Err(fault))) => {
            let told: &Fault = &fault;
            tracing::error!(agent = agent.name(), run = %waking.run, error = format!("{told:#}"), "an agent failed");
            End::failed(fault.to_string())
        }
        Ok(Err(_)) => {
            tracing::error!(agent = agent.name(), run = %waking.run, "an agent panicked");
            End::failed("it panicked".to_owned())
        }
        Err(_) => {
            tracing::error!(agent = agent.name(), run = %waking.run, "an agent took too long");
            End::failed(format!("it did not end within {} s", deadline.as_secs()))
        }
    }
}

/// Writes what a waking came to, as soon as the books answer; nothing once another leads.
async fn note(own: &Postgres, run: RunId, end: &End) {
    loop {
        let noted = async {
            let mut tx = own.begin().await?;
            let fault = end.fault.as_deref();
            journal::store::end(&mut tx, run, end.outcome, &end.report, fault).await?;
            tx.commit().await.map_err(StoreError::from)
        };
        match noted.await {
            Ok(()) => return,
            Err(StoreError::NotLeader) => {
                tracing::warn!(%run, "a waking ended after its lease did");
                return;
            }
            Err(error) => tracing::warn!(%run, %error, "the end of a waking could not be written"),
        }
        tokio::time::sleep(EVERY).await;
    }
}
