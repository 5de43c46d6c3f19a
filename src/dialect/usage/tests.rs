//! What replies say they used, told truly or not.

use super::*;
use crate::dialect::whole;

fn chat(usage: &str) -> Option<Usage> {
    let body = format!(r#"{{"choices":[{{"message":{{"content":"hi"}}}}],"usage":{usage}}}"#);
    usage_of(Dialect::Openai, Endpoint::ChatCompletions, body.as_bytes())
}

const fn usage(input: u64, cached: u64, cache_write: u64, output: u64, reasoning: u64) -> Usage {
    Usage {
        input: Tokens(input),
        cached: Tokens(cached),
        cache_write: Tokens(cache_write),
        output: Tokens(output),
        reasoning: Tokens(reasoning),
    }
}

#[test]
fn what_adds_up_is_believed() {
    for (said, expected) in [
        (
            r#"{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12}"#,
            usage(9, 0, 0, 3, 0),
        ),
        (
            r#"{"prompt_tokens":9,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":4,"audio_tokens":1},"completion_tokens_details":{"reasoning_tokens":2}}"#,
            usage(9, 4, 0, 3, 2),
        ),
        (
            r#"{"input_tokens":9,"output_tokens":3}"#,
            usage(9, 0, 0, 3, 0),
        ),
        (
            r#"{"prompt_tokens":"9","completion_tokens":"3"}"#,
            usage(9, 0, 0, 3, 0),
        ),
        (
            r#"{"prompt_tokens":9.0,"completion_tokens":3.00}"#,
            usage(9, 0, 0, 3, 0),
        ),
        (
            r#"{"prompt_tokens":9,"total_tokens":12}"#,
            usage(9, 0, 0, 3, 0),
        ),
        (
            r#"{"completion_tokens":3,"total_tokens":12}"#,
            usage(9, 0, 0, 3, 0),
        ),
        (
            r#"{"prompt_tokens":-9,"completion_tokens":3,"total_tokens":12}"#,
            usage(9, 0, 0, 3, 0),
        ),
        (
            r#"{"prompt_tokens":9,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":40}}"#,
            usage(9, 9, 0, 3, 0),
        ),
        (
            r#"{"prompt_tokens":9,"completion_tokens":3,"prompt_cache_hit_tokens":5,"prompt_cache_miss_tokens":4}"#,
            usage(9, 5, 0, 3, 0),
        ),
        (
            r#"{"prompt_tokens":9,"completion_tokens":3,"total_tokens":19,"completion_tokens_details":{"reasoning_tokens":7}}"#,
            usage(9, 0, 0, 10, 7),
        ),
        (
            r#"{"prompt_tokens":9,"completion_tokens":30,"total_tokens":46,"completion_tokens_details":{"reasoning_tokens":7}}"#,
            usage(9, 0, 0, 37, 7),
        ),
        (
            r#"{"prompt_tokens":9,"completion_tokens":3,"prompt_tokens_details":null,"completion_tokens_details":[]}"#,
            usage(9, 0, 0, 3, 0),
        ),
    ] {
        assert_eq!(chat(said), Some(expected), "{said}");
    }
}

#[test]
fn what_does_not_add_up_is_as_good_as_unsaid() {
    for said in [
        "null",
        "{}",
        "[]",
        "\"12\"",
        r#"{"prompt_tokens":9}"#,
        r#"{"prompt_tokens":-9,"completion_tokens":-3}"#,
        r#"{"prompt_tokens":9,"completion_tokens":"many"}"#,
        r#"{"prompt_tokens":9,"completion_tokens":1e30}"#,
        r#"{"prompt_tokens":9,"completion_tokens":99999999999999999999}"#,
        r#"{"prompt_tokens":9,"completion_tokens":null}"#,
        r#"{"prompt_tokens":{},"completion_tokens":[3]}"#,
        r#"{"prompt_tokens":9,"total_tokens":3}"#,
    ] {
        assert_eq!(chat(said), None, "{said}");
    }
}

#[test]
fn each_dialect_and_endpoint_keeps_it_elsewhere() {
    for (dialect, endpoint, body, expected) in [
        (
            Dialect::Openai,
            Endpoint::Embeddings,
            r#"{"data":[{"embedding":[0.1,-2e-5]}],"usage":{"prompt_tokens":5,"total_tokens":5}}"#,
            usage(5, 0, 0, 0, 0),
        ),
        (
            Dialect::Openai,
            Endpoint::Embeddings,
            r#"{"data":[],"usage":{"prompt_tokens":5}}"#,
            usage(5, 0, 0, 0, 0),
        ),
        (
            Dialect::Openai,
            Endpoint::Responses,
            r#"{"output":[],"usage":{"input_tokens":5,"input_tokens_details":{"cached_tokens":2},"output_tokens":7,"output_tokens_details":{"reasoning_tokens":3},"total_tokens":12}}"#,
            usage(5, 2, 0, 7, 3),
        ),
        (
            Dialect::Anthropic,
            Endpoint::Messages,
            r#"{"content":[],"usage":{"input_tokens":5,"cache_creation_input_tokens":10,"cache_read_input_tokens":20,"output_tokens":7}}"#,
            usage(35, 20, 10, 7, 0),
        ),
    ] {
        assert_eq!(
            usage_of(dialect, endpoint, body.as_bytes()),
            Some(expected),
            "{body}"
        );
    }
}

#[test]
fn usage_that_somebody_wrote_into_the_text_is_not_read() {
    let body = r#"{"usage":{"prompt_tokens":9,"completion_tokens":3},"choices":[{"message":{"content":"\"usage\":{\"prompt_tokens\":0,\"completion_tokens\":0}","usage":{"prompt_tokens":0,"completion_tokens":0}}}],"metadata":{"usage":{"prompt_tokens":0,"completion_tokens":0}}}"#;

    let read = usage_of(Dialect::Openai, Endpoint::ChatCompletions, body.as_bytes());

    assert_eq!(read, Some(usage(9, 0, 0, 3, 0)));
}

#[test]
fn a_reply_cut_after_its_usage_still_counts() {
    let body = br#"{"usage":{"prompt_tokens":9,"completion_tokens":3},"choices":[{"mess"#;

    assert_eq!(
        usage_of(Dialect::Openai, Endpoint::ChatCompletions, body),
        Some(usage(9, 0, 0, 3, 0))
    );
}

#[test]
fn text_and_tool_arguments_are_measured() {
    for (dialect, endpoint, body, bytes) in [
        (
            Dialect::Openai,
            Endpoint::ChatCompletions,
            r#"{"choices":[{"message":{"role":"assistant","content":"h\u00e9y","tool_calls":[{"id":"call_1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]}}]}"#,
            4 + 1 + 7,
        ),
        (
            Dialect::Openai,
            Endpoint::ChatCompletions,
            r#"{"choices":[{"message":{"content":null,"reasoning":"abc","reasoning_content":"abc"}}]}"#,
            3,
        ),
        (
            Dialect::Openai,
            Endpoint::Completions,
            r#"{"choices":[{"text":"one"},{"text":"two"}]}"#,
            6,
        ),
        (
            Dialect::Openai,
            Endpoint::Responses,
            r#"{"output":[{"type":"message","content":[{"type":"output_text","text":"four"}]},{"type":"function_call","name":"f","arguments":"{}"}]}"#,
            4 + 1 + 2,
        ),
        (
            Dialect::Anthropic,
            Endpoint::Messages,
            r#"{"content":[{"type":"text","text":"four"},{"type":"tool_use","name":"f","input":{"a":1}}]}"#,
            4 + 1 + 7,
        ),
    ] {
        assert_eq!(
            whole(dialect, endpoint, body.as_bytes()).map(|reply| reply.text_bytes),
            Some(bytes),
            "{body}"
        );
    }
}
