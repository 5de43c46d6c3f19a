//! What an organization asks of its members' sign-in.

use reqwest::Method;
use serde_json::{Value, json};

use super::people::{PASSWORD, Visitor, ask, newcomer, tell};
use crate::stack::admin::{Reply, TestAdmin};

async fn path_of(admin: &TestAdmin, who: &Visitor) -> String {
    let mut books = admin.database.connect().await;
    let organization: String = sqlx::query_scalar(
        "select organization_id::text from identity.organization_memberships where user_id = $1::uuid",
    )
    .bind(&who.user_id)
    .fetch_one(&mut books)
    .await
    .expect("an organization");
    format!("/api/v1/organizations/{organization}/password-policy")
}

async fn set(admin: &TestAdmin, who: &Visitor, policy: &Value) -> Reply {
    let path = path_of(admin, who).await;
    tell(admin, who, Method::PUT, &path, policy).await
}

async fn change_password(admin: &TestAdmin, who: &Visitor, from: &str, to: &str) -> Reply {
    let body = json!({"current_password": from, "new_password": to});
    tell(admin, who, Method::POST, "/api/v1/me/password", &body).await
}

#[tokio::test]
async fn a_password_must_be_as_long_as_the_organization_asks_and_not_come_back() {
    let admin = TestAdmin::start().await;
    let ada = newcomer(&admin, "ada@example.com").await;
    let policy = json!({"min_length": 30, "history": 2, "second_factor_required": false});
    set(&admin, &ada, &policy).await.expect(200);
    let (first, second) = (
        "a quiet lake before the long storm",
        "nine green bottles upon a white wall",
    );

    let short = change_password(&admin, &ada, PASSWORD, "a quiet lake before")
        .await
        .expect(400);
    let ada = change_password(&admin, &ada, PASSWORD, first)
        .await
        .expect(200)
        .json();
    let ada = Visitor::of("ada@example.com", &ada);
    change_password(&admin, &ada, first, first)
        .await
        .expect(400);
    let ada = change_password(&admin, &ada, first, second)
        .await
        .expect(200)
        .json();
    let ada = Visitor::of("ada@example.com", &ada);
    let used = change_password(&admin, &ada, second, first)
        .await
        .expect(400);

    assert_eq!(
        short.json()["errors"][0]["message"],
        "the password has fewer than 30 characters"
    );
    assert_eq!(
        used.json()["errors"][0]["message"],
        "the password was used before"
    );
}

#[tokio::test]
async fn a_short_password_needs_a_second_factor_and_who_asks_for_one_needs_it_first() {
    let admin = TestAdmin::start().await;
    let ada = newcomer(&admin, "ada@example.com").await;
    let short = json!({"min_length": 8, "history": 0, "second_factor_required": false});
    let strict = json!({"min_length": null, "history": 0, "second_factor_required": true});

    let refused = set(&admin, &ada, &short).await.expect(400);
    let early = set(&admin, &ada, &strict).await.expect(409);

    assert_eq!(refused.json()["errors"][0]["field"], "min_length");
    assert_eq!(early.code(), "second_factor_missing");
    let path = path_of(&admin, &ada).await;
    let shown = ask(&admin, &ada, Method::GET, &path)
        .await
        .expect(200)
        .json();
    assert_eq!(
        (&shown["min_length"], &shown["second_factor_required"]),
        (&Value::Null, &json!(false))
    );
}

#[tokio::test]
async fn an_organization_that_asks_for_a_second_factor_is_closed_without_one() {
    let admin = TestAdmin::start().await;
    let ada = newcomer(&admin, "ada@example.com").await;
    let mut books = admin.database.connect().await;
    sqlx::query("update identity.organization_settings set mfa_required = true")
        .execute(&mut books)
        .await
        .expect("strict");
    let path = path_of(&admin, &ada).await;

    let refused = ask(&admin, &ada, Method::GET, &path).await.expect(403);
    let told = super::people::try_login(&admin, &ada.email, PASSWORD)
        .await
        .expect(200)
        .json();
    sqlx::query("update identity.sessions set has_second_factor = true where id = $1::uuid")
        .bind(&ada.session_id)
        .execute(&mut books)
        .await
        .expect("shown");

    assert_eq!(refused.code(), "second_factor_required");
    assert_eq!(told["second_factor_missing"], true);
    ask(&admin, &ada, Method::GET, &path).await.expect(200);
}
