//! Two sidecars on the same books: one wakes the agents, and losing it costs seconds.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use sqlx::PgConnection;

use super::{Run, assert_one_at_a_time, runs};
use crate::stack::{admin::TestAdmin, eventually, within};

/// A lost leader is replaced within this.
const REPLACED: Duration = Duration::from_secs(10);
/// Twice what a leader may be silent.
const TWO_TERMS: Duration = Duration::from_secs(12);

/// Lets every agent wake every two seconds.
async fn hurry(books: &mut PgConnection) {
    sqlx::query(
        "update platform.agent_schedules set cron = '*/2 * * * * *', is_paused = false, edited_at = clock_timestamp()",
    )
    .execute(books)
    .await
    .expect("schedules");
}

async fn agents(books: &mut PgConnection) -> Vec<String> {
    sqlx::query_scalar("select distinct agent from operations.agent_runs order by 1")
        .fetch_all(books)
        .await
        .expect("agents")
}

#[expect(clippy::print_stdout, reason = "the figure is what the test is for")]
fn tell(what: &str, took: Duration) {
    println!("{what} {} ms", took.as_millis());
}

/// Which of two leads, by what it says of itself.
async fn leads(admin: &TestAdmin) -> bool {
    admin.metrics().await.contains("\nsynaxis_agents_led 1\n")
}

async fn maintained(admin: &TestAdmin) -> Vec<Run> {
    runs(&mut admin.database.connect().await, "maintenance").await
}

#[tokio::test]
async fn each_agent_runs_once_a_tick_and_a_killed_leader_is_replaced() {
    let mut first = TestAdmin::start().await;
    eventually("the first leads", async || leads(&first).await).await;
    let second = first.another(&[]).await;
    let mut books = first.database.connect().await;
    hurry(&mut books).await;
    eventually("they woke", async || 3 <= maintained(&second).await.len()).await;
    assert!(!leads(&second).await);
    let epoch = maintained(&second).await[0].epoch;

    first.kill();
    let killed = Instant::now();

    let took = within(REPLACED, async || {
        maintained(&second)
            .await
            .iter()
            .any(|run| epoch < run.epoch)
    })
    .await;
    tell(
        "a killed leader was replaced, and an agent woken, after",
        took,
    );
    assert!(killed.elapsed() < REPLACED);
    eventually("they go on", async || {
        let runs = maintained(&second).await;
        3 <= runs
            .iter()
            .filter(|run| epoch < run.epoch && run.outcome == "succeeded")
            .count()
    })
    .await;
    let agents = agents(&mut books).await;
    assert_eq!(agents.len(), 5, "{agents:?}");
    for agent in agents {
        let mut runs = runs(&mut books, &agent).await;
        runs.retain(|run| run.ended_ms.is_some());
        assert_one_at_a_time(&runs);
    }
}

#[tokio::test]
async fn a_leader_that_was_stopped_for_two_terms_writes_nothing_when_it_wakes() {
    let first = TestAdmin::start().await;
    eventually("the first leads", async || leads(&first).await).await;
    let second = first.another(&[]).await;
    let mut books = first.database.connect().await;
    hurry(&mut books).await;
    eventually("they woke", async || 2 <= maintained(&second).await.len()).await;
    let node = maintained(&second).await[0].node.clone();

    first.signal(Signal::STOP);
    let stopped = Instant::now();
    within(REPLACED, async || {
        maintained(&second).await.iter().any(|run| run.node != node)
    })
    .await;
    tell(
        "a stopped leader was replaced, and an agent woken, after",
        stopped.elapsed(),
    );
    tokio::time::sleep(TWO_TERMS.saturating_sub(stopped.elapsed())).await;
    let before = maintained(&second).await;
    first.signal(Signal::CONT);
    tokio::time::sleep(Duration::from_secs(4)).await;

    let after = maintained(&second).await;
    let is_of_first = |run: &&Run| run.node == node;
    let ended = |runs: &[Run]| {
        let of_first = runs.iter().filter(is_of_first);
        of_first
            .map(|run| (run.tick_ms, run.outcome.clone(), run.ended_ms))
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(
        ended(&before),
        ended(&after),
        "the stopped leader wrote something"
    );
    assert!(before.len() < after.len());
    assert!(!leads(&first).await && leads(&second).await);
    assert_one_at_a_time(&after);
}
