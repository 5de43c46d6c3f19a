//! Strategies: attached at every height, bounded, and followed by the next call.

use reqwest::Method;
use serde_json::{Value, json};

use super::market::Market;
use crate::{
    catalog_api::stand::{A_SECOND, id_of},
    stack::{provider::Provider, within},
};

/// A paid offer that costs little and one that the catalog prefers.
async fn choice() -> Market {
    let mut market = Market::open().await;
    market.offer_of(Provider::start("cheap"), Some(1), 5).await;
    market
        .offer_of(Provider::start("preferred"), Some(9), -5)
        .await;
    market
}

impl Market {
    async fn attach(&self, subject: Value, terms: Value) -> Value {
        let body = json!({"subject": subject, "terms": terms});
        self.stand.make(&self.us, "strategies", body).await
    }

    /// Who answers the next call of a key to a name.
    async fn answered(&self, key: &str, name: &str) -> String {
        let answer = self.stand.call(key, name).await;
        answer.header("x-synaxis-provider").to_owned()
    }

    async fn follows(&self, key: &str, name: &str, provider: &str) {
        within(A_SECOND, async || {
            self.answered(key, name).await == provider
        })
        .await;
    }
}

/// A key of a group, and an alias it asks for.
struct Heights {
    group: Value,
    alias: Value,
    key: String,
    key_id: String,
}

impl Heights {
    async fn of(market: &Market) -> Self {
        let (stand, us) = (&market.stand, &market.us);
        let group = stand.make(us, "groups", json!({"name": "Search"})).await;
        let alias = json!({"name": "fast", "model_ids": [market.model]});
        let alias = stand.make(us, "aliases", alias).await;
        let order = json!({"name": "one", "group_id": group["id"]});
        let made = stand.make(us, "keys", order).await;
        let key_id = made["id"].as_str().or(made["key"]["id"].as_str());
        Self {
            group: group["id"].clone(),
            alias: alias["id"].clone(),
            key: made["api_key"].as_str().expect("a key").to_owned(),
            key_id: key_id.expect("an id").to_owned(),
        }
    }
}

#[tokio::test]
async fn a_strategy_at_every_height_holds_for_the_next_call_and_the_most_specific_wins() {
    let market = choice().await;
    let us = &market.us;
    let at = Heights::of(&market).await;
    let (priority, miser) = (json!({"kind": "priority"}), json!({"kind": "miser"}));
    market.follows(&at.key, "fast", "cheap").await;

    let all = market
        .stand
        .platform(Method::PUT, "strategy", priority.clone());
    all.await.expect(200);
    market.follows(&at.key, "fast", "preferred").await;
    let subject = json!({"kind": "organization"});
    market.attach(subject, miser.clone()).await;
    market.follows(&at.key, "fast", "cheap").await;
    let subject = json!({"kind": "group", "group_id": at.group});
    market.attach(subject, priority.clone()).await;
    market.follows(&at.key, "fast", "preferred").await;
    let of_no_group = market.answered(&us.key, "fast").await;
    assert_eq!(of_no_group, "cheap");
    let subject = json!({"kind": "alias", "alias_id": at.alias});
    market.attach(subject, miser).await;
    market.follows(&at.key, "fast", "cheap").await;
    let by_another_name = market.answered(&at.key, "swift").await;
    assert_eq!(by_another_name, "preferred");
    let subject = json!({"kind": "key", "key_id": at.key_id});
    market.attach(subject, priority).await;
    market.follows(&at.key, "fast", "preferred").await;

    let audited = market.stand.audited(us).await;
    let changes = audited
        .iter()
        .filter(|action| action.starts_with("strategy."));
    assert_eq!(changes.count(), 4);
}

#[tokio::test]
async fn a_strategy_of_a_key_holds_for_the_key_that_takes_over_until_it_is_taken_away() {
    let market = choice().await;
    let us = &market.us;
    let at = Heights::of(&market).await;
    let subject = json!({"kind": "key", "key_id": at.key_id});
    let kept = market.attach(subject, json!({"kind": "priority"})).await;
    market.follows(&at.key, "fast", "preferred").await;

    let path = format!("keys/{}/rotate", at.key_id);
    let rotated = market.stand.ask(us, Method::POST, &path, json!({})).await;

    let heir = rotated.json();
    let heir = heir["api_key"].as_str().expect("a key");
    market.follows(heir, "fast", "preferred").await;
    let path = format!("strategies/{}", id_of(&kept));
    let removed = market.stand.ask(us, Method::DELETE, &path, Value::Null);
    removed.await.expect(204);
    market.follows(heir, "fast", "cheap").await;
}

#[tokio::test]
async fn bounds_are_never_passed_and_who_is_left_with_nothing_is_told() {
    let mut market = choice().await;
    let us = &market.us;
    market.follows(&us.key, "swift", "cheap").await;
    let bound = json!({"kind": "priority", "max_cost_per_million_nano_usd": 5_000_000});
    let made = market.attach(json!({"kind": "organization"}), bound).await;
    market.is_answered_by("cheap", "preferred").await;
    let path = format!("strategies/{}", id_of(&made));
    let set = async |terms: Value| {
        market
            .stand
            .ask(&market.us, Method::PUT, &path, terms)
            .await
            .expect(200)
    };

    set(json!({"kind": "priority", "is_paid_allowed": false})).await;
    within(A_SECOND, async || {
        market.stand.status(&market.us.key, "swift").await == 403
    })
    .await;
    let refused = market.stand.call(&market.us.key, "swift").await;
    assert_eq!(refused.code(), "model_access_denied");
    assert!(refused.text.contains("bounds"), "{}", refused.text);
    market.offer("gratis", None).await;
    market.is_answered_by("gratis", "preferred").await;
}

#[tokio::test]
async fn the_fastest_and_the_steadiest_are_found_by_asking() {
    let mut market = Market::open().await;
    let slow = Provider::start_with("slow", &["--latency-ms", "250"]);
    market.offer_of(slow, Some(1), 0).await;
    market.offer("quick", Some(9)).await;
    market.is_answered_by("slow", "cheapest").await;
    let subject = json!({"kind": "organization"});
    let made = market.attach(subject, json!({"kind": "performance"})).await;
    market.is_answered_by("quick", "fastest").await;
    for _ in 0..3 {
        assert_eq!(
            market.answers().await,
            ("quick".to_owned(), "fastest".to_owned())
        );
    }
    let path = format!("strategies/{}", id_of(&made));
    let set = async |terms: Value| {
        market
            .stand
            .ask(&market.us, Method::PUT, &path, terms)
            .await
            .expect(200)
    };

    set(json!({"kind": "miser", "max_latency_ms": 100})).await;
    market.is_answered_by("quick", "cheapest").await;
    set(json!({"kind": "reliability"})).await;
    market.is_answered_by("slow", "steadiest").await;
    for provider in &market.providers {
        if provider.name == "slow" {
            provider.fault("status=500").await;
        }
    }
    within(A_SECOND * 3, async || {
        market.answers().await == ("quick".to_owned(), "steadiest".to_owned())
    })
    .await;
    set(json!({"kind": "weighted", "weights": {"quick": 1}})).await;
    market.is_answered_by("quick", "weighted").await;
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let market = choice().await;
    let subject = json!({"kind": "organization"});
    let refused = async |subject: &Value, terms: Value| {
        let body = json!({"subject": subject, "terms": terms});
        market
            .stand
            .ask(&market.us, Method::POST, "strategies", body)
            .await
    };
    for terms in [
        json!({"kind": "miser", "weights": {"cost": 1}}),
        json!({"kind": "balanced", "weights": {"colour": 1}}),
        json!({"kind": "weighted", "weights": {"cheap": 0}}),
        json!({"kind": "miser", "min_success_percent": 101}),
        json!({"kind": "miser", "max_latency_ms": 0}),
        json!({"kind": "lucky"}),
    ] {
        refused(&subject, terms).await.expect(400);
    }
    let nobody = json!({"kind": "group", "group_id": "019aa0f0-0000-7000-8000-00000000dead"});
    refused(&nobody, json!({"kind": "miser"})).await.expect(400);
    market
        .attach(
            subject.clone(),
            json!({"kind": "balanced", "weights": {"cost": 3, "latency": 1}}),
        )
        .await;
    refused(&subject, json!({"kind": "miser"}))
        .await
        .expect(409);
}
