//! What explain says is what the next call does, and the entry of the call tells it again.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::market::Market;
use crate::{
    catalog_api::stand::id_of,
    stack::{admin::Reply, provider::Provider, within},
};

impl Market {
    async fn explain(&self, more: Value) -> Reply {
        let mut body = json!({
            "organization_id": self.us.id,
            "request": {"model": "swift", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 16},
        });
        for (name, value) in more.as_object().expect("fields") {
            body[name] = value.clone();
        }
        let token = &self.us.owner.access_token;
        let request = self.stand.admin.request(Method::POST, "/api/v1/explain");
        request.token(token).json(&body).send().await
    }

    async fn key_id(&self) -> String {
        let listed = self
            .stand
            .ask(&self.us, Method::GET, "keys", Value::Null)
            .await;
        id_of(&listed.expect(200).json()["data"][0])
    }
}

async fn market() -> Market {
    let mut market = Market::open().await;
    market.offer_of(Provider::start("dear"), Some(9), -5).await;
    market.offer_of(Provider::start("cheap"), Some(1), 5).await;
    market.offer_of(Provider::start("gratis"), None, 9).await;
    market.is_answered_by("gratis", "free").await;
    market
}

#[tokio::test]
async fn explain_says_what_the_next_call_then_does_and_sends_nothing() {
    let market = market().await;
    let key = market.key_id().await;
    let body = json!({"subject": {"kind": "organization"}, "terms": {"kind": "miser"}});
    let made = market.stand.make(&market.us, "strategies", body).await;
    let path = format!("strategies/{}", id_of(&made));
    for terms in [
        json!({"kind": "miser"}),
        json!({"kind": "priority"}),
        json!({"kind": "miser", "max_cost_per_million_nano_usd": 5_000_000}),
        json!({"kind": "priority", "is_paid_allowed": false}),
        json!({"kind": "weighted", "weights": {"cheap": 1}}),
    ] {
        let set = market
            .stand
            .ask(&market.us, Method::PUT, &path, terms.clone())
            .await;
        set.expect(200);
        let asked = market.calls();

        let told = market
            .explain(json!({"key_id": key}))
            .await
            .expect(200)
            .json();

        assert_eq!(market.calls(), asked, "nothing is sent upstream");
        let first = &told["candidates"][0];
        let (provider, why) = (&first["provider"], &first["why"]);
        let (provider, why) = (
            provider.as_str().expect("one"),
            why.as_str().expect("a word"),
        );
        market.is_answered_by(provider, why).await;
        assert_eq!(told["strategy"]["id"], made["id"]);
        let out = told["out"].as_array().expect("a list").len();
        let candidates = told["candidates"].as_array().expect("a list").len();
        assert_eq!(candidates + out, 3, "{terms}: {told}");
    }
}

#[tokio::test]
async fn explain_tells_why_each_offer_is_out_and_why_nothing_would_be_tried() {
    let market = market().await;
    let terms = json!({"kind": "miser", "max_cost_per_million_nano_usd": 5_000_000});
    let body = json!({"subject": {"kind": "organization"}, "terms": terms});
    let made = market.stand.make(&market.us, "strategies", body).await;

    let told = market.explain(json!({})).await.expect(200).json();

    let gratis = told["candidates"][0]["offer_id"].as_str().expect("an id");
    assert_eq!(told["out"][0]["provider"], "dear");
    assert_eq!(told["out"][0]["reason"], "too_dear");
    let terms = json!({"kind": "miser", "max_cost_per_million_nano_usd": 5_000_000, "is_paid_allowed": false});
    let path = format!("strategies/{}", id_of(&made));
    let set = market.stand.ask(&market.us, Method::PUT, &path, terms);
    set.await.expect(200);
    let path = format!("offers/{gratis}");
    let off = json!({"is_enabled": false});
    let off = market.stand.platform(Method::PATCH, &path, off);
    off.await.expect(200);
    let none = market.explain(json!({})).await.expect(200).json();
    assert_eq!(none["candidates"], json!([]));
    let refusal = none["refusal"].as_str().unwrap_or_default();
    assert!(refusal.contains("bounds"), "{none}");
    market
        .explain(json!({"request": {"model": "swfit", "messages": []}}))
        .await
        .expect(400);
    market
        .explain(json!({"key_id": "019aa0f0-0000-7000-8000-00000000dead"}))
        .await
        .expect(404);
    let them = market.stand.tenant("bob").await;
    market
        .explain(json!({"organization_id": them.id}))
        .await
        .expect(404);
}

#[tokio::test]
async fn the_entry_of_a_call_tells_why_it_went_there() {
    let market = market().await;
    let usual = market.stand.call(&market.us.key, "swift").await;
    let terms = json!({"subject": {"kind": "organization"}, "terms": {"kind": "priority"}});
    let strategy = market.stand.make(&market.us, "strategies", terms).await;
    market.is_answered_by("dear", "preferred").await;
    let answer = market.stand.call(&market.us.key, "swift").await;

    let told = async |id: &str| {
        let path = format!("requests/{id}");
        within(Duration::from_secs(10), async || {
            let shown = market
                .stand
                .ask(&market.us, Method::GET, &path, Value::Null)
                .await;
            shown.status == 200
        })
        .await;
        let shown = market
            .stand
            .ask(&market.us, Method::GET, &path, Value::Null)
            .await;
        shown.expect(200).json()["decision"].clone()
    };

    let decision = told(answer.header("x-request-id")).await;
    assert_eq!(decision["why"], "preferred");
    assert_eq!(decision["strategy_id"], strategy["id"]);
    let ranked = decision["ranked"].as_array().expect("a list").iter();
    let ranked: Vec<_> = ranked
        .map(|offer| offer["name"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(ranked.len(), 3);
    assert!(ranked[0].starts_with("dear/"), "{ranked:?}");
    let usual = told(usual.header("x-request-id")).await;
    assert_eq!(
        usual,
        json!({"why": "free", "strategy_id": null, "ranked": []})
    );
}
