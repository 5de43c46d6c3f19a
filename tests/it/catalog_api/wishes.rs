//! What an organization hides, does without, and accepts in the place of something else.

use reqwest::Method;
use serde_json::{Value, json};

use super::stand::{A_SECOND, Stand, Tenant, id_of, provider_of};
use crate::stack::{people::client, provider::Provider, within};

/// A provider of the platform with a free offer of `model`; returns both ids.
async fn shared(stand: &Stand, provider: &Provider, model: &str) -> (String, String) {
    let made = stand.make_shared("providers", provider_of(provider)).await;
    let model = stand.make_shared("models", json!({"name": model})).await;
    let offer = json!({"provider_id": made["id"], "model_id": model["id"], "tier": "free"});
    stand.make_shared("offers", offer).await;
    (id_of(&made), id_of(&model))
}

async fn listed(stand: &Stand, tenant: &Tenant) -> Vec<String> {
    let url = format!("{}/models", stand.proxy.base_url());
    let sent = client().get(url).bearer_auth(&tenant.key).send().await;
    let models: Value = sent.expect("an answer").json().await.expect("JSON");
    let models = models["data"].as_array().expect("a list").iter();
    let mut names: Vec<String> = models
        .filter_map(|model| model["id"].as_str().map(str::to_owned))
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_hidden_model_is_hidden_from_its_organization_alone() {
    let stand = Stand::start().await;
    let (ours, theirs) = (stand.tenant("ada").await, stand.tenant("bob").await);
    let (one, two) = (Provider::start("one"), Provider::start("two"));
    let (_, quick) = shared(&stand, &one, "quick").await;
    let (_, slow) = shared(&stand, &two, "slow").await;
    let put = async |path: &str, is_allowed: bool| {
        let body = json!({"is_allowed": is_allowed});
        stand.ask(&ours, Method::PUT, path, body).await.expect(204)
    };
    within(A_SECOND, async || {
        listed(&stand, &ours).await == ["quick", "slow"]
    })
    .await;

    put(&format!("model-access/{quick}"), false).await;
    within(A_SECOND, async || listed(&stand, &ours).await == ["slow"]).await;
    assert_eq!(stand.status(&ours.key, "quick").await, 404);
    assert_eq!(stand.status(&ours.key, "one/quick").await, 404);
    assert_eq!(stand.status(&theirs.key, "quick").await, 200);
    assert_eq!(listed(&stand, &theirs).await, ["quick", "slow"]);

    put("model-access-default", false).await;
    put(&format!("model-access/{quick}"), true).await;
    within(A_SECOND, async || listed(&stand, &ours).await == ["quick"]).await;
    let said = stand
        .ask(&ours, Method::GET, "model-access", Value::Null)
        .await;
    assert_eq!(
        said.expect(200).json()["data"].as_array().map(Vec::len),
        Some(2)
    );
    put("model-access-default", true).await;
    let path = format!("model-access/{quick}");
    stand
        .ask(&ours, Method::DELETE, &path, Value::Null)
        .await
        .expect(204);
    stand
        .ask(&ours, Method::DELETE, &path, Value::Null)
        .await
        .expect(404);
    within(A_SECOND, async || {
        listed(&stand, &ours).await == ["quick", "slow"]
    })
    .await;
    put(&format!("model-access/{slow}"), true).await;
}

#[tokio::test]
async fn an_organization_does_without_a_provider() {
    let stand = Stand::start().await;
    let (ours, theirs) = (stand.tenant("ada").await, stand.tenant("bob").await);
    let provider = Provider::start("mall");
    let (id, _) = shared(&stand, &provider, "swift").await;
    within(A_SECOND, async || {
        stand.status(&ours.key, "swift").await == 200
    })
    .await;

    let path = format!("provider-access/{id}");
    let without = json!({"is_allowed": false});
    stand
        .ask(&ours, Method::PUT, &path, without)
        .await
        .expect(204);
    within(A_SECOND, async || {
        stand.status(&ours.key, "swift").await == 404
    })
    .await;
    assert_eq!(stand.status(&theirs.key, "swift").await, 200);
    stand
        .ask(&ours, Method::DELETE, &path, Value::Null)
        .await
        .expect(204);
    within(A_SECOND, async || {
        stand.status(&ours.key, "swift").await == 200
    })
    .await;
}

#[tokio::test]
async fn a_substitute_stands_in_for_whoever_accepted_it() {
    let stand = Stand::start().await;
    let (ours, theirs) = (stand.tenant("ada").await, stand.tenant("bob").await);
    let (mut one, two) = (Provider::start("one"), Provider::start("two"));
    let (_, quick) = shared(&stand, &one, "quick").await;
    let (_, slow) = shared(&stand, &two, "slow").await;
    let proposal = json!({"model_id": quick, "substitute_id": slow, "note": "slower"});
    stand.make_shared("substitutes", proposal.clone()).await;
    let proposed = stand
        .ask(&ours, Method::GET, "substitutes", Value::Null)
        .await;
    assert_eq!(proposed.expect(200).json()["data"][0]["owner"], "platform");
    stand.make(&ours, "substitutes", proposal).await;
    within(A_SECOND, async || {
        stand.status(&theirs.key, "quick").await == 200
    })
    .await;
    tokio::time::sleep(A_SECOND).await;

    one.stop();

    let answer = stand.call(&ours.key, "quick").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.header("x-synaxis-model"), "slow");
    assert_ne!(
        stand.status(&theirs.key, "quick").await,
        200,
        "a proposal is not accepted"
    );
    let itself = json!({"model_id": quick, "substitute_id": quick});
    stand
        .ask(&ours, Method::POST, "substitutes", itself)
        .await
        .expect(400);
}
