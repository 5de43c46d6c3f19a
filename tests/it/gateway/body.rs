//! Bodies: large, cut, slow, wrong.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::stack::{Setup, TestStack, people::chat};

#[tokio::test]
async fn a_body_of_twenty_mebibytes_arrives_byte_for_byte() {
    let stack = TestStack::start().await;
    let key = stack.key().mint();
    let words = "x".repeat(20 * 1024 * 1024);
    let before = stack.proxy().resident_kb();

    let answer = key.chat(&words).await;

    assert_eq!(answer.status, 200, "{}", answer.text);
    let seen = stack.provider("gratis").wait_for_end(1).await;
    assert!(4_000_000 < seen[0]["input_tokens"].as_i64().expect("a number"));
    let grown = stack.proxy().resident_kb().saturating_sub(before);
    assert!(grown < 200_000, "{grown} KB");
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_without_being_read() {
    let stack = Setup::new()
        .free("gratis")
        .setting("PROXY__BODY_LIMIT_BYTES", 4096)
        .start()
        .await;
    let key = stack.key().mint();

    let answer = key.chat(&"x".repeat(8192)).await;

    assert_eq!(
        (answer.status, answer.code().as_str()),
        (413, "request_too_large")
    );
}

#[tokio::test]
async fn a_body_cut_in_half_is_refused_and_nothing_goes_upstream() {
    let stack = TestStack::start().await;
    let key = stack.key().mint();
    let mut stream = TcpStream::connect(&stack.proxy().address)
        .await
        .expect("a connection");

    let head = request_head(&key.text, 1_000);
    stream.write_all(head.as_bytes()).await.expect("to write");
    stream
        .write_all(br#"{"model":"swift","mess"#)
        .await
        .expect("to write");
    stream.shutdown().await.expect("to shut down");
    let mut answer = String::new();
    let _cut = stream.read_to_string(&mut answer).await;

    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 400"),
        "{answer}"
    );
    assert_eq!(stack.provider("gratis").calls(), 0);
    assert_eq!(key.chat("hello").await.status, 200);
}

#[tokio::test]
async fn a_body_that_drips_is_cut_at_its_deadline_while_others_are_served() {
    let stack = Setup::new()
        .free("gratis")
        .setting("PROXY__BODY_DEADLINE_S", 1)
        .setting("PROXY__BODY_MIN_BYTES_PER_S", 1024)
        .start()
        .await;
    let key = stack.key().mint();
    let mut stream = TcpStream::connect(&stack.proxy().address)
        .await
        .expect("a connection");
    let began = Instant::now();

    stream
        .write_all(request_head(&key.text, 1_000).as_bytes())
        .await
        .expect("to write");
    let mut answer = Vec::new();
    loop {
        let _may_be_cut = stream.write_all(b" ").await;
        let read =
            tokio::time::timeout(Duration::from_millis(200), stream.read_buf(&mut answer)).await;
        if matches!(read, Ok(Ok(0) | Err(_))) || !answer.is_empty() {
            break;
        }
        assert!(
            began.elapsed() < Duration::from_secs(4),
            "it drips for ever"
        );
    }

    assert!(String::from_utf8_lossy(&answer).starts_with("HTTP/1.1 408"));
    assert_eq!(key.chat("hello").await.status, 200);
}

#[tokio::test]
async fn what_is_no_proper_request_is_told_what_to_mend() {
    let stack = TestStack::start().await;
    let key = stack.key().mint();

    for (body, code, param) in [
        (
            json!({"messages": [{"role": "user", "content": "x"}]}),
            "missing_required_field",
            "model",
        ),
        (
            json!({"model": "swift", "messages": []}),
            "invalid_value",
            "messages",
        ),
        (
            json!({"model": "swift", "messages": [{"role": "user", "content": "x"}], "n": 0}),
            "invalid_value",
            "n",
        ),
        (
            json!({"model": 7, "messages": [{"role": "user", "content": "x"}]}),
            "invalid_value",
            "model",
        ),
    ] {
        let answer = key.post("/chat/completions", &body).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (400, code),
            "{}",
            answer.text
        );
        assert_eq!(answer.json()["error"]["param"], param);
    }
    assert_eq!(stack.provider("gratis").calls(), 0);
    assert_eq!(
        key.post("/chat/completions", &chat("hello")).await.status,
        200
    );
}

fn request_head(key: &str, length: usize) -> String {
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    )
}

#[tokio::test]
async fn a_caller_in_the_middle_of_a_huge_upload_hears_why_it_was_refused() {
    let stack = TestStack::start().await;
    let key = stack.key().mint();

    for _ in 0..5 {
        let answer = key.chat(&"x".repeat(40 * 1024 * 1024)).await;
        assert_eq!(answer.code(), "request_too_large");
    }
}
