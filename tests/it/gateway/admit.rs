//! Limits through the whole proxy: what is admitted, what is refused, how it sounds.

use std::time::Duration;

use futures::future::join_all;

use crate::stack::{Setup, TestStack, eventually};

#[tokio::test]
async fn a_burst_through_two_proxies_admits_exactly_the_limit() {
    let stack = Setup::new().free("gratis").proxies(2).start().await;
    let key = stack.key().with("rpm", 50).mint();
    let other = key.at(&stack.proxies[1]);

    let answers = join_all((0..200).map(|call| {
        if call % 2 == 0 {
            key.chat("hi")
        } else {
            other.chat("hi")
        }
    }))
    .await;

    let admitted = answers.iter().filter(|answer| answer.status == 200).count();
    let refused: Vec<_> = answers
        .iter()
        .filter(|answer| answer.status != 200)
        .collect();
    assert_eq!(admitted, 50);
    for answer in refused {
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (429, "rate_limit_exceeded")
        );
        let wait: u64 = answer.header("retry-after").parse().expect("seconds");
        assert!((1..=63).contains(&wait), "{wait}");
        assert_eq!(answer.header("x-ratelimit-limit-requests"), "50");
        assert_eq!(answer.header("x-ratelimit-remaining-requests"), "0");
    }
    assert_eq!(stack.provider("gratis").calls(), 50);
    stack.booked(50).await;
}

#[tokio::test]
async fn a_spent_budget_refuses_paid_calls_before_any_byte_goes_upstream_and_still_allows_free_ones()
 {
    let stack = Setup::new().paid("dear", "1000", "1000").start().await;
    let broke = stack.key().with("budget-month-usd", "0.000001").mint();

    let answer = broke.chat("hello").await;

    assert_eq!(answer.status, 400, "it could never fit: {}", answer.text);
    assert_eq!(answer.code(), "request_exceeds_limit");
    assert_eq!(stack.provider("dear").calls(), 0);

    let mixed = Setup::new()
        .paid("dear", "1000", "1000")
        .free("gratis")
        .start()
        .await;
    let broke = mixed.key().with("budget-month-usd", "0.000001").mint();
    let answer = broke.chat("hello").await;
    assert_eq!(answer.header("x-synaxis-tier"), "free", "{}", answer.text);
}

#[tokio::test]
async fn a_month_budget_is_never_passed_and_nearly_all_of_it_is_usable() {
    // 64 tokens of output are held at $312.50 per million: about two cents a call; the truth is less.
    let stack = Setup::new()
        .paid("dear", "0", "312.5")
        .proxies(2)
        .start()
        .await;
    let key = stack.key().with("budget-month-usd", "1").mint();
    let other = key.at(&stack.proxies[1]);

    for _ in 0..40 {
        let answers = join_all((0..20).map(|n| {
            if n % 2 == 0 {
                key.chat("hi")
            } else {
                other.chat("hi")
            }
        }))
        .await;
        if answers.iter().all(|answer| answer.status == 429) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    let refused = key.chat("hi").await;
    assert_eq!(refused.code(), "budget_exceeded");
    assert_eq!(refused.header("x-should-retry"), "false");
    let calls = usize::try_from(
        stack
            .number("select count(*) from operations.usage_entries")
            .await,
    );
    assert!(0 < calls.expect("a count"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let spent = stack
        .number("select coalesce(sum(cost_nano_usd), 0)::int8 from operations.usage_entries")
        .await;
    assert!(spent <= 1_000_000_000, "{spent}");
    assert!(950_000_000 <= spent, "{spent}");
}

#[tokio::test]
async fn answers_say_what_is_left() {
    let stack = TestStack::start().await;
    let key = stack.key().with("rpm", 10).with("tpm", 100_000).mint();

    let answer = key.chat("hello").await;

    assert_eq!(answer.header("x-ratelimit-limit-requests"), "10");
    assert_eq!(answer.header("x-ratelimit-remaining-requests"), "9");
    assert_eq!(answer.header("x-ratelimit-limit-tokens"), "100000");
    assert!(!answer.header("x-ratelimit-reset-requests").is_empty());
}

#[tokio::test]
async fn only_so_many_calls_are_in_flight_at_once() {
    let stack = TestStack::start().await;
    stack.provider("gratis").fault("gap=100").await;
    let key = stack.key().with("concurrent", 3).mint();

    let answers = join_all((0..10).map(|_| key.stream("hello"))).await;

    let admitted = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(admitted, 3);
    stack.booked(3).await;
    eventually("the places are free again", || async {
        key.stream("hello").await.status == 200
    })
    .await;
}

#[tokio::test]
async fn a_second_call_with_the_idempotency_key_of_an_unfinished_one_is_refused_by_every_proxy() {
    let stack = Setup::new().free("gratis").proxies(2).start().await;
    one_call_at_a_time(&stack).await;
}

#[tokio::test]
async fn an_idempotency_key_is_no_limit_that_can_be_switched_off() {
    let stack = Setup::new().free("gratis").proxies(2).start().await;
    stack.run(&["limits", "off", "--reason", "wrong budgets"]);
    for proxy in &stack.proxies {
        eventually("limits are off", || async {
            proxy.metric("synaxis_limits_enforced").await == 0.0
        })
        .await;
    }
    one_call_at_a_time(&stack).await;
}

async fn one_call_at_a_time(stack: &TestStack) {
    stack.provider("gratis").fault("gap=100").await;
    let key = stack.key().mint().with_header("idempotency-key", "order 7");
    let meanwhile = async {
        eventually("the first is under way", || async {
            stack.proxy().metric("synaxis_inflight_requests").await == 1.0
        })
        .await;
        for proxy in &stack.proxies {
            let second = key.at(proxy).chat("hello").await;
            assert_eq!(
                (second.status, second.code().as_str()),
                (409, "idempotency_key_in_use")
            );
        }
        let stranger = stack.key().mint().with_header("idempotency-key", "order 7");
        assert_eq!(stranger.chat("hello").await.status, 200);
    };
    let (first, ()) = tokio::join!(key.stream("hello"), meanwhile);
    assert_eq!(first.status, 200);

    eventually("the key may be used again", || async {
        key.chat("hello").await.status == 200
    })
    .await;
    stack.booked(3).await;
}

#[tokio::test]
async fn a_free_allowance_is_spent_first_and_then_deselected_without_a_failure() {
    let allowance = "tier = \"free\"\n[[offers.allowances]]\nmeter = \"requests\"\namount = 3\nwindow = \"minute\"";
    let stack = Setup::new()
        .offer("gratis", allowance, "")
        .paid("dear", "0.1", "0.2")
        .start()
        .await;
    let key = stack.key().mint();

    let mut providers = Vec::new();
    for _ in 0..5 {
        let answer = key.chat("hello").await;
        providers.push(answer.header("x-synaxis-provider").to_owned());
    }

    assert_eq!(providers, ["gratis", "gratis", "gratis", "dear", "dear"]);
    assert_eq!(stack.provider("gratis").calls(), 3);
    let rows = stack.booked(5).await;
    assert!(
        rows[..3].iter().all(|row| row.cost == 0 && 0 < row.saved),
        "{rows:?}"
    );
    assert!(
        rows[3..]
            .iter()
            .all(|row| 0 < row.cost && row.outcomes() == ["ok"]),
        "{rows:?}"
    );
}
