//! Limits that count without refusing, the switch of all limits, limits of providers' keys, and what comes back early.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use synaxis::base::tasks::Tasks;

use crate::stack::{
    Setup, TestStack, eventually,
    people::{Answer, Key},
    provider::Provider,
};

/// What the key's limits have left, in their order.
async fn remaining(key: &Key) -> Vec<u64> {
    let answer = key.get("/key").await.json();
    let limits = answer["limits"].as_array().expect("limits");
    let left = |limit: &Value| limit["remaining"].as_u64().expect("a number");
    limits.iter().map(left).collect()
}

/// What the first proxy counts under a name.
async fn count(stack: &TestStack, name: &str) -> i64 {
    let value = stack.proxy().metric(name).await;
    format!("{value:.0}").parse().expect("a whole number")
}

/// Calls until the answer is as wanted; returns how long that took.
async fn until(key: &Key, is_wanted: fn(u16) -> bool) -> Duration {
    let began = Instant::now();
    while !is_wanted(key.chat("hi").await.status) {
        assert!(began.elapsed() < Duration::from_secs(10), "still not");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    began.elapsed()
}

#[tokio::test]
async fn a_limit_in_shadow_mode_refuses_nobody_and_says_whom_it_would_have() {
    let stack = TestStack::start().await;
    let key = stack.key().with("rpm", 2).mint();
    let mut books = stack.books().await;
    sqlx::query("update operations.limits set mode = 'shadow'")
        .execute(&mut books)
        .await
        .expect("a limit in shadow mode");

    let mut remarks = Vec::new();
    for _ in 0..4 {
        let answer = key.chat("hi").await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        remarks.push(answer.header("x-synaxis-quota").to_owned());
    }

    assert_eq!(remarks, ["", "", "shadow", "shadow"]);
    assert_eq!(count(&stack, "synaxis_quota_shadowed_total").await, 2);
}

#[tokio::test]
async fn the_switch_of_all_limits_reaches_every_proxy_within_a_second_and_is_written_down() {
    let stack = Setup::new().free("gratis").proxies(2).start().await;
    let key = stack.key().with("rpm", 1).mint();
    let other = key.at(&stack.proxies[1]);
    assert_eq!(key.chat("hi").await.status, 200);
    assert_eq!(other.chat("hi").await.status, 429);

    stack.run(&["limits", "off", "--reason", "the counters are wrong"]);
    for one in [&key, &other] {
        let took = until(one, |status| status == 200).await;
        assert!(took < Duration::from_secs(1), "{took:?}");
    }
    let answer = key.chat("hi").await;
    assert_eq!(answer.header("x-synaxis-quota"), "off");
    assert_eq!(count(&stack, "synaxis_limits_enforced").await, 0);

    stack.run(&["limits", "on", "--reason", "they are right"]);
    for one in [&key, &other] {
        let took = until(one, |status| status == 429).await;
        assert!(took < Duration::from_secs(1), "{took:?}");
    }
    let noted = "select count(*) from audit.audit_logs where action = 'limits.enforce'";
    assert_eq!(stack.number(noted).await, 2);
}

#[tokio::test]
async fn an_organization_may_switch_its_own_limits_off_and_providers_allowances_still_hold() {
    let allowance = "tier = \"free\"\n[[offers.allowances]]\nmeter = \"requests\"\namount = 3\nwindow = \"day\"";
    let stack = Setup::new().offer("gratis", allowance, "").start().await;
    let key = stack.key().with("rpm", 1).mint();
    let organization = stack.organization.clone();
    assert_eq!(key.chat("hi").await.status, 200);
    assert_eq!(key.chat("hi").await.status, 429);

    stack.run(&[
        "limits",
        "off",
        "--organization",
        &organization,
        "--reason",
        "a trial",
    ]);
    let took = until(&key, |status| status == 200).await;
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert_eq!(key.chat("hi").await.status, 200);

    let refused = key.chat("hi").await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (429, "rate_limit_exceeded"),
        "{}",
        refused.text
    );
    let shown = stack.json(&["limits", "show", "--organization", &organization, "--json"]);
    assert_eq!(shown["is_on"], false);
    assert_eq!(stack.json(&["limits", "show", "--json"])["is_on"], true);
}

#[tokio::test]
async fn a_limit_of_an_organizations_own_provider_key_holds_for_all_its_callers() {
    let stack = TestStack::start().await;
    let own = Provider::start("mine");
    let entry = own
        .entry("tier = \"free\"", "")
        .replace("\"swift\"", "\"solo\"");
    let path = stack.folder.path().join("own.toml");
    std::fs::write(&path, format!("[[models]]\nname = \"solo\"\n\n{entry}"))
        .expect("a catalog file");
    let path = path.to_str().expect("a path");
    stack.run(&[
        "catalog",
        "import",
        path,
        "--organization",
        &stack.organization,
    ]);
    let keys = [stack.key().mint(), stack.key().mint()];
    let mut body = crate::stack::people::chat("hi");
    body["model"] = json!("solo");
    eventually("the own provider is known", async || {
        keys[0].post("/chat/completions", &body).await.status == 200
    })
    .await;

    let mut books = stack.books().await;
    sqlx::query(
        "insert into operations.limits (id, organization_id, subject_kind, credential_id, meter, time_window, amount,
             enforcement)
         select gen_random_uuid(), k.organization_id, 'credential', k.id, 'output_tokens', 'hour', 300, 'hard'
         from platform.provider_credentials k where k.organization_id is not null",
    )
    .execute(&mut books)
    .await
    .expect("a limit");
    eventually("the limit is known", async || {
        keys[1].post("/chat/completions", &body).await.status == 429
    })
    .await;

    let refused = keys[0].post("/chat/completions", &body).await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (429, "rate_limit_exceeded")
    );
    assert_eq!(
        keys[0].chat("hi").await.status,
        200,
        "others' keys are not concerned"
    );
    let used = stack
        .number("select sum(output_tokens)::int8 from operations.usage_entries")
        .await;
    assert!(used <= 300 + 64, "{used}");
}

#[tokio::test]
async fn a_soft_limit_holds_what_answers_usually_are() {
    let stack = TestStack::start().await;
    let key = stack.key().with("tpm", 100_000).mint();
    let mut body = crate::stack::people::chat("hi");
    body["max_tokens"] = json!(2_000);

    let first = key.post("/chat/completions", &body).await;
    stack.booked(1).await;
    eventually("the first is settled", async || {
        99_900 < remaining(&key).await[0]
    })
    .await;
    let before = remaining(&key).await[0];
    let second = key.post("/chat/completions", &body).await;

    let left = |answer: &Answer| -> u64 {
        let left = answer.header("x-ratelimit-remaining-tokens");
        left.parse().expect("a number")
    };
    assert!(100_000 - left(&first) > 500, "{}", left(&first));
    assert!(before - left(&second) < 200, "{before} {}", left(&second));
}

#[tokio::test]
async fn what_a_stream_says_at_its_start_it_did_not_read_comes_back_before_its_end() {
    let stack = TestStack::start().await;
    let slow = Provider::start("claude");
    let entry = slow.entry(
        "tier = \"paid\"\nprice = { input = \"3\", output = \"15\" }",
        "",
    );
    let entry = entry.replace("dialect = \"openai\"", "dialect = \"anthropic\"");
    stack.import(&format!("[[models]]\nname = \"swift\"\n\n{entry}"));
    slow.fault("gap=150").await;
    let key = stack.key().with("budget-month-usd", "0.2").mint();
    let budget = 200_000_000;
    let body = json!({
        "model": "swift", "max_tokens": 64, "stream": true,
        "messages": [{"role": "user", "content": "word ".repeat(8_000)}],
    });
    eventually("the model is known", async || {
        key.post("/messages", &json!({"model": "swift", "max_tokens": 8, "messages": [{"role": "user", "content": "hi"}]}))
            .await
            .status
            == 200
    })
    .await;

    let streaming = Tasks::default().spawn("streaming", {
        let (key, body) = (key.clone(), body.clone());
        async move { key.post("/messages", &body).await }
    });
    // Bytes are held for tokens: 40 000 of them, and twelve cents.
    eventually("the bound is held", async || {
        remaining(&key).await[0] < budget - 110_000_000
    })
    .await;
    eventually("it came back", async || {
        budget - 60_000_000 < remaining(&key).await[0]
    })
    .await;

    assert!(!streaming.is_finished(), "the stream goes on");
    let answer = streaming.await.expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text);
}
