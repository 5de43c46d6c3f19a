//! Sign-in by an organization's own provider.

use reqwest::Method;
use serde_json::{Value, json};

use super::{
    issuer::{CLIENT, Issuer},
    people::{Visitor, ask, newcomer, tell},
};
use crate::stack::admin::{Reply, TestAdmin};

/// An organization with a provider, and the browser of somebody who signs in there.
struct Company {
    admin: TestAdmin,
    issuer: Issuer,
    owner: Visitor,
    organization: String,
}

impl Company {
    async fn found(admits_as: Value) -> Self {
        let rates = [("ADMIN__THROTTLE__SIGN_INS_PER_ADDRESS_MINUTE", "1000")];
        let admin = TestAdmin::start_with(&rates).await;
        let issuer = Issuer::start().await;
        let owner = newcomer(&admin, "owner@example.com").await;
        let organization = organization_of(&admin, &owner).await;
        let company = Self {
            admin,
            issuer,
            owner,
            organization,
        };
        company
            .provide(&company.issuer.url, &admits_as)
            .await
            .expect(201);
        company
    }

    async fn provide(&self, issuer: &str, admits_as: &Value) -> Reply {
        let body = json!({"name": format!("At {issuer}"), "issuer": issuer, "client_id": CLIENT.0,
            "client_secret": CLIENT.1, "email_domains": ["example.com"], "admits_as": admits_as});
        let path = format!(
            "/api/v1/organizations/{}/identity-providers",
            self.organization
        );
        tell(&self.admin, &self.owner, Method::POST, &path, &body).await
    }

    /// Goes to the provider and comes back as a browser would; returns the last answer.
    async fn sign_in(&self) -> Reply {
        let (cookie, back) = self.leave("/api/v1/auth/oidc/acme/start").await;
        self.come_back(&cookie, &back).await
    }

    async fn leave(&self, path: &str) -> (String, String) {
        let start = self.admin.get(path).await.expect(303);
        let cookie = start
            .header("set-cookie")
            .split(';')
            .next()
            .expect("a pair")
            .to_owned();
        let browser = crate::stack::people::client();
        let answer = browser
            .get(start.header("location"))
            .send()
            .await
            .expect("an answer");
        let back = answer.headers()["location"]
            .to_str()
            .expect("text")
            .to_owned();
        let (_, query) = back.split_once('?').expect("a query");
        (cookie, format!("/api/v1/auth/oidc/acme/callback?{query}"))
    }

    async fn come_back(&self, cookie: &str, path: &str) -> Reply {
        let request = self.admin.request(Method::GET, path);
        request.header("cookie", cookie).send().await
    }
}

async fn organization_of(admin: &TestAdmin, who: &Visitor) -> String {
    let mut books = admin.database.connect().await;
    sqlx::query_scalar(
        "select organization_id::text from identity.organization_memberships where user_id = $1::uuid",
    )
    .bind(&who.user_id)
    .fetch_one(&mut books)
    .await
    .expect("an organization")
}

#[tokio::test]
async fn a_stranger_the_provider_vouches_for_becomes_a_member_and_comes_back_as_the_same() {
    let company = Company::found(json!("member")).await;
    company.issuer.vouch("subject-1", "ada@example.com");

    let first = company.sign_in().await.expect(200).json();
    company
        .issuer
        .vouch("subject-1", "ada.lovelace@example.com");
    let second = company.sign_in().await.expect(200).json();

    assert_eq!(first["user_id"], second["user_id"]);
    let mut books = company.admin.database.connect().await;
    let (role, method): (String, String) = sqlx::query_as(
        "select m.role, s.method from identity.organization_memberships m
         join identity.sessions s on s.user_id = m.user_id
         where m.user_id = $1::uuid and m.organization_id = $2::uuid limit 1",
    )
    .bind(first["user_id"].as_str())
    .bind(&company.organization)
    .fetch_one(&mut books)
    .await
    .expect("a member");
    assert_eq!((role.as_str(), method.as_str()), ("member", "oidc"));
}

#[tokio::test]
async fn a_session_a_provider_opened_reaches_its_organization_and_nothing_else() {
    let company = Company::found(json!("member")).await;
    let (admin, issuer) = (&company.admin, &company.issuer);
    let bob = newcomer(admin, "bob@example.com").await;
    let bobs = organization_of(admin, &bob).await;
    issuer.vouch("subject-bob", "bob@example.com");

    let thief = Visitor::of(&bob.email, &company.sign_in().await.expect(200).json());

    assert_eq!(thief.user_id, bob.user_id);
    let own = format!(
        "/api/v1/organizations/{}/password-policy",
        company.organization
    );
    ask(admin, &thief, Method::GET, &own).await.expect(200);
    ask(
        admin,
        &bob,
        Method::GET,
        &format!("/api/v1/organizations/{bobs}/password-policy"),
    )
    .await
    .expect(200);
    ask(
        admin,
        &thief,
        Method::GET,
        &format!("/api/v1/organizations/{bobs}/password-policy"),
    )
    .await
    .expect(404);
    ask(admin, &thief, Method::GET, "/api/v1/me")
        .await
        .expect(200);
    for path in ["/api/v1/me/export", "/api/v1/me/sessions", "/api/v1/me/mfa"] {
        let refused = ask(admin, &thief, Method::GET, path).await.expect(403);
        assert_eq!(refused.code(), "session_is_bound", "{path}");
    }
    ask(admin, &thief, Method::POST, "/api/v1/auth/logout")
        .await
        .expect(204);
    ask(admin, &bob, Method::GET, "/api/v1/me")
        .await
        .expect(200);
}

#[tokio::test]
async fn who_is_no_member_or_not_vouched_for_stays_outside() {
    let company = Company::found(Value::Null).await;
    let refusal = async || company.sign_in().await.expect(403).code();

    company.issuer.vouch("subject-1", "ada@example.com");
    assert_eq!(refusal().await, "not_a_member");
    company.issuer.vouch("subject-1", "owner@elsewhere.example");
    assert_eq!(refusal().await, "address_not_vouched_for");
    company.issuer.vouch("subject-1", "owner@example.com");
    company.issuer.lie(json!({"email_verified": false}));
    assert_eq!(refusal().await, "address_not_vouched_for");
    company.issuer.vouch("subject-1", "owner@example.com");
    company.sign_in().await.expect(200);
}

#[tokio::test]
async fn who_was_put_out_is_not_let_in_again_by_the_provider() {
    let company = Company::found(json!("member")).await;
    company.issuer.vouch("subject-1", "ada@example.com");
    let ada = company.sign_in().await.expect(200).json();
    let mut books = company.admin.database.connect().await;
    sqlx::query(
        "update identity.organization_memberships set deleted_at = now() where user_id = $1::uuid",
    )
    .bind(ada["user_id"].as_str())
    .execute(&mut books)
    .await
    .expect("out");

    assert_eq!(company.sign_in().await.expect(403).code(), "not_a_member");
}

#[tokio::test]
async fn a_token_that_does_not_hold_lets_nobody_in() {
    let company = Company::found(json!("member")).await;
    let lies = [
        json!({"nonce": "another"}),
        json!({"aud": "another"}),
        json!({"iss": "https://thief.example"}),
        json!({"exp": 1}),
    ];
    for lie in lies {
        company.issuer.vouch("subject-1", "ada@example.com");
        company.issuer.lie(lie.clone());
        let refused = company.sign_in().await.expect(401);
        assert_eq!(refused.code(), "invalid_id_token", "{lie}");
    }
    company.issuer.vouch("subject-1", "ada@example.com");
    company.issuer.sign_with_another_key();
    company.sign_in().await.expect(401);
}

#[tokio::test]
async fn a_browser_takes_part_only_in_the_sign_in_it_began() {
    let company = Company::found(json!("member")).await;
    company.issuer.vouch("subject-1", "ada@example.com");
    let (cookie, back) = company.leave("/api/v1/auth/oidc/acme/start").await;
    let (other_cookie, _) = company.leave("/api/v1/auth/oidc/acme/start").await;

    let refusal =
        async |cookie: &str, path: &str| company.come_back(cookie, path).await.expect(400).code();
    assert_eq!(refusal(&other_cookie, &back).await, "sign_in_not_begun");
    assert_eq!(refusal("a=b", &back).await, "sign_in_not_begun");
    let torn = format!("{}x", &cookie[..cookie.len() - 1]);
    assert_eq!(refusal(&torn, &back).await, "sign_in_not_begun");
    assert_eq!(
        refusal(&cookie, &back.replace("state=", "state=x")).await,
        "sign_in_not_begun"
    );
    company.come_back(&cookie, &back).await.expect(200);
    assert_eq!(
        company.come_back(&cookie, &back).await.expect(422).code(),
        "identity_provider_failed"
    );
}

#[tokio::test]
async fn the_console_gets_a_cookie_and_its_own_page() {
    let company = Company::found(json!("guest")).await;
    company.issuer.vouch("subject-1", "ada@example.com");
    let (cookie, back) = company
        .leave("/api/v1/auth/oidc/acme/start?return_to=/home")
        .await;

    let reply = company.come_back(&cookie, &back).await.expect(303);

    assert_eq!(reply.header("location"), "/home");
    let cookies: Vec<&str> = reply
        .headers
        .get_all("set-cookie")
        .iter()
        .filter_map(|one| one.to_str().ok())
        .collect();
    assert!(
        cookies
            .iter()
            .any(|one| one.starts_with("__Host-synaxis_refresh=")),
        "{cookies:?}"
    );
    for path in [
        "https://thief.example",
        "//thief.example",
        "%2F%2Fthief.example",
    ] {
        let start = format!("/api/v1/auth/oidc/acme/start?return_to={path}");
        company.admin.get(&start).await.expect(400);
    }
    company
        .admin
        .get("/api/v1/auth/oidc/nobody/start")
        .await
        .expect(404);
}

#[tokio::test]
async fn only_owners_say_who_signs_members_in_and_the_secret_is_never_shown() {
    let company = Company::found(json!("member")).await;
    let (admin, owner) = (&company.admin, &company.owner);
    let path = format!(
        "/api/v1/organizations/{}/identity-providers",
        company.organization
    );
    let list = ask(admin, owner, Method::GET, &path).await.expect(200);
    let own = format!(
        "{path}/{}",
        list.json()["data"][0]["id"].as_str().expect("an id")
    );

    assert!(!list.text.contains(CLIENT.1), "{}", list.text);
    let shown = ask(admin, owner, Method::GET, &own).await.expect(200);
    let mut changed =
        json!({"name": "Renamed", "issuer": company.issuer.url, "client_id": CLIENT.0});
    tell(admin, owner, Method::PUT, &own, &changed)
        .await
        .expect(200);
    let stale = admin.request(Method::PUT, &own).token(&owner.access_token);
    let stale = stale
        .header("if-match", shown.header("etag"))
        .json(&changed)
        .send()
        .await;
    assert_eq!(stale.status, 412);
    changed["issuer"] = json!("http://127.0.0.1:1");
    let refused = tell(admin, owner, Method::PUT, &own, &changed)
        .await
        .expect(400);
    assert_eq!(refused.json()["errors"][0]["field"], "client_secret");
    company
        .provide("http://10.0.0.1", &Value::Null)
        .await
        .expect(400);
    company
        .provide("ftp://example.com", &Value::Null)
        .await
        .expect(400);

    company.issuer.vouch("subject-2", "ada@example.com");
    let mut books = admin.database.connect().await;
    let bob = newcomer(admin, "bob@example.com").await;
    sqlx::query(
        "insert into identity.organization_memberships (id, organization_id, user_id, role)
         values (gen_random_uuid(), $1::uuid, $2::uuid, 'admin')",
    )
    .bind(&company.organization)
    .bind(&bob.user_id)
    .execute(&mut books)
    .await
    .expect("an admin");
    ask(admin, &bob, Method::GET, &own).await.expect(200);
    ask(admin, &bob, Method::DELETE, &own).await.expect(403);
    ask(admin, owner, Method::DELETE, &own).await.expect(204);
    ask(admin, owner, Method::GET, &own).await.expect(404);
}
