//! Other passwords: forgotten, changed, and what may not come back.

use std::time::Instant;

use reqwest::Method;
use serde_json::json;

use super::people::{
    PASSWORD, Visitor, ask, forget_letters, letter, letters, mailed_code, newcomer, tell, try_login,
};
use crate::stack::admin::TestAdmin;

const ANOTHER: &str = "a quiet lake before the storm";

#[tokio::test]
async fn who_forgot_the_password_chooses_another_and_everybody_else_is_out() {
    let admin = TestAdmin::start().await;
    let ada = newcomer(&admin, "ada@example.com").await;
    let body = json!({"email": ada.email});
    admin
        .post("/api/v1/auth/forgot-password", &body)
        .await
        .expect(202);
    let code = mailed_code(&admin, &ada.email, "Choose another password").await;

    let reset = json!({"token": code, "new_password": ANOTHER});
    admin
        .post("/api/v1/auth/reset-password", &reset)
        .await
        .expect(204);

    letter(&admin, &ada.email, "Your password was changed").await;
    ask(&admin, &ada, Method::GET, "/api/v1/me")
        .await
        .expect(401);
    let body = json!({"refresh_token": ada.refresh_token});
    admin.post("/api/v1/auth/refresh", &body).await.expect(401);
    try_login(&admin, &ada.email, PASSWORD).await.expect(401);
    try_login(&admin, &ada.email, ANOTHER).await.expect(200);
    admin
        .post("/api/v1/auth/reset-password", &reset)
        .await
        .expect(422);
}

#[tokio::test]
async fn asking_tells_nobody_whether_an_account_exists() {
    let admin = TestAdmin::start().await;
    newcomer(&admin, "ada@example.com").await;
    forget_letters(&admin);
    let forgot = async |email: &str| {
        let began = Instant::now();
        let body = json!({"email": email});
        let reply = admin
            .post("/api/v1/auth/forgot-password", &body)
            .await
            .expect(202);
        (reply.text, began.elapsed())
    };

    let (known, known_took) = forgot("ada@example.com").await;
    let (unknown, unknown_took) = forgot("bob@example.com").await;

    assert_eq!(known, unknown);
    let apart = known_took.abs_diff(unknown_took).as_millis();
    assert!(apart < 150, "{known_took:?} {unknown_took:?}");
    letter(&admin, "ada@example.com", "Choose another password").await;
    assert!(
        letters(
            admin.folder.path(),
            "bob@example.com",
            "Choose another password"
        )
        .is_empty()
    );
}

#[tokio::test]
async fn a_stranger_who_keeps_asking_takes_nothing_from_the_owner() {
    let rates = [
        ("ADMIN__THROTTLE__RESETS_PER_ADDRESS_HOUR", "1000"),
        ("ADMIN__THROTTLE__RESETS_PER_ACCOUNT_HOUR", "1000"),
    ];
    let admin = TestAdmin::start_with(&rates).await;
    let ada = newcomer(&admin, "ada@example.com").await;
    let body = json!({"email": ada.email});
    admin
        .post("/api/v1/auth/forgot-password", &body)
        .await
        .expect(202);
    let code = mailed_code(&admin, &ada.email, "Choose another password").await;

    for _ in 0..8 {
        admin
            .post("/api/v1/auth/forgot-password", &body)
            .await
            .expect(202);
    }

    let sent = letters(admin.folder.path(), &ada.email, "Choose another password");
    assert!(sent.len() <= 4, "{}", sent.len());
    let reset = json!({"token": code, "new_password": ANOTHER});
    admin
        .post("/api/v1/auth/reset-password", &reset)
        .await
        .expect(204);
}

#[tokio::test]
async fn who_knows_the_password_changes_it_and_goes_on_alone() {
    let admin = TestAdmin::start().await;
    let ada = newcomer(&admin, "ada@example.com").await;
    let other = try_login(&admin, &ada.email, PASSWORD).await.json();
    let other = Visitor::of(&ada.email, &other);
    let change = json!({"current_password": PASSWORD, "new_password": ANOTHER});
    let wrong = json!({"current_password": "the kettle is cold", "new_password": ANOTHER});

    let refused = tell(&admin, &ada, Method::POST, "/api/v1/me/password", &wrong)
        .await
        .expect(422);
    let changed = tell(&admin, &ada, Method::POST, "/api/v1/me/password", &change)
        .await
        .expect(200);

    assert_eq!(refused.code(), "wrong_password");
    let next = Visitor::of(&ada.email, &changed.json());
    assert_eq!(next.session_id, ada.session_id);
    ask(&admin, &next, Method::GET, "/api/v1/me")
        .await
        .expect(200);
    for gone in [&ada, &other] {
        ask(&admin, gone, Method::GET, "/api/v1/me")
            .await
            .expect(401);
        let body = json!({"refresh_token": gone.refresh_token});
        admin.post("/api/v1/auth/refresh", &body).await.expect(401);
    }
}

#[tokio::test]
async fn a_password_that_was_hashed_cheaply_is_hashed_anew_at_the_next_sign_in() {
    let admin = TestAdmin::start().await;
    let ada = newcomer(&admin, "ada@example.com").await;
    let mut books = admin.database.connect().await;
    let cheap = cheap_hash(PASSWORD);
    sqlx::query("update identity.users set password_hash = $1")
        .bind(cheap)
        .execute(&mut books)
        .await
        .expect("set");

    try_login(&admin, &ada.email, PASSWORD).await.expect(200);

    let kept: String = sqlx::query_scalar("select password_hash from identity.users")
        .fetch_one(&mut books)
        .await
        .expect("a hash");
    assert!(
        kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
        "{kept}"
    );
    ask(&admin, &ada, Method::GET, "/api/v1/me")
        .await
        .expect(200);
}

fn cheap_hash(password: &str) -> String {
    use argon2::{Algorithm, Argon2, Params, PasswordHash, PasswordHasher, Version};
    let params = Params::new(8_192, 1, 1, None).expect("params");
    let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hash: PasswordHash = hasher
        .hash_password_with_salt(password.as_bytes(), b"0123456789abcdef")
        .expect("a hash");
    hash.to_string()
}
