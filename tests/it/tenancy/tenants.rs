//! Tenants, as the platform's own people run them, and as proxies see it.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::crew::{Crew, ask, column};
use crate::{
    identity::people::newcomer,
    stack::{TestStack, within},
};

/// What the sidecar changes is seen by proxies in this time.
const A_SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn tenants_are_found_by_name_and_state_and_only_by_the_platform() {
    let crew = Crew::start().await;
    let path = "/api/v1/platform/tenants";
    let find = async |query: &str| {
        let path = format!("{path}?{query}");
        ask(&crew.admin, &crew.owner, Method::GET, &path, &Value::Null).await
    };
    find("").await.expect(403);
    crew.crown(&crew.owner).await;
    newcomer(&crew.admin, "other@example.com").await;
    let renamed = json!({"display_name": "Zebra 100%"});
    crew.patch(&crew.owner, "", renamed).await.expect(200);

    let ids = async |query: &str| column(&find(query).await.expect(200).json(), "id");

    assert_eq!(ids("search=zebra").await, [crew.organization.as_str()]);
    assert_eq!(ids("search=100%25").await, [crew.organization.as_str()]);
    assert_eq!(ids("search=1_0").await, Vec::<String>::new());
    assert_eq!(ids("").await.len(), 2);
    assert_eq!(ids("state=deleted").await, Vec::<String>::new());
    crew.delete(&crew.owner, "").await.expect(204);
    assert_eq!(ids("state=deleted").await, [crew.organization.as_str()]);
    let restore = format!("{path}/{}/restore", crew.organization);
    ask(
        &crew.admin,
        &crew.owner,
        Method::POST,
        &restore,
        &Value::Null,
    )
    .await
    .expect(200);
    crew.get(&crew.owner, "").await.expect(200);
}

#[tokio::test]
async fn a_suspended_organizations_keys_are_refused_within_a_second_and_its_people_read_why() {
    let stack = TestStack::start().await;
    let crew = Crew::beside(&stack).await;
    crew.crown(&crew.owner).await;
    let made = crew
        .post(&crew.owner, "/keys", json!({"name": "ci"}))
        .await
        .expect(201)
        .json();
    let key = stack
        .key()
        .mint()
        .but(made["api_key"].as_str().expect("a key"));
    assert_eq!(key.chat("hello").await.status, 200);
    let tenant = format!("/api/v1/platform/tenants/{}", crew.organization);
    let suspend = format!("{tenant}/suspend");
    let reason = json!({"reason": "the bill is open"});

    ask(&crew.admin, &crew.owner, Method::POST, &suspend, &reason)
        .await
        .expect(200);

    within(A_SECOND, async || {
        key.chat("hello").await.code() == "organization_suspended"
    })
    .await;
    assert_eq!(key.chat("hello").await.status, 403);
    let told = crew.get(&crew.owner, "").await.expect(200).json();
    assert_eq!(
        (&told["status"], &told["suspended_reason"]),
        (&json!("suspended"), &json!("the bill is open"))
    );
    let refused = crew
        .post(&crew.owner, "/keys", json!({"name": "more"}))
        .await;
    assert_eq!(refused.expect(403).code(), "organization_suspended");
    let twice = ask(&crew.admin, &crew.owner, Method::POST, &suspend, &reason).await;
    assert_eq!(twice.expect(409).code(), "no_change");

    let restore = format!("{tenant}/restore");
    ask(
        &crew.admin,
        &crew.owner,
        Method::POST,
        &restore,
        &Value::Null,
    )
    .await
    .expect(200);

    within(A_SECOND, async || key.chat("hello").await.status == 200).await;
    let trail = crew.trail().await;
    assert!(
        trail.ends_with(&[
            "organization.suspend".to_owned(),
            "organization.resume".to_owned()
        ]),
        "{trail:?}"
    );
}

#[tokio::test]
async fn a_deleted_organizations_keys_are_unknown_within_a_second_and_work_again_when_it_is_back() {
    let stack = TestStack::start().await;
    let crew = Crew::beside(&stack).await;
    let made = crew
        .post(&crew.owner, "/keys", json!({"name": "ci"}))
        .await
        .expect(201)
        .json();
    let key = stack
        .key()
        .mint()
        .but(made["api_key"].as_str().expect("a key"));
    assert_eq!(key.chat("hello").await.status, 200);

    crew.delete(&crew.owner, "").await.expect(204);
    within(A_SECOND, async || key.chat("hello").await.status == 401).await;

    crew.post(&crew.owner, "/restore", Value::Null)
        .await
        .expect(200);
    within(A_SECOND, async || key.chat("hello").await.status == 200).await;
}
