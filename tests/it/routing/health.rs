//! Health as two proxies share it over a real Redis, and as each has it alone.

use std::{sync::Arc, time::Duration};

use synaxis::{
    base::{Clock, CredentialId, Moment, OfferId, RequestId, Secret},
    routing::{Availability, Cool, Failure, Health, Refusal, Settings, Sharing},
    store::{
        outcomes::Outcomes,
        redis::{Redis, Settings as RedisSettings},
    },
};
use uuid::Uuid;

use crate::stack::test_redis_url;

fn now() -> Moment {
    Clock::System.now()
}

fn fresh() -> Uuid {
    RequestId::new(now()).uuid()
}

/// Proxies over one Redis, each with what it knows.
struct Fleet(Redis, Vec<(Arc<Health>, Sharing)>);

fn redis_at(url: String) -> Redis {
    let settings = RedisSettings {
        url: Secret::new(url),
        key_prefix: format!("test:{}:", fresh().simple()),
        deadline_ms: 5_000,
    };
    Redis::connect(&settings).expect("an address")
}

impl Fleet {
    fn over(redis: Redis, proxies: usize) -> Self {
        let settings = Settings {
            pause_ms: 200,
            ..Settings::default()
        };
        let proxy = |_| {
            let health = Arc::new(Health::new(settings.clone()));
            let sharing = Sharing::new(Arc::clone(&health), redis.clone(), fresh());
            (health, sharing)
        };
        let all = (0..proxies).map(proxy).collect();
        Self(redis, all)
    }

    /// Lets each tell and hear, the last first.
    async fn beat(&mut self) {
        for _ in 0..2 {
            for (_, sharing) in self.1.iter_mut().rev() {
                sharing.beat().await;
            }
        }
    }

    fn health(&self, proxy: usize) -> &Health {
        &self.1[proxy].0
    }
}

#[tokio::test]
async fn what_one_proxy_finds_failing_every_proxy_leaves_alone_until_one_finds_it_well() {
    let mut fleet = Fleet::over(redis_at(test_redis_url()), 3);
    let (offer, key) = (OfferId(fresh()), Some(CredentialId(fresh())));
    for _ in 0..5 {
        fleet.health(0).failed(offer, key, Failure::Server, now());
    }

    fleet.beat().await;

    for proxy in 0..3 {
        assert!(fleet.health(proxy).is_open(offer, key, now()), "{proxy}");
        assert!(!fleet.health(proxy).is_open(offer, None, now()), "{proxy}");
    }
    tokio::time::sleep(Duration::from_millis(210)).await;
    for proxy in 0..3 {
        let found = fleet.health(proxy).availability(offer, key, now());
        assert_eq!(found, Availability::OnTrial, "{proxy}");
    }
    // Each has one trial that goes well: together they are three.
    for proxy in 0..3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
        fleet.health(proxy).succeeded(offer, key, 9, now());
        fleet.beat().await;
    }
    for proxy in 0..3 {
        let found = fleet.health(proxy).availability(offer, key, now());
        assert_eq!(found, Availability::Ready, "{proxy}");
    }
}

#[tokio::test]
async fn a_proxy_that_starts_hears_what_rests_and_the_outcomes_are_added_up() {
    let redis = redis_at(test_redis_url());
    let mut fleet = Fleet::over(redis.clone(), 2);
    let (offer, key) = (OfferId(fresh()), CredentialId(fresh()));
    let until = now().plus(Duration::from_secs(600));
    let cools = [
        Cool::Offer(OfferId(fresh())),
        Cool::OfferCredential(offer, Some(key)),
        Cool::Credential(CredentialId(fresh())),
        Cool::CredentialLimit(key),
    ];
    for what in cools {
        fleet.health(0).cool(what, until);
    }
    fleet.beat().await;

    let mut late = Fleet::over(redis, 1);
    late.beat().await;

    let found = late.health(0).availability(offer, Some(key), now());
    assert_eq!(found, Availability::Limited(until));
    let other = OfferId(fresh());
    assert!(
        late.health(0).is_open(other, Some(key), now()),
        "the key's limit"
    );

    for proxy in 0..2 {
        for ms in [40, 40, 40, 700] {
            fleet.health(proxy).succeeded(other, None, ms, now());
        }
        fleet
            .health(proxy)
            .failed(other, None, Failure::Timeout, now());
        fleet.health(proxy).refused(other, None, Refusal::Limited);
        fleet.1[proxy].1.tell_outcomes().await;
    }
    let outcomes = Outcomes::new(fleet.0.clone());
    let read = outcomes.read(&[(other, None), (offer, Some(key))]).await;
    let [told, untold] = read.expect("the outcomes").try_into().expect("two");
    assert_eq!(
        (told.tally.successes, told.tally.timeout, told.tally.limited),
        (8, 2, 2)
    );
    assert_eq!((told.p50_ms, told.p95_ms), (Some(50), Some(800)));
    assert!(told.last_at.is_some() && untold.last_at.is_none());
}

#[tokio::test]
async fn without_redis_a_proxy_goes_by_itself_and_tells_when_it_is_back() {
    let mut fleet = Fleet::over(redis_at("redis://127.0.0.1:1".to_owned()), 1);
    let offer = OfferId(fresh());
    for _ in 0..5 {
        fleet.health(0).failed(offer, None, Failure::Connect, now());
    }

    fleet.beat().await;

    assert!(fleet.health(0).is_open(offer, None, now()));
    let redis = redis_at(test_redis_url());
    let (health, _) = fleet.1.remove(0);
    Sharing::new(health, redis.clone(), fresh()).beat().await;
    let mut other = Fleet::over(redis, 1);
    other.beat().await;
    assert!(other.health(0).is_open(offer, None, now()));
}
