//! What a proxy held for a call is in the ledger, can be given back, and the sidecar tells when it does not add up.

use reqwest::Method;
use serde_json::json;
use sqlx::AssertSqlSafe;

use crate::{
    identity::people::{newcomer, tell},
    stack::{Setup, TestStack, admin::TestAdmin, eventually},
};

/// The sum of one account's postings.
async fn posted(stack: &TestStack, account: &str) -> i64 {
    let mut books = stack.books().await;
    let sum = format!("select sum({account}_nano_usd)::bigint from operations.ledger_postings");
    sqlx::query_scalar(AssertSqlSafe(sum))
        .fetch_one(&mut books)
        .await
        .expect("a sum")
}

#[tokio::test]
async fn what_a_spend_limit_held_for_a_call_is_reserved_and_mostly_released() {
    let stack = Setup::new().paid("dear", "10", "30").start().await;
    let limited = stack.key().with("budget-month-usd", 5).mint();
    let unlimited = stack.key().mint();

    limited.chat("hi").await;
    unlimited.chat("hi").await;
    let booked = stack.booked(2).await;

    let cost: i64 = booked.iter().map(|call| call.cost).sum();
    let (settled, released) = (
        posted(&stack, "settled").await,
        posted(&stack, "released").await,
    );
    assert_eq!(settled, cost);
    assert_eq!(posted(&stack, "open").await, 0);
    assert_eq!(-posted(&stack, "reserved").await, settled + released);
    let mut books = stack.books().await;
    let held: Vec<i64> = sqlx::query_scalar(
        "select -reserved_nano_usd from operations.ledger_postings order by request_id",
    )
    .fetch_all(&mut books)
    .await
    .expect("the postings");
    // The longest answer there could be, at thirty dollars a million.
    assert!(64 * 30_000 < held[0], "{held:?}");
    assert!(held[1] < held[0], "{held:?}");
}

#[tokio::test]
async fn who_runs_the_platform_gives_a_call_back_and_nobody_else_does() {
    let stack = Setup::new().paid("dear", "10", "30").start().await;
    let key = stack.key().mint();
    key.chat("hi").await;
    let booked = stack.booked(1).await;
    let (id, cost) = (&booked[0].id, booked[0].cost);
    let admin = TestAdmin::beside(&stack).await;
    let pat = newcomer(&admin, "pat@example.com").await;
    let organization = &stack.organization;
    let path = |id: &str| format!("/api/v1/platform/tenants/{organization}/requests/{id}/refund");
    let give = async |id: &str, body| tell(&admin, &pat, Method::POST, &path(id), &body).await;
    let part = json!({"amount_nano_usd": cost / 4, "reason": "the answer was empty"});

    give(id, part.clone()).await.expect(403);
    let mut books = stack.books().await;
    sqlx::raw_sql("update identity.users set is_platform_admin = true")
        .execute(&mut books)
        .await
        .expect("a platform admin");
    let given = give(id, part).await.expect(200).json();
    let too_much = give(id, json!({"amount_nano_usd": cost, "reason": "r"})).await;
    let rest = give(id, json!({"reason": "r"})).await.expect(200).json();
    let nothing = give(id, json!({"reason": "r"})).await;
    let unknown = give(
        "019aa0f0-0000-7000-8000-00000000dead",
        json!({"reason": "r"}),
    )
    .await;

    assert_eq!(
        given,
        json!({"request_id": id, "given_nano_usd": cost / 4, "refunded_nano_usd": cost / 4,
            "remaining_nano_usd": cost - cost / 4})
    );
    assert_eq!(
        (
            rest["refunded_nano_usd"].as_i64(),
            rest["remaining_nano_usd"].as_i64()
        ),
        (Some(cost), Some(0))
    );
    assert_eq!(
        (too_much.status, too_much.code().as_str()),
        (422, "refund_too_large")
    );
    assert_eq!(nothing.status, 422);
    assert_eq!(unknown.status, 404);
    assert_eq!(posted(&stack, "settled").await, 0);
    assert_eq!(posted(&stack, "upstream_cost").await, cost);
    let noted = stack
        .number("select count(*) from audit.audit_logs where action = 'request.refund' and details ->> 'reason' is not null")
        .await;
    assert_eq!(noted, 2);
}

#[tokio::test]
async fn a_ledger_that_does_not_add_up_is_a_metric() {
    let stack = TestStack::start().await;
    let key = stack.key().mint();
    key.chat("hi").await;
    stack.booked(1).await;
    let mut books = stack.books().await;
    sqlx::raw_sql("delete from operations.ledger_postings")
        .execute(&mut books)
        .await
        .expect("a posting less");

    let admin = TestAdmin::beside(&stack).await;

    eventually("the fault is told", async || {
        admin.metrics().await.contains("synaxis_ledger_faults 1")
    })
    .await;
}
