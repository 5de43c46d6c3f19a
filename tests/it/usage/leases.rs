//! A proxy is gone with all that it had written down: the others know what it had begun, and end what it held.

use std::{collections::HashSet, time::Duration};

use futures::future::join_all;
use rustix::process::Signal;

use crate::stack::{Setup, TestStack, people::Key, within};

/// How long a proxy of these tests may be silent.
const SILENCE_MS: u64 = 3_000;

/// Two proxies before one slow provider, and a key with limits of every kind that outlives a call.
async fn two_proxies() -> (TestStack, Key) {
    let stack = Setup::new()
        .paid("dear", "10", "30")
        .proxies(2)
        .setting("USAGE__ABANDON_AFTER_MS", SILENCE_MS)
        .setting("QUOTA__LEASE_MS", 60_000)
        .setting("QUOTA__RECONCILE_MS", 500)
        .start()
        .await;
    let key = stack
        .key()
        .with("budget-month-usd", 5)
        .with("rpd", 1_000)
        .with("concurrent", 50)
        .mint();
    (stack, key)
}

/// What is left of a limit, in the words of `GET /key`.
async fn remaining(key: &Key, meter: &str) -> i64 {
    let own = key.get("/key").await.json();
    let limits = own["limits"].as_array().expect("limits");
    let limit = limits.iter().find(|limit| limit["meter"] == meter);
    limit.expect("the limit")["remaining"]
        .as_i64()
        .expect("a number")
}

/// Waits until what is left is the budget less what the books say was spent, to the nano-dollar.
async fn nothing_is_held_but_what_was_spent(stack: &TestStack, key: &Key) {
    let expected = async || {
        let spent = stack
            .number("select coalesce(sum(cost_nano_usd), 0)::bigint from operations.usage_entries")
            .await;
        let calls = stack
            .number("select count(*) from operations.usage_entries")
            .await;
        [5_000_000_000 - spent, 1_000 - calls, 50]
    };
    let left = async || {
        [
            remaining(key, "nano_usd").await,
            remaining(key, "requests").await,
            remaining(key, "concurrent").await,
        ]
    };
    let began = std::time::Instant::now();
    loop {
        let (left, expected) = (left().await, expected().await);
        if left == expected {
            return;
        }
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "left {left:?}, in the books {expected:?}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn ledger_faults(stack: &TestStack) -> i64 {
    stack
        .number("select count(*) from operations.ledger_faults(now() - interval '1 hour', now() + interval '1 hour')")
        .await
}

/// Lets calls begin at a proxy that answers after a while, and returns them.
#[expect(
    clippy::disallowed_methods,
    reason = "a test's callers are its own to wait for"
)]
fn begin(key: &Key, calls: usize) -> Vec<tokio::task::JoinHandle<Option<u16>>> {
    let begin = |_| {
        let key = key.clone();
        tokio::spawn(async move { key.try_chat("hello").await })
    };
    (0..calls).map(begin).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_never_returns_is_made_good_by_the_others() {
    const CALLS: usize = 12;
    let (mut stack, key) = two_proxies().await;
    let survivor = key.at(&stack.proxies[1]);
    stack.providers[0].fault("slow=2000").await;
    let calls = begin(&key, CALLS);
    tokio::time::sleep(Duration::from_millis(1_200)).await;

    stack.proxies[0].kill();
    std::fs::remove_dir_all(stack.folder.path().join("proxy-0")).expect("its disk is gone too");
    let killed = std::time::Instant::now();
    join_all(calls).await;
    let seen: HashSet<String> = stack.providers[0]
        .wait_for_end(CALLS)
        .await
        .iter()
        .map(|call| call["request_id"].as_str().expect("an id").to_owned())
        .collect();
    stack.providers[0].fault("none").await;
    let rows = stack.booked(CALLS).await;

    figure!("booked {:?} after the machine was lost", killed.elapsed());
    assert!(Duration::from_millis(SILENCE_MS - 1_000) < killed.elapsed());
    let booked: HashSet<String> = rows.iter().map(|row| row.id.clone()).collect();
    assert_eq!(booked, seen);
    assert!(
        rows.iter()
            .all(|row| row.finish == "abandoned" && row.cost > 0)
    );
    nothing_is_held_but_what_was_spent(&stack, &survivor).await;
    assert_eq!(ledger_faults(&stack).await, 0);
    let open = stack
        .number("select sum(open_nano_usd)::bigint from operations.ledger_postings")
        .await;
    assert_eq!(open, rows.iter().map(|row| row.cost).sum::<i64>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_was_only_silent_has_its_truth_booked_over_what_the_others_guessed() {
    const CALLS: usize = 6;
    let (stack, key) = two_proxies().await;
    let other = key.at(&stack.proxies[1]);
    stack.providers[0].fault("slow=1500").await;
    let calls = begin(&key, CALLS);
    tokio::time::sleep(Duration::from_millis(700)).await;

    stack.proxies[0].signal(Signal::STOP);
    let guessed = stack.booked(CALLS).await;
    stack.proxies[0].signal(Signal::CONT);
    stack.providers[0].fault("none").await;
    let answers = join_all(calls).await;

    assert!(guessed.iter().all(|row| row.finish == "abandoned"));
    assert!(
        answers.iter().all(|answer| matches!(answer, Ok(Some(200)))),
        "{answers:?}"
    );
    within(Duration::from_secs(10), async || {
        let rows = stack.entries().await;
        rows.iter().all(|row| row.finish == "complete")
    })
    .await;
    nothing_is_held_but_what_was_spent(&stack, &other).await;
    assert_eq!(key.chat("hello").await.status, 200);
    stack.booked(CALLS + 1).await;
    nothing_is_held_but_what_was_spent(&stack, &key).await;
    assert_eq!(ledger_faults(&stack).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_starts_again_ends_what_it_held_before() {
    const CALLS: usize = 8;
    let (mut stack, key) = two_proxies().await;
    stack.providers[0].fault("slow=1500").await;
    let calls = begin(&key, CALLS);
    tokio::time::sleep(Duration::from_millis(700)).await;

    stack.proxies[0].restart().await;
    stack.providers[0].fault("none").await;
    join_all(calls).await;
    stack.booked(CALLS).await;

    let began = std::time::Instant::now();
    nothing_is_held_but_what_was_spent(&stack, &key).await;
    figure!(
        "all holds were ended {:?} after the restart",
        began.elapsed()
    );
    assert_eq!(ledger_faults(&stack).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_are_booked_leave_no_lease_and_a_proxy_that_stops_leaves_nothing() {
    let redis = crate::stack::redis::OwnRedis::start().await;
    let mut stack = Setup::new()
        .free("gratis")
        .redis(&redis.url())
        .start()
        .await;
    let key = stack.key().with("rpd", 1_000).mint();
    stack.providers[0].fault("slow=800").await;
    let calls = begin(&key, 20);

    within(Duration::from_secs(5), async || {
        leases(&redis).iter().map(|(_, calls)| calls).sum::<u64>() == 20
    })
    .await;
    join_all(calls).await;
    stack.booked(20).await;
    within(Duration::from_secs(5), async || {
        leases(&redis).iter().all(|(_, calls)| *calls == 0)
    })
    .await;

    stack.proxies[0].signal(Signal::TERM);
    assert_eq!(
        stack.proxies[0].ended(Duration::from_secs(20)).await,
        Some(true)
    );
    assert_eq!(leases(&redis), []);
    let living = redis.cli(&["--scan", "--pattern", "*:living"]);
    assert_eq!(living.trim(), "");
}

/// Every proxy's leases: under which name, and how many.
fn leases(redis: &crate::stack::redis::OwnRedis) -> Vec<(String, u64)> {
    let names = redis.cli(&["--scan", "--pattern", "*lease:*"]);
    names
        .lines()
        .map(|name| {
            let count = redis.cli(&["hlen", name]);
            (name.to_owned(), count.trim().parse().expect("a number"))
        })
        .collect()
}
