//! One's own account: renamed, moved, taken along, erased.

use reqwest::Method;
use serde_json::json;

use super::people::{
    PASSWORD, Visitor, ask, letter, letters, login, mailed_code, newcomer, tell, try_login,
};
use crate::stack::admin::TestAdmin;

#[tokio::test]
async fn a_name_is_changed_unless_somebody_changed_it_meanwhile() {
    let admin = TestAdmin::start().await;
    let ada = newcomer(&admin, "ada@example.com").await;
    let shown = ask(&admin, &ada, Method::GET, "/api/v1/me")
        .await
        .expect(200);
    let version = shown.header("etag").to_owned();
    let rename = async |name: &str| {
        let request = admin
            .request(Method::PATCH, "/api/v1/me")
            .token(&ada.access_token);
        let request = request
            .header("if-match", &version)
            .json(&json!({"display_name": name}));
        request.send().await
    };

    let renamed = rename("Ada Lovelace").await.expect(200);
    rename("Somebody Else").await.expect(412);

    assert_eq!(renamed.json()["display_name"], "Ada Lovelace");
    assert_eq!(renamed.json()["email"], "ada@example.com");
    assert!(!renamed.text.contains("password"));
    let wider = json!({"display_name": "A", "is_platform_admin": true});
    tell(&admin, &ada, Method::PATCH, "/api/v1/me", &wider)
        .await
        .expect(400);
}

#[tokio::test]
async fn another_address_counts_when_its_code_came_back() {
    let admin = TestAdmin::start().await;
    let ada = newcomer(&admin, "ada@example.com").await;
    let email = "countess@example.com";
    let body = json!({"email": email, "password": PASSWORD});
    let wrong = json!({"email": email, "password": "the kettle is cold"});

    tell(&admin, &ada, Method::POST, "/api/v1/me/email", &wrong)
        .await
        .expect(422);
    tell(&admin, &ada, Method::POST, "/api/v1/me/email", &body)
        .await
        .expect(202);
    let code = mailed_code(&admin, email, "Confirm your new e-mail address").await;
    let before = ask(&admin, &ada, Method::GET, "/api/v1/me").await.json();
    admin
        .post("/api/v1/auth/verify-email", &json!({"token": code}))
        .await
        .expect(204);

    assert_eq!(before["email"], "ada@example.com");
    letter(&admin, "ada@example.com", "Your e-mail address was changed").await;
    try_login(&admin, "ada@example.com", PASSWORD)
        .await
        .expect(401);
    assert_eq!(login(&admin, email).await.user_id, ada.user_id);
}

#[tokio::test]
async fn an_address_somebody_has_is_answered_alike_and_not_given_away() {
    let admin = TestAdmin::start().await;
    let ada = newcomer(&admin, "ada@example.com").await;
    newcomer(&admin, "bob@example.com").await;

    let body = json!({"email": "bob@example.com", "password": PASSWORD});
    let taken = tell(&admin, &ada, Method::POST, "/api/v1/me/email", &body)
        .await
        .expect(202);
    let body = json!({"email": "cyd@example.com", "password": PASSWORD});
    let free = tell(&admin, &ada, Method::POST, "/api/v1/me/email", &body)
        .await
        .expect(202);

    assert_eq!(taken.text, free.text);
    letter(&admin, "bob@example.com", "You already have an account").await;
    let subject = "Confirm your new e-mail address";
    assert!(letters(admin.folder.path(), "bob@example.com", subject).is_empty());
}

#[tokio::test]
async fn all_that_is_held_about_a_person_can_be_taken_along() {
    let admin = TestAdmin::start().await;
    let ada = newcomer(&admin, "ada@example.com").await;
    use_something(&admin, &ada, 2).await;

    let export = ask(&admin, &ada, Method::GET, "/api/v1/me/export")
        .await
        .expect(200);

    assert!(
        export
            .header("content-disposition")
            .starts_with("attachment")
    );
    let held = export.json();
    assert_eq!(held["person"]["email"], "ada@example.com");
    assert_eq!(held["organizations"][0]["role"], "owner");
    assert_eq!(held["sessions"][0]["id"], ada.session_id.as_str());
    let outcomes = held["sign_in_attempts"].as_array().expect("attempts");
    assert_eq!(outcomes[0]["outcome"], "signed_in");
    assert!(
        held["actions"]
            .as_array()
            .is_some_and(|actions| !actions.is_empty())
    );
    assert!(!export.text.contains("argon2"), "{}", export.text);
    let used = &held["usage"];
    assert_eq!(used["unit"], "totals by day (UTC) and key");
    assert_eq!(used["is_whole"], true);
    let days = used["days"].as_array().expect("days");
    assert_eq!(days.len(), 2, "{used}");
    assert_eq!(days[0]["requests"], 3, "both models of a day are one line");
    assert_eq!(days[0]["cost_nano_usd"], 14);
    let whole = json!({"actions": true, "sign_in_attempts": true});
    assert_eq!(held["is_whole"], whole);
}

#[tokio::test]
async fn an_export_that_must_leave_something_out_says_so() {
    let admin = TestAdmin::start().await;
    let ada = newcomer(&admin, "ada@example.com").await;
    use_something(&admin, &ada, 410).await;
    let mut books = admin.database.connect().await;
    sqlx::query(
        "insert into audit.sign_in_attempts (id, at, account_hash, user_id, method, outcome, address)
         select gen_random_uuid(), now(), sha256('a'), $1::uuid, 'password', 'wrong', '203.0.113.9'
         from generate_series(1, 10000)",
    )
    .bind(&ada.user_id)
    .execute(&mut books)
    .await
    .expect("attempts");

    let export = ask(&admin, &ada, Method::GET, "/api/v1/me/export").await;

    let held = export.expect(200).json();
    assert_eq!(held["usage"]["is_whole"], false);
    let days = held["usage"]["days"].as_array().expect("days");
    assert_eq!(days.len(), 401, "today and the 400 days before");
    assert_eq!(held["is_whole"]["sign_in_attempts"], false);
    let attempts = held["sign_in_attempts"].as_array().expect("attempts");
    assert_eq!(attempts.len(), 10_000);
}

#[tokio::test]
async fn one_finds_ones_own_organizations_among_ones_own_things() {
    let admin = TestAdmin::start().await;
    let ada = newcomer(&admin, "ada@example.com").await;

    let mine = ask(&admin, &ada, Method::GET, "/api/v1/me/organizations").await;
    let all = ask(&admin, &ada, Method::GET, "/api/v1/organizations").await;

    assert_eq!(mine.expect(200).text, all.expect(200).text);
}

/// Books something a person used on each of the last days, by one key to two models.
async fn use_something(admin: &TestAdmin, who: &Visitor, days: i32) {
    let mut books = admin.database.connect().await;
    sqlx::query(
        "insert into operations.usage_daily (organization_id, day, api_key_id, user_id, model_id, requests,
             failed_requests, estimated_requests, streamed_requests, input_tokens, cached_tokens, cache_write_tokens,
             output_tokens, reasoning_tokens, cost_nano_usd, saved_nano_usd, duration_ms, first_byte_ms, first_bytes)
         select m.organization_id, date_trunc('day', now(), 'UTC') - d * interval '1 day', $1::uuid, $1::uuid,
             lpad(model::text, 32, '0')::uuid, model, 0, 0, 0, 5, 0, 0, 5, 0, 7, 0, 3, 0, 0
         from identity.organization_memberships m, generate_series(0, $2 - 1) d, generate_series(1, 2) model
         where m.user_id = $1::uuid",
    )
    .bind(&who.user_id)
    .bind(days)
    .execute(&mut books)
    .await
    .expect("usage");
}

#[tokio::test]
async fn who_leaves_is_erased_but_not_while_they_alone_own_an_organization() {
    let admin = TestAdmin::start().await;
    let ada = newcomer(&admin, "ada@example.com").await;
    let bob = newcomer(&admin, "bob@example.com").await;
    let own = json!({"password": PASSWORD});

    let refused = tell(&admin, &ada, Method::DELETE, "/api/v1/me", &own)
        .await
        .expect(409);
    make_owner(&admin, &ada, &bob).await;
    tell(
        &admin,
        &ada,
        Method::DELETE,
        "/api/v1/me",
        &json!({"password": "wrong"}),
    )
    .await
    .expect(422);
    tell(&admin, &ada, Method::DELETE, "/api/v1/me", &own)
        .await
        .expect(204);

    assert_eq!(refused.code(), "sole_owner");
    ask(&admin, &ada, Method::GET, "/api/v1/me")
        .await
        .expect(401);
    try_login(&admin, "ada@example.com", PASSWORD)
        .await
        .expect(401);
    let mut books = admin.database.connect().await;
    let left: String = sqlx::query_scalar(
        "select concat_ws(' ', to_jsonb(u), (select jsonb_agg(s) from identity.sessions s where s.user_id = u.id),
                (select jsonb_agg(a) from audit.sign_in_attempts a where a.user_id = u.id),
                (select jsonb_agg(l.details) from audit.audit_logs l where l.actor_id = u.id))
         from identity.users u where u.id = $1::uuid",
    )
    .bind(&ada.user_id)
    .fetch_one(&mut books)
    .await
    .expect("a row");
    for trace in ["ada@", "Ada", "127.0.0.1", "argon2"] {
        assert!(!left.contains(trace), "{trace}: {left}");
    }
    newcomer(&admin, "ada@example.com").await;
}

/// Makes somebody an owner of another's organization, past the API.
async fn make_owner(admin: &TestAdmin, of: &Visitor, new: &Visitor) {
    let mut books = admin.database.connect().await;
    sqlx::query(
        "insert into identity.organization_memberships (id, organization_id, user_id, role)
         select gen_random_uuid(), m.organization_id, $2::uuid, 'owner'
         from identity.organization_memberships m where m.user_id = $1::uuid",
    )
    .bind(&of.user_id)
    .bind(&new.user_id)
    .execute(&mut books)
    .await
    .expect("an owner");
}
