//! Calls held out of slices: no limit is passed, nothing is lost, and Redis is seldom asked.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use synaxis::{
    base::RequestId,
    quota::{Actual, Adjusted, Decision, Meter, Window},
};
use tokio::time::Instant;

use super::{Place, Tenant, TestProxy, allowance, call, charge, held, now, settled};
use crate::stack::redis::OwnRedis;

/// What one call holds, and what it truly uses.
const HELD: Actual = call(60, 40, 1_000);
const USED: Actual = call(50, 20, 600);

/// Calls as fast as it can until `until`; returns how many calls were admitted.
async fn press(tenant: &Tenant, proxy: &TestProxy, until: Instant, admitted: &AtomicU64) {
    while Instant::now() < until {
        match tenant.ask(proxy, &HELD).await {
            Decision::Held { hold, .. } => {
                admitted.fetch_add(1, Ordering::Relaxed);
                let id = hold.id();
                tokio::task::yield_now().await;
                proxy.ledger.settle(hold, USED);
                proxy.ledger.booked(id);
            }
            _ => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

/// Lets eight callers press on each proxy for a while; returns how many calls were admitted.
async fn press_all(tenant: &Tenant, proxies: &[&TestProxy], time: Duration) -> u64 {
    let admitted = AtomicU64::new(0);
    let until = Instant::now() + time;
    let callers = proxies
        .iter()
        .flat_map(|proxy| (0..8).map(|_| press(tenant, proxy, until, &admitted)));
    futures::future::join_all(callers).await;
    admitted.load(Ordering::Relaxed)
}

/// Makes the callers so many that slices are taken; returns how many calls were admitted.
async fn warm(tenant: &Tenant, proxy: &TestProxy) -> u64 {
    press_all(tenant, &[proxy], Duration::from_millis(600)).await
}

#[tokio::test]
async fn hot_callers_of_two_proxies_pass_no_limit_and_can_use_almost_all_of_it() {
    let place = Place::shared();
    let (one, two) = (place.proxy(), place.proxy());
    let calls = 6_000;
    let tenant = Tenant::new(&[
        (Meter::Requests, Window::Minute, calls),
        (Meter::NanoUsd, Window::Month, u64::MAX >> 12),
    ]);

    let admitted = press_all(&tenant, &[&one, &two], Duration::from_secs(5)).await;

    assert!(admitted <= calls, "{admitted}");
    assert!(calls * 95 / 100 <= admitted, "{admitted}");
}

#[tokio::test]
async fn what_is_left_of_a_slice_comes_back_and_every_call_counts_what_it_truly_used() {
    let place = Place::shared();
    let proxy = place.proxy();
    let budget = 1_000_000_000;
    let tenant = Tenant::new(&[
        (Meter::NanoUsd, Window::Month, budget),
        (Meter::TotalTokens, Window::Day, budget),
    ]);

    let admitted = press_all(&tenant, &[&proxy], Duration::from_millis(1_500)).await;

    let left = [budget - admitted * 600, budget - admitted * 70];
    settled(&tenant, &proxy, &left).await;
    assert_eq!(proxy.ledger.open_holds(), 0);
}

#[tokio::test]
async fn a_hot_caller_asks_redis_less_than_once_in_five_calls() {
    let redis = OwnRedis::start().await;
    let place = Place::at(redis.url());
    let proxy = place.proxy();
    let tenant = Tenant::new(&[(Meter::Requests, Window::Minute, 10_000_000)]);
    warm(&tenant, &proxy).await;

    let before = redis.scripts();
    let admitted = press_all(&tenant, &[&proxy], Duration::from_secs(2)).await;
    let asked = redis.scripts() - before;

    assert!(asked * 5 < admitted, "{asked} scripts for {admitted} calls");
}

#[tokio::test]
async fn a_slice_of_a_killed_proxy_stays_charged_and_the_limit_holds() {
    let place = Place::shared();
    let (one, two) = (place.proxy(), place.proxy());
    let calls = 20_000;
    let tenant = Tenant::new(&[(Meter::Requests, Window::Day, calls)]);
    let first = press_all(&tenant, &[&one], Duration::from_millis(800)).await;
    one.kill();

    let second = press_all(&tenant, &[&two], Duration::from_secs(4)).await;

    assert!(first + second <= calls, "{first} + {second}");
}

#[tokio::test]
async fn a_call_that_leaves_its_slice_for_another_candidate_is_one_call() {
    let place = Place::shared();
    let proxy = place.proxy();
    let budget = 1_000_000_000;
    let tenant = Tenant::new(&[
        (Meter::Requests, Window::Day, budget),
        (Meter::NanoUsd, Window::Month, budget),
    ]);
    let own = allowance(Meter::Requests, Window::Day, 100);
    let warmed = warm(&tenant, &proxy).await;

    let mut hold = held(tenant.ask(&proxy, &HELD).await);
    let mut other = tenant.bid(&call(60, 40, 5_000));
    other.own.push(charge(&own, 1));
    let failed = call(60, 0, 300);
    let moved = proxy
        .ledger
        .adjust(&mut hold, &tenant.limits, &failed, &[other], now())
        .await;
    assert_eq!(moved.expect("an answer"), Adjusted::Held { bid: 0 });
    proxy.ledger.settle(hold, call(60, 30, 4_000));

    let left = [budget - warmed - 1, budget - warmed * 600 - 4_300];
    settled(&tenant, &proxy, &left).await;
}

#[tokio::test]
async fn a_hold_that_is_dropped_counts_as_held_and_one_that_is_cancelled_not_at_all() {
    let place = Place::shared();
    let proxy = place.proxy();
    let budget = 1_000_000_000;
    let tenant = Tenant::new(&[
        (Meter::Requests, Window::Day, budget),
        (Meter::NanoUsd, Window::Month, budget),
    ]);
    let warmed = warm(&tenant, &proxy).await;

    drop(held(tenant.ask(&proxy, &HELD).await));
    proxy.ledger.cancel(held(tenant.ask(&proxy, &HELD).await));

    let left = [budget - warmed - 1, budget - warmed * 600 - 1_000];
    settled(&tenant, &proxy, &left).await;
}

#[tokio::test]
async fn the_books_end_what_is_asserted_of_a_slice() {
    let redis = OwnRedis::start().await;
    let place = Place::at(redis.url());
    let proxy = place.proxy();
    let budget = 1_000_000_000;
    let tenant = Tenant::new(&[(Meter::NanoUsd, Window::Month, budget)]);
    let mut calls = Vec::new();
    for _ in 0..3_000 {
        let hold = held(tenant.ask(&proxy, &HELD).await);
        calls.push(hold.id());
        proxy.ledger.settle(hold, USED);
    }
    let spent = calls.len() as u64 * 600;
    settled(&tenant, &proxy, &[budget - spent]).await;
    book(&place, &tenant, &proxy, &calls);

    redis.empty();

    settled(&tenant, &proxy, &[budget - spent]).await;
}

fn book(place: &Place, tenant: &Tenant, proxy: &TestProxy, calls: &[RequestId]) {
    for id in calls {
        place.books.commit(tenant.organization, *id, USED);
        proxy.ledger.booked(*id);
    }
}
