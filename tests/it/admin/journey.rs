//! From an empty database to a working call and back, over nothing but the API, the mail and the proxy.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    identity::people::{self, PASSWORD, Visitor},
    stack::{
        admin::{Reply, TestAdmin},
        people::{chat, client},
        provider::Provider,
        proxy::Proxy,
    },
};

/// What the proxy answers to one call.
async fn call(proxy: &Proxy, key: &str) -> Reply {
    let url = format!("{}/chat/completions", proxy.base_url());
    let request = client().post(url).bearer_auth(key).json(&chat("hello"));
    Reply::of(request.send().await.expect("an answer")).await
}

/// Waits until the proxy has heard of the model.
async fn known(proxy: &Proxy, key: &str) {
    let url = format!("{}/models/swift", proxy.base_url());
    crate::stack::eventually("the model is known", async || {
        let request = client().get(&url).bearer_auth(key).send();
        request.await.expect("an answer").status() == 200
    })
    .await;
}

/// One organization, asked as somebody.
struct Desk<'a> {
    admin: &'a TestAdmin,
    organization: String,
}

impl Desk<'_> {
    async fn get(&self, who: &Visitor, path: &str) -> Value {
        let path = format!("/api/v1/organizations/{}{path}", self.organization);
        let reply = people::ask(self.admin, who, Method::GET, &path).await;
        reply.expect(200).json()
    }

    async fn post(&self, who: &Visitor, path: &str, body: Value) -> Reply {
        let path = format!("/api/v1/organizations/{}{path}", self.organization);
        people::tell(self.admin, who, Method::POST, &path, &body).await
    }

    async fn make(&self, who: &Visitor, path: &str, body: Value) -> Value {
        self.post(who, path, body).await.expect(201).json()
    }

    /// Reads until something holds, at most ten seconds.
    async fn until(&self, who: &Visitor, path: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let read = self.get(who, path).await;
            if holds(&read) {
                return read;
            }
            assert!(began.elapsed() < Duration::from_secs(10), "{path}: {read}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

async fn hire(desk: &Desk<'_>, owner: &Visitor, email: &str, group: &Value) -> Visitor {
    let body = json!({"email": email, "role": "admin", "group_id": group["id"]});
    desk.make(owner, "/invitations", body).await;
    let subject = "You are invited to join an organization";
    let token = people::mailed_code(desk.admin, email, subject).await;
    let body = json!({"token": token, "password": PASSWORD, "display_name": "Ben"});
    let path = "/api/v1/invitations/register";
    desk.admin.post(path, &body).await.expect(200);
    people::login(desk.admin, email).await
}

/// A provider with a key by operations; what it sells, and for how much, as a file.
async fn stock(desk: &Desk<'_>, who: &Visitor, upstream: &Provider) {
    let base_url = format!("http://{}/v1", upstream.address);
    let body =
        json!({"name": "penny", "dialect": "openai", "base_url": base_url, "requires_key": true});
    let provider = desk.make(who, "/providers", body).await;
    let body = json!({"provider_id": provider["id"], "secret": "sk-penny-0123456789"});
    let credential = desk.make(who, "/credentials", body).await;
    assert!(!credential.to_string().contains("sk-penny"));
    let catalog = "[[models]]\nname = \"swift\"\n\n[[offers]]\nprovider = \"penny\"\nmodel = \"swift\"\n\
                   tier = \"paid\"\nprice = { input = \"1\", output = \"2\" }\n";
    let body = json!({"catalog": catalog, "source": "the price list on the wall"});
    let imported = desk.post(who, "/price-book/import", body).await.expect(200);
    assert_eq!(imported.json()["is_kept"], true, "{}", imported.text);
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one story, told in its order")]
async fn an_empty_database_becomes_a_working_call_over_the_api_alone() {
    let admin = TestAdmin::start().await;
    let proxy = admin.proxy().await;
    let upstream = Provider::start("penny");

    let ada = people::newcomer(&admin, "ada@example.com").await;
    let listed = people::ask(&admin, &ada, Method::GET, "/api/v1/organizations").await;
    let organization = listed.expect(200).json()["data"][0]["id"].clone();
    let desk = Desk {
        admin: &admin,
        organization: organization.as_str().expect("an id").to_owned(),
    };
    let group = desk
        .make(&ada, "/groups", json!({"name": "Research"}))
        .await;
    let ben = hire(&desk, &ada, "ben@example.com", &group).await;
    stock(&desk, &ben, &upstream).await;
    for (meter, window, amount) in [
        ("requests", "minute", 2),
        ("nano_usd", "month", 5_000_000_000_u64),
    ] {
        let terms = json!({"meter": meter, "window": window, "amount": amount});
        let body = json!({"subject": {"kind": "group", "group_id": group["id"]}, "terms": terms});
        desk.make(&ada, "/limits", body).await;
    }
    let made = desk
        .make(
            &ben,
            "/keys",
            json!({"name": "ci", "group_id": group["id"]}),
        )
        .await;
    let key = made["api_key"].as_str().expect("a key").to_owned();

    known(&proxy, &key).await;
    let answers = [
        call(&proxy, &key).await,
        call(&proxy, &key).await,
        call(&proxy, &key).await,
    ];
    let statuses = answers.each_ref().map(|answer| answer.status);
    assert_eq!(statuses, [200, 200, 429], "{answers:?}");

    let usage = desk
        .until(&ada, "/usage", |usage| usage["totals"]["requests"] == 2)
        .await;
    let cost = usage["totals"]["cost_nano_usd"].as_u64().expect("money");
    assert!(0 < cost, "{usage}");
    let calls = desk.get(&ada, "/requests").await;
    let id = calls["data"][0]["id"].as_str().expect("an id");
    assert_eq!(id, answers[1].header("x-request-id"));
    let of_key = desk
        .get(
            &ben,
            &format!("/keys/{}/usage", made["id"].as_str().expect("an id")),
        )
        .await;
    assert_eq!(of_key["totals"]["cost_nano_usd"], cost);

    let path = format!("/keys/{}/revoke", made["id"].as_str().expect("an id"));
    desk.post(&ada, &path, json!({"reason": "the project ended"}))
        .await
        .expect(200);
    let revoked = Instant::now();
    while call(&proxy, &key).await.status != 401 {
        assert!(revoked.elapsed() < Duration::from_secs(1), "still served");
    }

    let trail = desk.get(&ada, "/audit-logs?limit=200").await;
    let actions: Vec<&str> = trail["data"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| row["action"].as_str().expect("a word"))
        .collect();
    for action in [
        "organization.create",
        "group.create",
        "invitation.create",
        "provider.create",
        "credential.create",
        "limit.set",
        "api_key.create",
        "api_key.revoke",
    ] {
        assert!(actions.contains(&action), "{action} is not in {actions:?}");
    }
    let verified = desk.get(&ada, "/audit-logs/verification").await;
    assert_eq!(verified["status"], "sound", "{verified}");
    assert_eq!(verified["rows"], actions.len(), "{verified}");
}
