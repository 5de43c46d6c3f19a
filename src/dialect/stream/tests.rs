//! The same bytes, cut anywhere, are seen and forwarded the same.

use super::*;
use crate::{base::Tokens, dialect::whole};

/// Feeds the pieces and returns what was seen and what was forwarded.
fn run(mut reader: StreamReader, pieces: &[&[u8]]) -> (Seen, Vec<u8>) {
    let mut out = Vec::new();
    for piece in pieces {
        reader.feed(Bytes::copy_from_slice(piece), &mut out);
    }
    reader.finish(&mut out);
    (reader.seen().clone(), out.concat())
}

fn chat(strip_usage: bool) -> StreamReader {
    StreamReader::new(Dialect::Openai, Endpoint::ChatCompletions, strip_usage)
}

fn cut_everywhere(make: impl Fn() -> StreamReader, stream: &[u8]) -> (Seen, Vec<u8>) {
    let whole = run(make(), &[stream]);
    for at in 0..=stream.len() {
        let cut = run(make(), &[&stream[..at], &stream[at..]]);
        assert!(cut == whole, "cut at {at}: {:?}", cut.0);
    }
    let singly: Vec<&[u8]> = stream.chunks(1).collect();
    assert!(run(make(), &singly) == whole, "byte by byte");
    whole
}

const CHAT: &str = concat!(
    ": hello\n\n",
    r#"data: {"id":"1","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null}"#,
    "\n\n",
    r#"data: {"id":"1","choices":[{"index":0,"delta":{"content":"Hé"},"finish_reason":null}],"usage":null}"#,
    "\n\n",
    r#"data: {"id":"1","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]}}]}"#,
    "\n\n",
    r#"data: {"id":"1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}"#,
    "\n\n",
    r#"data: {"id":"1","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12}}"#,
    "\n\n",
    "data: [DONE]\n\n",
);

fn usage(input: u64, output: u64) -> Option<Usage> {
    Some(Usage {
        input: Tokens(input),
        output: Tokens(output),
        ..Usage::default()
    })
}

#[test]
fn any_cut_of_a_chat_stream_is_seen_and_forwarded_the_same() {
    for ending in ["\n", "\r\n", "\r"] {
        let stream = CHAT.replace('\n', ending);

        let (seen, kept) = cut_everywhere(|| chat(false), stream.as_bytes());
        assert_eq!(kept, stream.as_bytes());
        assert_eq!(
            seen,
            Seen {
                has_content: true,
                has_finish: true,
                usage: usage(9, 3),
                output_bytes: 3 + 1 + 2,
                is_done: true,
                error: None
            }
        );

        let (seen_stripped, stripped) = cut_everywhere(|| chat(true), stream.as_bytes());
        assert_eq!(seen_stripped, seen);
        let stripped = String::from_utf8(stripped).unwrap();
        assert!(!stripped.contains("prompt_tokens"), "{stripped}");
        assert_eq!(stripped.matches("data:").count(), 5);
        assert!(stripped.ends_with(&format!("data: [DONE]{ending}{ending}")));
    }
}

#[test]
fn usage_beside_content_stays_and_the_last_word_counts() {
    let stream = concat!(
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":1}}\n\n",
        "data: {\"choices\":[{\"delta\":{\"content\":\"b\"}}],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2}}\n\n",
        "data: [DONE]\n\n",
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":5}}\n\n",
    );

    let (seen, kept) = cut_everywhere(|| chat(true), stream.as_bytes());

    assert_eq!(seen.usage, usage(9, 5));
    assert_eq!(String::from_utf8(kept).unwrap().matches("data:").count(), 3);
}

#[test]
fn a_lie_after_the_truth_does_not_erase_it() {
    let stream = concat!(
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2}}\n\n",
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":-1,\"completion_tokens\":\"x\"}}\n\n",
        "data: {\"choices\":[],\"usage\":\"none\"}\n\n",
    );

    assert_eq!(
        cut_everywhere(|| chat(false), stream.as_bytes()).0.usage,
        usage(9, 2)
    );
}

#[test]
fn groqs_usage_is_found() {
    let stream = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}],\"x_groq\":{\"usage\":{\"prompt_tokens\":4,\"completion_tokens\":2}}}\n\n";

    let (seen, kept) = cut_everywhere(|| chat(true), stream.as_bytes());

    assert_eq!((seen.usage, kept.len()), (usage(4, 2), stream.len()));
}

#[test]
fn a_role_or_a_comment_is_no_content() {
    for (event, has_content) in [
        (": keep-alive\n\n", false),
        (
            "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n",
            false,
        ),
        (
            "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":null}}]}\n\n",
            false,
        ),
        ("data: {\"choices\":[]}\n\n", false),
        ("data: {\"error\":{\"message\":\"no\"}}\n\n", false),
        ("data: <html>\n\n", false),
        (
            "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n",
            true,
        ),
        (
            "data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"x\"}}]}\n\n",
            true,
        ),
        (
            "data: {\"choices\":[{\"delta\":{\"refusal\":\"x\"}}]}\n\n",
            true,
        ),
        (
            "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
            true,
        ),
        ("data: {\"choices\":[{\"text\":\"x\"}]}\n\n", true),
    ] {
        assert_eq!(
            run(chat(false), &[event.as_bytes()]).0.has_content,
            has_content,
            "{event}"
        );
    }
}

#[test]
fn an_error_inside_a_stream_is_read_and_withheld_unless_it_is_the_dialects_last_word() {
    for (endpoint, dialect, event, kind, status) in [
        (
            Endpoint::ChatCompletions,
            Dialect::Openai,
            "data: {\"error\":{\"message\":\"overloaded\",\"code\":503}}\n\n",
            Kind::Overloaded,
            Some(503),
        ),
        (
            Endpoint::ChatCompletions,
            Dialect::Openai,
            "data: {\"error\":\"internal failure\"}\n\n",
            Kind::Server,
            None,
        ),
        (
            Endpoint::Responses,
            Dialect::Openai,
            "event: error\ndata: {\"type\":\"error\",\"code\":\"server_error\",\"message\":\"it broke\"}\n\n",
            Kind::Server,
            None,
        ),
        (
            Endpoint::Responses,
            Dialect::Openai,
            "data: {\"type\":\"response.failed\",\"response\":{\"error\":{\"code\":\"rate_limit_exceeded\",\"message\":\"slow\"}}}\n\n",
            Kind::RateLimited,
            None,
        ),
        (
            Endpoint::Messages,
            Dialect::Anthropic,
            "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n",
            Kind::Overloaded,
            None,
        ),
    ] {
        let (seen, kept) = cut_everywhere(
            || StreamReader::new(dialect, endpoint, true),
            event.as_bytes(),
        );
        let error = seen.error.expect(event);
        assert_eq!((error.kind, error.status), (kind, status), "{event}");
        assert!(!error.message.is_empty() && !seen.has_content);
        let is_kept = event.contains("response.failed");
        assert_eq!(kept == event.as_bytes(), is_kept, "{event}");
        assert_eq!(kept.is_empty(), !is_kept, "{event}");
    }
}

#[test]
fn a_responses_stream_is_read() {
    let stream = concat!(
        "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"r\",\"output\":[],\"usage\":null,\"error\":null}}\n\n",
        "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"Hello\"}\n\n",
        "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"output\":[{\"content\":[{\"text\":\"Hello\"}]}],\"usage\":{\"input_tokens\":5,\"output_tokens\":2,\"total_tokens\":7}}}\n\n",
    );
    let make = || StreamReader::new(Dialect::Openai, Endpoint::Responses, true);

    let (seen, kept) = cut_everywhere(make, stream.as_bytes());

    assert_eq!(kept, stream.as_bytes());
    assert_eq!((seen.usage, seen.output_bytes), (usage(5, 2), 5));
    assert!(seen.has_content && seen.is_done && seen.error.is_none());
}

#[test]
fn an_anthropic_stream_is_read() {
    let stream = concat!(
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"content\":[],\"usage\":{\"input_tokens\":5,\"cache_read_input_tokens\":10,\"output_tokens\":1}}}\n\n",
        "event: ping\ndata: {\"type\":\"ping\"}\n\n",
        "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hello\"}}\n\n",
        "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":7}}\n\n",
        "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
    );
    let make = || StreamReader::new(Dialect::Anthropic, Endpoint::Messages, true);

    let (seen, kept) = cut_everywhere(make, stream.as_bytes());

    assert_eq!(kept, stream.as_bytes());
    let expected = Usage {
        input: Tokens(15),
        cached: Tokens(10),
        output: Tokens(7),
        ..Usage::default()
    };
    assert_eq!((seen.usage, seen.output_bytes), (Some(expected), 5));
    assert!(seen.has_content && seen.has_finish && seen.is_done);
    let start = &stream[..stream.find("event: content_block_delta").unwrap()];
    assert!(!run(make(), &[start.as_bytes()]).0.has_content);
}

#[test]
fn what_no_parser_understands_goes_on_unchanged() {
    let mut stream = Vec::new();
    stream.extend_from_slice(
        b"data: \xff\xfe\0\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"\xff\"}}]}\r\n\r",
    );
    stream.extend_from_slice(b"\x0b\0:\r\n\r\n\r\ndata: not json\n\nretry: 5\n\nid\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"z\"}}]}");

    let (seen, kept) = cut_everywhere(|| chat(true), &stream);

    assert_eq!(kept, stream);
    assert!(seen.has_content && !seen.is_done);
}

#[test]
fn a_line_of_ten_megabytes_is_measured_as_it_passes() {
    let mut stream = b"data: {\"choices\":[{\"delta\":{\"content\":\"".to_vec();
    stream.extend(std::iter::repeat_n(b'x', 10 << 20));
    stream.extend_from_slice(b"\"}}]}\n\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":5}}\n\ndata: [DONE]\n\n");
    let (mut reader, mut out, mut was_mid_frame) = (chat(true), Vec::new(), false);
    for piece in stream.chunks(65_536) {
        reader.feed(Bytes::copy_from_slice(piece), &mut out);
        was_mid_frame |= reader.is_mid_frame();
    }
    reader.finish(&mut out);

    let seen = reader.seen();
    assert!(was_mid_frame && seen.is_done && seen.has_content);
    assert!(10 << 20 <= seen.output_bytes);
    assert_eq!(seen.usage, usage(9, 5));
    assert!(out.concat().starts_with(&stream[..10 << 20]));
}

#[test]
fn what_is_held_when_the_connection_breaks_is_not_forwarded() {
    let mut reader = chat(false);
    let mut out = Vec::new();

    reader.feed(
        Bytes::from_static(b"data: {\"choices\":[]}\n\ndata: {\"choi"),
        &mut out,
    );

    assert_eq!(out.concat(), b"data: {\"choices\":[]}\n\n");
    assert!(!reader.is_mid_frame());
}

#[test]
fn an_error_of_status_200_is_told_from_an_answer() {
    let error_of = |dialect, endpoint, body: &[u8]| whole(dialect, endpoint, body)?.error;
    let openai = |body: &str| error_of(Dialect::Openai, Endpoint::ChatCompletions, body.as_bytes());

    assert_eq!(
        openai(r#"{"error":{"message":"overloaded","code":529}}"#).and_then(|error| error.status),
        Some(529)
    );
    assert_eq!(
        openai(r#"{"choices":[{"message":{"content":"error"}}],"error":null}"#),
        None
    );
    assert_eq!(
        openai(r#"{"choices":[{"message":{"content":"\"error\""}}]}"#),
        None
    );
    let anthropic = br#"{"type":"error","error":{"type":"api_error","message":"no"}}"#;
    assert!(error_of(Dialect::Anthropic, Endpoint::Messages, anthropic).is_some());
}

proptest::proptest! {
    #[test]
    fn any_bytes_pass_as_they_are(bytes in proptest::collection::vec(0_u8.., 0..200), size in 1_usize..50) {
        let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
        let (seen, kept) = run(chat(false), &pieces);
        proptest::prop_assert_eq!(&kept, &bytes);
        proptest::prop_assert_eq!(seen, run(chat(false), &[&bytes]).0);
    }
}
