//! One process leads; nothing overlaps; nothing outlives its deadline or its lease.

use std::time::{Duration, Instant};

use synaxis::store::{Lease, StoreError, postgres::Role};

use super::{Running, Script, assert_one_at_a_time, runs, schedule};
use crate::stack::{database::TestDatabase, eventually, within};

const TERM: Duration = Duration::from_secs(1);

#[tokio::test]
async fn two_processes_run_each_tick_once_and_the_second_goes_on_when_the_first_stops() {
    let database = TestDatabase::start().await;
    let mut books = database.connect().await;
    schedule(&mut books, 10).await;
    let first = Running::start(&database, Script::Nod);
    eventually("the first leads", async || first.leads()).await;
    let second = Running::start(&database, Script::Nod);
    eventually("it ran", async || {
        3 <= runs(&mut database.connect().await, "scripted").await.len()
    })
    .await;
    assert!(!second.leads());

    first.stop().await;

    // Told to stop it lets go at once: nobody waits for the term.
    within(Duration::from_secs(3), async || second.leads()).await;
    let before = runs(&mut books, "scripted").await.len();
    eventually("the second ran", async || {
        before + 2 < runs(&mut database.connect().await, "scripted").await.len()
    })
    .await;
    second.stop().await;
    let runs = runs(&mut books, "scripted").await;
    assert_one_at_a_time(&runs);
    assert!(
        runs.iter().all(|run| run.outcome == "succeeded"),
        "{runs:#?}"
    );
    assert!(runs[0].epoch < runs[runs.len() - 1].epoch);
}

#[tokio::test]
async fn a_waking_longer_than_its_period_does_not_overlap_and_one_that_hangs_is_ended() {
    let database = TestDatabase::start().await;
    let mut books = database.connect().await;
    schedule(&mut books, 2).await;
    let running = Running::start(&database, Script::Linger(Duration::from_millis(1_500)));
    eventually("it ran", async || {
        3 <= runs(&mut database.connect().await, "scripted").await.len()
    })
    .await;
    running.stop().await;
    let lingered = runs(&mut books, "scripted").await;
    assert_one_at_a_time(&lingered);
    assert_eq!(lingered[0].outcome, "succeeded");

    let running = Running::start(&database, Script::Linger(Duration::from_secs(3_600)));

    let hung = async || {
        let mut books = database.connect().await;
        runs(&mut books, "scripted")
            .await
            .into_iter()
            .filter(|run| run.outcome == "failed")
            .collect::<Vec<_>>()
    };
    eventually("a hang is ended", async || 2 <= hung().await.len()).await;
    let hung = hung().await;
    assert_eq!(hung[0].fault, "it did not end within 2 s");
    running.stop().await;
    let all = runs(&mut books, "scripted").await;
    assert_one_at_a_time(&all);
    assert!(all.iter().all(|run| run.ended_ms.is_some()), "{all:#?}");
}

#[tokio::test]
async fn an_agent_that_panics_or_fails_is_told_and_woken_again() {
    for (script, fault) in [(Script::Panic, "it panicked"), (Script::Fail, "no water")] {
        let database = TestDatabase::start().await;
        let mut books = database.connect().await;
        schedule(&mut books, 5).await;
        let running = Running::start(&database, script);

        eventually("it was woken again", async || {
            let runs = runs(&mut database.connect().await, "scripted").await;
            2 <= runs.iter().filter(|run| run.outcome == "failed").count()
        })
        .await;

        running.stop().await;
        assert_eq!(runs(&mut books, "scripted").await[0].fault, fault);
    }
}

#[tokio::test]
async fn what_a_lost_leader_still_writes_is_refused() {
    let database = TestDatabase::start().await;
    let postgres = database.open(Role::Agent);
    let old = Lease::take(&postgres, "test", "old", TERM)
        .await
        .expect("the books")
        .expect("the lease");
    let stale = postgres.fenced(old.clone());
    stale.begin().await.expect("it leads");
    assert_eq!(
        Lease::take(&postgres, "test", "new", TERM)
            .await
            .expect("the books"),
        None
    );
    tokio::time::sleep(TERM).await;

    // Before anybody took over: it is over all the same.
    assert!(matches!(stale.begin().await, Err(StoreError::NotLeader)));
    assert!(!old.renew(&postgres, TERM).await.expect("the books"));
    let new = Lease::take(&postgres, "test", "new", TERM)
        .await
        .expect("the books")
        .expect("the lease");

    assert_eq!(new.epoch, old.epoch + 1);
    assert!(matches!(stale.begin().await, Err(StoreError::NotLeader)));
    postgres.fenced(new).begin().await.expect("it leads");
}

#[tokio::test]
async fn a_transaction_begun_by_a_leader_ends_before_the_next_one_leads() {
    let database = TestDatabase::start().await;
    let postgres = database.open(Role::Agent);
    let old = Lease::take(&postgres, "test", "old", TERM)
        .await
        .expect("the books")
        .expect("the lease");
    let mut held = postgres
        .fenced(old.clone())
        .begin()
        .await
        .expect("it leads");
    sqlx::query("update platform.agent_schedules set deadline_s = 7 where agent = 'maintenance'")
        .execute(&mut *held)
        .await
        .expect("a write");
    // A renewal is not in its way.
    assert!(old.renew(&postgres, TERM).await.expect("the books"));
    tokio::time::sleep(TERM).await;
    let began = Instant::now();

    let new = Lease::take(&postgres, "test", "new", TERM)
        .await
        .expect("the books");

    // It fell silent in the middle: Postgres ended it, and nothing of it was kept.
    assert!(new.is_some());
    assert!(
        began.elapsed() < Duration::from_secs(4),
        "{:?}",
        began.elapsed()
    );
    assert!(held.commit().await.is_err());
    let mut books = database.connect().await;
    let deadline: i32 = sqlx::query_scalar(
        "select deadline_s from platform.agent_schedules where agent = 'maintenance'",
    )
    .fetch_one(&mut books)
    .await
    .expect("a schedule");
    assert_ne!(deadline, 7);
}
