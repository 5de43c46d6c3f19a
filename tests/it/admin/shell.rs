//! What every operation of the API has in common.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::Value;
use synaxis::admin::router;

use crate::stack::admin::TestAdmin;

#[test]
fn every_operation_is_on_the_page_with_its_access_and_in_the_document() {
    let document = router::document();
    let told: BTreeSet<(String, String, String)> = operations(&document)
        .map(|(method, path, operation)| {
            let permission = operation["x-permission"].as_str().expect("an access");
            let is_open = operation["security"] == serde_json::json!([]);
            assert_eq!(is_open, permission == "public", "{method} {path}");
            (method.to_owned(), path.to_owned(), permission.to_owned())
        })
        .collect();
    let listed: BTreeSet<(String, String, String)> = router::table()
        .iter()
        .map(|operation| {
            let method = operation.method.as_str().to_ascii_lowercase();
            (
                method,
                operation.path.clone(),
                operation.access.word().to_owned(),
            )
        })
        .collect();

    assert_eq!(told, listed);
    assert!(!told.is_empty());
}

#[test]
fn every_operation_tells_its_name_its_tag_and_every_way_to_be_refused() {
    let document = router::document();
    let mut names = BTreeSet::new();
    for (method, path, operation) in operations(&document) {
        let name = operation["operationId"].as_str().expect("a name");
        assert!(names.insert(name.to_owned()), "{name} stands twice");
        assert!(
            operation["tags"][0].is_string(),
            "{method} {path} has no tag"
        );
        assert!(
            operation["summary"].is_string(),
            "{method} {path} has no summary"
        );
        for status in ["400", "404", "429", "500", "503"] {
            assert!(
                operation["responses"][status].is_object(),
                "{method} {path}: {status}"
            );
        }
    }
}

fn operations(document: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    let paths = document["paths"].as_object().expect("paths");
    paths.iter().flat_map(|(path, item)| {
        let item = item.as_object().expect("operations");
        item.iter()
            .map(move |(method, operation)| (method.as_str(), path.as_str(), operation))
    })
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let admin = TestAdmin::start().await;

    let asked = admin.request(Method::POST, "/api/v1/version");
    let asked = asked.header("accept-language", "de");
    let asked = asked.token("none").body("text/plain", "whatever");
    let refused = asked.send().await.expect(405);

    assert_eq!(refused.code(), "method_not_allowed");
    assert_eq!(refused.header("content-type"), "application/problem+json");
    assert_eq!(refused.header("allow"), "GET,HEAD");
}

#[tokio::test]
async fn the_sidecar_is_not_ready_while_postgres_is_away() {
    let admin = TestAdmin::start().await;
    admin.database.cut_off().await;

    assert_eq!(admin.operations_status("/readyz").await, Some(503));
    assert_eq!(admin.operations_status("/livez").await, Some(200));
    assert!(admin.metrics().await.contains("synaxis_build_info"));

    admin.database.let_in().await;
    assert_eq!(admin.operations_status("/readyz").await, Some(200));
}

#[tokio::test]
async fn the_sidecar_serves_its_own_document() {
    let admin = TestAdmin::start().await;

    let served = admin.get("/api/openapi.json").await.expect(200);

    assert_eq!(served.json()["openapi"], "3.1.0");
    assert_eq!(served.json(), router::document());
    let version = admin.get("/api/v1/version").await.expect(200);
    assert_eq!(version.json()["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(admin.get("/api/v1/nothing").await.code(), "not_found");
    let posted = admin.post("/api/v1/nothing", &Value::Null).await;
    assert_eq!(posted.code(), "not_found");
}
