//! Another Redis takes over, with less in it; or the one there is takes its time.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use synaxis::quota::{Meter, Window};

use super::{
    Place, Tenant, call, held, is_held,
    line::Line,
    loss::{Load, never_over},
    now,
    server::Server,
    settled,
};
use crate::stack::within;

/// A server and its replica, which has all it has.
async fn pair() -> (Server, Server) {
    let (master, replica) = (Server::start().await, Server::start().await);
    let port = master.address().port().to_string();
    replica.tell(&["REPLICAOF", "127.0.0.1", &port]).await;
    within(Duration::from_secs(10), async || {
        replica
            .ask(&["INFO", "replication"])
            .await
            .contains("master_link_status:up")
    })
    .await;
    (master, replica)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_replica_that_lacks_the_last_second_takes_over_and_no_limit_is_passed() {
    let (mut master, replica) = pair().await;
    let line = Line::to(master.address()).await;
    let mut place = Place::at(line.url());
    // What ended in the lost second stays in flight as long as its lease.
    place.settings.lease_ms = 3_000;
    let load = Load::start(place);
    tokio::time::sleep(Duration::from_millis(1_200)).await;

    // From here on it hears nothing: what the other writes is lost.
    replica.tell(&["REPLICAOF", "NO", "ONE"]).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    line.lead_to(replica.address());
    master.kill();
    tokio::time::sleep(Duration::from_secs(2)).await;

    let rebuilds = load
        .proxies
        .each_ref()
        .map(|one| one.ledger.counters().rebuilds.load(Ordering::Relaxed));
    let truth = load.end().await;
    never_over(&truth);
    assert_eq!(rebuilds, [1, 1], "noticed by its run id");
    assert!(200 < truth.admitted.load(Ordering::Relaxed));
}

#[tokio::test]
async fn what_moved_and_ended_in_the_lost_second_counts_as_it_was() {
    let (mut master, replica) = pair().await;
    let line = Line::to(master.address()).await;
    let proxy = Place::at(line.url()).proxy();
    let tenant = Tenant::new(&[
        (Meter::NanoUsd, Window::Month, 10_000),
        (Meter::Concurrent, Window::Instant, 5),
    ]);
    let ended = held(tenant.ask(&proxy, &call(1, 1, 1_000)).await);
    let mut moved = held(tenant.ask(&proxy, &call(1, 1, 1_000)).await);
    settled(&tenant, &proxy, &[8_000, 3]).await;
    within(Duration::from_secs(5), async || {
        replica.ask(&["DBSIZE"]).await == master.ask(&["DBSIZE"]).await
    })
    .await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    replica.tell(&["REPLICAOF", "NO", "ONE"]).await;

    let dearer = [tenant.bid(&call(1, 1, 4_000))];
    let failed = call(1, 0, 200);
    let answer = proxy
        .ledger
        .adjust(&mut moved, &tenant.limits, &failed, &dearer, now())
        .await;
    answer.expect("an answer");
    proxy.ledger.settle(ended, call(1, 1, 300));
    let late = held(tenant.ask(&proxy, &call(1, 1, 500)).await);
    let left = [10_000 - 4_200 - 300 - 500, 3];
    settled(&tenant, &proxy, &left).await;
    line.lead_to(replica.address());
    master.kill();

    within(Duration::from_secs(10), async || {
        let peeked = proxy
            .ledger
            .peek(tenant.organization, &tenant.limits, now())
            .await;
        peeked.is_ok_and(|standings| standings[0].remaining == left[0])
    })
    .await;
    proxy.ledger.settle(moved, call(1, 1, 3_000));
    proxy.ledger.settle(late, call(1, 1, 500));
    settled(&tenant, &proxy, &[10_000 - 3_200 - 300 - 500, 5]).await;
}

#[tokio::test]
async fn a_redis_slower_than_anybody_waits_costs_a_deadline_now_and_then_and_not_each_call() {
    let server = Server::start().await;
    let line = Line::to(server.address()).await;
    let proxy = Place::at(line.url()).proxy();
    let tenant = Tenant::new(&[(Meter::Requests, Window::Minute, 100_000)]);
    let bids = [tenant.bid(&call(1, 1, 1))];
    proxy
        .ledger
        .cancel(held(tenant.ask(&proxy, &call(1, 1, 1)).await));

    line.delay(Duration::from_millis(300));
    let began = Instant::now();
    let (mut waited, mut calls) = (Duration::ZERO, 0);
    while began.elapsed() < Duration::from_secs(3) {
        let asked = Instant::now();
        assert!(tenant.admit(&proxy, &bids, now()).await.is_err());
        waited += asked.elapsed();
        calls += 1;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    line.delay(Duration::ZERO);
    let back = within(Duration::from_secs(5), async || {
        let decision = tenant.admit(&proxy, &bids, now()).await;
        decision.is_ok_and(|decision| is_held(&decision))
    })
    .await;

    assert!(500 < calls, "{calls}");
    assert!(waited < Duration::from_millis(600), "{waited:?}");
    assert!(back < Duration::from_secs(2), "{back:?}");
}
