//! Work nobody waits for: who wakes whom, when, and what of it may be written.

mod api;
mod cost;
mod discovery;
mod driver;
mod health;
mod security;
mod sidecars;
mod stage;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use serde_json::json;
use sqlx::{PgConnection, Row};
use synaxis::{
    agents::{
        Agent, Fault, Report, Waking,
        driver::{Driver, News},
    },
    base::{Clock, tasks::Tasks},
    store::postgres::Role,
    tenancy::Permissions,
};
use tokio::sync::oneshot;

use crate::stack::database::TestDatabase;

/// What the agent of a test does.
#[derive(Clone, Copy)]
enum Script {
    /// Nothing.
    Nod,
    /// Works longer than its period.
    Linger(Duration),
    /// Breaks its process's heart.
    Panic,
    /// Says why it could not.
    Fail,
}

struct Scripted(Script);

#[async_trait]
impl Agent for Scripted {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn permissions(&self) -> Permissions {
        Permissions::NONE
    }

    async fn wake(&self, _: &Waking) -> Result<Report, Fault> {
        match self.0 {
            Script::Nod => {}
            Script::Linger(time) => tokio::time::sleep(time).await,
            Script::Panic => panic!("as the script says"),
            Script::Fail => {
                return Err(Fault::msg("the well is dry").context("no water"));
            }
        }
        Report::of(&json!({"nods": 1}))
    }
}

/// A driver that runs until it is dropped or told to stop.
struct Running {
    stop: Option<oneshot::Sender<()>>,
    tasks: Tasks,
    news: Arc<Mutex<Vec<News>>>,
}

impl Running {
    fn start(database: &TestDatabase, script: Script) -> Self {
        let (stop, stopped) = oneshot::channel();
        let news = Arc::<Mutex<Vec<News>>>::default();
        let told = Arc::clone(&news);
        let tasks = Tasks::default();
        let driver = Driver {
            own: database.open(Role::Agent),
            postgres: database.open(Role::Agent),
            clock: Clock::System,
            agents: vec![Arc::new(Scripted(script))],
            tasks: tasks.clone(),
            tell: Arc::new(move |one| told.lock().expect("nobody panicked").push(one)),
        };
        let run = driver.run(async {
            let _told = stopped.await;
        });
        tasks.spawn("driver", run);
        Self {
            stop: Some(stop),
            tasks,
            news,
        }
    }

    fn leads(&self) -> bool {
        let news = self.news.lock().expect("nobody panicked");
        let last = news.iter().rev().find_map(|one| match one {
            News::Leads(leads) => Some(*leads),
            News::Ended { .. } => None,
        });
        last.unwrap_or(false)
    }

    async fn stop(mut self) {
        drop(self.stop.take());
        assert!(self.tasks.wait(Duration::from_secs(5)).await);
    }
}

/// A run, as the books have it.
#[derive(Clone, Debug)]
struct Run {
    tick_ms: i64,
    began_ms: i64,
    ended_ms: Option<i64>,
    outcome: String,
    fault: String,
    epoch: i64,
    node: String,
}

/// Every run of an agent, oldest first.
async fn runs(books: &mut PgConnection, agent: &str) -> Vec<Run> {
    let rows = sqlx::query(
        "select (extract(epoch from operations.moment_of(id)) * 1000)::int8 as tick, outcome, epoch, node,
             (extract(epoch from at) * 1000)::int8 as began, (extract(epoch from ended_at) * 1000)::int8 as ended,
             coalesce(fault, '') as fault
         from operations.agent_runs where agent = $1 order by at",
    )
    .bind(agent)
    .fetch_all(books)
    .await
    .expect("the runs");
    let runs = rows.iter().map(|row| Run {
        tick_ms: row.get("tick"),
        began_ms: row.get("began"),
        ended_ms: row.get("ended"),
        outcome: row.get("outcome"),
        fault: row.get("fault"),
        epoch: row.get("epoch"),
        node: row.get("node"),
    });
    runs.collect()
}

/// Lets the agent of a test wake every second.
async fn schedule(books: &mut PgConnection, deadline_s: i32) {
    sqlx::query(
        "insert into platform.agent_schedules (id, agent, cron, deadline_s)
         values (gen_random_uuid(), 'scripted', '* * * * * *', $1)",
    )
    .bind(deadline_s)
    .execute(books)
    .await
    .expect("a schedule");
}

/// Asserts that every run is of another tick, and that none began before the one before it had ended.
fn assert_one_at_a_time(runs: &[Run]) {
    for pair in runs.windows(2) {
        assert!(pair[0].tick_ms < pair[1].tick_ms, "{pair:#?}");
        let ended = pair[0].ended_ms.expect("it ended");
        assert!(ended <= pair[1].began_ms, "{pair:#?}");
    }
}
