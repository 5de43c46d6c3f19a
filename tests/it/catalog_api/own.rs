//! What an organization brings is its own: used by it within a second, seen by nobody else.

use reqwest::Method;
use serde_json::{Value, json};

use super::stand::{A_SECOND, Stand, id_of, provider_of};
use crate::stack::{provider::Provider, within};

#[tokio::test]
async fn an_organization_brings_a_provider_and_calls_it_within_a_second() {
    let stand = Stand::start().await;
    let (ours, theirs) = (stand.tenant("ada").await, stand.tenant("bob").await);
    let provider = Provider::start("garage");
    let shop = stand.shop(&ours, &provider, "mine").await;

    within(A_SECOND, async || {
        stand.status(&ours.key, "mine").await == 200
    })
    .await;
    let secret = json!({"provider_id": shop.provider, "secret": "sk-ours-0123456789aaaa"});
    stand.make(&ours, "credentials", secret).await;
    within(A_SECOND, async || {
        let answer = stand.call(&ours.key, "mine").await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.header("x-synaxis-provider"), "garage");
        let log = provider.log();
        log.last()
            .is_some_and(|call| call["credential"] == "sk-o…aaaa")
    })
    .await;

    assert_eq!(stand.status(&theirs.key, "mine").await, 404);
    assert_eq!(stand.status(&theirs.key, "garage/mine").await, 404);
    for what in ["providers", "models", "offers", "credentials"] {
        let listed = stand.ask(&theirs, Method::GET, what, Value::Null).await;
        assert_eq!(listed.expect(200).json()["data"], json!([]), "{what}");
    }
    let actions = stand.audited(&ours).await;
    for action in [
        "provider.create",
        "model.create",
        "offer.create",
        "price.set",
        "credential.create",
    ] {
        assert!(actions.iter().any(|done| done == action), "{actions:?}");
    }
}

#[tokio::test]
async fn anothers_rows_look_like_rows_that_are_not_there() {
    let stand = Stand::start().await;
    let (ours, theirs) = (stand.tenant("ada").await, stand.tenant("bob").await);
    let provider = Provider::start("garage");
    let shop = stand.shop(&ours, &provider, "mine").await;
    let nobody = "01981c6e-0000-7000-8000-000000000000";

    for (what, id) in [
        ("providers", &shop.provider),
        ("models", &shop.model),
        ("offers", &shop.offer),
    ] {
        for (method, body) in [
            (Method::GET, Value::Null),
            (Method::PATCH, json!({})),
            (Method::DELETE, Value::Null),
        ] {
            let ask = async |id: &str| {
                let path = format!("{what}/{id}");
                let answer = stand.ask(&theirs, method.clone(), &path, body.clone());
                answer.await.expect(404)
            };
            let (foreign, unknown) = (ask(id).await, ask(nobody).await);
            assert_eq!(foreign.text, unknown.text, "{method} {what}");
        }
    }
    let offer =
        |provider: &str| json!({"provider_id": provider, "model_id": shop.model, "tier": "free"});
    let foreign = stand.ask(&theirs, Method::POST, "offers", offer(&shop.provider));
    let unknown = stand.ask(&theirs, Method::POST, "offers", offer(nobody));
    assert_eq!(
        foreign.await.expect(400).text,
        unknown.await.expect(400).text
    );
}

#[tokio::test]
async fn an_endpoint_that_is_not_public_is_refused_when_it_is_saved() {
    let stand = Stand::start().await;
    let ours = stand.tenant("ada").await;
    let provider = Provider::start("garage");
    let made = stand.make(&ours, "providers", provider_of(&provider)).await;

    for base_url in [
        "http://10.0.0.1/v1",
        "https://169.254.169.254/latest",
        "https://[fd00::1]/v1",
        "https://192.168.1.5:8443/v1",
        "http://93.184.216.34/v1",
        "https://user:pass@shop.example/v1",
        "ftp://shop.example/v1",
        "no url",
    ] {
        let new = json!({"name": "inside", "dialect": "openai", "base_url": base_url});
        let refused = stand.ask(&ours, Method::POST, "providers", new).await;
        assert_eq!(refused.expect(400).json()["errors"][0]["field"], "base_url");
        let path = format!("providers/{}", id_of(&made));
        let moved = json!({"base_url": base_url});
        let refused = stand.ask(&ours, Method::PATCH, &path, moved).await;
        assert_eq!(refused.status, 400, "{base_url}: {}", refused.text);
    }
}

#[tokio::test]
async fn a_provider_with_keys_stays_at_its_host() {
    let stand = Stand::start().await;
    let ours = stand.tenant("ada").await;
    let (here, there) = (Provider::start("here"), Provider::start("there"));
    let made = stand.make(&ours, "providers", provider_of(&here)).await;
    let path = format!("providers/{}", id_of(&made));
    let key = json!({"provider_id": made["id"], "secret": "sk-ours-0123456789aaaa"});
    let key = stand.make(&ours, "credentials", key).await;
    let moved = json!({"base_url": format!("http://{}/v1", there.address)});

    let refused = stand.ask(&ours, Method::PATCH, &path, moved.clone()).await;
    assert_eq!(refused.expect(409).code(), "keys_bound");
    let longer = json!({"base_url": format!("http://{}/v2/v1", here.address)});
    stand
        .ask(&ours, Method::PATCH, &path, longer)
        .await
        .expect(200);

    let key = format!("credentials/{}", id_of(&key));
    stand
        .ask(&ours, Method::DELETE, &key, Value::Null)
        .await
        .expect(204);
    stand
        .ask(&ours, Method::PATCH, &path, moved)
        .await
        .expect(200);
}

#[tokio::test]
async fn an_organization_that_may_not_have_providers_has_none() {
    let stand = Stand::start().await;
    let ours = stand.tenant("ada").await;
    let provider = Provider::start("garage");
    stand.shop(&ours, &provider, "mine").await;
    within(A_SECOND, async || {
        stand.status(&ours.key, "mine").await == 200
    })
    .await;

    let mut books = stand.admin.database.connect().await;
    sqlx::query(
        "update identity.organization_settings set custom_providers_allowed = false where organization_id = $1::uuid",
    )
    .bind(&ours.id)
    .execute(&mut books)
    .await
    .expect("a setting");

    within(A_SECOND, async || {
        stand.status(&ours.key, "mine").await == 404
    })
    .await;
    let another =
        json!({"name": "other", "dialect": "openai", "base_url": "https://shop.example/v1"});
    let refused = stand.ask(&ours, Method::POST, "providers", another).await;
    assert_eq!(refused.expect(409).code(), "custom_providers_disabled");
    let file = "[[providers]]\nname = \"other\"\ndialect = \"openai\"\nbase_url = \"https://shop.example/v1\"\n";
    let brought = json!({"catalog": file});
    let refused = stand
        .ask(&ours, Method::POST, "price-book/import", brought)
        .await;
    assert_eq!(refused.expect(409).code(), "custom_providers_disabled");
}

#[tokio::test]
async fn a_change_of_what_was_not_seen_is_refused() {
    let stand = Stand::start().await;
    let ours = stand.tenant("ada").await;
    let model = stand.make(&ours, "models", json!({"name": "mine"})).await;
    let path = format!("/api/v1/organizations/{}/models/{}", ours.id, id_of(&model));
    let change = async |seen: &str, window: i64| {
        let request = stand.admin.request(Method::PATCH, &path);
        let request = request
            .token(&ours.owner.access_token)
            .header("if-match", seen);
        request
            .json(&json!({"context_window": window}))
            .send()
            .await
    };
    let shown = stand
        .admin
        .request(Method::GET, &path)
        .token(&ours.owner.access_token);
    let seen = shown.send().await.expect(200).header("etag").to_owned();

    let changed = change(&seen, 1_000).await.expect(200);
    assert_eq!(changed.json()["context_window"], 1_000);
    assert_eq!(
        change(&seen, 2_000).await.expect(412).code(),
        "precondition_failed"
    );
    change(changed.header("etag"), 2_000).await.expect(200);
}

#[tokio::test]
async fn names_are_taken_once_and_extra_fields_are_refused() {
    let stand = Stand::start().await;
    let ours = stand.tenant("ada").await;
    stand.make(&ours, "models", json!({"name": "mine"})).await;

    let twice = stand
        .ask(&ours, Method::POST, "models", json!({"name": "mine"}))
        .await;
    assert_eq!(twice.expect(409).code(), "name_taken");
    for body in [
        json!({"name": "other", "organization_id": ours.id}),
        json!({"name": "two words"}),
        json!({"name": "other", "source": "a\u{0}b"}),
        json!({"name": "other", "context_window": -1}),
    ] {
        let refused = stand.ask(&ours, Method::POST, "models", body.clone()).await;
        assert_eq!(refused.expect(400).code(), "invalid_value", "{body}");
    }
}

#[tokio::test]
async fn an_alias_falls_through_to_the_model_that_is_sold() {
    let stand = Stand::start().await;
    let ours = stand.tenant("ada").await;
    let (mut first, second) = (Provider::start("first"), Provider::start("second"));
    let one = stand.shop(&ours, &first, "one").await;
    let two = stand.shop(&ours, &second, "two").await;
    let alias = json!({"name": "best", "model_ids": [one.model, two.model]});
    let alias = stand.make(&ours, "aliases", alias).await;
    within(A_SECOND, async || {
        stand.status(&ours.key, "best").await == 200
    })
    .await;

    first.stop();
    let answer = stand.call(&ours.key, "best").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.header("x-synaxis-provider"), "second");

    let turned = json!({"model_ids": [two.model]});
    let path = format!("aliases/{}", id_of(&alias));
    let changed = stand.ask(&ours, Method::PATCH, &path, turned).await;
    assert_eq!(changed.expect(200).json()["targets"][0]["model"], "two");
    stand
        .ask(&ours, Method::DELETE, &path, Value::Null)
        .await
        .expect(204);
    within(A_SECOND, async || {
        stand.status(&ours.key, "best").await == 404
    })
    .await;
}
