//! Who is admitted, by which limit others are refused, and what that leaves behind.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::future::join_all;
use synaxis::{
    base::tasks::Tasks,
    quota::{Bid, Decision, Meter, Mode, Window},
};

use super::{
    Place, Tenant, TestProxy, allowance, call, charge, held, is_held, key_subject, now,
    server::Server, settled,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_burst_over_two_proxies_admits_exactly_the_limit() {
    let place = Place::shared();
    let proxies = [Arc::new(place.proxy()), Arc::new(place.proxy())];
    let tenant = Tenant::new(&[(Meter::Requests, Window::Minute, 50)]);
    let tasks = Tasks::default();

    let calls = (0..200).map(|number| {
        let (proxy, tenant) = (Arc::clone(&proxies[number % 2]), tenant.clone());
        tasks.spawn(
            "caller",
            async move { tenant.ask(&proxy, &call(1, 1, 1)).await },
        )
    });
    let decisions: Vec<Decision> = join_all(calls.collect::<Vec<_>>())
        .await
        .into_iter()
        .map(|joined| joined.expect("a caller"))
        .collect();

    assert_eq!(decisions.iter().filter(|one| is_held(one)).count(), 50);
    assert_eq!(
        proxies
            .iter()
            .map(|one| one.ledger.open_holds())
            .sum::<usize>(),
        50
    );
}

/// Calls until nothing fits any more; returns what all calls truly cost.
async fn spend_all(tenant: Tenant, proxies: Arc<[TestProxy; 2]>, number: usize) -> u64 {
    let proxy = &proxies[number % 2];
    let open = || {
        proxies
            .iter()
            .map(|one| one.ledger.open_holds())
            .sum::<usize>()
    };
    let mut spent = 0;
    loop {
        let was_open = open();
        match tenant.ask(proxy, &call(100, 100, 20_000_000)).await {
            Decision::Held { hold, .. } => {
                tokio::time::sleep(Duration::from_millis(2)).await;
                spent += 12_000_000;
                proxy.ledger.settle(hold, call(60, 60, 12_000_000));
            }
            // Others may give back what they hold: the last word is spoken when nobody holds anything.
            _ if 0 < was_open => tokio::time::sleep(Duration::from_millis(5)).await,
            _ => return spent,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_month_budget_is_never_passed_and_almost_all_of_it_is_usable() {
    let place = Place::shared();
    let proxies = Arc::new([place.proxy(), place.proxy()]);
    let tenant = Tenant::new(&[(Meter::NanoUsd, Window::Month, 1_000_000_000)]);
    let tasks = Tasks::default();

    let callers = (0..100).map(|number| {
        tasks.spawn(
            "caller",
            spend_all(tenant.clone(), Arc::clone(&proxies), number),
        )
    });
    let spent: u64 = join_all(callers.collect::<Vec<_>>())
        .await
        .into_iter()
        .map(|joined| joined.expect("a caller"))
        .sum();

    assert!(spent <= 1_000_000_000, "{spent}");
    assert!(950_000_000 <= spent, "{spent}");
    settled(&tenant, &proxies[0], &[1_000_000_000 - spent]).await;
}

#[tokio::test]
async fn a_denied_call_changes_nothing() {
    let proxy = Place::shared().proxy();
    let tenant = Tenant::new(&[
        (Meter::Requests, Window::Minute, 100),
        (Meter::TotalTokens, Window::Minute, 10_000),
        (Meter::NanoUsd, Window::Day, 50),
        (Meter::Concurrent, Window::Instant, 10),
    ]);
    let first = held(tenant.ask(&proxy, &call(10, 10, 50)).await);
    let before = tenant.remaining(&proxy).await;

    for _ in 0..100 {
        let decision = tenant.ask(&proxy, &call(10, 10, 1)).await;
        assert!(
            matches!(decision, Decision::Denied { limit: 2, .. }),
            "{decision:?}"
        );
    }

    assert_eq!(tenant.remaining(&proxy).await, before);
    assert_eq!(before, [99, 9_980, 0, 9]);
    proxy.ledger.cancel(first);
    settled(&tenant, &proxy, &[100, 10_000, 50, 10]).await;
}

#[tokio::test]
async fn the_first_bid_that_fits_is_held() {
    let proxy = Place::shared().proxy();
    let tenant = Tenant::new(&[(Meter::NanoUsd, Window::Month, 100)]);
    let free = allowance(Meter::Requests, Window::Minute, 1);
    let bids = [
        Bid {
            tenant: vec![0],
            own: vec![charge(&free, 1)],
        },
        Bid {
            tenant: vec![60],
            own: vec![],
        },
    ];

    let mut chosen = Vec::new();
    let mut holds = Vec::new();
    for _ in 0..2 {
        if let Ok(Decision::Held { hold, bid, .. }) = tenant.admit(&proxy, &bids, now()).await {
            chosen.push(bid);
            holds.push(hold);
        }
    }
    let third = tenant.admit(&proxy, &bids, now()).await.expect("an answer");

    assert_eq!(chosen, [0, 1]);
    // The free candidate is back sooner than the money.
    let Decision::Full { wait } = third else {
        panic!("not full: {third:?}");
    };
    assert!(wait <= Duration::from_millis(62_500), "{wait:?}");
    holds.into_iter().for_each(|hold| proxy.ledger.cancel(hold));
}

#[tokio::test]
async fn a_spent_budget_still_admits_what_costs_nothing() {
    let proxy = Place::shared().proxy();
    let tenant = Tenant::new(&[(Meter::NanoUsd, Window::Month, 100)]);
    let all = held(tenant.ask(&proxy, &call(1, 1, 100)).await);
    let paid = Bid {
        tenant: vec![1],
        own: vec![],
    };
    let free = Bid {
        tenant: vec![0],
        own: vec![],
    };

    let denied = tenant
        .admit(&proxy, std::slice::from_ref(&paid), now())
        .await;
    let decision = tenant.admit(&proxy, &[paid, free], now()).await;

    assert!(matches!(denied, Ok(Decision::Denied { limit: 0, .. })));
    let Ok(Decision::Held { hold, bid: 1, .. }) = decision else {
        panic!("not the free one: {decision:?}");
    };
    proxy.ledger.cancel(hold);
    proxy.ledger.cancel(all);
}

#[tokio::test]
async fn a_call_larger_than_its_limit_is_told_so() {
    let proxy = Place::shared().proxy();
    let tenant = Tenant::new(&[
        (Meter::Requests, Window::Minute, 1),
        (Meter::TotalTokens, Window::Minute, 1_000),
    ]);

    let large = tenant.ask(&proxy, &call(900, 101, 0)).await;
    let fits = tenant.ask(&proxy, &call(900, 100, 0)).await;

    assert!(
        matches!(large, Decision::TooLarge { limit: 1 }),
        "{large:?}"
    );
    proxy.ledger.cancel(held(fits));
}

#[tokio::test]
async fn a_limit_of_zero_denies_and_does_not_call_it_a_size() {
    let proxy = Place::shared().proxy();
    let tenant = Tenant::new(&[(Meter::NanoUsd, Window::Month, 0)]);

    let decision = tenant.ask(&proxy, &call(1, 1, 1)).await;

    assert!(
        matches!(decision, Decision::Denied { limit: 0, .. }),
        "{decision:?}"
    );
}

#[tokio::test]
async fn a_limit_in_shadow_counts_what_it_would_refuse() {
    let proxy = Place::shared().proxy();
    let mut tenant = Tenant::new(&[(Meter::Requests, Window::Minute, 2)]);
    tenant.limits[0].mode = Mode::Shadow;

    for _ in 0..5 {
        proxy.ledger.settle(
            held(tenant.ask(&proxy, &call(1, 1, 1)).await),
            call(1, 1, 1),
        );
    }

    let shadowed = &proxy.ledger.counters().shadowed;
    assert_eq!(shadowed.load(std::sync::atomic::Ordering::Relaxed), 3);
}

#[tokio::test]
async fn limits_of_others_are_not_touched() {
    let proxy = Place::shared().proxy();
    let mine = Tenant::new(&[(Meter::Requests, Window::Minute, 1)]);
    let mut theirs = Tenant::new(&[(Meter::Requests, Window::Minute, 1)]);
    theirs.limits[0].subject = key_subject();

    let first = held(mine.ask(&proxy, &call(1, 1, 1)).await);
    let other = held(theirs.ask(&proxy, &call(1, 1, 1)).await);

    assert!(!is_held(&mine.ask(&proxy, &call(1, 1, 1)).await));
    proxy.ledger.cancel(first);
    proxy.ledger.cancel(other);
}

#[tokio::test]
async fn a_call_without_limits_never_touches_redis() {
    let place = Place::at("redis://127.0.0.1:1".to_owned());
    let proxy = place.proxy();
    let tenant = Tenant::new(&[]);

    let began = Instant::now();
    for _ in 0..1_000 {
        let hold = held(tenant.ask(&proxy, &call(1, 1, 1)).await);
        assert!(hold.is_empty());
        proxy.ledger.settle(hold, call(1, 1, 1));
    }

    assert!(began.elapsed() < Duration::from_secs(1));
    assert_eq!(proxy.ledger.open_holds(), 0);
}

#[tokio::test]
async fn proxies_whose_clocks_are_wrong_decide_alike() {
    let place = Place::shared();
    let proxy = place.proxy();
    let tenant = Tenant::new(&[(Meter::Requests, Window::Day, 3)]);
    let bids = [tenant.bid(&call(1, 1, 1))];
    let day = Duration::from_hours(24);

    let mut holds = Vec::new();
    for asked_at in [
        now(),
        now().plus(day),
        now().minus(day),
        now().plus(2 * day),
    ] {
        holds.push(
            tenant
                .admit(&proxy, &bids, asked_at)
                .await
                .expect("an answer"),
        );
    }

    assert_eq!(
        holds.iter().map(is_held).collect::<Vec<_>>(),
        [true, true, true, false]
    );
}

#[tokio::test]
async fn forgotten_scripts_cost_no_call() {
    let server = Server::start().await;
    let proxy = Place::at(server.url()).proxy();
    let tenant = Tenant::new(&[(Meter::Requests, Window::Minute, 1_000_000)]);
    drop(held(tenant.ask(&proxy, &call(1, 1, 1)).await));

    for _ in 0..50 {
        server.tell(&["SCRIPT", "FLUSH"]).await;
        for _ in 0..5 {
            let hold = held(tenant.ask(&proxy, &call(1, 1, 1)).await);
            proxy.ledger.settle(hold, call(1, 1, 1));
        }
    }

    let errors = &proxy.ledger.counters().redis_errors;
    assert_eq!(errors.load(std::sync::atomic::Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_user_with_few_commands_is_enough() {
    let server = Server::start().await;
    let place = Place::at(server.url());
    let commands =
        "+evalsha +script|load +get +mget +set +info +config|get +ping +client|setname +time";
    let pattern = format!("~{}*", place.prefix);
    let mut words = vec!["ACL", "SETUSER", "synaxis", "on", ">secret", &pattern];
    words.extend(commands.split(' '));
    server.tell(&words).await;
    let url = format!("redis://synaxis:secret@{}", server.address());
    let place = Place { url, ..place };
    let proxy = place.proxy();
    let tenant = Tenant::new(&[
        (Meter::Requests, Window::Minute, 10),
        (Meter::NanoUsd, Window::Month, 100),
        (Meter::Concurrent, Window::Instant, 3),
    ]);

    let hold = held(tenant.ask(&proxy, &call(1, 1, 50)).await);
    proxy.ledger.settle(hold, call(1, 1, 20));

    settled(&tenant, &proxy, &[9, 80, 3]).await;
    proxy.ledger.ready().await.expect("ready");
}

#[tokio::test]
async fn a_redis_that_evicts_is_not_ready() {
    let server = Server::start_with(&["--maxmemory-policy", "allkeys-lru"]).await;
    let place = Place::at(server.url());

    let refused = place.proxy().ledger.ready().await;
    server
        .tell(&["CONFIG", "SET", "maxmemory-policy", "noeviction"])
        .await;
    let ready = place.proxy().ledger.ready().await;

    let refused = refused.expect_err("not ready").to_string();
    assert!(refused.contains("allkeys-lru"), "{refused}");
    ready.expect("ready");
}
