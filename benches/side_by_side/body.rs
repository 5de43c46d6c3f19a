//! What callers send and what the provider answers, byte for byte the same for every target.

use std::fmt::Write;

/// The model whose streams have 20 events.
pub(crate) const MODEL: &str = "bench";
/// The model whose streams have 200.
pub(crate) const LONG_MODEL: &str = "bench-long";
/// How many `data:` events a stream has, the last of them `[DONE]`.
pub(crate) const EVENTS: usize = 20;
/// The same for `LONG_MODEL`.
pub(crate) const LONG_EVENTS: usize = 200;

/// What the provider says it read and wrote, wherever it says so.
const USAGE: &str = r#""usage":{"prompt_tokens":120,"completion_tokens":48,"total_tokens":168,"prompt_tokens_details":{"cached_tokens":0},"completion_tokens_details":{"reasoning_tokens":0}}"#;
/// What opens every chunk of a stream.
const CHUNK: &str =
    r#"{"id":"chatcmpl-bench0001","object":"chat.completion.chunk","created":1760000000,"#;

/// Returns a chat request of about `bytes` bytes; the model stands first, as SDKs write it.
pub(crate) fn request(model: &str, bytes: usize, is_stream: bool) -> String {
    let stream = match is_stream {
        true => r#""stream":true,"stream_options":{"include_usage":true},"#,
        false => "",
    };
    let head = format!(
        r#"{{"model":"{model}",{stream}"temperature":0.7,"messages":[{{"role":"system","content":"Answer briefly."}},{{"role":"user","content":""#
    );
    let tail = r#""}]}"#;
    let words = "The quick brown fox jumps over the lazy dog.\\n ";
    let room = bytes.saturating_sub(head.len() + tail.len());
    let text = words.repeat(room / words.len());
    format!("{head}{text}{tail}")
}

/// Returns a whole answer of about 600 bytes, head included.
pub(crate) fn whole_reply() -> Vec<u8> {
    let text = "A gateway stands between callers and providers and counts. ".repeat(4);
    let body = format!(
        r#"{{"id":"chatcmpl-bench0001","object":"chat.completion","created":1760000000,"model":"{MODEL}","choices":[{{"index":0,"message":{{"role":"assistant","content":"{text}","refusal":null}},"logprobs":null,"finish_reason":"stop"}}],{USAGE}}}"#
    );
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Returns a stream as its separate writes: the head goes with the first event, the end with the last.
pub(crate) fn stream_reply(events: usize) -> Vec<Vec<u8>> {
    let content = events.saturating_sub(3);
    let mut data: Vec<String> = (0..content).map(content_chunk).collect();
    data.push(format!(
        r#"{CHUNK}"model":"{MODEL}","choices":[{{"index":0,"delta":{{}},"logprobs":null,"finish_reason":"stop"}}],"usage":null}}"#
    ));
    data.push(format!(
        r#"{CHUNK}"model":"{MODEL}","choices":[],{USAGE}}}"#
    ));
    data.push("[DONE]".to_owned());
    let mut writes: Vec<String> = data.iter().map(|data| framed(data)).collect();
    if let Some(first) = writes.first_mut() {
        first.insert_str(
            0,
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
        );
    }
    if let Some(last) = writes.last_mut() {
        last.push_str("0\r\n\r\n");
    }
    writes.into_iter().map(String::into_bytes).collect()
}

fn content_chunk(at: usize) -> String {
    format!(
        r#"{CHUNK}"model":"{MODEL}","choices":[{{"index":0,"delta":{{"content":" word{at}"}},"logprobs":null,"finish_reason":null}}],"usage":null}}"#
    )
}

/// Returns one event as one chunk of the transfer.
fn framed(data: &str) -> String {
    let event = format!("data: {data}\n\n");
    let mut chunk = String::new();
    let _ = write!(chunk, "{:x}\r\n{event}\r\n", event.len());
    chunk
}
