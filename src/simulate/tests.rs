//! A provider on a port of its own, asked as a proxy would ask it.

use std::{net::TcpListener, sync::Arc, time::Duration};

use bytes::Bytes;
use reqwest::{Client, Response};
use serde_json::{Value, json};
use tokio::{sync::oneshot, task::JoinHandle};

use super::{Provider, Settings, serve_provider};
use crate::{
    base::{Secret, Usage, tasks::Tasks},
    dialect::{Dialect, Endpoint, Seen, StreamReader, usage_of, whole},
};

/// A provider that serves, and stops when this is dropped.
struct Served {
    provider: Arc<Provider>,
    url: String,
    log: tempfile::NamedTempFile,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<std::io::Result<()>>,
}

impl Served {
    fn start(settings: Settings) -> Self {
        let log = tempfile::NamedTempFile::new().unwrap();
        let settings = Settings {
            log: Some(log.path().to_owned()),
            ..settings
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let provider = Arc::new(Provider::new(settings).unwrap());
        let (stop, stopped) = oneshot::channel();
        let serving = serve_provider(listener, Arc::clone(&provider), async {
            let _ = stopped.await;
        });
        let serving = Tasks::default().spawn("simulate", serving);
        Self {
            provider,
            url,
            log,
            stop,
            serving,
        }
    }

    fn with_fault(fault: &str) -> Self {
        Self::start(Settings {
            fault: fault.parse().unwrap(),
            ..Settings::default()
        })
    }

    async fn ask(&self, path: &str, body: &Value) -> reqwest::Result<Response> {
        let call = client().post(format!("{}/v1/{path}", self.url));
        call.header("authorization", "Bearer sk-0123456789abcdef")
            .header("x-request-id", "r-1")
            .timeout(Duration::from_secs(5))
            .body(body.to_string())
            .send()
            .await
    }

    async fn chat(&self, is_stream: bool) -> reqwest::Result<Response> {
        self.ask("chat/completions", &chat(is_stream)).await
    }

    /// Waits for the line of the one call that was made.
    async fn line(&self) -> Value {
        for _ in 0..500 {
            let text = std::fs::read_to_string(self.log.path()).unwrap();
            if let Some(line) = text.lines().next() {
                return serde_json::from_str(line).unwrap();
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        panic!("no line was written");
    }
}

/// The client's TLS wants a provider of cryptography, used or not.
fn client() -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::new()
}

fn chat(is_stream: bool) -> Value {
    json!({
        "model": "m", "stream": is_stream, "stream_options": {"include_usage": is_stream}, "max_tokens": 6,
        "messages": [{"role": "user", "content": "hello"}],
    })
}

fn seen(dialect: Dialect, endpoint: Endpoint, bytes: Bytes) -> Seen {
    let mut reader = StreamReader::new(dialect, endpoint, false);
    let mut out = Vec::new();
    reader.feed(bytes, &mut out);
    reader.finish(&mut out);
    reader.seen().clone()
}

fn tokens(usage: Usage) -> (u64, u64) {
    (usage.input.0, usage.output.0)
}

/// Asks for six tokens, whole or in a stream, in the words of the endpoint.
fn six_tokens(endpoint: Endpoint, is_stream: bool) -> Value {
    let mut body = json!({"model": "m", "stream": is_stream, "max_tokens": 6});
    match endpoint {
        Endpoint::Completions => body["prompt"] = json!("hello"),
        Endpoint::Responses => {
            body["input"] = json!("hello");
            body["max_output_tokens"] = json!(6);
        }
        _ => body["messages"] = json!([{"role": "user", "content": "hello"}]),
    }
    if endpoint.has_stream_options() {
        body["stream_options"] = json!({"include_usage": is_stream});
    }
    body
}

#[tokio::test]
async fn every_endpoint_says_the_same_whole_and_in_a_stream_and_the_log_agrees() {
    for path in ["chat/completions", "completions", "responses", "messages"] {
        let endpoint = Endpoint::of(path);
        let dialect = endpoint.dialect();
        let served = Served::start(Settings::default());
        let whole = served
            .ask(path, &six_tokens(endpoint, false))
            .await
            .unwrap();
        let whole = whole.bytes().await.unwrap();
        let line = served.line().await;
        let usage = usage_of(dialect, endpoint, &whole).expect(path);

        let stream = served.ask(path, &six_tokens(endpoint, true)).await.unwrap();
        let seen = seen(dialect, endpoint, stream.bytes().await.unwrap());

        assert_eq!(tokens(usage).1, 6, "{path}");
        assert_eq!(seen.usage.map(tokens), Some(tokens(usage)), "{path}");
        assert!(
            seen.is_done && seen.has_content && seen.error.is_none(),
            "{path}"
        );
        assert_eq!(line["input_tokens"], usage.input.0);
        assert_eq!(
            (&line["end"], &line["output_tokens"]),
            (&json!("complete"), &json!(6))
        );
        assert_eq!(
            (&line["request_id"], &line["credential"]),
            (&json!("r-1"), &json!("sk-0…cdef"))
        );
    }
}

#[tokio::test]
async fn what_breaks_a_call_off_is_told_in_the_log() {
    for (fault, is_stream, status, end, output_tokens) in [
        ("reset", false, 0, "reset", 0),
        ("cut-before", false, 0, "cut", 0),
        ("cut-after=3", true, 200, "cut", 2),
        ("reset-after=3", true, 200, "reset", 2),
        ("cut-after=5", false, 200, "cut", 6),
        ("status=503", true, 503, "refused", 0),
    ] {
        let served = Served::with_fault(fault);

        let whole = match served.chat(is_stream).await {
            Ok(response) => response.bytes().await.map(|_| ()),
            Err(error) => Err(error),
        };

        let line = served.line().await;
        assert_eq!(whole.is_err(), end != "refused", "{fault}");
        assert_eq!(
            (&line["end"], &line["status"], &line["output_tokens"]),
            (&json!(end), &json!(status), &json!(output_tokens)),
            "{fault}"
        );
    }
}

#[tokio::test]
async fn a_caller_who_leaves_is_told_from_one_who_waits_for_nothing() {
    for (fault, end) in [
        ("gap=50", "client_gone"),
        ("stall-after=2", "hung"),
        ("hang", "hung"),
    ] {
        let served = Served::with_fault(fault);
        let patience = tokio::time::timeout(Duration::from_millis(150), async {
            served.chat(true).await.unwrap().bytes().await
        });
        assert!(patience.await.is_err());

        assert_eq!(served.line().await["end"], end, "{fault}");
    }
}

#[tokio::test]
async fn usage_lies_as_told_while_the_log_keeps_the_truth() {
    for (fault, told) in [
        ("usage=none", None),
        ("usage=ten-fold", Some(60)),
        ("usage=negative", None),
        ("usage=text", None),
        ("usage=twice", Some(6)),
        ("usage=each", Some(6)),
        ("usage=late", Some(6)),
    ] {
        let served = Served::with_fault(fault);

        let stream = served.chat(true).await.unwrap().bytes().await.unwrap();

        let seen = seen(Dialect::Openai, Endpoint::ChatCompletions, stream);
        assert_eq!(seen.usage.map(|usage| usage.output.0), told, "{fault}");
        assert_eq!(served.line().await["output_tokens"], 6, "{fault}");
    }
}

#[tokio::test]
async fn odd_bytes_are_odd_and_errors_are_errors() {
    let body = |fault: &'static str, is_stream: bool| async move {
        let served = Served::with_fault(fault);
        let response = served.chat(is_stream).await.unwrap();
        let headers = response.headers().clone();
        (headers, response.bytes().await.unwrap())
    };
    let read = |bytes| seen(Dialect::Openai, Endpoint::ChatCompletions, bytes);

    let odd = read(body("odd-lines", true).await.1);
    assert!(odd.is_done && odd.usage.is_some());
    assert!(!read(body("no-done", true).await.1).is_done);
    assert!(read(body("error-after=2", true).await.1).error.is_some());
    assert!(!read(body("garbage", true).await.1).has_content);
    assert!(
        whole(
            Dialect::Openai,
            Endpoint::ChatCompletions,
            &body("error-200", false).await.1
        )
        .is_some_and(|reply| reply.error.is_some())
    );
    let long = body("long-line=2", true).await.1;
    assert!(2 << 20 < long.len() && read(long).is_done);
    let flood = body("flood=1", true).await.1;
    assert!(1 << 20 <= flood.len());
    let (headers, packed) = body("gzip", false).await;
    assert_eq!(headers["content-encoding"], "gzip");
    assert!(packed.starts_with(&[0x1f, 0x8b, 8]));
    let (headers, _) = body("status=429,retry-after=7,body=gemini", false).await;
    assert_eq!(headers["retry-after"], "7");
}

#[tokio::test]
async fn limits_and_keys_are_held() {
    let served = Served::start(Settings {
        rpm: Some(2),
        require_keys: vec![Secret::new("sk-0123456789abcdef".to_owned())],
        models: vec!["m".to_owned()],
        ..Settings::default()
    });
    let mut statuses = Vec::new();
    let mut last = None;
    for _ in 0..3 {
        let response = served.chat(false).await.unwrap();
        statuses.push(response.status().as_u16());
        last = Some(response.headers().clone());
    }
    let last = last.unwrap();
    let no_key = client()
        .get(format!("{}/v1/models", served.url))
        .send()
        .await
        .unwrap();
    let mut other = chat(false);
    other["model"] = json!("other");

    assert_eq!(statuses, [200, 200, 429]);
    assert_eq!(last["x-ratelimit-remaining-requests"], "0");
    assert!((55..=60).contains(&last["retry-after"].to_str().unwrap().parse().unwrap()));
    assert_eq!(no_key.status(), 401);
    assert_eq!(
        served
            .ask("chat/completions", &other)
            .await
            .unwrap()
            .status(),
        404
    );
    let stats = served.provider.stats();
    assert_eq!(
        (stats.calls, stats.complete, stats.refused, stats.open),
        (4, 2, 2, 0)
    );
}

#[tokio::test]
async fn faults_are_changed_at_run_time() {
    let served = Served::with_fault("none");
    let url = format!("{}/__fault", served.url);
    let client = client();

    let put = client
        .put(&url)
        .body("status=500,count=1")
        .send()
        .await
        .unwrap();
    assert_eq!(put.text().await.unwrap(), "status=500,count=1");
    assert_eq!(served.chat(false).await.unwrap().status(), 500);
    assert_eq!(served.chat(false).await.unwrap().status(), 200);
    assert_eq!(
        client
            .put(&url)
            .body("explode")
            .send()
            .await
            .unwrap()
            .status(),
        400
    );
    assert_eq!(client.delete(&url).send().await.unwrap().status(), 204);
    assert_eq!(
        client.get(&url).send().await.unwrap().text().await.unwrap(),
        "none"
    );
}

#[tokio::test]
async fn tools_are_called_when_forced_or_asked_for_and_not_otherwise() {
    let served = Served::start(Settings::default());
    let tool = json!({"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}});
    for (content, choice, is_called) in [
        ("hello", json!("auto"), false),
        ("hello", json!("required"), true),
        ("use the tool", json!("auto"), true),
        ("what does get_weather say", json!("auto"), true),
        ("use the tool", json!("none"), false),
    ] {
        let body = json!({"model": "m", "tools": [tool], "tool_choice": choice, "messages": [{"role": "user", "content": content}]});
        let reply: Value = served
            .ask("chat/completions", &body)
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        let call = &reply["choices"][0]["message"]["tool_calls"][0]["function"];
        assert_eq!(call.is_object(), is_called, "{content} {choice}");
        if is_called {
            let arguments: Value =
                serde_json::from_str(call["arguments"].as_str().unwrap()).unwrap();
            assert!(arguments["city"].is_string());
        }
    }
}

#[tokio::test]
async fn stopping_ends_every_connection() {
    let served = Served::with_fault("hang");
    let hanging = client()
        .post(format!("{}/v1/chat/completions", served.url))
        .body(chat(true).to_string())
        .send();
    let hanging = Tasks::default().spawn("caller", hanging);
    while served.provider.stats().open == 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }

    served.stop.send(()).unwrap();

    let stopped = tokio::time::timeout(Duration::from_secs(5), served.serving).await;
    stopped.expect("it stops").unwrap().unwrap();
    assert!(hanging.await.unwrap().is_err());
}
