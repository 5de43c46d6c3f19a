//! Bytes that two servers could read differently, and connections that only sit there.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::stack::{Setup, TestStack};

/// Sends bytes and returns what comes back until the connection closes or stays silent.
async fn probe(address: &str, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(bytes).await.expect("to write");
    let mut answer = Vec::new();
    let silence = Duration::from_millis(700);
    while let Ok(Ok(read)) = tokio::time::timeout(silence, stream.read_buf(&mut answer)).await {
        if read == 0 {
            break;
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table of probes reads best whole")]
async fn ambiguous_requests_are_refused_and_nothing_of_them_goes_upstream() {
    let stack = TestStack::start().await;
    let key = stack.key().mint().text;
    let body = r#"{"model":"swift","messages":[{"role":"user","content":"hi"}]}"#;
    let length = body.len();
    let line = "POST /v1/chat/completions HTTP/1.1\r\n";
    let auth = format!("authorization: Bearer {key}\r\n");
    let probes = [
        (
            "no host",
            format!("{line}{auth}content-length: {length}\r\n\r\n{body}"),
        ),
        (
            "two hosts",
            format!("{line}host: a\r\nhost: b\r\n{auth}content-length: {length}\r\n\r\n{body}"),
        ),
        (
            "two lengths",
            format!(
                "{line}host: a\r\n{auth}content-length: {length}\r\ncontent-length: {length}\r\n\r\n{body}"
            ),
        ),
        (
            "a list of lengths",
            format!("{line}host: a\r\n{auth}content-length: {length}, {length}\r\n\r\n{body}"),
        ),
        (
            "a length and a coding",
            format!(
                "{line}host: a\r\n{auth}content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /v1/models HTTP/1.1\r\nhost: a\r\n{auth}\r\n"
            ),
        ),
        (
            "another coding",
            format!("{line}host: a\r\n{auth}transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        ),
        (
            "bare line feeds",
            format!(
                "POST /v1/chat/completions HTTP/1.1\nhost: a\n{}content-length: {length}\n\n{body}",
                auth.replace("\r\n", "\n")
            ),
        ),
        (
            "an underscore",
            format!("{line}host: a\r\nx_org_id: 1\r\n{auth}content-length: {length}\r\n\r\n{body}"),
        ),
        (
            "dots",
            format!(
                "POST /v1/../v1/chat/completions HTTP/1.1\r\nhost: a\r\n{auth}content-length: {length}\r\n\r\n{body}"
            ),
        ),
        (
            "two slashes",
            format!(
                "POST //v1/chat/completions HTTP/1.1\r\nhost: a\r\n{auth}content-length: {length}\r\n\r\n{body}"
            ),
        ),
        (
            "an escaped slash",
            format!(
                "POST /v1%2fchat/completions HTTP/1.1\r\nhost: a\r\n{auth}content-length: {length}\r\n\r\n{body}"
            ),
        ),
        (
            "another expectation",
            format!(
                "{line}host: a\r\nexpect: 200-ok\r\n{auth}content-length: {length}\r\n\r\n{body}"
            ),
        ),
        (
            "another protocol",
            format!(
                "{line}host: a\r\nupgrade: foo\r\nconnection: upgrade\r\n{auth}content-length: {length}\r\n\r\n{body}"
            ),
        ),
        (
            "a coded body",
            format!(
                "{line}host: a\r\ncontent-encoding: gzip\r\n{auth}content-length: {length}\r\n\r\n{body}"
            ),
        ),
    ];

    for (what, bytes) in probes {
        let answer = probe(&stack.proxy().address, bytes.as_bytes()).await;
        let status = answer.get(9..12).unwrap_or_default().to_owned();
        assert!(
            ["400", "404", "415"].contains(&status.as_str()),
            "{what}: {answer}"
        );
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{what}: {answer}");
    }
    assert_eq!(stack.provider("gratis").calls(), 0);
}

#[tokio::test]
async fn a_client_that_waits_to_be_told_to_go_on_is_told() {
    let stack = TestStack::start().await;
    let key = stack.key().mint().text;
    let body = r#"{"model":"swift","messages":[{"role":"user","content":"hi"}]}"#;
    let mut stream = TcpStream::connect(&stack.proxy().address)
        .await
        .expect("a connection");
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\nauthorization: Bearer {key}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );

    stream.write_all(head.as_bytes()).await.expect("to write");
    let mut seen = vec![0; 25];
    stream
        .read_exact(&mut seen)
        .await
        .expect("an interim answer");
    assert!(
        seen.starts_with(b"HTTP/1.1 100"),
        "{}",
        String::from_utf8_lossy(&seen)
    );
    stream.write_all(body.as_bytes()).await.expect("to write");
    let mut answer = Vec::new();
    stream.read_buf(&mut answer).await.expect("an answer");

    assert!(
        answer.starts_with(b"HTTP/1.1 200"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
}

#[tokio::test]
async fn one_header_byte_per_second_is_cut_at_the_deadline_and_large_headers_at_their_bound() {
    let stack = Setup::new()
        .free("gratis")
        .setting("PROXY__HEADER_DEADLINE_S", 2)
        .start()
        .await;
    let key = stack.key().mint();
    let mut dripping = TcpStream::connect(&stack.proxy().address)
        .await
        .expect("a connection");
    let began = Instant::now();

    let head = b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\n";
    let mut end = Vec::new();
    for byte in head.iter().cycle() {
        let _may_be_cut = dripping.write_all(&[*byte]).await;
        let read = tokio::time::timeout(Duration::from_secs(1), dripping.read_buf(&mut end)).await;
        if matches!(read, Ok(Ok(0) | Err(_))) {
            break;
        }
        assert!(
            began.elapsed() < Duration::from_secs(8),
            "it drips for ever"
        );
    }
    assert!(Duration::from_secs(1) < began.elapsed());

    let huge = format!(
        "GET /v1/models HTTP/1.1\r\nhost: a\r\nx-filler: {}\r\n\r\n",
        "x".repeat(200_000)
    );
    let answer = probe(&stack.proxy().address, huge.as_bytes()).await;
    assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(key.chat("hello").await.status, 200);
}

#[tokio::test]
async fn ten_thousand_idle_connections_cost_little_and_hurt_nobody() {
    let stack = Setup::new()
        .free("gratis")
        .setting("PROXY__MAX_CONNECTIONS", 20_000)
        .setting("PROXY__MAX_CONNECTIONS_PER_ADDRESS", 11_000)
        .start()
        .await;
    let key = stack.key().mint();
    assert_eq!(key.chat("hello").await.status, 200);
    let before = stack.proxy().resident_kb();

    let mut idle = Vec::new();
    for _ in 0..10_000 {
        match TcpStream::connect(&stack.proxy().address).await {
            Ok(stream) => idle.push(stream),
            // The test's own descriptors are spent: what stands is what is measured.
            Err(_) => break,
        }
    }

    let began = Instant::now();
    assert_eq!(key.chat("hello").await.status, 200);
    assert!(began.elapsed() < Duration::from_secs(2));
    let grown = stack.proxy().resident_kb().saturating_sub(before);
    let count = u64::try_from(idle.len()).expect("a count");
    assert!(8_000 < count, "only {count} connections could be opened");
    assert!(grown < count * 8, "{grown} KB for {count} connections");
}

#[tokio::test]
async fn no_address_takes_more_connections_than_it_may() {
    let stack = Setup::new()
        .free("gratis")
        .setting("PROXY__MAX_CONNECTIONS_PER_ADDRESS", 5)
        .start()
        .await;
    let mut streams = Vec::new();
    for _ in 0..5 {
        streams.push(
            TcpStream::connect(&stack.proxy().address)
                .await
                .expect("a connection"),
        );
    }
    tokio::time::sleep(Duration::from_millis(100)).await;

    let mut sixth = TcpStream::connect(&stack.proxy().address)
        .await
        .expect("a connection");
    let mut end = Vec::new();

    let closed = tokio::time::timeout(Duration::from_secs(2), sixth.read_buf(&mut end)).await;
    assert!(matches!(closed, Ok(Ok(0) | Err(_))), "{closed:?}");
}

#[tokio::test]
async fn the_proxy_protocol_of_a_trusted_balancer_tells_the_true_address() {
    let stack = Setup::new()
        .free("gratis")
        .setting("PROXY__TRUSTED_PROXIES", "127.0.0.1/32")
        .setting("PROXY__PROXY_PROTOCOL", "true")
        .start()
        .await;
    let key = stack.key().with("cidrs", "203.0.113.0/24").mint().text;
    let request =
        format!("GET /v1/models HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {key}\r\n\r\n");

    let inside = format!("PROXY TCP4 203.0.113.7 127.0.0.1 1234 80\r\n{request}");
    let outside = format!("PROXY TCP4 198.51.100.7 127.0.0.1 1234 80\r\n{request}");

    assert!(
        probe(&stack.proxy().address, inside.as_bytes())
            .await
            .starts_with("HTTP/1.1 200")
    );
    assert!(
        probe(&stack.proxy().address, outside.as_bytes())
            .await
            .starts_with("HTTP/1.1 403")
    );
}
