//! What operators see and do: metrics, readiness, stops and upgrades.

use std::time::{Duration, Instant};

use futures::future::join_all;
use rustix::process::Signal;

use crate::stack::TestStack;

#[tokio::test]
async fn metrics_count_calls_under_their_names_and_without_tenants() {
    let stack = TestStack::start().await;
    let key = stack.key().mint();
    key.chat("hello").await;
    key.but("nonsense").chat("hello").await;

    let (_, page) = stack.proxy().get("/metrics").await.expect("a page");

    for name in [
        "synaxis_requests_total",
        "synaxis_request_duration_seconds_count",
        "synaxis_time_to_first_token_seconds_count",
        "synaxis_gateway_overhead_seconds_count",
        "synaxis_upstream_attempts_total",
        "synaxis_tokens_total",
        "synaxis_cost_usd_total",
        "synaxis_refusals_total",
        "synaxis_inflight_requests",
        "synaxis_holds_open",
        "synaxis_usage_spool_bytes",
        "synaxis_snapshot_age_seconds",
        "synaxis_key_view_age_seconds",
        "synaxis_build_info",
    ] {
        assert!(page.contains(name), "{name} is missing from\n{page}");
    }
    assert!(
        !page.contains(&key.id) && !page.contains(&stack.organization),
        "{page}"
    );
    assert!(page.contains("reason=\"invalid_api_key\""), "{page}");
}

#[tokio::test]
async fn it_lives_and_is_ready_and_says_so_only_on_its_own_port() {
    let stack = TestStack::start().await;
    let key = stack.key().mint();

    for path in ["/livez", "/readyz", "/startupz"] {
        assert_eq!(
            stack.proxy().get(path).await.expect("an answer").0,
            200,
            "{path}"
        );
    }
    assert_eq!(key.get("/../metrics").await.status, 404);
}

#[tokio::test]
async fn a_stop_lets_streams_end_and_refuses_new_connections() {
    let mut stack = TestStack::start().await;
    stack.provider("gratis").fault("gap=60").await;
    let key = stack.key().mint();
    let streams = join_all((0..5).map(|_| key.stream("hello")));
    let told = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        stack.proxies[0].signal(Signal::TERM);
        tokio::time::sleep(Duration::from_millis(300)).await;
        tokio::net::TcpStream::connect(&stack.proxies[0].address)
            .await
            .is_err()
    };

    let (answers, is_refused) = futures::join!(streams, told);

    assert!(is_refused, "new connections are taken although it drains");
    for answer in answers {
        assert_eq!(answer.events().last(), Some(&"[DONE]"), "{}", answer.text);
    }
    assert_eq!(
        stack.proxies[0].ended(Duration::from_secs(10)).await,
        Some(true)
    );
    stack.booked(5).await;
}

#[tokio::test]
async fn an_upgrade_under_load_refuses_no_connection_and_cuts_no_stream() {
    let mut stack = TestStack::start().await;
    stack.provider("gratis").fault("gap=40").await;
    let key = stack.key().mint();
    let streams = join_all((0..10).map(|_| key.stream("hello")));
    let calls = async {
        let began = Instant::now();
        let mut failed = 0;
        let mut calls = 0;
        while began.elapsed() < Duration::from_secs(4) {
            calls += 1;
            // A client of its own each time: a connection of its own.
            let url = format!("{}/models", stack.proxies[0].base_url());
            let sent = crate::stack::people::client()
                .get(url)
                .bearer_auth(&key.text)
                .send()
                .await;
            failed += usize::from(!sent.is_ok_and(|answer| answer.status() == 200));
        }
        (calls, failed)
    };
    let upgrade = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        stack.proxies[0].signal(Signal::QUIT);
        stack.proxies[0].successor()
    };

    let (answers, (calls, failed), successor) = futures::join!(streams, calls, upgrade);

    assert_eq!(failed, 0, "of {calls}");
    assert!(50 < calls, "{calls}");
    for answer in answers {
        assert_eq!(answer.events().last(), Some(&"[DONE]"), "{}", answer.text);
    }
    assert_eq!(
        stack.proxies[0].ended(Duration::from_secs(20)).await,
        Some(true)
    );
    assert_eq!(key.chat("hello").await.status, 200);
    drop(successor);
}

#[tokio::test]
async fn a_redis_that_may_forget_limits_keeps_the_proxy_from_being_ready_and_is_named() {
    let redis = crate::stack::redis::OwnRedis::start().await;
    let stack = crate::stack::Setup::new()
        .free("gratis")
        .redis(&redis.url())
        .start()
        .await;

    redis.set("maxmemory-policy", "allkeys-lru");
    let (status, text) = stack.proxy().get("/readyz").await.expect("an answer");
    redis.set("maxmemory-policy", "noeviction");
    let (after, _) = stack.proxy().get("/readyz").await.expect("an answer");

    assert_eq!(status, 503);
    assert!(
        text.contains("allkeys-lru") && text.contains("noeviction"),
        "{text}"
    );
    assert_eq!(after, 200);
}
