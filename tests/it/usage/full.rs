//! There is no room left to write calls down: none begins, none that began is lost, and all goes on when there is.

use std::{collections::HashSet, time::Duration};

use super::spool::small_disk;
use crate::stack::{Setup, TestStack, people::Key, within};

/// Calls until one is refused; returns how many were answered before.
async fn call_until_refused(key: &Key) -> usize {
    for answered in 0..20_000 {
        let answer = key.chat("hello").await;
        if answer.status != 200 {
            assert_eq!(answer.status, 503, "{}", answer.text);
            assert!(answer.text.contains("no_capacity"), "{}", answer.text);
            assert!(answer.headers.contains_key("retry-after"));
            return answered;
        }
    }
    panic!("the spool is never full");
}

/// Every call the provider saw is in the books once, and no other.
async fn books_agree(stack: &TestStack) {
    within(Duration::from_secs(20), async || {
        stack.entries().await.len() == stack.providers[0].calls()
    })
    .await;
    let booked: HashSet<String> = stack
        .entries()
        .await
        .into_iter()
        .map(|row| row.id)
        .collect();
    let seen: HashSet<String> = stack.providers[0]
        .log()
        .iter()
        .map(|call| call["request_id"].as_str().expect("an id").to_owned())
        .collect();
    assert_eq!(booked, seen);
    assert!(stack.proxy().metric("synaxis_usage_lost_total").await < f64::EPSILON);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spool_near_its_cap_refuses_calls_until_the_books_are_back() {
    let stack = Setup::new()
        .paid("dear", "10", "30")
        .setting("USAGE__CAP_BYTES", 600_000)
        .setting("USAGE__SEGMENT_BYTES", 65_536)
        .start()
        .await;
    let key = stack.key().with("budget-month-usd", 50).mint();
    assert_eq!(key.chat("hello").await.status, 200);
    stack.booked(1).await;

    stack.database.cut_off().await;
    let answered = call_until_refused(&key).await;
    let seen = stack.providers[0].calls();
    let ready = stack.proxy().get("/readyz").await.expect("an answer");
    stack.database.let_in().await;
    let waited = within(Duration::from_secs(20), async || {
        key.try_chat("hello").await == Some(200)
    })
    .await;

    figure!("{answered} calls fitted; served again {waited:?} after the books were back");
    assert!(100 < answered, "{answered}");
    assert_eq!(seen, answered + 1);
    assert_eq!(ready.0, 503, "{}", ready.1);
    assert!(ready.1.contains("spool"), "{}", ready.1);
    books_agree(&stack).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_refuses_calls_until_there_is_room() {
    let Some(disk) = small_disk::mount() else {
        return;
    };
    let folder = disk.folder().join("spool");
    let stack = Setup::new()
        .paid("dear", "10", "30")
        .setting("USAGE__SPOOL_DIR", folder.display())
        .start()
        .await;
    let key = stack.key().with("budget-month-usd", 50).mint();
    assert_eq!(key.chat("hello").await.status, 200);
    stack.booked(1).await;
    let block = disk.folder().join("block");
    stack.database.cut_off().await;
    disk.fill(&block);

    let answered = call_until_refused(&key).await;
    std::fs::remove_file(block).expect("room again");
    let waited = within(Duration::from_secs(20), async || {
        key.try_chat("hello").await == Some(200)
    })
    .await;
    stack.database.let_in().await;

    figure!("{answered} calls fitted; served again {waited:?} after there was room");
    books_agree(&stack).await;
}
