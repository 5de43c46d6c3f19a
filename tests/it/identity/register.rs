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
