//! Registering, and proving an address.

use std::time::Instant;

use serde_json::json;

use super::people::{
    PASSWORD, forget_letters, letter, letters, login, mailed_code, register, try_login,
};
use crate::stack::admin::TestAdmin;

#[tokio::test]
async fn a_newcomer_registers_proves_the_address_and_signs_in_as_an_owner() {
    let admin = TestAdmin::start().await;
    let email = "ada@example.com";
    let body =
        json!({"email": email, "password": PASSWORD, "organization_name": "Analytical Engines"});

    admin.post("/api/v1/auth/register", &body).await.expect(202);
    let early = try_login(&admin, email, PASSWORD).await.expect(403);
    let code = mailed_code(&admin, email, "Confirm your e-mail address").await;
    let proof = json!({"token": code});
    admin
        .post("/api/v1/auth/verify-email", &proof)
        .await
        .expect(204);
    let again = admin
        .post("/api/v1/auth/verify-email", &proof)
        .await
        .expect(422);
    let ada = login(&admin, email).await;

    assert_eq!(early.code(), "email_not_verified");
    assert_eq!(again.code(), "invalid_code");
    let mut books = admin.database.connect().await;
    let role: String = sqlx::query_scalar(
        "select m.role from identity.organization_memberships m
         join identity.organizations o on o.id = m.organization_id
         join identity.groups g on g.id = m.primary_group_id and g.is_default
         where m.user_id = $1::uuid and o.slug = 'analytical-engines'",
    )
    .bind(&ada.user_id)
    .fetch_one(&mut books)
    .await
    .expect("a membership");
    assert_eq!(role, "owner");
    let actions: Vec<String> =
        sqlx::query_scalar("select action from audit.audit_logs order by seq")
            .fetch_all(&mut books)
            .await
            .expect("the log");
    for action in [
        "user.register",
        "organization.create",
        "user.verify_email",
        "session.begin",
    ] {
        assert!(actions.iter().any(|known| known == action), "{actions:?}");
    }
}

#[tokio::test]
async fn a_known_address_is_answered_like_an_unknown_one_and_the_letter_tells() {
    let admin = TestAdmin::start().await;
    register(&admin, "ada@example.com").await;
    forget_letters(&admin);
    let ask = async |email: &str| {
        let body = json!({"email": email, "password": PASSWORD, "organization_name": "Acme"});
        let began = Instant::now();
        let reply = admin.post("/api/v1/auth/register", &body).await.expect(202);
        (reply.text, began.elapsed())
    };

    let (known, known_took) = ask("Ada@Example.com").await;
    let (unknown, unknown_took) = ask("bob@example.com").await;

    assert_eq!(known, unknown);
    let apart = known_took.abs_diff(unknown_took).as_millis();
    assert!(apart < 150, "{known_took:?} {unknown_took:?}");
    letter(&admin, "ada@example.com", "You already have an account").await;
    letter(&admin, "bob@example.com", "Confirm your e-mail address").await;
    let folder = admin.folder.path();
    assert!(letters(folder, "ada@example.com", "Confirm your e-mail address").is_empty());
}

#[tokio::test]
async fn the_letter_can_be_asked_for_again_until_the_address_is_proved() {
    let admin = TestAdmin::start().await;
    let email = "ada@example.com";
    let body = json!({"email": email, "password": PASSWORD});
    admin.post("/api/v1/auth/register", &body).await.expect(202);
    let first = mailed_code(&admin, email, "Confirm your e-mail address").await;

    let address = json!({"email": email});
    admin
        .post("/api/v1/auth/resend-verification", &address)
        .await
        .expect(202);
    let second = mailed_code(&admin, email, "Confirm your e-mail address").await;
    let stranger = json!({"email": "nobody@example.com"});
    admin
        .post("/api/v1/auth/resend-verification", &stranger)
        .await
        .expect(202);

    let verify = async |code: &str| {
        let reply = admin
            .post("/api/v1/auth/verify-email", &json!({"token": code}))
            .await;
        reply.status
    };
    assert_eq!(verify(&first).await, 422);
    assert_eq!(verify(&second).await, 204);
    admin
        .post("/api/v1/auth/resend-verification", &address)
        .await
        .expect(202);
    let folder = admin.folder.path();
    assert!(letters(folder, email, "Confirm your e-mail address").is_empty());
}

#[tokio::test]
async fn a_guessable_password_or_a_wrong_address_is_refused_by_field() {
    let admin = TestAdmin::start().await;
    let faults = [
        ("ada@example.com", "hunter2", "password"),
        ("ada@example.com", "passwordpassword", "password"),
        ("ada", PASSWORD, "email"),
    ];
    for (email, password, field) in faults {
        let body = json!({"email": email, "password": password});
        let reply = admin.post("/api/v1/auth/register", &body).await.expect(400);
        assert_eq!(reply.json()["errors"][0]["field"], field, "{}", reply.text);
    }
    let extra =
        json!({"email": "ada@example.com", "password": PASSWORD, "is_platform_admin": true});
    admin
        .post("/api/v1/auth/register", &extra)
        .await
        .expect(400);
}

#[tokio::test]
async fn two_organizations_of_one_name_get_short_names_of_their_own() {
    let admin = TestAdmin::start().await;
    register(&admin, "ada@example.com").await;
    register(&admin, "bob@example.com").await;

    let mut books = admin.database.connect().await;
    let slugs: Vec<String> =
        sqlx::query_scalar("select slug from identity.organizations order by id")
            .fetch_all(&mut books)
            .await
            .expect("two");

    assert_eq!(slugs[0], "acme");
    assert!(slugs[1].starts_with("acme-"), "{slugs:?}");
}

#[tokio::test]
async fn a_closed_installation_registers_nobody() {
    let admin = TestAdmin::start_with(&[("IDENTITY__REGISTRATION", "closed")]).await;
    let body = json!({"email": "ada@example.com", "password": PASSWORD});

    let reply = admin.post("/api/v1/auth/register", &body).await.expect(403);

    assert_eq!(reply.code(), "registration_closed");
}

/// Registers and returns the code that is mailed.
async fn code_of(admin: &TestAdmin, email: &str, password: &str) -> String {
    let body = json!({"email": email, "password": password});
    admin.post("/api/v1/auth/register", &body).await.expect(202);
    mailed_code(admin, email, "Confirm your e-mail address").await
}

const STRANGERS: &str = "a stranger waits at noon";

#[tokio::test]
async fn whoever_registers_first_does_not_keep_an_address_that_is_not_theirs() {
    let admin = TestAdmin::start().await;
    let email = "ada@example.com";
    code_of(&admin, email, STRANGERS).await;
    let code = code_of(&admin, email, PASSWORD).await;
    let verify = async |body: serde_json::Value| {
        let reply = admin.post("/api/v1/auth/verify-email", &body).await;
        (reply.status, reply.text)
    };

    let (status, alone) = verify(json!({"token": code})).await;
    assert_eq!(status, 422);
    assert!(alone.contains("password_needed"), "{alone}");
    let guessed = json!({"token": code, "password": "something else entirely"});
    let (status, guessed) = verify(guessed).await;
    assert_eq!(status, 422);
    assert!(guessed.contains("wrong_password"), "{guessed}");
    let (status, _) = verify(json!({"token": code, "password": PASSWORD})).await;
    assert_eq!(status, 204);

    try_login(&admin, email, STRANGERS).await.expect(401);
    login(&admin, email).await;
    let mut books = admin.database.connect().await;
    let kept: i64 = sqlx::query_scalar("select count(*) from identity.registrations")
        .fetch_one(&mut books)
        .await
        .expect("a count");
    assert_eq!(kept, 0, "no other password is kept");
}

#[tokio::test]
async fn whoever_registers_last_does_not_take_an_address_over_either() {
    let admin = TestAdmin::start().await;
    let email = "ada@example.com";
    code_of(&admin, email, PASSWORD).await;
    // The stranger's letter goes to the owner, who cannot tell it from their own.
    let code = code_of(&admin, email, STRANGERS).await;

    let proof = json!({"token": code, "password": PASSWORD});
    admin
        .post("/api/v1/auth/verify-email", &proof)
        .await
        .expect(204);

    try_login(&admin, email, STRANGERS).await.expect(401);
    login(&admin, email).await;
}

#[tokio::test]
async fn a_stranger_who_registers_over_and_over_shuts_nobody_out_who_reads_the_mail() {
    let rates = [("ADMIN__THROTTLE__REGISTRATIONS_PER_ACCOUNT_HOUR", "1000")];
    let admin = TestAdmin::start_with(&rates).await;
    let email = "ada@example.com";
    code_of(&admin, email, PASSWORD).await;
    for _ in 0..6 {
        code_of(&admin, email, STRANGERS).await;
    }
    let mut books = admin.database.connect().await;
    let kept: i64 = sqlx::query_scalar("select count(*) from identity.registrations")
        .fetch_one(&mut books)
        .await
        .expect("a count");
    assert_eq!(kept, 5, "what is kept is bounded");

    let ask = json!({"email": email});
    admin
        .post("/api/v1/auth/forgot-password", &ask)
        .await
        .expect(202);
    let code = mailed_code(&admin, email, "Choose another password").await;
    let reset = json!({"token": code, "new_password": PASSWORD});
    admin
        .post("/api/v1/auth/reset-password", &reset)
        .await
        .expect(204);

    login(&admin, email).await;
    try_login(&admin, email, STRANGERS).await.expect(401);
}

#[tokio::test]
async fn a_password_that_is_given_with_the_code_must_be_the_one_that_was_chosen() {
    let admin = TestAdmin::start().await;
    let email = "ada@example.com";
    let code = code_of(&admin, email, STRANGERS).await;
    let verify = async |password: &str| {
        let proof = json!({"token": code, "password": password});
        let reply = admin.post("/api/v1/auth/verify-email", &proof).await;
        reply.status
    };

    assert_eq!(verify(PASSWORD).await, 422, "the owner never chose that");
    assert_eq!(
        verify(STRANGERS).await,
        204,
        "a refused proof spends nothing"
    );
}
