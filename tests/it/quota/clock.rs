//! Redis's clock jumps: no minute ends early, no lease is forgotten, and nobody waits longer than a window.

use std::{sync::atomic::Ordering, time::Duration};

use synaxis::quota::{Decision, Meter, Scripts, Window};

use super::{Place, Tenant, TestProxy, call, held, is_held};
use crate::stack::{redis::OwnRedis, within};

const HOUR_MS: i64 = 3_600_000;

/// A proxy whose Redis goes by the machine's clock, and so much ahead of it as the test says.
struct Skewed {
    redis: OwnRedis,
    place: Place,
}

impl Skewed {
    async fn start() -> Self {
        let redis = OwnRedis::start().await;
        redis.cli(&["set", "ahead", "0"]);
        let mut place = Place::at(redis.url());
        place.settings.lease_ms = 3_000;
        Self { redis, place }
    }

    fn proxy(&self) -> TestProxy {
        let line = "local t = redis.call('TIME') \
            local now = t[1] * 1000 + math.floor(t[2] / 1000) + redis.call('GET', 'ahead')";
        self.place.proxy_with(Scripts::with_clock(line))
    }

    fn jump(&self, by_ms: i64) {
        self.redis.cli(&["incrby", "ahead", &by_ms.to_string()]);
    }
}

async fn admitted(tenant: &Tenant, proxy: &TestProxy, tries: usize) -> usize {
    let mut admitted = 0;
    for _ in 0..tries {
        if let Decision::Held { hold, .. } = tenant.ask(proxy, &call(1, 1, 1)).await {
            proxy.ledger.settle(hold, call(1, 1, 1));
            admitted += 1;
        }
    }
    admitted
}

#[tokio::test]
async fn a_minute_is_as_long_as_it_is_whatever_redis_says() {
    let skewed = Skewed::start().await;
    let [first, second] = [skewed.proxy(), skewed.proxy()];
    let tenant = Tenant::new(&[(Meter::Requests, Window::Minute, 20)]);
    assert_eq!(admitted(&tenant, &first, 15).await, 15);

    for by_ms in [HOUR_MS, -HOUR_MS, -24 * HOUR_MS, 25 * HOUR_MS] {
        skewed.jump(by_ms);
        assert_eq!(admitted(&tenant, &second, 1).await, 1);
        assert_eq!(
            tenant.remaining(&first).await,
            tenant.remaining(&second).await
        );
    }

    assert_eq!(admitted(&tenant, &first, 10).await, 1);
    let jumps = [&first, &second].map(|proxy| {
        let counters = proxy.ledger.counters();
        (
            counters.clock_jumps.load(Ordering::Relaxed),
            counters.rebuilds.load(Ordering::Relaxed),
        )
    });
    assert!(
        jumps.iter().all(|(jumps, _)| (1..=4).contains(jumps)),
        "{jumps:?}"
    );
    assert!(
        jumps.iter().all(|(_, rebuilds)| *rebuilds == 1),
        "{jumps:?}"
    );
}

#[tokio::test]
async fn calls_in_flight_stay_in_flight() {
    let skewed = Skewed::start().await;
    let proxy = skewed.proxy();
    let tenant = Tenant::new(&[(Meter::Concurrent, Window::Instant, 2)]);
    let _open = [
        held(tenant.ask(&proxy, &call(1, 1, 1)).await),
        held(tenant.ask(&proxy, &call(1, 1, 1)).await),
    ];

    for by_ms in [HOUR_MS, -2 * HOUR_MS] {
        skewed.jump(by_ms);
        // Longer than a lease: it was renewed meanwhile, by the same clock.
        for _ in 0..16 {
            assert!(!is_held(&tenant.ask(&proxy, &call(1, 1, 1)).await));
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }
}

#[tokio::test]
async fn whoever_comes_after_an_hour_without_any_proxy_waits_for_nothing() {
    let skewed = Skewed::start().await;
    let tenant = Tenant::new(&[(Meter::Requests, Window::Minute, 3)]);
    let before = skewed.proxy();
    assert_eq!(admitted(&tenant, &before, 5).await, 3);
    before.stop().await;
    // An hour ago Redis said what it says an hour before now.
    skewed.jump(-HOUR_MS);
    let during = skewed.proxy();
    assert_eq!(admitted(&tenant, &during, 1).await, 0);
    during.stop().await;

    skewed.jump(HOUR_MS);
    let after = skewed.proxy();

    assert_eq!(admitted(&tenant, &after, 5).await, 3);
}

#[tokio::test]
async fn a_lost_memory_is_rebuilt_right_after_a_jump() {
    let skewed = Skewed::start().await;
    let proxy = skewed.proxy();
    let tenant = Tenant::new(&[
        (Meter::Requests, Window::Minute, 20),
        (Meter::Concurrent, Window::Instant, 5),
    ]);
    assert_eq!(admitted(&tenant, &proxy, 6).await, 6);
    let open = held(tenant.ask(&proxy, &call(1, 1, 1)).await);
    skewed.jump(HOUR_MS);
    assert_eq!(admitted(&tenant, &proxy, 1).await, 1);

    skewed.redis.empty();
    skewed
        .redis
        .cli(&["set", "ahead", &(2 * HOUR_MS).to_string()]);

    // Nothing was booked: all of it is what the proxy remembers.
    within(Duration::from_secs(10), async || {
        tenant.remaining(&proxy).await == [12, 4]
    })
    .await;
    proxy.ledger.settle(open, call(1, 1, 1));
}
