//! Connections of the sidecar: bounded in number, in the size of a head, and in time.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::stack::admin::TestAdmin;

async fn answer(mut stream: TcpStream) -> String {
    let mut text = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut text));
    // A reset is an end too.
    let _ended = read.await.expect("an end in time");
    String::from_utf8_lossy(&text).into_owned()
}

async fn say(admin: &TestAdmin, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(&admin.address)
        .await
        .expect("a connection");
    // The sidecar may have heard enough before all of it is said.
    let _cut = stream.write_all(text.as_bytes()).await;
    stream
}

#[tokio::test]
async fn a_head_that_does_not_end_is_cut_at_its_deadline() {
    let admin = TestAdmin::start_with(&[("ADMIN__HEADER_DEADLINE_S", "1")]).await;
    let began = Instant::now();

    let stream = say(&admin, "GET /livez HTTP/1.1\r\nhost: x\r\nx-slow: ").await;
    let said = answer(stream).await;

    assert!(!said.starts_with("HTTP/1.1 200"), "{said}");
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(admin.get("/livez").await.status, 200);
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let admin = TestAdmin::start().await;
    let large = "x".repeat(80_000);
    let many: String = (0..80).map(|number| format!("x-{number}: y\r\n")).collect();

    for headers in [format!("x-large: {large}\r\n"), many] {
        let head = format!("GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n");
        let said = answer(say(&admin, &head).await).await;
        assert!(!said.starts_with("HTTP/1.1 200"), "{said}");
    }
    assert_eq!(admin.get("/livez").await.status, 200);
}

#[tokio::test]
async fn one_address_has_so_many_connections_and_no_more() {
    let limit = ("ADMIN__MAX_CONNECTIONS_PER_ADDRESS", "3");
    let admin = TestAdmin::start_with(&[limit, ("ADMIN__HEADER_DEADLINE_S", "2")]).await;
    let idle = [
        say(&admin, "").await,
        say(&admin, "").await,
        say(&admin, "").await,
    ];
    tokio::time::sleep(Duration::from_millis(200)).await;

    let refused = TcpStream::connect(&admin.address).await.expect("a backlog");
    assert_eq!(answer(refused).await, "");

    drop(idle);
    crate::stack::eventually("the places are free again", async || {
        let head = "GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        answer(say(&admin, head).await)
            .await
            .starts_with("HTTP/1.1 200")
    })
    .await;
}
