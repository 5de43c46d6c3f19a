//! Guessing: slowed down from the fifth, stopped at the hundredth, for its source only.

use reqwest::Method;
use serde_json::json;

use super::people::{
    PASSWORD, Visitor, ask, client_at, forget_letters, mailed_code, newcomer, try_login,
};
use crate::stack::admin::TestAdmin;

/// What the throttle of the door would stop first.
const UNTHROTTLED: [(&str, &str); 2] = [
    ("ADMIN__THROTTLE__SIGN_INS_PER_ADDRESS_MINUTE", "100000"),
    ("ADMIN__THROTTLE__SIGN_INS_PER_ACCOUNT_MINUTE", "100000"),
];

#[tokio::test]
async fn a_hundred_wrong_passwords_stop_the_guesser_while_the_owner_goes_on() {
    let admin = TestAdmin::start_with(&UNTHROTTLED).await;
    let ada = newcomer(&admin, "ada@example.com").await;
    forget_letters(&admin);

    let mut statuses = Vec::new();
    for number in 0..100 {
        let guess = format!("the kettle sings at {number}");
        statuses.push(try_login(&admin, &ada.email, &guess).await.status);
    }

    // Five are judged, the rest come before their time: so does the right one.
    assert!(
        statuses[..5].iter().all(|status| *status == 401),
        "{statuses:?}"
    );
    assert!(
        statuses.iter().filter(|status| **status == 401).count() <= 10,
        "{statuses:?}"
    );
    let locked = try_login(&admin, &ada.email, PASSWORD).await.expect(429);
    assert!(!locked.header("retry-after").is_empty());
    owner_goes_on(&admin, &ada).await;
}

/// The owner's session, their sign-in from elsewhere, and a reset.
async fn owner_goes_on(admin: &TestAdmin, ada: &Visitor) {
    ask(admin, ada, Method::GET, "/api/v1/me").await.expect(200);
    let body = json!({"refresh_token": ada.refresh_token});
    admin.post("/api/v1/auth/refresh", &body).await.expect(200);
    let url = format!("http://{}/api/v1/auth/login", admin.address);
    let body = json!({"email": ada.email, "password": PASSWORD});
    let elsewhere = client_at([127, 0, 0, 9]).post(url).json(&body).send().await;
    assert_eq!(elsewhere.expect("an answer").status(), 200);
    let body = json!({"email": ada.email});
    admin
        .post("/api/v1/auth/forgot-password", &body)
        .await
        .expect(202);
    let code = mailed_code(admin, &ada.email, "Choose another password").await;
    let body = json!({"token": code, "new_password": "a quiet lake before the storm"});
    admin
        .post("/api/v1/auth/reset-password", &body)
        .await
        .expect(204);
    try_login(admin, &ada.email, "a quiet lake before the storm")
        .await
        .expect(200);
}

#[tokio::test]
async fn after_a_hundred_judged_guesses_no_waiting_helps_at_that_source() {
    let admin = TestAdmin::start_with(&UNTHROTTLED).await;
    let ada = newcomer(&admin, "ada@example.com").await;
    try_login(&admin, &ada.email, "the kettle sings at noon")
        .await
        .expect(401);
    let mut books = admin.database.connect().await;
    sqlx::query(
        "update identity.sign_in_guards set failures = 99, last_failed_at = now() - interval '1 day'",
    )
    .execute(&mut books)
    .await
    .expect("wound");

    try_login(&admin, &ada.email, "the kettle sings at one")
        .await
        .expect(401);
    sqlx::query("update identity.sign_in_guards set last_failed_at = now() - interval '9 days'")
        .execute(&mut books)
        .await
        .expect("wound");

    try_login(&admin, &ada.email, PASSWORD).await.expect(429);
    let told: i64 = sqlx::query_scalar(
        "select count(*) from audit.audit_logs
         where action = 'sign_in.guessed' and organization_id is not null and details ->> 'wrong_guesses' = '100'",
    )
    .fetch_one(&mut books)
    .await
    .expect("a count");
    assert_eq!(told, 1);
}

#[tokio::test]
async fn guesses_made_at_once_do_not_slip_past_each_other() {
    let admin = TestAdmin::start_with(&UNTHROTTLED).await;
    let ada = newcomer(&admin, "ada@example.com").await;
    let guesses = (0..15).map(|number| {
        let guess = format!("the kettle sings at {number}");
        let (admin, email) = (&admin, ada.email.clone());
        async move { try_login(admin, &email, &guess).await.status }
    });

    let statuses = futures::future::join_all(guesses).await;

    let judged = statuses.iter().filter(|status| **status == 401).count();
    assert!(judged <= 6, "{statuses:?}");
}

#[tokio::test]
async fn a_right_password_forgets_the_wrong_ones_before_it() {
    let admin = TestAdmin::start_with(&UNTHROTTLED).await;
    let ada = newcomer(&admin, "ada@example.com").await;

    for _ in 0..3 {
        for _ in 0..4 {
            try_login(&admin, &ada.email, "the kettle sings at noon")
                .await
                .expect(401);
        }
        try_login(&admin, &ada.email, PASSWORD).await.expect(200);
    }

    let mut books = admin.database.connect().await;
    let outcomes: Vec<(String, i64)> = sqlx::query_as(
        "select outcome, count(*) from audit.sign_in_attempts where user_id = $1::uuid group by 1 order by 1",
    )
    .bind(&ada.user_id)
    .fetch_all(&mut books)
    .await
    .expect("attempts");
    assert_eq!(
        outcomes,
        [("signed_in".to_owned(), 4), ("wrong".to_owned(), 12)]
    );
}
