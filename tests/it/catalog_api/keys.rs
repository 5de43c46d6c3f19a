//! Providers' keys: an organization's own before the platform's, tried, replaced, never shown.

use reqwest::Method;
use serde_json::{Value, json};

use super::stand::{A_SECOND, Stand, id_of, provider_of};
use crate::stack::{provider::Provider, within};

/// A provider of the platform that serves nobody without a key, with a free offer of `swift`; returns its id.
async fn shared_shop(stand: &Stand, provider: &Provider) -> String {
    let mut new = provider_of(provider);
    new["requires_key"] = json!(true);
    let made = stand.make_shared("providers", new).await;
    let model = stand.make_shared("models", json!({"name": "swift"})).await;
    let offer = json!({"provider_id": made["id"], "model_id": model["id"], "tier": "free"});
    stand.make_shared("offers", offer).await;
    id_of(&made)
}

#[tokio::test]
async fn an_organizations_key_for_the_platforms_provider_serves_it_alone() {
    let stand = Stand::start().await;
    let (ours, theirs) = (stand.tenant("ada").await, stand.tenant("bob").await);
    let provider = Provider::start("mall");
    let id = shared_shop(&stand, &provider).await;
    assert_eq!(stand.status(&ours.key, "swift").await, 404);

    let key = json!({"provider_id": id, "secret": "sk-ours-0123456789aaaa"});
    stand.make(&ours, "credentials", key).await;
    within(A_SECOND, async || {
        stand.status(&ours.key, "swift").await == 200
    })
    .await;
    assert_eq!(stand.status(&theirs.key, "swift").await, 404);
    assert_eq!(stand.status(&theirs.key, "mall/swift").await, 404);

    let key = json!({"provider_id": id, "secret": "sk-mall-0123456789bbbb"});
    stand.make_shared("credentials", key).await;
    within(A_SECOND, async || {
        stand.status(&theirs.key, "swift").await == 200
    })
    .await;
    let last = provider.log().pop().expect("a call");
    assert_eq!(last["credential"], "sk-m…bbbb");
    assert_eq!(stand.status(&ours.key, "swift").await, 200);
    let last = provider.log().pop().expect("a call");
    assert_eq!(
        last["credential"], "sk-o…aaaa",
        "its own goes before the platform's"
    );
}

#[tokio::test]
async fn a_new_key_waits_beside_the_old_one_until_the_switch() {
    let stand = Stand::start().await;
    let ours = stand.tenant("ada").await;
    let provider = Provider::start_with(
        "strict",
        &[
            "--require-key",
            "sk-old-0123456789aaaa",
            "--require-key",
            "sk-new-0123456789bbbb",
        ],
    );
    let shop = stand.shop(&ours, &provider, "mine").await;
    let key = json!({"provider_id": shop.provider, "secret": "sk-old-0123456789aaaa"});
    let key = stand.make(&ours, "credentials", key).await;
    let path = format!("credentials/{}", id_of(&key));
    let post = async |verb: &str, body: Value| {
        let path = format!("{path}/{verb}");
        stand.ask(&ours, Method::POST, &path, body).await
    };
    let used = async || {
        let answer = stand.call(&ours.key, "mine").await;
        let log = provider.log();
        let used = log.last().map(|call| call["credential"].clone());
        (answer.status == 200).then_some(used).flatten()
    };
    within(A_SECOND, async || used().await == Some(json!("sk-o…aaaa"))).await;

    assert_eq!(
        post("switch", Value::Null).await.expect(409).code(),
        "nothing_pending"
    );
    let waiting = post("rotate", json!({"secret": "sk-new-0123456789bbbb"}))
        .await
        .expect(200);
    assert!(waiting.json()["pending_since"].is_string());
    let found = post("test", json!({"is_pending": true})).await.expect(200);
    assert_eq!(found.json()["outcome"], "works");
    tokio::time::sleep(A_SECOND).await;
    assert_eq!(used().await, Some(json!("sk-o…aaaa")));

    let switched = post("switch", Value::Null).await.expect(200).json();
    assert_eq!(switched["pending_since"], Value::Null);
    assert!(switched["rotated_at"].is_string());
    within(A_SECOND, async || used().await == Some(json!("sk-n…bbbb"))).await;
    post("rotate", json!({"secret": "sk-not-0123456789cccc"}))
        .await
        .expect(200);
    post("cancel-rotation", Value::Null).await.expect(200);
    assert_eq!(
        post("switch", Value::Null).await.expect(409).code(),
        "nothing_pending"
    );
}

#[tokio::test]
async fn a_key_is_tried_with_a_call_that_costs_nothing_and_what_was_found_is_kept() {
    let stand = Stand::start().await;
    let ours = stand.tenant("ada").await;
    let mut provider = Provider::start_with("strict", &["--require-key", "sk-good-0123456789aaaa"]);
    let made = stand.make(&ours, "providers", provider_of(&provider)).await;
    let key = async |name: &str, secret: &str| {
        let key = json!({"provider_id": made["id"], "name": name, "secret": secret});
        id_of(&stand.make(&ours, "credentials", key).await)
    };
    let (good, bad) = (
        key("good", "sk-good-0123456789aaaa").await,
        key("bad", "sk-bad-0123456789bbbb").await,
    );
    let outcome = async |id: &str| {
        let path = format!("credentials/{id}/test");
        let found = stand.ask(&ours, Method::POST, &path, json!({})).await;
        let found = found.expect(200).json();
        found["outcome"].as_str().expect("a word").to_owned()
    };

    assert_eq!(outcome(&good).await, "works");
    assert_eq!(outcome(&bad).await, "refused");
    assert_eq!(provider.calls(), 0, "nothing was asked of a model");
    let path = format!("credentials/{bad}");
    let shown = stand
        .ask(&ours, Method::GET, &path, Value::Null)
        .await
        .expect(200);
    assert_eq!(shown.json()["last_test"]["outcome"], "refused");
    assert_eq!(shown.json()["last_test"]["status"], 401);
    provider.stop();
    assert_eq!(outcome(&good).await, "unreachable");
}

#[tokio::test]
async fn a_key_that_was_given_is_never_shown() {
    let stand = Stand::start().await;
    let ours = stand.tenant("ada").await;
    let provider = Provider::start("garage");
    let shop = stand.shop(&ours, &provider, "mine").await;
    let secret = "sk-never-shown-0123456789";
    let key = json!({"provider_id": shop.provider, "secret": secret});
    let made = stand
        .ask(&ours, Method::POST, "credentials", key.clone())
        .await;
    let made = made.expect(201);
    let path = format!("credentials/{}", id_of(&made.json()));

    let twice = stand.ask(&ours, Method::POST, "credentials", key).await;
    assert_eq!(twice.expect(409).code(), "name_taken");
    let shown = stand.ask(&ours, Method::GET, &path, Value::Null).await;
    let listed = stand
        .ask(&ours, Method::GET, "credentials", Value::Null)
        .await;
    let exported = stand
        .ask(&ours, Method::GET, "price-book", Value::Null)
        .await;
    for answer in [made, shown, listed, exported] {
        assert!(!answer.text.contains(secret), "{}", answer.text);
    }
    assert!(!stand.admin.log().contains(secret));
    let mut books = stand.admin.database.connect().await;
    let told: i64 = sqlx::query_scalar(
        "select count(*) from audit.audit_logs where details::text like '%' || $1 || '%'",
    )
    .bind(secret)
    .fetch_one(&mut books)
    .await
    .expect("a count");
    assert_eq!(told, 0);
}

#[tokio::test]
async fn a_key_that_cannot_be_sent_is_refused() {
    let stand = Stand::start().await;
    let ours = stand.tenant("ada").await;
    let provider = Provider::start("garage");
    let made = stand.make(&ours, "providers", provider_of(&provider)).await;

    for secret in ["", " ", "sk\nlive", "sk-ü", &"k".repeat(5_000)] {
        let key = json!({"provider_id": made["id"], "secret": secret});
        let refused = stand.ask(&ours, Method::POST, "credentials", key).await;
        assert_eq!(refused.expect(400).json()["errors"][0]["field"], "secret");
    }
}
