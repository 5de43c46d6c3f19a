//! How holds end: settled, cancelled, moved, forgotten, left behind.

use std::{sync::atomic::Ordering, time::Duration};

use synaxis::quota::{Actual, Adjusted, Bid, Meter, Window};

use super::{
    Place, Tenant, TestProxy, allowance, call, charge, held, is_held, now, server::Server, settled,
    wire::Wire,
};
use crate::stack::{relay::Relay, within};

fn all_meters() -> Tenant {
    Tenant::new(&[
        (Meter::Requests, Window::Minute, 100),
        (Meter::InputTokens, Window::Minute, 1_000),
        (Meter::OutputTokens, Window::Hour, 1_000),
        (Meter::TotalTokens, Window::Day, 1_000),
        (Meter::NanoUsd, Window::Month, 1_000),
        (Meter::Concurrent, Window::Instant, 5),
    ])
}

#[tokio::test]
async fn a_settled_hold_leaves_exactly_what_was_used() {
    let proxy = Place::shared().proxy();
    let tenant = all_meters();

    let hold = held(tenant.ask(&proxy, &call(100, 200, 300)).await);
    assert_eq!(tenant.remaining(&proxy).await, [99, 900, 800, 700, 700, 4]);
    proxy.ledger.settle(hold, call(10, 20, 30));

    settled(&tenant, &proxy, &[99, 990, 980, 970, 970, 5]).await;
    assert_eq!(proxy.ledger.counters().overruns.load(Ordering::Relaxed), 0);
    assert_eq!(proxy.ledger.open_holds(), 0);
}

#[tokio::test]
async fn a_cancelled_hold_leaves_nothing() {
    let proxy = Place::shared().proxy();
    let tenant = all_meters();

    proxy
        .ledger
        .cancel(held(tenant.ask(&proxy, &call(100, 200, 300)).await));

    settled(&tenant, &proxy, &[100, 1_000, 1_000, 1_000, 1_000, 5]).await;
}

#[tokio::test]
async fn an_overrun_is_charged_and_counted() {
    let proxy = Place::shared().proxy();
    let tenant = Tenant::new(&[(Meter::TotalTokens, Window::Minute, 1_000)]);

    let hold = held(tenant.ask(&proxy, &call(10, 10, 0)).await);
    proxy.ledger.settle(hold, call(10, 600, 0));

    settled(&tenant, &proxy, &[390]).await;
    assert_eq!(proxy.ledger.counters().overruns.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_dropped_hold_is_settled_as_held_and_counted() {
    let proxy = Place::shared().proxy();
    let tenant = all_meters();

    drop(held(tenant.ask(&proxy, &call(100, 200, 300)).await));

    settled(&tenant, &proxy, &[99, 900, 800, 700, 700, 5]).await;
    assert_eq!(proxy.ledger.counters().dropped.load(Ordering::Relaxed), 1);
    assert_eq!(proxy.ledger.open_holds(), 0);
}

#[tokio::test]
async fn what_is_queued_is_settled_before_the_proxy_ends() {
    let place = Place::shared();
    let (proxy, other) = (place.proxy(), place.proxy());
    let tenant = Tenant::new(&[(Meter::NanoUsd, Window::Month, 1_000_000)]);

    for _ in 0..500 {
        let hold = held(tenant.ask(&proxy, &call(1, 1, 1_000)).await);
        proxy.ledger.settle(hold, call(1, 1, 100));
    }
    proxy.stop().await;

    assert_eq!(tenant.remaining(&other).await, [950_000]);
}

#[tokio::test]
async fn a_slot_of_a_dead_proxy_is_free_again_when_its_lease_ends() {
    let mut place = Place::shared();
    place.settings.lease_ms = 1_200;
    let (dying, living) = (place.proxy(), place.proxy());
    let tenant = Tenant::new(&[(Meter::Concurrent, Window::Instant, 1)]);

    let hold = held(tenant.ask(&dying, &call(1, 1, 1)).await);
    dying.kill();
    std::mem::forget(hold);
    let early = tenant.ask(&living, &call(1, 1, 1)).await;
    let waited = within(Duration::from_secs(10), async || {
        is_held(&tenant.ask(&living, &call(1, 1, 1)).await)
    })
    .await;

    assert!(!is_held(&early));
    assert!(waited < Duration::from_millis(2_500), "{waited:?}");
}

#[tokio::test]
async fn a_slot_of_a_living_proxy_outlasts_its_lease() {
    let mut place = Place::shared();
    place.settings.lease_ms = 600;
    let proxy = place.proxy();
    let tenant = Tenant::new(&[(Meter::Concurrent, Window::Instant, 1)]);

    let hold = held(tenant.ask(&proxy, &call(1, 1, 1)).await);
    tokio::time::sleep(Duration::from_millis(2_000)).await;

    assert!(!is_held(&tenant.ask(&proxy, &call(1, 1, 1)).await));
    proxy.ledger.settle(hold, call(1, 1, 1));
    settled(&tenant, &proxy, &[1]).await;
}

#[tokio::test]
async fn a_moved_hold_keeps_what_the_failed_attempt_used() {
    let proxy = Place::shared().proxy();
    let tenant = Tenant::new(&[
        (Meter::Requests, Window::Minute, 10),
        (Meter::NanoUsd, Window::Month, 1_000),
    ]);
    let allowances = [
        allowance(Meter::TotalTokens, Window::Day, 100),
        allowance(Meter::TotalTokens, Window::Day, 100),
    ];
    let bid = |to: usize, cost| Bid {
        tenant: vec![1, cost],
        own: vec![charge(&allowances[to], 50)],
    };
    let own = Tenant {
        limits: allowances.to_vec(),
        ..tenant.clone()
    };

    let decision = tenant.admit(&proxy, &[bid(0, 300)], now()).await;
    let mut hold = held(decision.expect("an answer"));
    let failed = call(10, 5, 40);
    let adjusted = proxy
        .ledger
        .adjust(&mut hold, &tenant.limits, &failed, &[bid(1, 600)], now())
        .await;

    assert_eq!(adjusted.expect("an answer"), Adjusted::Held { bid: 0 });
    assert_eq!(tenant.remaining(&proxy).await, [9, 360]);
    assert_eq!(own.remaining(&proxy).await, [85, 50]);
    proxy.ledger.settle(hold, call(10, 10, 100));
    settled(&tenant, &proxy, &[9, 860]).await;
    settled(&own, &proxy, &[85, 80]).await;
}

#[tokio::test]
async fn a_move_that_does_not_fit_leaves_the_hold_as_it_was() {
    let proxy = Place::shared().proxy();
    let tenant = Tenant::new(&[(Meter::NanoUsd, Window::Month, 1_000)]);
    let full = allowance(Meter::Requests, Window::Day, 1);
    let taken = Bid {
        tenant: vec![0],
        own: vec![charge(&full, 1)],
    };
    let other = held(
        tenant
            .admit(&proxy, std::slice::from_ref(&taken), now())
            .await
            .expect("an answer"),
    );

    let mut hold = held(tenant.ask(&proxy, &call(1, 1, 300)).await);
    let dear = [Bid {
        tenant: vec![900],
        own: vec![],
    }];
    let failed = call(1, 1, 200);
    let denied = proxy
        .ledger
        .adjust(&mut hold, &tenant.limits, &failed, &dear, now())
        .await;
    let used_up = proxy
        .ledger
        .adjust(&mut hold, &tenant.limits, &failed, &[taken], now())
        .await;

    assert!(
        matches!(denied, Ok(Adjusted::Denied { limit: 0, .. })),
        "{denied:?}"
    );
    assert!(matches!(used_up, Ok(Adjusted::Full { .. })), "{used_up:?}");
    assert_eq!(tenant.remaining(&proxy).await, [700]);
    proxy.ledger.settle(hold, failed);
    settled(&tenant, &proxy, &[800]).await;
    proxy.ledger.cancel(other);
}

#[tokio::test]
async fn an_empty_hold_may_move_to_a_candidate_with_an_allowance() {
    let proxy = Place::shared().proxy();
    let tenant = Tenant::new(&[]);
    let allowance = allowance(Meter::Requests, Window::Day, 1);
    let own = Tenant {
        limits: vec![allowance.clone()],
        ..tenant.clone()
    };

    let mut hold = held(tenant.ask(&proxy, &call(1, 1, 1)).await);
    let bids = [Bid {
        tenant: vec![],
        own: vec![charge(&allowance, 1)],
    }];
    let adjusted = proxy
        .ledger
        .adjust(&mut hold, &[], &Actual::default(), &bids, now())
        .await;

    assert_eq!(adjusted.expect("an answer"), Adjusted::Held { bid: 0 });
    assert_eq!(own.remaining(&proxy).await, [0]);
    proxy.ledger.cancel(hold);
    settled(&own, &proxy, &[1]).await;
}

#[tokio::test]
async fn a_wire_cut_again_and_again_settles_everything_once() {
    let server = Server::start().await;
    let relay = Relay::start(server.address()).await;
    let mut place = Place::at(format!("redis://{}", relay.address()));
    place.settings.rebuild_patience_ms = 2_000;
    let straight = Place {
        url: server.url(),
        ..place.clone()
    };
    let (proxy, watcher) = (place.proxy(), straight.proxy());
    let tenant = Tenant::new(&[
        (Meter::NanoUsd, Window::Month, 1_000_000_000),
        (Meter::Concurrent, Window::Instant, 1_000),
    ]);

    let mut spent = 0;
    for number in 0..400_u64 {
        if number % 40 == 20 {
            relay.cut();
        }
        if number % 40 == 23 {
            relay.mend();
        }
        let bids = [tenant.bid(&call(1, 1, 1_000))];
        if let Ok(decision) = tenant.admit(&proxy, &bids, now()).await {
            proxy.ledger.settle(held(decision), call(1, 1, 700));
            spent += 700;
        } else {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    assert!(200 * 700 < spent, "{spent}");
    settled(&tenant, &watcher, &[1_000_000_000 - spent, 1_000]).await;
}

#[tokio::test]
async fn a_settle_whose_answer_was_lost_counts_once() {
    let server = Server::start().await;
    let wire = Wire::to(server.address()).await;
    let proxy = Place::at(wire.url()).proxy();
    let tenant = all_meters();
    // The script is known by then: what is lost is the answer to a settle that was done.
    proxy
        .ledger
        .cancel(held(tenant.ask(&proxy, &call(1, 1, 1)).await));
    settled(&tenant, &proxy, &[100, 1_000, 1_000, 1_000, 1_000, 5]).await;
    let others = held(tenant.ask(&proxy, &call(300, 300, 300)).await);
    let hold = held(tenant.ask(&proxy, &call(100, 200, 300)).await);

    wire.lose_answers();
    proxy.ledger.settle(hold, call(10, 20, 30));
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(400)).await;
        wire.cut();
    }
    wire.mend();

    let left = [98, 690, 680, 370, 670, 4];
    settled_after_silence(&tenant, &proxy, &left).await;
    // Whatever is still repeated changes nothing.
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(tenant.remaining(&proxy).await, left);
    proxy.ledger.cancel(others);
}

#[tokio::test]
async fn an_admission_that_arrives_after_its_cancel_holds_nothing() {
    let server = Server::start().await;
    let wire = Wire::to(server.address()).await;
    let place = Place::at(wire.url());
    let proxy = place.proxy();
    let tenant = all_meters();
    proxy
        .ledger
        .cancel(held(tenant.ask(&proxy, &call(1, 1, 1)).await));
    let all = [100, 1_000, 1_000, 1_000, 1_000, 5];
    settled(&tenant, &proxy, &all).await;

    let before = wire.connections();
    wire.keep_back();
    let bids = [tenant.bid(&call(100, 200, 300))];
    let refused = tenant.admit(&proxy, &bids, now()).await;
    within(Duration::from_secs(10), async || {
        before < wire.connections()
    })
    .await;
    settled_after_silence(&tenant, &proxy, &all).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    wire.mend();
    tokio::time::sleep(Duration::from_millis(300)).await;

    assert!(refused.is_err(), "{refused:?}");
    assert_eq!(tenant.remaining(&proxy).await, all);
}

/// Waits past the time nobody is asked.
async fn settled_after_silence(tenant: &Tenant, proxy: &TestProxy, remaining: &[u64]) {
    within(Duration::from_secs(10), async || {
        let peeked = proxy
            .ledger
            .peek(tenant.organization, &tenant.limits, now())
            .await;
        peeked.is_ok_and(|standings| {
            standings
                .iter()
                .map(|one| one.remaining)
                .eq(remaining.iter().copied())
        })
    })
    .await;
}
