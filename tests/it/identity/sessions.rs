//! Sessions: carried on, ended, and given away by a thief.

use reqwest::Method;
use serde_json::json;

use super::people::{Visitor, ask, newcomer};
use crate::stack::admin::{Reply, TestAdmin};

async fn refresh(admin: &TestAdmin, token: &str, agent: &str) -> Reply {
    let request = admin.request(Method::POST, "/api/v1/auth/refresh");
    let request = request.header("user-agent", agent);
    request.json(&json!({"refresh_token": token})).send().await
}

#[tokio::test]
async fn a_session_is_carried_on_and_ends_when_its_person_signs_out() {
    let admin = TestAdmin::start().await;
    let ada = newcomer(&admin, "ada@example.com").await;

    let next = refresh(&admin, &ada.refresh_token, "curl")
        .await
        .expect(200)
        .json();
    let next = Visitor::of(&ada.email, &next);
    assert_eq!(next.session_id, ada.session_id);
    ask(&admin, &next, Method::POST, "/api/v1/auth/logout")
        .await
        .expect(204);

    ask(&admin, &next, Method::POST, "/api/v1/auth/logout")
        .await
        .expect(401);
    ask(&admin, &ada, Method::POST, "/api/v1/auth/logout")
        .await
        .expect(401);
    refresh(&admin, &next.refresh_token, "curl")
        .await
        .expect(401);
}

#[tokio::test]
async fn a_replayed_refresh_token_ends_the_family_and_is_audited() {
    let admin = TestAdmin::start().await;
    let ada = newcomer(&admin, "ada@example.com").await;
    let next = refresh(&admin, &ada.refresh_token, "curl")
        .await
        .expect(200)
        .json();
    let next = Visitor::of(&ada.email, &next);

    refresh(&admin, &ada.refresh_token, "thief")
        .await
        .expect(401);

    refresh(&admin, &next.refresh_token, "curl")
        .await
        .expect(401);
    ask(&admin, &next, Method::POST, "/api/v1/auth/logout")
        .await
        .expect(401);
    let mut books = admin.database.connect().await;
    let (target, reason): (String, String) = sqlx::query_as(
        "select l.target_id::text, s.end_reason from audit.audit_logs l
         join identity.sessions s on s.id = l.target_id
         where l.action = 'session.token_reused' and l.organization_id is not null",
    )
    .fetch_one(&mut books)
    .await
    .expect("an entry");
    assert_eq!((target, reason.as_str()), (ada.session_id, "token_reused"));
}

#[tokio::test]
async fn the_same_client_may_repeat_a_lost_answer_for_ten_seconds() {
    let admin = TestAdmin::start().await;
    let ada = newcomer(&admin, "ada@example.com").await;

    refresh(&admin, &ada.refresh_token, "curl")
        .await
        .expect(200);
    let again = refresh(&admin, &ada.refresh_token, "curl")
        .await
        .expect(200)
        .json();
    let mut books = admin.database.connect().await;
    sqlx::query("update identity.refresh_tokens set used_at = used_at - interval '11 seconds'")
        .execute(&mut books)
        .await
        .expect("the clock is wound");

    refresh(&admin, &ada.refresh_token, "curl")
        .await
        .expect(401);
    let token = again["refresh_token"].as_str().expect("a token");
    refresh(&admin, token, "curl").await.expect(401);
}

#[tokio::test]
async fn of_two_who_spend_one_token_at_once_neither_gets_past_the_other() {
    let admin = TestAdmin::start().await;
    let ada = newcomer(&admin, "ada@example.com").await;

    let (one, other) = tokio::join!(
        refresh(&admin, &ada.refresh_token, "curl"),
        refresh(&admin, &ada.refresh_token, "thief"),
    );

    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 401]);
    let winner = if one.status == 200 { one } else { other };
    let token = winner.json()["refresh_token"]
        .as_str()
        .expect("a token")
        .to_owned();
    refresh(&admin, &token, "curl").await.expect(401);
}

#[tokio::test]
async fn the_console_carries_the_refresh_token_in_a_cookie_scripts_cannot_read() {
    let admin = TestAdmin::start().await;
    let ada = newcomer(&admin, "ada@example.com").await;
    let request = admin.request(Method::POST, "/api/v1/auth/refresh");
    let body = json!({"refresh_token": ada.refresh_token, "cookie": true});

    let reply = request.json(&body).send().await.expect(200);

    assert!(reply.json()["refresh_token"].is_null());
    let cookie = reply.header("set-cookie").to_owned();
    assert!(cookie.starts_with("__Host-synaxis_refresh="), "{cookie}");
    for manner in ["Path=/", "Secure", "HttpOnly", "SameSite=Strict"] {
        assert!(cookie.contains(manner), "{cookie}");
    }
    let sent = cookie.split(';').next().expect("a pair");
    let next = admin.request(Method::POST, "/api/v1/auth/refresh");
    next.header("sec-fetch-site", "same-origin")
        .header("cookie", sent)
        .json(&json!({}))
        .send()
        .await
        .expect(200);
}
