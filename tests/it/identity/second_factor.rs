//! The second factor: set up, shown, replayed, lost, taken away.

use reqwest::Method;
use serde_json::{Value, json};
use totp_rs::{Builder, Secret};

use super::people::{PASSWORD, Visitor, ask, newcomer, tell, try_login};
use crate::stack::admin::{Reply, TestAdmin};

/// An app with somebody's shared secret.
pub struct App {
    totp: totp_rs::Totp,
    scanned_at: u64,
}

impl App {
    fn scan(secret: &str) -> Self {
        let seed = Secret::try_from_base32(secret).expect("base 32");
        let totp = Builder::new()
            .with_secret(seed)
            .with_digits(6)
            .with_step_duration(30);
        let now = synaxis::base::Clock::System.now().millis() / 1_000;
        Self {
            totp: totp.build().expect("an app"),
            scanned_at: u64::try_from(now).expect("a time"),
        }
    }

    /// The code of when it scanned the secret; it counts for half a minute at least.
    pub fn code(&self) -> String {
        self.totp.generate(self.scanned_at).to_string()
    }

    /// The one after.
    fn next_code(&self) -> String {
        self.totp.generate(self.scanned_at + 30).to_string()
    }
}

pub async fn set_up(admin: &TestAdmin, who: &Visitor) -> (App, Vec<String>) {
    let enrolled = ask(admin, who, Method::POST, "/api/v1/me/mfa/totp")
        .await
        .expect(201)
        .json();
    let app = App::scan(enrolled["secret"].as_str().expect("a secret"));
    let body = json!({"code": app.code()});
    let confirmed = tell(
        admin,
        who,
        Method::POST,
        "/api/v1/me/mfa/totp/confirm",
        &body,
    )
    .await;
    let codes: Vec<String> =
        serde_json::from_value(confirmed.expect(200).json()["recovery_codes"].clone())
            .expect("codes");
    // As if the code of setting up lay long ago: the same one can be shown at sign-in.
    let mut books = admin.database.connect().await;
    sqlx::query("update identity.mfa_factors set last_step = 0")
        .execute(&mut books)
        .await
        .expect("wound");
    (app, codes)
}

pub async fn first_step(admin: &TestAdmin, email: &str) -> String {
    let answer = try_login(admin, email, PASSWORD).await.expect(200).json();
    assert_eq!(answer["status"], "second_factor_needed", "{answer}");
    assert!(answer["access_token"].is_null());
    answer["mfa_token"].as_str().expect("a token").to_owned()
}

pub async fn second_step(admin: &TestAdmin, token: &str, shown: &Value) -> Reply {
    let mut body = shown.clone();
    body["mfa_token"] = json!(token);
    admin.post("/api/v1/auth/mfa", &body).await
}

#[tokio::test]
async fn a_second_factor_is_asked_for_once_it_is_set_up_and_each_code_counts_once() {
    let admin = TestAdmin::start().await;
    let ada = newcomer(&admin, "ada@example.com").await;
    let (app, _) = set_up(&admin, &ada).await;

    let token = first_step(&admin, &ada.email).await;
    second_step(&admin, &token, &json!({"code": "000000"}))
        .await
        .expect(401);
    let code = json!({"code": app.code()});
    let signed_in = second_step(&admin, &token, &code).await.expect(200).json();
    second_step(&admin, &token, &json!({"code": app.next_code()}))
        .await
        .expect(401);
    let again = first_step(&admin, &ada.email).await;
    second_step(&admin, &again, &code).await.expect(401);
    second_step(&admin, &again, &json!({"code": app.next_code()}))
        .await
        .expect(200);

    let ada = Visitor::of(&ada.email, &signed_in);
    let standing = ask(&admin, &ada, Method::GET, "/api/v1/me/mfa")
        .await
        .expect(200)
        .json();
    assert_eq!(
        standing,
        json!({"is_set_up": true, "recovery_codes_left": 10})
    );
    let all = ask(&admin, &ada, Method::GET, "/api/v1/me/sessions")
        .await
        .expect(200)
        .json();
    let data = all["data"].as_array().expect("sessions");
    assert!(
        data.iter()
            .all(|session| session["has_second_factor"] == true),
        "{all}"
    );
}

#[tokio::test]
async fn a_recovery_code_counts_once_and_new_ones_take_the_worth_of_the_old() {
    let admin = TestAdmin::start().await;
    let ada = newcomer(&admin, "ada@example.com").await;
    let (_, codes) = set_up(&admin, &ada).await;
    let token = first_step(&admin, &ada.email).await;

    let typed = codes[0].to_uppercase().replace('-', "");
    second_step(&admin, &token, &json!({"recovery_code": typed}))
        .await
        .expect(200);
    let token = first_step(&admin, &ada.email).await;
    second_step(&admin, &token, &json!({"recovery_code": codes[0]}))
        .await
        .expect(401);
    let body = json!({"recovery_code": codes[1]});
    let renewed = tell(
        &admin,
        &ada,
        Method::POST,
        "/api/v1/me/recovery-codes",
        &body,
    )
    .await
    .expect(200)
    .json();

    second_step(&admin, &token, &json!({"recovery_code": codes[2]}))
        .await
        .expect(401);
    second_step(
        &admin,
        &token,
        &json!({"recovery_code": renewed["recovery_codes"][0]}),
    )
    .await
    .expect(200);
    let mut books = admin.database.connect().await;
    let kept: i64 = sqlx::query_scalar(
        "select count(*) from identity.recovery_codes where length(code_hash) = 32",
    )
    .fetch_one(&mut books)
    .await
    .expect("a count");
    assert_eq!(kept, 10);
}

#[tokio::test]
async fn who_shows_it_takes_it_away_and_who_does_not_show_it_does_not() {
    let admin = TestAdmin::start().await;
    let ada = newcomer(&admin, "ada@example.com").await;
    let (app, _) = set_up(&admin, &ada).await;
    let disable = "/api/v1/me/mfa/totp/disable";

    tell(
        &admin,
        &ada,
        Method::POST,
        disable,
        &json!({"code": "000000"}),
    )
    .await
    .expect(422);
    tell(&admin, &ada, Method::POST, disable, &json!({}))
        .await
        .expect(400);
    let twice = ask(&admin, &ada, Method::POST, "/api/v1/me/mfa/totp")
        .await
        .expect(409);
    tell(
        &admin,
        &ada,
        Method::POST,
        disable,
        &json!({"code": app.code()}),
    )
    .await
    .expect(204);

    assert_eq!(twice.code(), "second_factor_is_set_up");
    let answer = try_login(&admin, &ada.email, PASSWORD)
        .await
        .expect(200)
        .json();
    assert_eq!(answer["status"], "signed_in");
}

#[tokio::test]
async fn of_two_who_show_one_code_at_once_one_gets_in() {
    let admin = TestAdmin::start().await;
    let ada = newcomer(&admin, "ada@example.com").await;
    let (app, _) = set_up(&admin, &ada).await;
    let (one, other) = (
        first_step(&admin, &ada.email).await,
        first_step(&admin, &ada.email).await,
    );
    let code = json!({"code": app.code()});

    let (first, second) = tokio::join!(
        second_step(&admin, &one, &code),
        second_step(&admin, &other, &code)
    );

    let mut statuses = [first.status, second.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 401]);
}

#[tokio::test]
async fn a_hundred_wrong_codes_from_anywhere_stop_the_guesser_until_the_password_is_another() {
    let admin = TestAdmin::start().await;
    let ada = newcomer(&admin, "ada@example.com").await;
    let (app, _) = set_up(&admin, &ada).await;
    let token = first_step(&admin, &ada.email).await;
    second_step(&admin, &token, &json!({"code": "000000"}))
        .await
        .expect(401);
    let mut books = admin.database.connect().await;
    sqlx::query("update identity.sign_in_guards set failures = 100 where source = '*'")
        .execute(&mut books)
        .await
        .expect("counted");

    second_step(&admin, &token, &json!({"code": app.code()}))
        .await
        .expect(429);

    admin
        .post("/api/v1/auth/forgot-password", &json!({"email": ada.email}))
        .await
        .expect(202);
    let code = super::people::mailed_code(&admin, &ada.email, "Choose another password").await;
    let reset = json!({"token": code, "new_password": PASSWORD});
    admin
        .post("/api/v1/auth/reset-password", &reset)
        .await
        .expect(204);
    let token = first_step(&admin, &ada.email).await;
    second_step(&admin, &token, &json!({"code": app.code()}))
        .await
        .expect(200);
}
