//! What an organization sees of its members' sign-ins.

use serde_json::{Value, json};

use super::people::{PASSWORD, client_at, login, newcomer, try_login};
use crate::tenancy::crew::{Crew, column, organization_of};

/// The list, as somebody sees it.
async fn seen(crew: &Crew, query: &str) -> Value {
    let path = format!("/sign-ins{query}");
    crew.get(&crew.owner, &path).await.expect(200).json()
}

#[tokio::test]
async fn an_organization_sees_who_of_its_members_tried_from_where_and_how_it_ended() {
    let crew = Crew::start().await;
    let member = crew.hire("member@example.com", "member").await;
    let outsider = newcomer(&crew.admin, "outsider@example.com").await;
    try_login(&crew.admin, &member.email, "the wrong password")
        .await
        .expect(401);
    try_login(&crew.admin, "nobody@example.com", PASSWORD)
        .await
        .expect(401);
    let url = format!("http://{}/api/v1/auth/login", crew.admin.address);
    let body = json!({"email": member.email, "password": PASSWORD});
    let elsewhere = client_at([127, 0, 0, 77]).post(url).json(&body);
    let entered = elsewhere
        .header("user-agent", "a browser")
        .send()
        .await
        .expect("an answer");
    assert_eq!(entered.status(), 200);

    let of_member = seen(&crew, &format!("?user_id={}&order=asc", member.user_id)).await;
    assert_eq!(
        column(&of_member, "outcome"),
        ["signed_in", "wrong", "signed_in"]
    );
    let last = &of_member["data"][2];
    assert_eq!(last["address"], "127.0.0.77");
    assert_eq!(last["user_agent"], "a browser");
    assert_eq!(last["method"], "password");

    let everything = seen(&crew, "?limit=200").await.to_string();
    assert!(!everything.contains("nobody"), "{everything}");
    assert!(!everything.contains(&outsider.user_id), "{everything}");
    let mut books = crew.admin.database.connect().await;
    let attempts: i64 =
        sqlx::query_scalar("select count(*) from audit.sign_in_attempts where user_id is null")
            .fetch_one(&mut books)
            .await
            .expect("a count");
    assert_eq!(attempts, 1, "it is kept, and not told");
}

#[tokio::test]
async fn what_was_before_somebody_joined_and_after_they_left_is_not_told() {
    let crew = Crew::start().await;
    let guest = newcomer(&crew.admin, "guest@example.com").await;
    let token = crew.invite(&guest.email, "member").await;
    let path = "/api/v1/invitations/accept";
    let accept = crate::tenancy::crew::ask;
    accept(
        &crew.admin,
        &guest,
        reqwest::Method::POST,
        path,
        &json!({"token": token}),
    )
    .await
    .expect(200);
    let filter = format!("?user_id={}", guest.user_id);
    assert_eq!(column(&seen(&crew, &filter).await, "id").len(), 0);

    login(&crew.admin, &guest.email).await;
    assert_eq!(column(&seen(&crew, &filter).await, "id").len(), 1);
    crew.delete(&crew.owner, &format!("/members/{}", guest.user_id))
        .await
        .expect(204);
    login(&crew.admin, &guest.email).await;

    assert_eq!(column(&seen(&crew, &filter).await, "id").len(), 1);
}

#[tokio::test]
async fn a_locked_account_shows_and_pages_lead_through_all_of_it() {
    let crew = Crew::start().await;
    let member = crew.hire("member@example.com", "member").await;
    for _ in 0..8 {
        try_login(&crew.admin, &member.email, "the wrong password").await;
    }

    let locked = seen(
        &crew,
        &format!("?user_id={}&outcome=locked", member.user_id),
    )
    .await;
    assert!(!column(&locked, "id").is_empty(), "{locked}");

    let whole = column(&seen(&crew, "?limit=200").await, "id");
    let (mut paged, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = seen(&crew, &format!("?limit=3{cursor}")).await;
        paged.extend(column(&page, "id"));
        let Some(next) = page["next_cursor"].as_str() else {
            break;
        };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(paged, whole);

    let refused = crew.get(&member, "/sign-ins").await.expect(403);
    assert_eq!(refused.code(), "insufficient_permissions");
    let stranger = newcomer(&crew.admin, "stranger@example.com").await;
    crew.get(&stranger, "/sign-ins").await.expect(404);
    let theirs = organization_of(&crew.admin, &stranger).await;
    let path = format!(
        "/api/v1/organizations/{theirs}/sign-ins?user_id={}",
        member.user_id
    );
    let ask = crate::tenancy::crew::ask;
    let foreign = ask(
        &crew.admin,
        &stranger,
        reqwest::Method::GET,
        &path,
        &Value::Null,
    )
    .await;
    assert_eq!(
        column(&foreign.expect(200).json(), "id"),
        Vec::<String>::new()
    );
}
