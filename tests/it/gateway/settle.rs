//! How calls end: holds given back, entries booked once, streams drained.

use std::time::Duration;

use futures::future::join_all;

use crate::stack::{TestStack, within};

#[tokio::test]
async fn no_hold_stays_open_after_its_call() {
    let stack = TestStack::start().await;
    let key = stack
        .key()
        .with("rpm", 1_000)
        .with("concurrent", 50)
        .with("budget-month-usd", 5)
        .mint();

    let answers = join_all((0..30).map(|call| {
        let key = key.clone();
        async move {
            if call % 2 == 0 {
                key.chat("hi").await
            } else {
                key.stream("hi").await
            }
        }
    }))
    .await;

    assert!(answers.iter().all(|answer| answer.status == 200));
    stack.booked(30).await;
    within(Duration::from_secs(5), async || {
        stack.proxy().metric("synaxis_holds_open").await.abs() < f64::EPSILON
    })
    .await;
    let own = key.get("/key").await.json();
    let limits = own["limits"].as_array().expect("limits");
    let concurrent = limits
        .iter()
        .find(|limit| limit["meter"] == "concurrent")
        .expect("the limit");
    assert_eq!(concurrent["remaining"], 50);
}

#[tokio::test]
async fn the_roll_up_equals_the_entries() {
    let stack = TestStack::start().await;
    let key = stack.key().mint();

    join_all((0..12).map(|_| key.chat("hi"))).await;
    stack.booked(12).await;

    let entries = stack
        .number("select sum(input_tokens + output_tokens)::int8 from operations.usage_entries")
        .await;
    let rolled = stack
        .number("select sum(input_tokens + output_tokens)::int8 from operations.usage_hourly")
        .await;
    assert_eq!(entries, rolled);
}

#[tokio::test]
async fn what_a_caller_attaches_is_on_the_entry() {
    let stack = TestStack::start().await;
    let key = stack.key().mint();
    let mut body = crate::stack::people::chat("hello");
    body["user"] = "u-7".into();

    key.post("/chat/completions", &body).await;
    stack.booked(1).await;

    let users = stack
        .number("select count(*) from operations.usage_entries where tags ->> 'user' = 'u-7' and requested_model = 'swift'")
        .await;
    assert_eq!(users, 1);
}
