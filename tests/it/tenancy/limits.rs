//! Limits and budgets over the API, as a running proxy holds to them.

use std::time::Duration;

use serde_json::{Value, json};

use super::crew::{Crew, column};
use crate::stack::{Setup, TestStack, within};

/// What the sidecar changes is seen by proxies in this time.
const A_SECOND: Duration = Duration::from_secs(1);

fn a_day(amount: u64) -> Value {
    json!({"meter": "requests", "window": "day", "amount": amount})
}

#[tokio::test]
async fn a_limit_at_every_level_is_held_to_within_a_second_and_tells_what_is_left() {
    let stack = TestStack::start().await;
    let crew = Crew::beside(&stack).await;
    let group = crew.make("/groups", json!({"name": "Search"})).await;
    let body = json!({"name": "ci", "user_id": crew.owner.user_id, "group_id": group});
    let made = crew
        .post(&crew.owner, "/keys", body)
        .await
        .expect(201)
        .json();
    let caller = stack
        .key()
        .mint()
        .but(made["api_key"].as_str().expect("a key"));
    let key = made["id"].as_str().expect("an id").to_owned();
    assert_eq!(caller.chat("hello").await.status, 200);
    stack.booked(1).await;
    let subjects = [
        json!({"kind": "organization"}),
        json!({"kind": "group", "group_id": group}),
        json!({"kind": "user", "user_id": crew.owner.user_id}),
        json!({"kind": "key", "key_id": key}),
    ];
    for subject in subjects {
        let body = json!({"subject": subject, "terms": a_day(1)});
        let limit = crew.make("/limits", body).await;

        within(A_SECOND, async || caller.chat("hello").await.status == 429).await;

        let path = format!("/limits/{limit}");
        let view = crew.get(&crew.owner, &path).await.expect(200).json();
        assert_eq!(view["subject"], subject);
        let shadow = json!({"mode": "shadow"});
        crew.patch(&crew.owner, &path, shadow).await.expect(200);
        within(A_SECOND, async || {
            caller.try_chat("hello").await == Some(200)
        })
        .await;
        crew.delete(&crew.owner, &path).await.expect(204);
        crew.get(&crew.owner, &path).await.expect(404);
        within(A_SECOND, async || {
            caller.get("/key").await.json()["limits"][0]["limit"] != 1
        })
        .await;
    }
    let trail = crew.trail().await;
    for action in ["limit.create", "limit.change", "limit.remove"] {
        assert_eq!(
            trail.iter().filter(|written| *written == action).count(),
            4,
            "{action}"
        );
    }
}

#[tokio::test]
async fn a_keys_limit_of_one_model_leaves_its_other_models_alone() {
    let stack = Setup::new().free("gratis").start().await;
    let crew = Crew::beside(&stack).await;
    let made = crew
        .post(&crew.owner, "/keys", json!({"name": "ci"}))
        .await
        .expect(201)
        .json();
    let caller = stack
        .key()
        .mint()
        .but(made["api_key"].as_str().expect("a key"));
    let mut books = stack.books().await;
    let swift: String =
        sqlx::query_scalar("select id::text from platform.models where name = 'swift'")
            .fetch_one(&mut books)
            .await
            .expect("a model");
    let other: String = sqlx::query_scalar(
        "insert into platform.models (id, name) values (gen_random_uuid(), 'slow') returning id::text",
    )
    .fetch_one(&mut books)
    .await
    .expect("a model");
    let limited = async |model: &str| {
        let subject = json!({"kind": "key_model", "key_id": made["id"], "model_id": model});
        crew.make("/limits", json!({"subject": subject, "terms": a_day(0)}))
            .await
    };
    assert_eq!(caller.chat("hello").await.status, 200);

    limited(&other).await;

    // Once the proxy knows of the limit, it still serves the other model.
    within(A_SECOND, async || {
        let told = caller.get("/key").await.json();
        told["limits"]
            .as_array()
            .is_some_and(|limits| limits.iter().any(|one| one["of"] == "key_model"))
    })
    .await;
    assert_eq!(caller.chat("hello").await.status, 200);
    limited(&swift).await;
    within(A_SECOND, async || caller.chat("hello").await.status == 429).await;
}

#[tokio::test]
async fn what_holds_for_a_member_comes_nearest_first_with_what_is_left() {
    let crew = Crew::start().await;
    let groups = crew.get(&crew.owner, "/groups").await.expect(200).json();
    let group = groups["data"][0]["id"].clone();
    let limit = async |subject: Value, terms: Value| {
        crew.make("/limits", json!({"subject": subject, "terms": terms}))
            .await
    };
    let budget = json!({"meter": "nano_usd", "window": "month", "amount": 25_000_000_000_u64, "zone": "Europe/Berlin"});
    let of_user = limit(
        json!({"kind": "user", "user_id": crew.owner.user_id}),
        budget,
    )
    .await;
    let of_group = limit(json!({"kind": "group", "group_id": group}), a_day(7)).await;
    let flight = json!({"meter": "concurrent", "window": "instant", "amount": 4});
    let of_all = limit(json!({"kind": "organization"}), flight).await;

    let path = format!("/limits/effective?user_id={}", crew.owner.user_id);
    let holding = crew.get(&crew.owner, &path).await.expect(200).json();

    let ids = column(&holding, "id");
    assert_eq!(ids[..2], [of_user, of_group.clone()]);
    assert!(ids[2..].contains(&of_all), "{holding}");
    let (money, calls) = (&holding["data"][0], &holding["data"][1]);
    assert_eq!(
        (&money["spent"], &money["remaining"]),
        (&json!(0), &json!(25_000_000_000_u64))
    );
    assert_eq!(
        (&calls["spent"], &calls["remaining"]),
        (&json!(0), &json!(7))
    );
    let flight = holding["data"]
        .as_array()
        .expect("rows")
        .iter()
        .find(|row| row["id"] == of_all);
    assert_eq!(flight.expect("the last")["remaining"], Value::Null);
    let listed = crew
        .get(&crew.owner, "/limits?subject_kind=group")
        .await
        .expect(200)
        .json();
    assert_eq!(column(&listed, "id"), [of_group]);
}

#[tokio::test]
async fn a_limit_that_cannot_be_is_refused_and_one_of_its_kind_is_enough() {
    let crew = Crew::start().await;
    let body = |subject: Value, terms: Value| json!({"subject": subject, "terms": terms});
    let whole = json!({"kind": "organization"});
    crew.make("/limits", body(whole.clone(), a_day(5))).await;
    let nobody = "019aa0f0-0000-7000-8000-00000000ffff";

    let twice = crew
        .post(&crew.owner, "/limits", body(whole.clone(), a_day(6)))
        .await;
    assert_eq!(twice.expect(409).code(), "limit_exists");
    for (subject, terms, status) in [
        (json!({"kind": "group", "group_id": nobody}), a_day(1), 404),
        (json!({"kind": "user", "user_id": nobody}), a_day(1), 404),
        (json!({"kind": "key", "key_id": nobody}), a_day(1), 404),
        (
            json!({"kind": "organization", "organization_id": nobody}),
            a_day(1),
            400,
        ),
        (json!({"kind": "planet"}), a_day(1), 400),
        (
            whole.clone(),
            json!({"meter": "concurrent", "window": "day", "amount": 1}),
            400,
        ),
        (
            whole.clone(),
            json!({"meter": "requests", "window": "hour", "amount": 9_007_199_254_740_993_u64}),
            400,
        ),
        (
            whole,
            json!({"meter": "requests", "window": "hour", "amount": 1, "zone": "Mars/Phobos"}),
            400,
        ),
    ] {
        let refused = crew
            .post(&crew.owner, "/limits", body(subject.clone(), terms))
            .await;
        assert_eq!(refused.status, status, "{subject}: {}", refused.text);
    }
    let member = crew.hire("member@example.com", "member").await;
    crew.get(&member, "/limits").await.expect(200);
    crew.post(
        &member,
        "/limits",
        body(json!({"kind": "organization"}), a_day(9)),
    )
    .await
    .expect(403);
}
