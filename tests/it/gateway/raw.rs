//! Bodies and conversations that stream through unread, under the same key, limits and booking.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::stack::{Setup, TestStack, people::Key};

/// A provider that keeps the bytes it is sent, answers uploads and echoes conversations.
struct Upstream {
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Upstream {
    async fn start() -> (TestStack, Self) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let seen: Arc<Mutex<Vec<u8>>> = Arc::default();
        let kept = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = Arc::clone(&kept);
                std::thread::spawn(move || serve(stream, &kept));
            }
        });
        let entry = format!(
            "[[providers]]\nname = \"raw\"\ndialect = \"openai\"\nbase_url = \"http://{address}/v1\"\n\
             credential = \"sk-raw-0123456789\"\n\n\
             [[offers]]\nprovider = \"raw\"\nmodel = \"swift\"\nupstream_name = \"swift-raw\"\ntier = \"free\"\n\n"
        );
        let stack = Setup::new()
            .aliases(&entry)
            .setting("PROXY__BODY_LIMIT_BYTES", 100_000)
            .start()
            .await;
        (stack, Self { seen })
    }

    fn text(&self) -> String {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&seen).into_owned()
    }
}

fn serve(mut stream: TcpStream, kept: &Mutex<Vec<u8>>) {
    let mut all = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let Ok(read @ 1..) = stream.read(&mut piece) else {
            return;
        };
        all.extend_from_slice(&piece[..read]);
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend_from_slice(&piece[..read]);
        drop(kept);
        let text = String::from_utf8_lossy(&all).to_lowercase();
        if text.contains("upgrade: websocket") && text.ends_with("\r\n\r\n") {
            let head = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\nhello";
            let _gone = stream.write_all(head.as_bytes());
        } else if text.ends_with("--x--\r\n") || text.ends_with("--x--\r\n\r\n0\r\n\r\n") {
            let body = r#"{"text":"hi","usage":{"input_tokens":7,"output_tokens":3}}"#;
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length:";
            let _gone = write!(stream, "{head} {}\r\n\r\n{body}", body.len());
            return;
        }
    }
}

/// How long an answer may take on a machine that has much to do.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long nothing may come after a whole answer before nothing is taken to come any more.
const SILENCE: Duration = Duration::from_secs(1);

/// Sends bytes and returns what comes back until the connection closes or, after a whole answer, stays silent.
fn talk(stack: &TestStack, pieces: &[&[u8]]) -> String {
    let mut stream = TcpStream::connect(&stack.proxy().address).expect("a connection");
    for piece in pieces {
        let _may_be_cut = stream.write_all(piece);
    }
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let patience = if is_whole(&answer) { SILENCE } else { PATIENCE };
        stream.set_read_timeout(Some(patience)).expect("a timeout");
        let Ok(read @ 1..) = stream.read(&mut piece) else {
            return String::from_utf8_lossy(&answer).into_owned();
        };
        answer.extend_from_slice(&piece[..read]);
    }
}

/// Says whether an answer has its body, a conversation its first word.
fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    if head.starts_with("http/1.1 101") {
        return !body.is_empty();
    }
    let mut lines = head.lines();
    let length = lines.find_map(|line| line.strip_prefix("content-length:"));
    length.is_some_and(|length| length.trim().parse() == Ok(body.len()))
}

fn head(key: &Key, framing: &str) -> String {
    format!(
        "POST /v1/audio/transcriptions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\n\
         content-type: multipart/form-data; boundary=x\r\n{framing}\r\n\r\n",
        key.text
    )
}

fn part(name: &str, value: &str) -> String {
    format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
}

#[tokio::test]
async fn an_upload_reaches_its_provider_under_the_providers_own_names_and_is_booked() {
    let (stack, upstream) = Upstream::start().await;
    let key = stack.key().mint();
    let body = format!("{}{}--x--\r\n", part("model", "swift"), part("file", "la"));
    let head = head(&key, &format!("content-length: {}", body.len()));

    let answer = talk(&stack, &[head.as_bytes(), body.as_bytes()]);

    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let seen = upstream.text();
    assert!(seen.contains("\r\n\r\nswift-raw\r\n"), "{seen}");
    assert!(seen.contains("Bearer sk-raw-") && !seen.contains(&key.text));
    let rows = stack.booked(1).await;
    assert_eq!((rows[0].input, rows[0].output), (7, 3));
    assert_eq!(rows[0].finish, "complete");
}

#[tokio::test]
async fn a_client_that_waits_before_it_uploads_is_told_to_go_on() {
    let (stack, _upstream) = Upstream::start().await;
    let key = stack.key().mint();
    let body = format!("{}--x--\r\n", part("model", "swift"));
    let framing = format!("expect: 100-continue\r\ncontent-length: {}", body.len());
    let mut stream = TcpStream::connect(&stack.proxy().address).expect("a connection");
    let patience = Some(Duration::from_secs(2));
    stream.set_read_timeout(patience).expect("a timeout");

    stream
        .write_all(head(&key, &framing).as_bytes())
        .expect("to write");
    let mut told = [0; 25];
    stream.read_exact(&mut told).expect("to be told");
    stream.write_all(body.as_bytes()).expect("to write");
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).expect("an answer");

    assert_eq!(&told, b"HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(&answer, b"HTTP/1.1 200");
}

#[tokio::test]
async fn an_upload_that_grows_beyond_the_limit_is_broken_off() {
    let (stack, upstream) = Upstream::start().await;
    let key = stack.key().mint();
    let first = part("model", "swift");
    let mut chunks = format!("{:x}\r\n{first}\r\n", first.len());
    for _ in 0..30 {
        chunks.push_str(&format!("{:x}\r\n{}\r\n", 10_000, "y".repeat(10_000)));
    }
    let head = head(&key, "transfer-encoding: chunked");

    let answer = talk(&stack, &[head.as_bytes(), chunks.as_bytes()]);

    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(upstream.text().len() < 120_000);
    assert_eq!(stack.booked(1).await[0].status, 413);
}

#[tokio::test]
async fn an_upload_names_one_model_and_none_within_its_words() {
    let (stack, upstream) = Upstream::start().await;
    let key = stack.key().mint();
    let hidden = format!("\r\n{}", &part("model", "swift")[5..]);
    let twice = part("model", "swift") + &part("model", "dear");
    let within = part("prompt", &hidden) + &part("model", "dear");
    let late = part("model", "swift") + &part("file", &"y".repeat(70_000)) + &part("model", "dear");

    for (what, parts) in [("twice", twice), ("within", within), ("late", late)] {
        let body = parts + "--x--\r\n";
        let head = head(&key, &format!("content-length: {}", body.len()));
        let answer = talk(&stack, &[head.as_bytes(), body.as_bytes()]);
        let status = answer.get(9..12).unwrap_or_default();
        assert!(["400", "404"].contains(&status), "{what}: {answer}");
    }
    assert!(!upstream.text().contains("dear"), "{}", upstream.text());
}

#[tokio::test]
async fn a_conversation_passes_under_the_providers_own_names_and_is_booked() {
    let (stack, upstream) = Upstream::start().await;
    let key = stack.key().mint();
    let head = |query: &str| {
        format!(
            "GET /v1/realtime?{query} HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             sec-websocket-protocol: realtime, openai-insecure-api-key.{}\r\n\r\n",
            key.text
        )
    };

    let passed = talk(&stack, &[head("supermodel=swift&model=swift").as_bytes()]);
    let twice = talk(&stack, &[head("model=swift&mod%65l=dear").as_bytes()]);

    assert!(passed.starts_with("HTTP/1.1 101"), "{passed}");
    assert!(passed.ends_with("hello"), "{passed}");
    assert!(twice.starts_with("HTTP/1.1 400"), "{twice}");
    let seen = upstream.text();
    assert!(
        seen.starts_with("GET /v1/realtime?supermodel=swift&model=swift-raw HTTP/1.1"),
        "{seen}"
    );
    assert!(!seen.contains(&key.text), "{seen}");
    assert_eq!(stack.booked(1).await[0].finish, "complete");
}
