//! Redis away, frozen, emptied, replaced: nothing is admitted that should not be, and it mends itself.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures::future::join_all;
use synaxis::{
    base::{RequestId, tasks::Tasks},
    quota::{Actual, Decision, Meter, Unavailable, Window},
};

use super::{Place, Tenant, TestProxy, call, fresh, held, is_held, now, server::Server, settled};
use crate::stack::within;

/// What truly happened, counted where no ledger can reach it.
#[derive(Default)]
pub struct Truth {
    pub cost: AtomicU64,
    pub tokens: AtomicU64,
    in_flight: AtomicU64,
    most_in_flight: AtomicU64,
    pub admitted: AtomicU64,
    unavailable: AtomicU64,
}

/// Calls as long as it may, and books as a proxy does: a while after the call ended.
async fn caller(
    place: Place,
    proxy: Arc<TestProxy>,
    tenant: Tenant,
    truth: Arc<Truth>,
    stop: Arc<AtomicBool>,
) {
    let tasks = Tasks::default();
    let held = call(500, 500, 2_000_000);
    let used = call(300, 300, 1_200_000);
    while !stop.load(Ordering::Relaxed) {
        let decision = tenant.admit(&proxy, &[tenant.bid(&held)], now()).await;
        let hold = match decision {
            Ok(Decision::Held { hold, .. }) => hold,
            Ok(_) => {
                tokio::time::sleep(Duration::from_millis(2)).await;
                continue;
            }
            Err(_) => {
                truth.unavailable.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(5)).await;
                continue;
            }
        };
        let in_flight = truth.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        truth.most_in_flight.fetch_max(in_flight, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(20)).await;
        truth.in_flight.fetch_sub(1, Ordering::SeqCst);
        truth.cost.fetch_add(used.cost_nano_usd, Ordering::Relaxed);
        truth
            .tokens
            .fetch_add(used.input + used.output, Ordering::Relaxed);
        truth.admitted.fetch_add(1, Ordering::Relaxed);
        let id = hold.id();
        proxy.ledger.settle(hold, used);
        tasks.spawn(
            "booking",
            book(place.clone(), Arc::clone(&proxy), tenant.clone(), id, used),
        );
    }
    tasks.wait(Duration::from_secs(5)).await;
}

async fn book(place: Place, proxy: Arc<TestProxy>, tenant: Tenant, id: RequestId, used: Actual) {
    tokio::time::sleep(Duration::from_millis(60)).await;
    place.books.commit(tenant.organization, id, used);
    tokio::time::sleep(Duration::from_millis(5)).await;
    proxy.ledger.booked(id);
}

pub struct Load {
    pub proxies: [Arc<TestProxy>; 2],
    tenant: Tenant,
    truth: Arc<Truth>,
    stop: Arc<AtomicBool>,
    callers: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    pub fn start(place: Place) -> Self {
        let tenant = Tenant::new(&[
            (Meter::NanoUsd, Window::Month, 1_000_000_000),
            (Meter::TotalTokens, Window::Day, 450_000),
            (Meter::Concurrent, Window::Instant, 10),
        ]);
        let proxies = [Arc::new(place.proxy()), Arc::new(place.proxy())];
        let truth = Arc::new(Truth::default());
        let stop = Arc::new(AtomicBool::new(false));
        let tasks = Tasks::default();
        let callers = (0..40).map(|number: usize| {
            let proxy = Arc::clone(&proxies[number % 2]);
            let (truth, stop) = (Arc::clone(&truth), Arc::clone(&stop));
            tasks.spawn(
                "caller",
                caller(place.clone(), proxy, tenant.clone(), truth, stop),
            )
        });
        let callers = callers.collect();
        Self {
            proxies,
            tenant,
            truth,
            stop,
            callers,
        }
    }

    /// Ends the load; returns what truly happened after everything was settled.
    pub async fn end(self) -> Arc<Truth> {
        self.stop.store(true, Ordering::Relaxed);
        for ended in join_all(self.callers).await {
            ended.expect("a caller");
        }
        let used = self.truth.cost.load(Ordering::Relaxed);
        let tokens = self.truth.tokens.load(Ordering::Relaxed);
        within(Duration::from_secs(10), async || {
            let peeked = self.tenant.standings(&self.proxies[0]).await;
            peeked[2].remaining == 10
        })
        .await;
        let left = self.tenant.remaining(&self.proxies[0]).await;
        // Counters never know less than the truth.
        assert!(left[0] + used <= 1_000_000_000, "{left:?} {used}");
        assert!(left[1] + tokens <= 450_000, "{left:?} {tokens}");
        self.truth
    }
}

pub fn never_over(truth: &Truth) {
    assert!(truth.cost.load(Ordering::Relaxed) <= 1_000_000_000);
    assert!(truth.tokens.load(Ordering::Relaxed) <= 450_000);
    assert!(truth.most_in_flight.load(Ordering::SeqCst) <= 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_emptied_redis_under_load_passes_no_limit() {
    let server = Server::start().await;
    let load = Load::start(Place::at(server.url()));

    for _ in 0..5 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        server.tell(&["FLUSHALL"]).await;
    }
    tokio::time::sleep(Duration::from_millis(1_500)).await;

    let rebuilds = load
        .proxies
        .each_ref()
        .map(|one| one.ledger.counters().rebuilds.load(Ordering::Relaxed));
    let truth = load.end().await;
    never_over(&truth);
    assert!(rebuilds.iter().all(|count| 4 <= *count), "{rebuilds:?}");
    assert!(300 < truth.admitted.load(Ordering::Relaxed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_redis_that_comes_back_empty_passes_no_limit() {
    let mut server = Server::start().await;
    let load = Load::start(Place::at(server.url()));

    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(700)).await;
        server.replace().await;
    }
    tokio::time::sleep(Duration::from_millis(1_500)).await;

    let truth = load.end().await;
    never_over(&truth);
    assert!(200 < truth.admitted.load(Ordering::Relaxed));
}

#[tokio::test]
async fn a_redis_that_comes_back_with_its_file_is_not_trusted_with_the_last_second() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_str().expect("a path").to_owned();
    let flags = [
        "--appendonly",
        "yes",
        "--appendfsync",
        "always",
        "--dir",
        &path,
    ];
    let mut server = Server::start_with(&flags).await;
    let place = Place::at(server.url());
    let proxy = place.proxy();
    let tenant = Tenant::new(&[(Meter::NanoUsd, Window::Month, 1_000)]);
    let booked = held(tenant.ask(&proxy, &call(1, 1, 300)).await);
    let id = booked.id();
    proxy.ledger.settle(booked, call(1, 1, 100));
    place.books.commit(tenant.organization, id, call(1, 1, 100));
    proxy.ledger.booked(id);
    let open = held(tenant.ask(&proxy, &call(1, 1, 300)).await);
    settled(&tenant, &proxy, &[600]).await;

    server.replace().await;
    settles(&tenant, &proxy, 600).await;

    assert_eq!(proxy.ledger.counters().rebuilds.load(Ordering::Relaxed), 1);
    proxy.ledger.settle(open, call(1, 1, 200));
    settled(&tenant, &proxy, &[700]).await;
}

/// Waits past the time Redis is away.
async fn settles(tenant: &Tenant, proxy: &TestProxy, remaining: u64) {
    within(Duration::from_secs(10), async || {
        let peeked = proxy
            .ledger
            .peek(tenant.organization, &tenant.limits, now())
            .await;
        peeked.is_ok_and(|standings| standings[0].remaining == remaining)
    })
    .await;
}

#[tokio::test]
async fn a_settle_that_redis_forgot_still_counts() {
    let server = Server::start().await;
    let proxy = Place::at(server.url()).proxy();
    let tenant = Tenant::new(&[
        (Meter::NanoUsd, Window::Month, 1_000),
        (Meter::Requests, Window::Minute, 10),
    ]);
    let ended = held(tenant.ask(&proxy, &call(1, 1, 300)).await);
    let open = held(tenant.ask(&proxy, &call(1, 1, 300)).await);

    server.tell(&["FLUSHALL"]).await;
    proxy.ledger.settle(ended, call(1, 1, 100));

    settled(&tenant, &proxy, &[600, 8]).await;
    proxy.ledger.settle(open, call(1, 1, 50));
    settled(&tenant, &proxy, &[850, 8]).await;
}

#[tokio::test]
async fn what_the_books_know_is_not_counted_twice() {
    let server = Server::start().await;
    let place = Place::at(server.url());
    let proxy = place.proxy();
    let tenant = Tenant::new(&[(Meter::NanoUsd, Window::Month, 1_000)]);
    for _ in 0..3 {
        let hold = held(tenant.ask(&proxy, &call(1, 1, 100)).await);
        let id = hold.id();
        proxy.ledger.settle(hold, call(1, 1, 100));
        place.books.commit(tenant.organization, id, call(1, 1, 100));
        proxy.ledger.booked(id);
    }
    settled(&tenant, &proxy, &[700]).await;

    for _ in 0..3 {
        server.tell(&["FLUSHALL"]).await;
        settled(&tenant, &proxy, &[700]).await;
    }
}

#[tokio::test]
async fn what_was_spent_before_a_limit_was_made_counts() {
    let place = Place::shared();
    let proxy = place.proxy();
    let tenant = Tenant::new(&[
        (Meter::NanoUsd, Window::Month, 1_000),
        (Meter::Requests, Window::Minute, 10),
    ]);
    place
        .books
        .commit(tenant.organization, RequestId(fresh()), call(1, 1, 990));

    let decision = tenant.ask(&proxy, &call(1, 1, 11)).await;

    assert!(
        matches!(decision, Decision::Denied { limit: 0, .. }),
        "{decision:?}"
    );
    assert_eq!(tenant.remaining(&proxy).await, [10, 9]);
}

#[tokio::test]
async fn unknown_is_never_taken_for_unused() {
    let place = Place::shared();
    let proxy = place.proxy();
    let tenant = Tenant::new(&[(Meter::NanoUsd, Window::Month, 1_000)]);
    place.books.set_away(true);

    let refused = tenant
        .admit(&proxy, &[tenant.bid(&call(1, 1, 1))], now())
        .await;
    place.books.set_away(false);
    let admitted = tenant
        .admit(&proxy, &[tenant.bid(&call(1, 1, 1))], now())
        .await;

    assert!(refused.is_err());
    proxy.ledger.cancel(held(admitted.expect("an answer")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_books_are_asked_once_or_twice_however_many_wait() {
    let place = Place::shared();
    let proxy = Arc::new(place.proxy());
    let tenant = Tenant::new(&[(Meter::Requests, Window::Day, 1_000)]);
    let tasks = Tasks::default();

    let calls = (0..200).map(|_| {
        let (proxy, tenant) = (Arc::clone(&proxy), tenant.clone());
        tasks.spawn(
            "caller",
            async move { tenant.ask(&proxy, &call(1, 1, 1)).await },
        )
    });
    for joined in join_all(calls.collect::<Vec<_>>()).await {
        assert!(is_held(&joined.expect("a caller")));
    }

    assert!(place.books.questions() <= 2, "{}", place.books.questions());
}

#[tokio::test]
async fn a_frozen_redis_costs_one_deadline_and_then_nothing() {
    let server = Server::start().await;
    let proxy = Place::at(server.url()).proxy();
    let tenant = Tenant::new(&[(Meter::NanoUsd, Window::Month, 1_000_000)]);
    let open = held(tenant.ask(&proxy, &call(1, 1, 100)).await);
    let bids = [tenant.bid(&call(1, 1, 100))];

    server.freeze();
    // Told again and again without an answer, and heard every time once Redis goes on.
    proxy.ledger.settle(open, call(1, 1, 40));
    let began = Instant::now();
    let mut longest = Duration::ZERO;
    let mut calls = 0;
    while began.elapsed() < Duration::from_secs(3) {
        let asked = Instant::now();
        assert!(tenant.admit(&proxy, &bids, now()).await.is_err());
        longest = longest.max(asked.elapsed());
        calls += 1;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    server.thaw();
    let back = within(Duration::from_secs(5), async || {
        let decision = tenant.admit(&proxy, &bids, now()).await;
        decision
            .map(|decision| proxy.ledger.cancel(held(decision)))
            .is_ok()
    })
    .await;

    assert!(longest < Duration::from_millis(400), "{longest:?}");
    assert!(back < Duration::from_millis(500), "{back:?}");
    // A breaker that let a caller try now and then would cost a deadline each time: 12 of them, 240 calls.
    assert!(500 < calls, "{calls}");
    settled(&tenant, &proxy, &[1_000_000 - 40]).await;
}

#[tokio::test]
async fn a_redis_that_is_down_at_the_start_is_found_when_it_comes() {
    let mut server = Server::start().await;
    server.kill();
    let proxy = Place::at(server.url()).proxy();
    let tenant = Tenant::new(&[(Meter::Requests, Window::Minute, 5)]);
    let bids = [tenant.bid(&call(1, 1, 1))];

    let refused = tenant.admit(&proxy, &bids, now()).await;
    server.replace().await;

    assert!(
        matches!(refused, Err(Unavailable::Redis(_) | Unavailable::Shut)),
        "{refused:?}"
    );
    let waited = within(Duration::from_secs(5), async || {
        matches!(tenant.admit(&proxy, &bids, now()).await, Ok(decision) if is_held(&decision))
    })
    .await;
    assert!(waited < Duration::from_secs(2), "{waited:?}");
}

#[tokio::test]
async fn a_redis_without_memory_refuses_before_it_begins_and_settles_later() {
    let server = Server::start().await;
    let proxy = Place::at(server.url()).proxy();
    let tenant = Tenant::new(&[
        (Meter::NanoUsd, Window::Month, 1_000),
        (Meter::Concurrent, Window::Instant, 5),
    ]);
    let open = held(tenant.ask(&proxy, &call(1, 1, 300)).await);

    server.tell(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let refused = tenant
        .admit(&proxy, &[tenant.bid(&call(1, 1, 300))], now())
        .await;
    proxy.ledger.settle(open, call(1, 1, 100));
    tokio::time::sleep(Duration::from_millis(300)).await;
    server.tell(&["CONFIG", "SET", "maxmemory", "0"]).await;

    assert!(refused.is_err());
    settles(&tenant, &proxy, 900).await;
    assert_eq!(tenant.remaining(&proxy).await, [900, 5]);
}

#[tokio::test]
async fn a_share_of_the_rates_is_permitted_while_redis_is_away_if_so_configured() {
    let mut place = Place::at("redis://127.0.0.1:1".to_owned());
    place.settings.when_away = synaxis::quota::WhenAway::LocalShare;
    place.settings.proxies = 2;
    let proxy = place.proxy();
    let rate = Tenant::new(&[(Meter::Requests, Window::Hour, 20)]);
    let money = Tenant::new(&[(Meter::NanoUsd, Window::Month, 1_000)]);
    let one = call(1, 1, 1);

    let mut admitted = 0;
    for _ in 0..30 {
        let decision = rate.admit(&proxy, &[rate.bid(&one)], now()).await;
        admitted += usize::from(decision.is_ok_and(|decision| is_held(&decision)));
    }

    assert_eq!(admitted, 10);
    assert!(
        money
            .admit(&proxy, &[money.bid(&one)], now())
            .await
            .is_err()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_storm_of_two_proxies_asks_the_books_once() {
    let mut server = Server::start().await;
    let place = Place::at(server.url());
    let proxies = [place.proxy(), place.proxy()];
    let tenant = Tenant::new(&[
        (Meter::NanoUsd, Window::Month, 1_000_000),
        (Meter::Requests, Window::Minute, 1_000),
    ]);
    for proxy in &proxies {
        proxy
            .ledger
            .cancel(held(tenant.ask(proxy, &call(1, 1, 1)).await));
    }
    let before = place.books.questions();

    server.replace().await;
    let storm = (0..60).map(|number| {
        let (tenant, proxy) = (&tenant, &proxies[number % 2]);
        async move {
            within(Duration::from_secs(10), async || {
                let decision = tenant
                    .admit(proxy, &[tenant.bid(&call(1, 1, 1))], now())
                    .await;
                decision.is_ok_and(|decision| is_held(&decision))
            })
            .await;
        }
    });
    join_all(storm).await;

    assert_eq!(place.books.questions() - before, 1);
}

#[tokio::test]
async fn a_redis_that_would_evict_admits_nothing_limited_until_it_is_mended() {
    let server = Server::start_with(&["--maxmemory-policy", "allkeys-lru"]).await;
    let proxy = Place::at(server.url()).proxy();
    let tenant = Tenant::new(&[(Meter::NanoUsd, Window::Month, 1_000)]);
    let bids = [tenant.bid(&call(1, 1, 1))];

    for _ in 0..20 {
        let decision = tenant.admit(&proxy, &bids, now()).await;
        assert!(matches!(
            decision,
            Err(Unavailable::Evicts | Unavailable::Rebuilding)
        ));
    }
    server
        .tell(&["CONFIG", "SET", "maxmemory-policy", "noeviction"])
        .await;
    within(Duration::from_secs(5), async || {
        let decision = tenant.admit(&proxy, &bids, now()).await;
        decision.is_ok_and(|decision| is_held(&decision))
    })
    .await;

    server
        .tell(&["CONFIG", "SET", "maxmemory-policy", "volatile-ttl"])
        .await;
    within(Duration::from_secs(5), async || {
        let decision = tenant.admit(&proxy, &bids, now()).await;
        matches!(decision, Err(Unavailable::Evicts))
    })
    .await;
}
