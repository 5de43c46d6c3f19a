//! The layers around every handler, with operations made for the purpose, on real Postgres.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::State,
    http::{HeaderMap, HeaderValue, Request, StatusCode},
    response::IntoResponse,
};
use serde::Deserialize;
use serde_json::{Value, json};
use synaxis::{
    admin::{
        Metrics, Plane, Settings,
        access::Access,
        doors::Doors,
        error::ApiError,
        extract::Json,
        layers,
        openapi::Problems,
        throttle::{Rates, Throttle},
    },
    audit::{Actor, By},
    base::{Clock, OrganizationId, Secret},
    control::{identity::Door, organizations},
    egress::{self, Guard},
    identity,
    store::{Vault, postgres::Role},
};
use tokio::sync::watch;
use tower::ServiceExt;
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::stack::{database::TestDatabase, eventually};

/// How often the operations below did something, whoever asked.
static DONE: AtomicU64 = AtomicU64::new(0);

#[derive(Deserialize, ToSchema, garde::Validate)]
#[serde(deny_unknown_fields)]
struct Thing {
    #[garde(length(chars, min = 1, max = 8))]
    name: String,
    #[garde(range(max = 5))]
    #[serde(default)]
    size: u32,
    #[garde(skip)]
    #[serde(default)]
    #[schema(value_type = Object)]
    any: Value,
}

#[utoipa::path(post, path = "/things", tag = "t", summary = "Make", request_body = Thing, responses(Problems))]
async fn make_thing(Json(thing): Json<Thing>) -> Result<impl IntoResponse, ApiError> {
    if thing.name == "taken" {
        return Err(ApiError::unprocessable("taken", "it is taken"));
    }
    if thing.name == "broken" {
        return Err(ApiError::Internal);
    }
    tokio::time::sleep(std::time::Duration::from_millis(
        u64::from(thing.size) * 100,
    ))
    .await;
    let number = DONE.fetch_add(1, Ordering::Relaxed) + 1;
    let headers = [("location", "/things/7"), ("set-cookie", "a=secret-cookie")];
    let body = Json(json!({"number": number, "secret": "shown-once", "any": thing.any}));
    Ok((StatusCode::CREATED, headers, body))
}

#[utoipa::path(
    get,
    path = "/panic",
    tag = "t",
    summary = "Panic",
    responses(Problems)
)]
async fn panic_now() -> StatusCode {
    panic!("the payload of the panic");
}

#[utoipa::path(get, path = "/slow", tag = "t", summary = "Wait", responses(Problems))]
async fn wait_long() -> StatusCode {
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    StatusCode::OK
}

#[utoipa::path(
    post,
    path = "/sign-in",
    tag = "t",
    summary = "Sign in",
    responses(Problems)
)]
async fn sign_in() -> StatusCode {
    StatusCode::OK
}

#[utoipa::path(get, path = "/mine", tag = "t", summary = "Mine", responses(Problems))]
async fn mine(State(_plane): State<Plane>) -> StatusCode {
    StatusCode::OK
}

struct Api {
    router: Router,
    plane: Plane,
    database: TestDatabase,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

async fn api(settings: Settings) -> Api {
    let database = TestDatabase::start().await;
    let (_, stopping) = watch::channel(false);
    let sealing_key = Secret::new("q7Zk2vX9pLw4Rt8Yb3Nc6Md1Hf5Gj0Sa".to_owned());
    let vault = || Vault::new(&sealing_key).expect("a long key");
    let metrics = Metrics::new().expect("named once");
    let postgres = database.open(Role::Admin);
    let door = Door::open(identity::Settings::default(), vault(), postgres);
    let guard = Guard::new(egress::Settings::default(), Clock::System);
    let plane = Plane::new(settings, door, vault(), guard, metrics, stopping);
    let doors = Doors::new()
        .at(Access::Public, routes!(make_thing))
        .at(Access::Public, routes!(panic_now))
        .at(Access::Public, routes!(wait_long))
        .at(Access::SignedIn, routes!(mine))
        .throttled(Throttle::SignIn, routes!(sign_in));
    let (operations, table, _) = doors.open();
    let router = layers::around_operations(operations, &plane)
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .fallback(async || ApiError::NotFound);
    Api {
        router: layers::around_everything(router, table, &plane).with_state(plane.clone()),
        plane,
        database,
    }
}

impl Api {
    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request
            .body(Body::from(body.to_owned()))
            .expect("a request");
        let response = self
            .router
            .clone()
            .oneshot(request)
            .await
            .expect("an answer");
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.expect("a body");
        Answer {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8(bytes.to_vec()).expect("text"),
        }
    }

    async fn post(&self, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut all = vec![("content-type", "application/json")];
        all.extend_from_slice(headers);
        self.send("POST", "/things", &all, body).await
    }
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).map(HeaderValue::to_str);
        value.transpose().expect("text").unwrap_or_default()
    }

    fn fault(&self) -> String {
        self.json()["errors"][0]["field"]
            .as_str()
            .unwrap_or("?")
            .to_owned()
    }
}

#[tokio::test]
async fn a_body_is_refused_for_exactly_what_is_wrong_with_it() {
    let api = api(Settings::default()).await;
    let field = async |body: &str| {
        let answer = api.post(&[], body).await;
        assert_eq!(answer.status, 400, "{body}: {}", answer.text);
        (
            answer.code(),
            answer.code() == "invalid_value" && !answer.fault().is_empty(),
        )
    };

    for body in [
        "",
        "{",
        "[1]x",
        r#"{"name":"a","name":"b"}"#,
        r#"{"name":"a","any":{"x":1,"x":2}}"#,
    ] {
        assert_eq!(field(body).await.0, "invalid_json", "{body}");
    }
    let deep = format!(
        r#"{{"name":"a","any":{}{}}}"#,
        "[".repeat(64),
        "]".repeat(64)
    );
    assert_eq!(field(&deep).await.0, "invalid_json");
    let named = [
        (r#"{"name":"a","role":"owner"}"#, "role"),
        (r#"{"name":5}"#, "name"),
        (r#"{"name":"far too long"}"#, "name"),
        (r#"{"name":"a","size":6}"#, "size"),
    ];
    for (body, at) in named {
        let answer = api.post(&[], body).await;
        assert_eq!(
            (answer.code().as_str(), answer.fault().as_str()),
            ("invalid_value", at),
            "{}",
            answer.text
        );
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
}

#[tokio::test]
async fn a_body_of_another_kind_or_too_large_is_refused() {
    let api = api(Settings::default()).await;
    let body = r#"{"name":"a"}"#;

    let form = [("content-type", "application/x-www-form-urlencoded")];
    assert_eq!(api.send("POST", "/things", &form, body).await.status, 415);
    assert_eq!(api.send("POST", "/things", &[], body).await.status, 415);
    assert_eq!(
        api.post(&[("content-encoding", "gzip")], body).await.status,
        415
    );
    let large = format!(r#"{{"name":"a","any":"{}"}}"#, "x".repeat(256 * 1024));
    assert_eq!(api.post(&[], &large).await.status, 413);
    let claimed = api.post(&[("content-length", "300000")], body).await;
    assert_eq!(
        (claimed.status.as_u16(), claimed.code().as_str()),
        (413, "request_too_large")
    );
}

#[tokio::test]
async fn a_repeated_post_is_answered_again_and_not_done_again() {
    let api = api(Settings::default()).await;
    let key = [("idempotency-key", "order-1")];
    let body = r#"{"name":"a"}"#;

    let first = api.post(&key, body).await;
    let again = api.post(&key, body).await;

    assert_eq!(first.status, 201, "{}", first.text);
    assert_eq!(again.status, 201);
    assert_eq!(again.text, first.text);
    for name in ["location", "set-cookie", "content-type"] {
        assert_eq!(again.header(name), first.header(name));
        assert!(!first.header(name).is_empty());
    }
    assert_eq!(
        (
            first.header("idempotent-replayed"),
            again.header("idempotent-replayed")
        ),
        ("", "true")
    );
    assert_ne!(again.header("x-request-id"), first.header("x-request-id"));
    let other = api.post(&key, r#"{"name":"b"}"#).await;
    assert_eq!(
        (other.status.as_u16(), other.code().as_str()),
        (422, "idempotency_key_reused")
    );
    let fresh = api.post(&[("idempotency-key", "order-2")], body).await;
    assert_ne!(fresh.json()["number"], first.json()["number"]);
}

#[tokio::test]
async fn a_refusal_is_answered_again_and_a_fault_of_ours_may_be_tried_again() {
    let api = api(Settings::default()).await;

    let refused = api
        .post(&[("idempotency-key", "r")], r#"{"name":"taken"}"#)
        .await;
    let again = api
        .post(&[("idempotency-key", "r")], r#"{"name":"taken"}"#)
        .await;
    assert_eq!((refused.status.as_u16(), again.status.as_u16()), (422, 422));
    assert_eq!(again.header("idempotent-replayed"), "true");

    for _ in 0..2 {
        let broken = async || {
            let answer = api
                .post(&[("idempotency-key", "b")], r#"{"name":"broken"}"#)
                .await;
            answer.status == 500 && answer.header("idempotent-replayed").is_empty()
        };
        eventually("the key is free again", broken).await;
    }
}

#[tokio::test]
async fn a_repetition_while_the_first_is_at_work_is_a_conflict() {
    let api = api(Settings::default()).await;
    let key = [("idempotency-key", "slow")];
    let body = r#"{"name":"a","size":5}"#;

    let (first, second) = tokio::join!(api.post(&key, body), async {
        tokio::time::sleep(std::time::Duration::from_millis(150)).await;
        api.post(&key, body).await
    });

    assert_eq!(first.status, 201);
    assert_eq!(
        (second.status.as_u16(), second.code().as_str()),
        (409, "idempotency_key_in_use")
    );
}

#[tokio::test]
async fn of_many_equal_posts_at_once_one_is_done() {
    let api = api(Settings::default()).await;
    let before = api.post(&[], r#"{"name":"a"}"#).await.json()["number"].clone();
    let key = [("idempotency-key", "storm")];

    let all = (0..16).map(|_| api.post(&key, r#"{"name":"a"}"#));
    let answers = futures::future::join_all(all).await;

    let done: std::collections::BTreeSet<String> = answers
        .iter()
        .filter(|answer| answer.status == 201)
        .map(|answer| answer.text.clone())
        .collect();
    assert_eq!(done.len(), 1, "{before} {done:?}");
    assert!(
        answers
            .iter()
            .all(|answer| [201, 409].contains(&answer.status.as_u16()))
    );
}

#[tokio::test]
async fn a_key_lost_with_its_process_is_free_after_its_time() {
    let api = api(Settings::default()).await;
    let body = r#"{"name":"a","size":5}"#;
    let key = [("idempotency-key", "lost")];
    let given_up =
        tokio::time::timeout(std::time::Duration::from_millis(200), api.post(&key, body));
    assert!(given_up.await.is_err());
    eventually("the key is given back", async || {
        api.plane.tasks.count() == 0
    })
    .await;

    assert_eq!(api.post(&key, body).await.status, 201);

    let mut books = api.database.connect().await;
    sqlx::query(
        "update operations.idempotency_keys
         set sealing_key_id = null, sealed_key = null, sealed_answer = null, held_until = now() - interval '1 s'",
    )
    .execute(&mut books)
    .await
    .expect("a process that died");
    let taken_over = api.post(&key, body).await;
    assert_eq!(
        (
            taken_over.status.as_u16(),
            taken_over.header("idempotent-replayed")
        ),
        (201, "")
    );
}

#[tokio::test]
async fn a_kept_answer_is_sealed_and_expires() {
    let api = api(Settings::default()).await;
    let key = [("idempotency-key", "once")];
    let first = api.post(&key, r#"{"name":"a"}"#).await;

    let mut books = api.database.connect().await;
    let dump: String = sqlx::query_scalar(
        "select string_agg(k::text || encode(k.sealed_answer, 'escape') || encode(k.sealed_key, 'escape'), '')
         from operations.idempotency_keys k",
    )
    .fetch_one(&mut books)
    .await
    .expect("a row");
    assert!(!dump.is_empty());
    for secret in ["shown-once", "secret-cookie", "0.0.0.0"] {
        assert!(!dump.contains(secret), "{secret}");
    }
    sqlx::query("update operations.idempotency_keys set expires_at = now() - interval '1 s'")
        .execute(&mut books)
        .await
        .expect("a day");
    let later = api.post(&key, r#"{"name":"a"}"#).await;
    assert_ne!(later.json()["number"], first.json()["number"]);
}

#[tokio::test]
async fn a_key_of_one_address_means_nothing_at_another() {
    let settings = Settings {
        trusted_proxies: vec!["0.0.0.0/32".parse().expect("a net")],
        ..Settings::default()
    };
    let api = api(settings).await;
    let from = async |address: &str| {
        let headers = [("idempotency-key", "k"), ("x-forwarded-for", address)];
        api.post(&headers, r#"{"name":"a"}"#).await.text
    };

    assert_eq!(from("198.51.100.1").await, from("198.51.100.1").await);
    assert_ne!(from("198.51.100.1").await, from("198.51.100.2").await);
}

#[tokio::test]
async fn a_key_that_is_none_is_refused() {
    let api = api(Settings::default()).await;
    let long = "k".repeat(256);

    for key in ["", "two words", &long] {
        let refused = api
            .post(&[("idempotency-key", key)], r#"{"name":"a"}"#)
            .await;
        assert_eq!(
            (refused.status.as_u16(), refused.fault().as_str()),
            (400, "Idempotency-Key")
        );
    }
}

#[tokio::test]
async fn nothing_is_done_once_while_the_books_are_away() {
    let api = api(Settings::default()).await;
    api.database.cut_off().await;

    let refused = api
        .post(&[("idempotency-key", "k")], r#"{"name":"a"}"#)
        .await;

    assert_eq!(refused.status, 503);
    assert_eq!(refused.header("retry-after"), "1");
}

#[tokio::test]
async fn a_panic_is_one_answer_that_tells_nothing() {
    let api = api(Settings::default()).await;

    let answer = api.send("GET", "/panic", &[], "").await;

    assert_eq!(
        (answer.status.as_u16(), answer.code().as_str()),
        (500, "internal")
    );
    assert!(!answer.text.contains("payload"));
    assert!(!answer.header("x-request-id").is_empty());
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    let counted = r#"synaxis_admin_requests_total{operation="panic_now",status_class="5xx"} 1"#;
    assert!(api.plane.metrics.render().contains(counted));
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_ended() {
    let settings = Settings {
        deadline_s: 1,
        ..Settings::default()
    };
    let api = api(settings).await;

    let answer = api.send("GET", "/slow", &[], "").await;

    assert_eq!(
        (answer.status.as_u16(), answer.code().as_str()),
        (408, "timed_out")
    );
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let api = api(Settings::default()).await;
    let expected = [
        (
            "strict-transport-security",
            "max-age=63072000; includeSubDomains",
        ),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-embedder-policy", "require-corp"),
        ("cross-origin-resource-policy", "same-origin"),
        (
            "permissions-policy",
            "geolocation=(), camera=(), microphone=()",
        ),
        ("cache-control", "no-store"),
        ("x-xss-protection", "0"),
        ("vary", "origin"),
    ];

    for (method, path) in [
        ("GET", "/mine"),
        ("GET", "/nothing"),
        ("PUT", "/things"),
        ("POST", "/things"),
    ] {
        let answer = api.send(method, path, &[], "").await;
        for (name, value) in expected {
            assert_eq!(answer.header(name), value, "{method} {path}");
        }
        assert!(
            answer
                .header("content-security-policy")
                .starts_with("default-src 'none'; script-src 'self'")
        );
        assert!(answer.header("access-control-allow-origin").is_empty());
        assert!(answer.header("server").is_empty());
    }
}

#[tokio::test]
async fn nobody_passes_the_gate_without_a_token() {
    let api = api(Settings::default()).await;

    for headers in [
        &[][..],
        &[("authorization", "Bearer nonsense")],
        &[("authorization", "Basic YTpi")],
    ] {
        let answer = api.send("GET", "/mine", headers, "").await;
        assert_eq!(
            (answer.status.as_u16(), answer.code().as_str()),
            (401, "unauthenticated")
        );
        assert_eq!(
            answer.header("www-authenticate"),
            "Bearer realm=\"synaxis\""
        );
    }
}

#[tokio::test]
async fn an_unknown_parameter_is_refused() {
    let api = api(Settings::default()).await;

    let answer = api.send("GET", "/slow?limitt=5", &[], "").await;

    assert_eq!(
        (answer.status.as_u16(), answer.fault().as_str()),
        (400, "limitt")
    );
}

#[tokio::test]
async fn the_console_may_call_from_its_exact_origin_and_no_other_may() {
    let settings = Settings {
        origins: vec!["https://console.example.com".to_owned()],
        ..Settings::default()
    };
    let api = api(settings).await;
    let ask = async |origin: &str| {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
        ];
        api.send("OPTIONS", "/things", &headers, "").await
    };

    let console = ask("https://console.example.com").await;
    assert_eq!(console.status, 204);
    assert_eq!(
        console.header("access-control-allow-origin"),
        "https://console.example.com"
    );
    assert_eq!(console.header("access-control-allow-credentials"), "true");
    assert!(
        console
            .header("access-control-allow-methods")
            .contains("PATCH")
    );
    for stranger in [
        "https://console.example.com.evil.example",
        "http://console.example.com",
        "null",
    ] {
        let refused = ask(stranger).await;
        assert_eq!(
            refused.header("access-control-allow-origin"),
            "",
            "{stranger}"
        );
        let posted = api.post(&[("origin", stranger)], r#"{"name":"a"}"#).await;
        assert_eq!(
            (posted.status.as_u16(), posted.code().as_str()),
            (403, "cross_site_request")
        );
    }
    let posted = api
        .post(
            &[
                ("origin", "https://console.example.com"),
                ("sec-fetch-site", "same-site"),
            ],
            r#"{"name":"a"}"#,
        )
        .await;
    assert_eq!(posted.status, 201);
}

#[tokio::test]
async fn tries_are_counted_per_network_and_there_per_account_across_replicas() {
    let settings = Settings {
        trusted_proxies: vec!["0.0.0.0/32".parse().expect("a net")],
        throttle: Rates {
            sign_ins_per_address_minute: 4,
            sign_ins_per_account_minute: 2,
            ..Rates::default()
        },
        ..Settings::default()
    };
    let api = api(settings).await;
    let sign_in = async |address: &str, email: &str| {
        let headers = [
            ("x-forwarded-for", address),
            ("content-type", "application/json"),
        ];
        let body = json!({"email": email, "password": "x"}).to_string();
        api.send("POST", "/sign-in", &headers, &body).await
    };

    for (address, email, status) in [
        ("198.51.100.1", "ada@example.com", 200),
        ("198.51.100.9", "ADA@example.com ", 200),
        ("198.51.100.3", "ada@example.com", 429),
        ("192.0.2.1", "ada@example.com", 200),
        ("198.51.100.2", "bob@example.com", 200),
        ("198.51.100.5", "eve@example.com", 429),
        ("192.0.2.1", "eve@example.com", 200),
    ] {
        let answer = sign_in(address, email).await;
        assert_eq!(answer.status, status, "{address} {email}");
        if status == 429 {
            let wait: u64 = answer.header("retry-after").parse().expect("seconds");
            assert!((1..=30).contains(&wait), "{wait}");
        }
    }
    let refused = r#"synaxis_admin_throttled_total{action="sign-in",subject="account"} 1"#;
    assert!(api.plane.metrics.render().contains(refused));
}

#[tokio::test]
async fn an_organizations_own_pages_may_read_and_nothing_else() {
    let api = api(Settings::default()).await;
    let new = organizations::NewOrganization {
        name: "Acme".to_owned(),
        ..organizations::NewOrganization::default()
    };
    let by = By::new(Actor::Operator, Clock::System.now());
    let created = organizations::create(&api.plane.postgres, new, by).await;
    let id = created.expect("an organization").id;
    let mut books = api.database.connect().await;
    sqlx::query(
        "update identity.organization_settings set allowed_origins = array['https://shop.example']",
    )
    .execute(&mut books)
    .await
    .expect("an origin");
    let ask = async |path: &str, origin: &str, method: &str| {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", method),
        ];
        api.send("OPTIONS", path, &headers, "").await
    };
    let theirs = format!("/api/v1/organizations/{id}/usage");

    let read = ask(&theirs, "https://shop.example", "GET").await;
    assert_eq!(read.status, 204);
    assert_eq!(
        read.header("access-control-allow-origin"),
        "https://shop.example"
    );
    assert_eq!(read.header("access-control-allow-methods"), "GET, HEAD");
    assert_eq!(read.header("access-control-allow-credentials"), "");
    let elsewhere = format!(
        "/api/v1/organizations/{}/usage",
        OrganizationId::new(by.now)
    );
    for (path, origin, method) in [
        (theirs.as_str(), "https://shop.example", "POST"),
        (theirs.as_str(), "https://other.example", "GET"),
        (elsewhere.as_str(), "https://shop.example", "GET"),
        ("/api/v1/me", "https://shop.example", "GET"),
    ] {
        let refused = ask(path, origin, method).await;
        assert_eq!(
            refused.header("access-control-allow-origin"),
            "",
            "{path} {origin} {method}"
        );
    }
}
