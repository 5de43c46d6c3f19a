//! Keys over the API, as a running proxy sees them.

use std::time::Duration;

use serde_json::{Value, json};

use super::crew::{Crew, column};
use crate::stack::{TestStack, eventually, people::Key, within};

/// What the sidecar changes is seen by proxies in this time.
const A_SECOND: Duration = Duration::from_secs(1);

/// A key made over the API, at the stack's proxy.
async fn key(stack: &TestStack, crew: &Crew, body: Value) -> (Key, String) {
    let made = crew
        .post(&crew.owner, "/keys", body)
        .await
        .expect(201)
        .json();
    taken(stack, &made)
}

fn taken(stack: &TestStack, made: &Value) -> (Key, String) {
    let text = made["api_key"].as_str().expect("a key");
    let id = made["id"].as_str().expect("an id");
    (stack.key().mint().but(text), format!("/keys/{id}"))
}

#[tokio::test]
async fn a_key_is_shown_once_and_its_life_is_seen_by_a_proxy_within_a_second() {
    let stack = TestStack::start().await;
    let crew = Crew::beside(&stack).await;
    let (caller, path) = key(&stack, &crew, json!({"name": "ci"})).await;
    assert_eq!(caller.chat("hello").await.status, 200);
    let shown = crew.get(&crew.owner, &path).await.expect(200);
    assert!(!shown.text.contains(&caller.text), "shown again");
    let change = async |body: Value| crew.patch(&crew.owner, &path, body).await.expect(200);
    let code = async |wanted: &str| {
        within(A_SECOND, async || {
            let answer = caller.chat("hello").await;
            answer.status != 200 && answer.code() == wanted
        })
        .await
    };
    let works = async || within(A_SECOND, async || caller.chat("hello").await.status == 200).await;

    change(json!({"allowed_models": ["another"]})).await;
    code("model_access_denied").await;
    change(json!({"allowed_models": null, "allowed_cidrs": ["10.0.0.0/8"]})).await;
    code("address_not_allowed").await;
    change(json!({"allowed_cidrs": ["127.0.0.0/8"], "scopes": ["embeddings"]})).await;
    code("scope_denied").await;
    change(json!({"scopes": ["embeddings", "chat_completions"]})).await;
    works().await;
    let revoked = crew
        .post(
            &crew.owner,
            &format!("{path}/revoke"),
            json!({"reason": "leaked"}),
        )
        .await;
    assert_eq!(revoked.expect(200).json()["revoked_reason"], "leaked");
    code("revoked_api_key").await;

    let refused = crew
        .patch(&crew.owner, &path, json!({"name": "again"}))
        .await;
    assert_eq!(refused.expect(409).code(), "key_not_active");
    let trail = crew.trail().await;
    assert_eq!(
        trail
            .iter()
            .filter(|action| *action == "api_key.change")
            .count(),
        4
    );
    assert_eq!(trail.last().map(String::as_str), Some("api_key.revoke"));
}

#[tokio::test]
async fn a_rotated_key_goes_on_where_the_old_one_stood_and_both_share_one_limit() {
    let stack = TestStack::start().await;
    let crew = Crew::beside(&stack).await;
    let terms = json!({"meter": "requests", "window": "day", "amount": 3});
    let (old, path) = key(&stack, &crew, json!({"name": "ci", "limits": [terms]})).await;
    assert_eq!(old.chat("hello").await.status, 200);

    let rotated = crew
        .post(
            &crew.owner,
            &format!("{path}/rotate"),
            json!({"grace_s": 600}),
        )
        .await;
    let (new, new_path) = taken(&stack, &rotated.expect(201).json());

    assert_eq!(new.chat("hello").await.status, 200);
    assert_eq!(old.chat("hello").await.status, 200, "in its grace");
    assert_eq!(new.chat("hello").await.status, 429, "three calls by both");
    assert_eq!(old.chat("hello").await.status, 429);
    stack.booked(3).await;
    let holding = crew
        .get(&crew.owner, &format!("{new_path}/limits"))
        .await
        .expect(200)
        .json();
    let own = &holding["data"][0];
    assert_eq!(
        (&own["spent"], &own["remaining"]),
        (&json!(3), &json!(0)),
        "{holding}"
    );
    assert!(own["resets_at"].is_string());
    // A limit made for the new key holds for the old one too.
    let wider = json!({"amount": 5});
    let id = own["id"].as_str().expect("an id");
    crew.patch(&crew.owner, &format!("/limits/{id}"), wider)
        .await
        .expect(200);
    within(A_SECOND, async || old.chat("hello").await.status == 200).await;
    assert_eq!(new.chat("hello").await.status, 200);
    assert_eq!(new.chat("hello").await.status, 429);
}

#[tokio::test]
async fn a_key_says_when_it_was_last_used_without_becoming_another_version() {
    let stack = TestStack::start().await;
    let crew = Crew::beside(&stack).await;
    let (caller, path) = key(&stack, &crew, json!({"name": "ci"})).await;
    let before = crew.get(&crew.owner, &path).await.expect(200);
    assert_eq!(before.json()["last_used_at"], Value::Null);

    assert_eq!(caller.chat("hello").await.status, 200);

    eventually("the use is written", async || {
        crew.get(&crew.owner, &path).await.json()["last_used_at"].is_string()
    })
    .await;
    let after = crew.get(&crew.owner, &path).await.expect(200);
    assert_eq!(after.header("etag"), before.header("etag"));
    let usage = crew
        .get(&crew.owner, &format!("{path}/usage"))
        .await
        .expect(200)
        .json();
    assert_eq!(usage["totals"]["requests"], 1, "{usage}");
}

#[tokio::test]
async fn a_member_reaches_their_own_keys_and_no_others() {
    let crew = Crew::start().await;
    let member = crew.hire("member@example.com", "member").await;
    let guest = crew.hire("guest@example.com", "guest").await;
    let theirs = format!(
        "/keys/{}",
        crew.make("/keys", json!({"name": "theirs"})).await
    );
    let group = crew.make("/groups", json!({"name": "Foreign"})).await;

    let made = crew
        .post(&member, "/keys", json!({"name": "mine"}))
        .await
        .expect(201)
        .json();

    assert_eq!(made["user_id"], json!(member.user_id));
    let listed = crew.get(&member, "/keys").await.expect(200).json();
    assert_eq!(column(&listed, "name"), ["mine"]);
    crew.get(&member, &theirs).await.expect(404);
    crew.get(&member, &format!("{theirs}/limits"))
        .await
        .expect(404);
    crew.get(&member, &format!("{theirs}/usage"))
        .await
        .expect(404);
    crew.post(&member, &format!("{theirs}/revoke"), json!({}))
        .await
        .expect(404);
    crew.post(&member, &format!("{theirs}/rotate"), json!({}))
        .await
        .expect(404);
    let filter = format!("/keys?user_id={}", crew.owner.user_id);
    crew.get(&member, &filter).await.expect(404);
    let for_another = json!({"name": "x", "user_id": crew.owner.user_id});
    crew.post(&member, "/keys", for_another).await.expect(403);
    crew.post(&member, "/keys", json!({"name": "x", "group_id": group}))
        .await
        .expect(403);
    crew.get(&guest, "/keys").await.expect(403);
    let listed = crew
        .get(&crew.owner, "/keys?order=asc")
        .await
        .expect(200)
        .json();
    assert_eq!(column(&listed, "name"), ["theirs", "mine"]);
}

#[tokio::test]
async fn a_key_somebody_else_narrowed_is_not_widened_by_its_user_nor_by_rotating_it() {
    let crew = Crew::start().await;
    let member = crew.hire("member@example.com", "member").await;
    let narrow = json!({"name": "narrow", "user_id": member.user_id, "allowed_models": ["small"]});
    let path = format!("/keys/{}", crew.make("/keys", narrow).await);
    let widen = json!({"allowed_models": null});

    crew.patch(&member, &path, widen.clone()).await.expect(403);
    let rotated = crew
        .post(&member, &format!("{path}/rotate"), json!({}))
        .await
        .expect(201)
        .json();

    assert_eq!(rotated["allowed_models"], json!(["small"]));
    let path = format!("/keys/{}", rotated["id"].as_str().expect("an id"));
    crew.patch(&member, &path, widen.clone()).await.expect(403);
    crew.post(&member, &format!("{path}/revoke"), json!({}))
        .await
        .expect(200);
    let own = crew
        .post(
            &member,
            "/keys",
            json!({"name": "own", "allowed_models": ["small"]}),
        )
        .await;
    let own = format!(
        "/keys/{}",
        own.expect(201).json()["id"].as_str().expect("an id")
    );
    crew.patch(&member, &own, widen).await.expect(200);
}

#[tokio::test]
async fn a_key_that_cannot_be_is_refused_field_by_field() {
    let crew = Crew::start().await;
    for (body, field) in [
        (json!({"name": ""}), "name"),
        (json!({"name": "x", "allowed_models": []}), "allowed_models"),
        (
            json!({"name": "x", "allowed_cidrs": ["10.0.0.0/8", "everywhere"]}),
            "allowed_cidrs[1]",
        ),
        (json!({"name": "x", "scopes": ["everything"]}), "scopes[0]"),
        (
            json!({"name": "x", "expires_at": "2020-01-01T00:00:00Z"}),
            "expires_at",
        ),
        (
            json!({"name": "x", "organization_id": crew.organization}),
            "organization_id",
        ),
        (
            json!({"name": "x", "limits": [{"meter": "requests", "window": "instant", "amount": 1}]}),
            "window",
        ),
    ] {
        let refused = crew
            .post(&crew.owner, "/keys", body.clone())
            .await
            .expect(400)
            .json();
        assert_eq!(refused["code"], "invalid_value", "{body}");
        assert_eq!(refused["errors"][0]["field"], field, "{refused}");
    }
    let nobody = json!({"name": "x", "user_id": "019aa0f0-0000-7000-8000-00000000ffff"});
    crew.post(&crew.owner, "/keys", nobody).await.expect(404);
    let listed = crew.get(&crew.owner, "/keys").await.expect(200).json();
    assert_eq!(listed["data"], json!([]), "nothing was made");
}
