//! The keys that sign: replaced in peace, revoked in haste.

use reqwest::Method;
use serde_json::json;

use super::people::{Visitor, ask, login, newcomer};
use crate::stack::admin::TestAdmin;

/// Somebody who runs the platform.
async fn operator(admin: &TestAdmin, email: &str) -> Visitor {
    newcomer(admin, email).await;
    let mut books = admin.database.connect().await;
    sqlx::query("update identity.users set is_platform_admin = true where email = $1")
        .bind(email)
        .execute(&mut books)
        .await
        .expect("an operator");
    login(admin, email).await
}

#[tokio::test]
async fn the_next_key_is_published_before_it_signs_and_nobody_notices() {
    let rates = [
        ("ADMIN__THROTTLE__SIGN_INS_PER_ADDRESS_MINUTE", "10000"),
        ("ADMIN__THROTTLE__SIGN_INS_PER_ACCOUNT_MINUTE", "10000"),
    ];
    let admin = TestAdmin::start_with(&rates).await;
    let root = operator(&admin, "root@example.com").await;
    let path = "/api/v1/platform/signing-keys";

    let next = ask(&admin, &root, Method::POST, &format!("{path}/rotate"))
        .await
        .expect(201)
        .json();
    let twice = ask(&admin, &root, Method::POST, &format!("{path}/rotate"))
        .await
        .expect(409);

    assert_eq!(
        (&next["state"], twice.code().as_str()),
        (&json!("next"), "signing_key_is_followed")
    );
    let keys = ask(&admin, &root, Method::GET, path)
        .await
        .expect(200)
        .json();
    assert_eq!(keys["data"][0]["state"], "retiring");
    assert_eq!(keys["data"][1]["id"], next["id"]);
    let set = admin.get("/.well-known/jwks.json").await.json();
    assert_eq!(set["keys"].as_array().map(Vec::len), Some(2));
    let again = login(&admin, "root@example.com").await;
    let kid = jsonwebtoken::decode_header(&again.access_token)
        .expect("a token")
        .kid;
    assert_eq!(kid.as_deref(), keys["data"][0]["id"].as_str());

    let mut books = admin.database.connect().await;
    sqlx::query("update platform.signing_keys set signs_from = signs_from - interval '6 minutes'")
        .execute(&mut books)
        .await
        .expect("wound");
    crate::stack::eventually("the next key signs", async || {
        let token = login(&admin, "root@example.com").await.access_token;
        let kid = jsonwebtoken::decode_header(&token).expect("a token").kid;
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        kid.as_deref() == next["id"].as_str()
    })
    .await;
    ask(&admin, &root, Method::GET, "/api/v1/me")
        .await
        .expect(200);
}

#[tokio::test]
async fn a_revoked_key_verifies_nothing_and_another_signs_at_once() {
    let admin = TestAdmin::start().await;
    let root = operator(&admin, "root@example.com").await;
    let path = "/api/v1/platform/signing-keys";
    let keys = ask(&admin, &root, Method::GET, path)
        .await
        .expect(200)
        .json();
    let id = keys["data"][0]["id"].as_str().expect("an id");

    ask(&admin, &root, Method::POST, &format!("{path}/{id}/revoke"))
        .await
        .expect(204);

    ask(&admin, &root, Method::GET, "/api/v1/me")
        .await
        .expect(401);
    let body = json!({"refresh_token": root.refresh_token});
    let next = admin
        .post("/api/v1/auth/refresh", &body)
        .await
        .expect(200)
        .json();
    let root = Visitor::of(&root.email, &next);
    ask(&admin, &root, Method::GET, "/api/v1/me")
        .await
        .expect(200);
    ask(&admin, &root, Method::POST, &format!("{path}/{id}/revoke"))
        .await
        .expect(404);
}

#[tokio::test]
async fn only_who_runs_the_platform_sees_or_touches_them() {
    let admin = TestAdmin::start().await;
    let ada = newcomer(&admin, "ada@example.com").await;
    let path = "/api/v1/platform/signing-keys";

    ask(&admin, &ada, Method::GET, path).await.expect(403);
    ask(&admin, &ada, Method::POST, &format!("{path}/rotate"))
        .await
        .expect(403);
    admin.get(path).await.expect(401);
}
