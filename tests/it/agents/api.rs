//! Agents, as the platform's own people see and run them.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    stack::{admin::Reply, eventually},
    tenancy::crew::{Crew, ask},
};

const AGENTS: &str = "/api/v1/platform/agents";
const RUNS: &str = "/api/v1/platform/agent-runs";

async fn crew() -> Crew {
    let crew = Crew::start().await;
    crew.crown(&crew.owner).await;
    crew
}

async fn get(crew: &Crew, path: &str) -> Reply {
    ask(&crew.admin, &crew.owner, Method::GET, path, &Value::Null).await
}

async fn patch(crew: &Crew, agent: &str, body: Value) -> Reply {
    let path = format!("{AGENTS}/{agent}");
    ask(&crew.admin, &crew.owner, Method::PATCH, &path, &body).await
}

async fn run_now(crew: &Crew, agent: &str) -> Reply {
    let path = format!("{AGENTS}/{agent}/run");
    ask(&crew.admin, &crew.owner, Method::POST, &path, &Value::Null).await
}

#[tokio::test]
async fn agents_are_seen_changed_and_run_by_the_platform_alone() {
    let crew = Crew::start().await;
    get(&crew, AGENTS).await.expect(403);
    patch(&crew, "maintenance", json!({"is_paused": true}))
        .await
        .expect(403);
    run_now(&crew, "maintenance").await.expect(403);
    get(&crew, RUNS).await.expect(403);
    crew.crown(&crew.owner).await;

    let listed = get(&crew, AGENTS).await.expect(200).json();

    let names: Vec<_> = listed["data"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| one["agent"].clone())
        .collect();
    let all = [
        "cost_optimization",
        "health_monitoring",
        "maintenance",
        "model_discovery",
        "security_audit",
    ];
    assert_eq!(names, all);
    assert_eq!(listed["data"][1]["cron"], "*/2 * * * *");
}

#[tokio::test]
async fn a_run_that_is_asked_for_begins_within_a_second_also_while_the_agent_is_paused() {
    let crew = crew().await;
    patch(&crew, "maintenance", json!({"is_paused": true}))
        .await
        .expect(200);

    let asked = run_now(&crew, "maintenance").await.expect(201);

    let path = asked.header("location").to_owned();
    let run = async || get(&crew, &path).await;
    eventually("it ended", async || {
        let run = run().await;
        run.status == 200 && run.json()["outcome"] == "succeeded"
    })
    .await;
    let run = run().await.json();
    assert_eq!(run["cause"], "person");
    assert_eq!(run["report"]["faults"], json!({"ledger": 0, "roll_ups": 0}));
    let shown = get(&crew, &format!("{AGENTS}/maintenance")).await.json();
    assert_eq!(shown["last_run"]["id"], run["id"]);
    assert_eq!(shown["next_at"], Value::Null);
    let listed = get(
        &crew,
        &format!("{RUNS}?agent=maintenance&outcome=succeeded"),
    )
    .await
    .json();
    assert_eq!(listed["data"][0]["id"], run["id"]);
    let metrics = crew.admin.metrics().await;
    assert!(
        metrics.contains("synaxis_agent_runs_total{agent=\"maintenance\",outcome=\"succeeded\"} 1")
    );
    assert_eq!(trail(&crew).await, ["agent.change", "agent.run"]);
}

#[tokio::test]
async fn a_schedule_is_changed_as_it_was_seen_and_only_to_times_that_come() {
    let crew = crew().await;
    let seen = get(&crew, &format!("{AGENTS}/maintenance"))
        .await
        .expect(200);

    for (body, field) in [
        (json!({"cron": "every hour"}), "cron"),
        (json!({"cron": "0 0 31 2 *"}), "cron"),
        (json!({"zone": "Mars/Olympus"}), "zone"),
        (json!({"deadline_s": 0}), "deadline_s"),
    ] {
        let refused = patch(&crew, "maintenance", body).await.expect(400);
        assert_eq!(
            refused.json()["errors"][0]["field"],
            field,
            "{}",
            refused.text
        );
    }
    patch(&crew, "poetry", json!({"is_paused": true}))
        .await
        .expect(404);
    run_now(&crew, "poetry").await.expect(404);
    let other = json!({"cron": "30 4 * * *", "zone": "Asia/Tokyo", "is_paused": false});
    let changed = patch(&crew, "maintenance", other).await.expect(200).json();
    let next = changed["next_at"].as_str().expect("a moment");
    assert!(next.contains("T19:30:00"), "{next}");

    let path = format!("{AGENTS}/maintenance");
    let stale = crew
        .admin
        .request(Method::PATCH, &path)
        .token(&crew.owner.access_token);
    let stale = stale
        .header("if-match", seen.header("etag"))
        .json(&json!({"is_paused": true}));
    stale.send().await.expect(412);
}

async fn trail(crew: &Crew) -> Vec<String> {
    let mut books = crew.admin.database.connect().await;
    sqlx::query_scalar("select action from audit.audit_logs where organization_id is null and target_kind = 'agent' order by seq")
        .fetch_all(&mut books)
        .await
        .expect("a trail")
}
