//! Counters are held against the books: what nothing accounts for goes, what is held stays, and nothing else moves.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures::future::join_all;
use serde_json::json;

use crate::{
    identity::people::{newcomer, tell},
    stack::{Setup, TestStack, admin::TestAdmin, people::Key, redis::OwnRedis, within},
};

/// What the key of these tests may spend in a month, and how often it may call in a day.
const BUDGET: i64 = 50_000_000_000;
const CALLS: i64 = 1_000_000;
const TOKENS: i64 = 1_000_000_000;

/// Proxies before a dear provider and one that often fails, looked at twice a second.
async fn stack(redis: &OwnRedis, proxies: usize) -> (TestStack, Key) {
    let stack = Setup::new()
        .paid("dear", "10", "30")
        .paid("dearer", "11", "31")
        .proxies(proxies)
        .redis(&redis.url())
        .setting("USAGE__ABANDON_AFTER_MS", 600_000)
        .setting("QUOTA__RECONCILE_MS", 500)
        .setting(
            "TELEMETRY__LEVEL",
            "info,synaxis::quota=debug,synaxis::usage=debug",
        )
        .start()
        .await;
    let key = stack
        .key()
        .with("budget-month-usd", 50)
        .with("rpd", CALLS)
        .with("tpd", TOKENS)
        .mint();
    (stack, key)
}

/// What is left of money, calls and tokens.
async fn left(key: &Key) -> Option<[i64; 3]> {
    let own = key.get("/key").await;
    let own: serde_json::Value = serde_json::from_str(&own.text).ok()?;
    let limits = own["limits"].as_array()?;
    let of = |meter: &str| {
        let limit = limits.iter().find(|limit| limit["meter"] == meter)?;
        limit["remaining"].as_i64()
    };
    Some([of("nano_usd")?, of("requests")?, of("total_tokens")?])
}

/// What should be left by the books.
async fn expected(stack: &TestStack) -> [i64; 3] {
    let spent = "select (coalesce(sum(cost_nano_usd), 0)
        + (select coalesce(sum(settled_nano_usd), 0) from operations.ledger_postings where movement = 'refund'))::bigint
        from operations.usage_entries";
    let calls = "select count(*) from operations.usage_entries";
    let tokens = "select coalesce(sum(input_tokens + output_tokens + operations.read_in_vain(attempts)), 0)::bigint
        from operations.usage_entries";
    [
        BUDGET - stack.number(spent).await,
        CALLS - stack.number(calls).await,
        TOKENS - stack.number(tokens).await,
    ]
}

/// Waits until exactly what the books say is left.
async fn settles(stack: &TestStack, key: &Key) -> Duration {
    let began = Instant::now();
    loop {
        let (left, expected) = (left(key).await, expected(stack).await);
        if left == Some(expected) {
            return began.elapsed();
        }
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "left {left:?}, by the books {expected:?}\n{}",
            stack.proxy().log()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Callers at every proxy until they are told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    callers: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test's callers are its own to wait for"
    )]
    fn start(stack: &TestStack, key: &Key, callers: usize) -> Self {
        let (stop, answered) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicUsize::new(0)),
        );
        let call = |number: usize| {
            let key = key.at(&stack.proxies[number % stack.proxies.len()]);
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    if key.try_chat("hello").await == Some(200) {
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            })
        };
        let callers = (0..callers).map(call).collect();
        Self {
            stop,
            answered,
            callers,
        }
    }

    async fn end(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        join_all(self.callers).await;
        self.answered.load(Ordering::Relaxed)
    }
}

/// The sum over all proxies of what counts whole things.
async fn metric(stack: &TestStack, name: &str) -> i64 {
    let values = join_all(stack.proxies.iter().map(|proxy| proxy.metric(name))).await;
    let sum: f64 = values.into_iter().sum();
    format!("{sum:.0}").parse().expect("a whole number")
}

/// Changes every counter of money in Redis behind everybody's back.
fn tamper(redis: &OwnRedis, by: i64) {
    let script = format!(
        "for _, key in ipairs(redis.call('KEYS', '*nM*')) do
            local counter = {{cmsgpack.unpack(redis.call('GET', key))}}
            counter[5] = counter[5] + ({by})
            redis.call('SET', key, cmsgpack.pack(unpack(counter)), 'KEEPTTL')
        end return 1"
    );
    assert_eq!(redis.cli(&["eval", &script, "0"]).trim(), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_goes_on_what_is_right_is_never_corrected() {
    let redis = OwnRedis::start().await;
    let (stack, key) = stack(&redis, 2).await;
    // Every third call moves on to the other provider, some take long, some are cut off.
    stack.providers[0]
        .fault("status=503,p=0.3;slow=400,p=0.2")
        .await;
    stack.providers[1]
        .fault("slow=150,p=0.5;cut-after=2,p=0.1")
        .await;
    let load = Load::start(&stack, &key, 40);

    tokio::time::sleep(Duration::from_secs(12)).await;
    let answered = load.end().await;
    settles(&stack, &key).await;

    let rounds = metric(&stack, "synaxis_quota_reconciliations_total").await;
    let corrected = metric(&stack, "synaxis_quota_corrections_total").await;
    figure!("{answered} calls answered, {rounds} rounds, {corrected} corrections");
    assert!(500 < answered, "{answered}");
    assert!(8 < rounds, "{rounds}");
    assert_eq!(corrected, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_counter_that_is_off_is_mended_to_the_nano_dollar_while_calls_go_on() {
    let redis = OwnRedis::start().await;
    let (stack, key) = stack(&redis, 2).await;
    let load = Load::start(&stack, &key, 20);
    tokio::time::sleep(Duration::from_secs(2)).await;

    tamper(&redis, 20_000_000_000);
    within(Duration::from_secs(15), async || {
        left(&key)
            .await
            .is_some_and(|[money, ..]| 40_000_000_000 < money)
    })
    .await;
    let lowered = metric(&stack, "synaxis_quota_corrections_total").await;
    tamper(&redis, -1_000_000_000);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let answered = load.end().await;
    let took = settles(&stack, &key).await;

    let corrected = metric(&stack, "synaxis_quota_corrections_total").await;
    figure!("{answered} calls; exact {took:?} after the last one; {corrected} corrections");
    assert!(0 < lowered);
    assert!(lowered < corrected);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_drift_that_was_found_is_a_metric_and_gone_the_next_time() {
    let redis = OwnRedis::start().await;
    let (stack, key) = stack(&redis, 1).await;
    key.chat("hello").await;
    stack.booked(1).await;
    settles(&stack, &key).await;

    tamper(&redis, 123_456_789);

    let drift = async || metric(&stack, "synaxis_quota_drift_nano_usd").await;
    within(Duration::from_secs(10), async || {
        drift().await == 123_456_789
    })
    .await;
    within(Duration::from_secs(10), async || drift().await == 0).await;
    settles(&stack, &key).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_proxy_had_taken_ahead_goes_back_when_it_starts_again() {
    let redis = OwnRedis::start().await;
    let (mut stack, key) = stack(&redis, 1).await;
    let load = Load::start(&stack, &key, 30);
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(2)).await;
        stack.proxies[0].restart().await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let answered = load.end().await;

    let took = settles(&stack, &key).await;

    figure!("{answered} calls, 3 deaths; exact {took:?} after the last call");
    assert!(100 < answered, "{answered}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_may_be_spent_again() {
    let redis = OwnRedis::start().await;
    let (stack, key) = stack(&redis, 1).await;
    key.chat("hello").await;
    let booked = stack.booked(1).await;
    settles(&stack, &key).await;
    let admin = TestAdmin::beside(&stack).await;
    let pat = newcomer(&admin, "pat@example.com").await;
    let mut books = stack.books().await;
    sqlx::raw_sql("update identity.users set is_platform_admin = true")
        .execute(&mut books)
        .await
        .expect("a platform admin");
    let path = format!(
        "/api/v1/platform/tenants/{}/requests/{}/refund",
        stack.organization, booked[0].id
    );

    let body = json!({"reason": "the answer was empty"});
    tell(&admin, &pat, reqwest::Method::POST, &path, &body)
        .await
        .expect(200);

    settles(&stack, &key).await;
    let [money, calls, _] = left(&key).await.expect("limits");
    assert_eq!((money, calls), (BUDGET, CALLS - 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_proxy_does_not_answer_nothing_is_lowered() {
    let redis = OwnRedis::start().await;
    let (stack, key) = stack(&redis, 2).await;
    key.chat("hello").await;
    stack.booked(1).await;
    settles(&stack, &key).await;

    stack.proxies[1].signal(rustix::process::Signal::STOP);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    tamper(&redis, 1_000);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let [held, ..] = left(&key).await.expect("limits");
    stack.proxies[1].signal(rustix::process::Signal::CONT);

    let [expected, ..] = expected(&stack).await;
    assert_eq!(held, expected - 1_000);
    settles(&stack, &key).await;
}
