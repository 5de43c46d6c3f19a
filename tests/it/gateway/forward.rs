//! What goes upstream and what comes back.

use serde_json::json;

use crate::stack::{Setup, TestStack, people::chat};

#[tokio::test]
async fn a_chat_is_answered_with_its_story_and_its_price() {
    let stack = Setup::new().paid("dear", "1", "2").start().await;
    let key = stack.key().mint();

    let answer = key.chat("hello").await;

    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.header("x-synaxis-provider"), "dear");
    assert_eq!(answer.header("x-synaxis-model"), "swift");
    assert_eq!(answer.header("x-synaxis-tier"), "paid");
    assert_eq!(answer.header("x-synaxis-attempts"), "1");
    let row = &stack.booked(1).await[0];
    assert_eq!(
        (answer.header("x-request-id"), 200),
        (row.id.as_str(), row.status)
    );
    assert_eq!(row.cost, row.input * 1_000 + row.output * 2_000);
    let dollars: f64 = answer
        .header("x-synaxis-cost-usd")
        .parse()
        .expect("dollars");
    assert!((dollars * 1e9 - row.cost as f64).abs() < 0.5);
    let seen = stack.provider("dear").wait_for_end(1).await;
    assert_eq!(seen[0]["request_id"], row.id.as_str());
    assert_eq!(seen[0]["model"], "swift-dear");
    assert_eq!(
        (
            seen[0]["input_tokens"].as_i64(),
            seen[0]["output_tokens"].as_i64()
        ),
        (Some(row.input), Some(row.output))
    );
}

#[tokio::test]
async fn a_stream_passes_with_its_usage_only_when_the_caller_asked_for_it() {
    let stack = TestStack::start().await;
    let key = stack.key().mint();
    let mut asking = chat("hello");
    asking["stream"] = json!(true);
    asking["stream_options"] = json!({"include_usage": true});

    let silent = key.stream("hello").await;
    let told = key.post("/chat/completions", &asking).await;

    for answer in [&silent, &told] {
        assert_eq!(
            answer.header("content-type"),
            "text/event-stream; charset=utf-8"
        );
        assert_eq!(answer.events().last(), Some(&"[DONE]"));
    }
    assert!(!silent.text.contains("\"usage\":{"), "{}", silent.text);
    assert!(told.text.contains("\"usage\":{"), "{}", told.text);
    let rows = stack.booked(2).await;
    assert!(
        rows.iter()
            .all(|row| row.is_stream && !row.is_estimated && 0 < row.output),
        "{rows:?}"
    );
}

#[tokio::test]
async fn every_path_that_takes_a_model_is_served_also_under_openai() {
    let stack = TestStack::start().await;
    let key = stack.key().mint();

    let completion = key
        .post(
            "/completions",
            &json!({"model": "swift", "prompt": "hello"}),
        )
        .await;
    let embedding = key
        .post("/embeddings", &json!({"model": "swift", "input": "hello"}))
        .await;
    let response = key
        .post("/responses", &json!({"model": "swift", "input": "hello"}))
        .await;
    let prefixed = key
        .post("/../openai/v1/chat/completions", &chat("hello"))
        .await;

    assert_eq!(
        completion.json()["object"],
        "text_completion",
        "{}",
        completion.text
    );
    assert_eq!(embedding.json()["object"], "list", "{}", embedding.text);
    assert_eq!(response.json()["object"], "response", "{}", response.text);
    assert_eq!(prefixed.status, 200, "{}", prefixed.text);
    let rows = stack.booked(4).await;
    assert!(
        rows.iter().all(|row| 0 < row.input && !row.is_estimated),
        "{rows:?}"
    );
}

#[tokio::test]
async fn an_alias_falls_through_to_its_second_model() {
    let second = "[[models]]\nname = \"slow\"\n\n[[aliases]]\nname = \"clever\"\nmodels = [\"slow\", \"swift\"]\n";
    let stack = Setup::new().free("gratis").aliases(second).start().await;
    let key = stack.key().mint();
    let mut body = chat("hello");
    body["model"] = json!("clever");

    let answer = key.post("/chat/completions", &body).await;

    assert_eq!(answer.header("x-synaxis-model"), "swift", "{}", answer.text);
}

#[tokio::test]
async fn an_unknown_model_is_named_with_the_closest_ones() {
    let stack = TestStack::start().await;
    let key = stack.key().mint();
    let mut body = chat("hello");
    body["model"] = json!("swif");

    let answer = key.post("/chat/completions", &body).await;

    assert_eq!(
        (answer.status, answer.code().as_str()),
        (404, "model_not_found")
    );
    assert!(answer.text.contains("swift"), "{}", answer.text);
    assert_eq!(answer.json()["error"]["param"], "model");
}

#[tokio::test]
async fn the_cheapest_offer_answers_and_an_unknown_price_is_not_zero() {
    let stack = Setup::new()
        .offer("unpriced", "tier = \"paid\"", "")
        .paid("dear", "3", "6")
        .paid("cheap", "1", "2")
        .start()
        .await;
    let key = stack.key().mint();

    let answer = key.chat("hello").await;

    assert_eq!(answer.header("x-synaxis-provider"), "cheap");
}

#[tokio::test]
async fn an_upstream_never_sees_the_callers_key_or_its_private_headers() {
    let stack = TestStack::start().await;
    let key = stack.key().mint();

    key.chat("hello").await;

    let seen = stack.provider("gratis").wait_for_end(1).await;
    let credential = seen[0]["credential"].as_str().expect("a masked credential");
    assert!(!credential.contains("synaxis_build"), "{credential}");
    assert!(!stack.proxy().log().contains(&key.text));
    assert!(!stack.proxy().log().contains("sk-gratis"));
}

#[tokio::test]
async fn objects_that_live_in_one_providers_account_have_no_side_door() {
    let stack = TestStack::start().await;
    let key = stack.key().mint();

    for path in ["/fine_tuning/jobs", "/assistants", "/evals", "/containers"] {
        let answer = key.post(path, &json!({"model": "swift"})).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (404, "unknown_path"),
            "{path}"
        );
    }
    assert_eq!(stack.provider("gratis").calls(), 0);
}

#[tokio::test]
async fn a_messages_caller_reads_the_limits_and_the_id_in_its_own_words() {
    let stack = Setup::new()
        .offer("claude", "tier = \"free\"", "")
        .start()
        .await;
    let entry = stack
        .provider("claude")
        .entry("tier = \"free\"", "")
        .replace("\"openai\"", "\"anthropic\"");
    stack.import(&format!("[[models]]\nname = \"swift\"\n\n{entry}"));
    let key = stack.key().with("rpm", 60).mint();
    let body = chat("hello");

    crate::stack::eventually("the provider speaks its other dialect", async || {
        key.post("/messages", &body).await.status == 200
    })
    .await;
    let answer = key.post("/messages", &body).await;

    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.header("request-id"), answer.header("x-request-id"));
    assert_eq!(answer.header("anthropic-ratelimit-requests-limit"), "60");
    let reset = answer.header("anthropic-ratelimit-requests-reset");
    assert!(reset.ends_with('Z') && reset.contains('T'), "{reset}");
}
