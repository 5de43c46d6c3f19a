//! Proxies, Redis and Postgres die under load: what the books and the limits say afterwards.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::stack::{Setup, TestStack, people::Key, within};

/// Callers that go on calling whatever happens.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    failed: Arc<AtomicUsize>,
    callers: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    /// Starts so many callers, each with a pause between its calls.
    fn start(key: &Key, callers: usize, pause: Duration) -> Self {
        let (stop, answered, failed) = (Arc::default(), Arc::default(), Arc::default());
        let mut load = Self {
            stop,
            answered,
            failed,
            callers: Vec::new(),
        };
        for _ in 0..callers {
            load.add(key.clone(), pause);
        }
        load
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a test's callers are its own to wait for"
    )]
    fn add(&mut self, key: Key, pause: Duration) {
        let (stop, answered, failed) = (
            Arc::clone(&self.stop),
            Arc::clone(&self.answered),
            Arc::clone(&self.failed),
        );
        self.callers.push(tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let is_answered = match key.try_chat("hello").await {
                    Some(status) => status == 200,
                    None => false,
                };
                let counter = if is_answered { &answered } else { &failed };
                counter.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(pause).await;
            }
        }));
    }

    /// Stops all callers and returns how many calls were answered and how many failed.
    async fn end(self) -> (usize, usize) {
        self.stop.store(true, Ordering::Relaxed);
        for caller in self.callers {
            caller.await.expect("a caller that ends");
        }
        (
            self.answered.load(Ordering::Relaxed),
            self.failed.load(Ordering::Relaxed),
        )
    }
}

/// Every request id the provider saw has exactly one row; what else is there was abandoned.
async fn assert_books_agree(stack: &TestStack) {
    within(Duration::from_secs(30), async || {
        let rows = stack.entries().await;
        let booked: HashSet<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        let log = stack.providers[0].log();
        log.iter()
            .all(|call| booked.contains(call["request_id"].as_str().expect("an id")))
    })
    .await;
    let rows = stack.entries().await;
    let booked: HashSet<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    assert_eq!(booked.len(), rows.len(), "a call was booked twice");
    let log = stack.providers[0].log();
    let seen: HashSet<&str> = log
        .iter()
        .map(|call| call["request_id"].as_str().expect("an id"))
        .collect();
    for row in &rows {
        assert!(
            seen.contains(row.id.as_str()) || row.finish == "abandoned",
            "{row:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_killed_ten_times_under_load_books_every_call_exactly_once() {
    let mut stack = TestStack::start().await;
    let key = stack.key().mint();
    let load = Load::start(&key, 20, Duration::from_millis(150));

    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(400)).await;
        stack.proxies[0].restart().await;
    }
    let (answered, _) = load.end().await;

    assert!(100 < answered, "only {answered} calls");
    assert_books_agree(&stack).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_known_callers_go_on_while_postgres_is_away_and_nothing_is_lost() {
    let stack = TestStack::start().await;
    let key = stack
        .key()
        .with("rpm", 1_000_000)
        .with("budget-month-usd", 100)
        .mint();
    assert_eq!(key.chat("hello").await.status, 200);
    let load = Load::start(&key, 8, Duration::from_millis(50));

    stack.database.cut_off().await;
    tokio::time::sleep(Duration::from_secs(8)).await;
    stack.database.let_in().await;
    let (answered, failed) = load.end().await;

    assert_eq!(failed, 0, "of {answered}");
    assert!(200 < answered, "only {answered} calls");
    assert_books_agree(&stack).await;
    stack.booked(answered + 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_redis_never_lets_a_budget_or_a_day_limit_be_passed() {
    let redis = crate::stack::redis::OwnRedis::start().await;
    let stack = Setup::new()
        .paid("dear", "0", "312.5")
        .proxies(2)
        .redis(&redis.url())
        .start()
        .await;
    let budget = stack.key().with("budget-month-usd", "1").mint();
    let daily = stack.key().with("rpd", 40).mint();
    let mut load = Load::start(&budget, 10, Duration::from_millis(20));
    for _ in 0..10 {
        load.add(daily.at(&stack.proxies[1]), Duration::from_millis(20));
        load.add(budget.at(&stack.proxies[1]), Duration::from_millis(20));
    }

    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(700)).await;
        redis.empty();
    }
    tokio::time::sleep(Duration::from_secs(4)).await;
    load.end().await;
    assert_books_agree(&stack).await;

    let spent = stack
        .number("select coalesce(max(cost), 0)::int8 from (select sum(cost_nano_usd) as cost from operations.usage_entries group by api_key_id) s")
        .await;
    assert!(0 < spent && spent <= 1_000_000_000, "{spent}");
    let mut books = stack.books().await;
    let calls: i64 = sqlx::query_scalar(
        "select count(*) from operations.usage_entries e join operations.api_keys k on k.id = e.api_key_id where k.public_id = $1",
    )
    .bind(&daily.id)
    .fetch_one(&mut books)
    .await
    .expect("a count");
    assert!((1..=40).contains(&calls), "{calls}");
}
