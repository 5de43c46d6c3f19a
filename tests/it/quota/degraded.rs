//! Redis away: money closed but for what was held ahead, rates shared, allowances closing their own candidate only.

use std::time::Duration;

use synaxis::quota::{Adjusted, Decision, Meter, Mode, Policy, Remark, WhenAway, Window};

use super::{
    Place, Tenant, TestProxy, allowance, call, charge, held, is_held, now, server::Server, settled,
};
use crate::stack::within;

/// The remark of a call that is let in.
fn remark(decision: Decision) -> Option<Remark> {
    match decision {
        Decision::Held { remark, .. } => remark,
        other => panic!("not held: {other:?}"),
    }
}

/// Calls once so that the proxy has met Redis, then takes Redis away.
async fn lose(server: &mut Server, proxy: &TestProxy, tenant: &Tenant) {
    held_and_cancelled(proxy, tenant).await;
    server.kill();
}

async fn held_and_cancelled(proxy: &TestProxy, tenant: &Tenant) {
    let hold = held(tenant.ask(proxy, &call(1, 1, 1)).await);
    proxy.ledger.cancel(hold);
}

#[tokio::test]
async fn an_allowance_closes_its_own_candidate_only() {
    let proxy = Place::at("redis://127.0.0.1:1".to_owned()).proxy();
    let tenant = Tenant::new(&[]);
    let free = allowance(Meter::Requests, Window::Day, 100);
    let mut bids = vec![tenant.bid(&call(1, 1, 0)), tenant.bid(&call(1, 1, 5))];
    bids[0].own.push(charge(&free, 1));

    let decision = tenant.admit(&proxy, &bids, now()).await.expect("an answer");
    let none = tenant.admit(&proxy, &bids[..1], now()).await;

    assert!(
        matches!(decision, Decision::Held { bid: 1, .. }),
        "{decision:?}"
    );
    assert!(none.is_err());
}

#[tokio::test]
async fn an_organization_that_wants_it_has_its_share_of_rates_and_of_calls_in_flight() {
    let mut place = Place::at("redis://127.0.0.1:1".to_owned());
    place.settings.proxies = 2;
    let proxy = place.proxy();
    let mut tenant = Tenant::new(&[
        (Meter::Requests, Window::Hour, 20),
        (Meter::Concurrent, Window::Instant, 6),
    ]);
    let bids = [tenant.bid(&call(1, 1, 1))];
    assert!(tenant.admit(&proxy, &bids, now()).await.is_err());
    tenant.policy.shares_when_away = true;

    let mut open = Vec::new();
    while let Ok(decision) = tenant.admit(&proxy, &bids, now()).await {
        assert!(open.len() < 20, "never ends");
        open.push(held(decision));
    }
    assert_eq!(open.len(), 3, "three at once");

    let mut calls = open.len();
    drop(open);
    while let Ok(decision) = tenant.admit(&proxy, &bids, now()).await {
        assert!(calls < 40, "never ends");
        calls += 1;
        proxy.ledger.settle(held(decision), call(1, 1, 1));
    }
    assert_eq!(calls, 10, "ten an hour");
}

#[tokio::test]
async fn whoever_is_let_in_alone_is_told() {
    let mut place = Place::at("redis://127.0.0.1:1".to_owned());
    place.settings.when_away = WhenAway::LocalShare;
    let proxy = place.proxy();
    let tenant = Tenant::new(&[(Meter::Requests, Window::Minute, 20)]);

    let decision = tenant.ask(&proxy, &call(1, 1, 1)).await;

    assert_eq!(remark(decision), Some(Remark::Degraded));
}

#[tokio::test]
async fn a_limit_that_refuses_nobody_closes_nothing() {
    let proxy = Place::at("redis://127.0.0.1:1".to_owned()).proxy();
    let mut tenant = Tenant::new(&[(Meter::NanoUsd, Window::Month, 20)]);
    tenant.limits[0].mode = Mode::Shadow;

    let decision = tenant.ask(&proxy, &call(1, 1, 1_000)).await;

    assert!(is_held(&decision), "{decision:?}");
}

#[tokio::test]
async fn a_budget_goes_on_out_of_what_was_held_ahead_and_no_further() {
    let mut server = Server::start().await;
    let mut place = Place::at(server.url());
    place.settings.reserve_permille = 10;
    let (proxy, watcher) = (place.proxy(), place.proxy());
    let tenant = Tenant::new(&[
        (Meter::NanoUsd, Window::Month, 1_000_000),
        (Meter::NanoUsd, Window::Day, 500_000),
    ]);
    held_and_cancelled(&proxy, &tenant).await;
    // A hundredth of what was left of the tighter one, by both.
    settled(&tenant, &watcher, &[995_010, 495_010]).await;

    server.kill();
    let size = [tenant.bid(&call(1, 1, 400))];
    let mut calls = 0;
    while let Ok(decision) = tenant.admit(&proxy, &size, now()).await {
        assert!(calls < 100, "never ends");
        let Decision::Held { hold, remark, .. } = decision else {
            panic!("{decision:?}");
        };
        assert_eq!(remark, Some(Remark::Degraded));
        proxy.ledger.settle(hold, call(1, 1, 300));
        calls += 1;
    }

    // Each takes 400 and gives 100 back.
    assert_eq!(calls, 16, "{calls}");
}

#[tokio::test]
async fn what_is_held_ahead_goes_back_with_the_proxy() {
    let mut place = Place::shared();
    place.settings.reserve_permille = 10;
    let (proxy, watcher) = (place.proxy(), Place::clone(&place).proxy());
    let tenant = Tenant::new(&[(Meter::NanoUsd, Window::Month, 1_000_000)]);
    held_and_cancelled(&proxy, &tenant).await;
    settled(&tenant, &watcher, &[990_010]).await;

    proxy.stop().await;

    settled(&tenant, &watcher, &[1_000_000]).await;
}

#[tokio::test]
async fn a_call_that_was_let_in_alone_may_move_on() {
    let mut server = Server::start().await;
    let mut place = Place::at(server.url());
    place.settings.reserve_permille = 10;
    let proxy = place.proxy();
    let tenant = Tenant::new(&[(Meter::NanoUsd, Window::Month, 1_000_000)]);
    held_and_cancelled(&proxy, &tenant).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    server.kill();

    let mut hold = held(tenant.ask(&proxy, &call(1, 1, 1_000)).await);
    let dearer = [tenant.bid(&call(1, 1, 3_000))];
    let moved = proxy
        .ledger
        .adjust(&mut hold, &tenant.limits, &call(1, 0, 100), &dearer, now())
        .await;

    assert_eq!(moved.expect("an answer"), Adjusted::Held { bid: 0 });
    proxy.ledger.settle(hold, call(1, 1, 2_500));
}

#[tokio::test]
async fn limits_that_are_switched_off_count_and_refuse_nobody() {
    let proxy = Place::shared().proxy();
    let mut tenant = Tenant::new(&[(Meter::Requests, Window::Day, 2)]);
    let own = allowance(Meter::Requests, Window::Day, 4);
    let mut bids = [tenant.bid(&call(1, 1, 1))];
    bids[0].own.push(charge(&own, 1));
    tenant.policy = Policy {
        is_enforced: false,
        ..Policy::default()
    };

    for _ in 0..4 {
        let decision = tenant.admit(&proxy, &bids, now()).await.expect("an answer");
        assert_eq!(remark(decision), Some(Remark::Unenforced));
    }
    let full = tenant.admit(&proxy, &bids, now()).await.expect("an answer");
    assert!(matches!(full, Decision::Full { .. }), "{full:?}");

    proxy.ledger.enforce(false);
    let decision = tenant.admit(&proxy, &bids, now()).await.expect("an answer");
    assert_eq!(remark(decision), Some(Remark::Unenforced));
    proxy.ledger.enforce(true);
    tenant.policy = Policy::default();
    let decision = tenant.admit(&proxy, &bids, now()).await.expect("an answer");
    assert!(matches!(decision, Decision::Denied { .. }), "{decision:?}");
}

#[tokio::test]
async fn a_redis_that_dies_costs_each_call_one_deadline_at_most_and_the_next_nothing() {
    let mut server = Server::start().await;
    let proxy = Place::at(server.url()).proxy();
    let tenant = Tenant::new(&[(Meter::Requests, Window::Minute, 1_000)]);
    lose(&mut server, &proxy, &tenant).await;

    let began = std::time::Instant::now();
    for _ in 0..500 {
        let asked = std::time::Instant::now();
        assert!(
            tenant
                .admit(&proxy, &[tenant.bid(&call(1, 1, 1))], now())
                .await
                .is_err()
        );
        assert!(
            asked.elapsed() < Duration::from_millis(300),
            "{:?}",
            asked.elapsed()
        );
    }
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "{:?}",
        began.elapsed()
    );

    server.replace().await;
    let back = within(Duration::from_secs(5), async || {
        let decision = tenant
            .admit(&proxy, &[tenant.bid(&call(1, 1, 1))], now())
            .await;
        decision.is_ok_and(|decision| is_held(&decision))
    })
    .await;
    assert!(back < Duration::from_secs(2), "{back:?}");
}
