//! What is read from bodies, and what is refused by which name.

use super::*;
use crate::catalog::Ability;

fn chat(body: &str) -> Ask {
    read(Endpoint::ChatCompletions, body.as_bytes()).expect(body)
}

fn fault(endpoint: Endpoint, body: impl AsRef<[u8]>) -> (&'static str, Option<String>) {
    let fault = read(endpoint, body.as_ref()).expect_err("it must be refused");
    assert!(!fault.message.is_empty());
    (fault.code, fault.param)
}

/// Bodies of chat calls that are refused: the code, the field, the body.
const REFUSED: &[(&str, &str, &str)] = &[
    (
        "invalid_json",
        "",
        r#"{"model":"m","messages":[{"role":"user","content":"hi"}]"#,
    ),
    (
        "invalid_json",
        "",
        r#"{"model":"m","messages":[{"role":"user","content":"hi"}]} x"#,
    ),
    ("invalid_json", "", r#"["model"]"#),
    ("invalid_json", "", ""),
    ("invalid_json", "", "{\"model\":\"m\",\"stop\":\"a\nb\"}"),
    (
        "invalid_json",
        "model",
        r#"{"model":"m","messages":[{"role":"user"}],"model":"n"}"#,
    ),
    (
        "invalid_json",
        "model",
        r#"{"model":"m","messages":[{"role":"user"}],"mod\u0065l":"n"}"#,
    ),
    (
        "invalid_json",
        "seed",
        r#"{"model":"m","messages":[{"role":"user"}],"seed":1,"seed":1}"#,
    ),
    (
        "invalid_json",
        "stream_options.include_usage",
        r#"{"model":"m","messages":[{"role":"user"}],"stream_options":{"include_usage":true,"include_usage":false}}"#,
    ),
    (
        "missing_required_field",
        "model",
        r#"{"messages":[{"role":"user","content":"hi"}]}"#,
    ),
    ("missing_required_field", "messages", r#"{"model":"m"}"#),
    (
        "missing_required_field",
        "messages[1].role",
        r#"{"model":"m","messages":[{"role":"user"},{"content":"x"}]}"#,
    ),
    (
        "missing_required_field",
        "tools[0].function",
        r#"{"model":"m","messages":[{"role":"user"}],"tools":[{"type":"function"}]}"#,
    ),
    (
        "invalid_value",
        "model",
        r#"{"model":5,"messages":[{"role":"user"}]}"#,
    ),
    (
        "invalid_value",
        "model",
        r#"{"model":"","messages":[{"role":"user"}]}"#,
    ),
    (
        "invalid_value",
        "model",
        r#"{"model":"\ud800","messages":[{"role":"user"}]}"#,
    ),
    (
        "invalid_value",
        "messages",
        r#"{"model":"m","messages":[]}"#,
    ),
    (
        "invalid_value",
        "messages",
        r#"{"model":"m","messages":"hi"}"#,
    ),
    (
        "invalid_value",
        "messages[0]",
        r#"{"model":"m","messages":["hi"]}"#,
    ),
    (
        "invalid_value",
        "messages[0].role",
        r#"{"model":"m","messages":[{"role":"king","content":"hi"}]}"#,
    ),
    (
        "invalid_value",
        "messages[0].role",
        r#"{"model":"m","messages":[{"role":1}]}"#,
    ),
    (
        "invalid_value",
        "messages[0].content",
        r#"{"model":"m","messages":[{"role":"user","content":5}]}"#,
    ),
    (
        "invalid_value",
        "messages[0].content",
        r#"{"model":"m","messages":[{"role":"user","content":[5]}]}"#,
    ),
    (
        "invalid_value",
        "stream",
        r#"{"model":"m","messages":[{"role":"user"}],"stream":"yes"}"#,
    ),
    (
        "invalid_value",
        "stream_options",
        r#"{"model":"m","messages":[{"role":"user"}],"stream_options":true}"#,
    ),
    (
        "invalid_value",
        "temperature",
        r#"{"model":"m","messages":[{"role":"user"}],"temperature":2.1}"#,
    ),
    (
        "invalid_value",
        "temperature",
        r#"{"model":"m","messages":[{"role":"user"}],"temperature":-0.1}"#,
    ),
    (
        "invalid_value",
        "temperature",
        r#"{"model":"m","messages":[{"role":"user"}],"temperature":"1"}"#,
    ),
    (
        "invalid_value",
        "top_p",
        r#"{"model":"m","messages":[{"role":"user"}],"top_p":1e9}"#,
    ),
    (
        "invalid_value",
        "n",
        r#"{"model":"m","messages":[{"role":"user"}],"n":0}"#,
    ),
    (
        "invalid_value",
        "n",
        r#"{"model":"m","messages":[{"role":"user"}],"n":129}"#,
    ),
    (
        "invalid_value",
        "n",
        r#"{"model":"m","messages":[{"role":"user"}],"n":1.5}"#,
    ),
    (
        "invalid_value",
        "max_tokens",
        r#"{"model":"m","messages":[{"role":"user"}],"max_tokens":0}"#,
    ),
    (
        "invalid_value",
        "max_tokens",
        r#"{"model":"m","messages":[{"role":"user"}],"max_tokens":-5}"#,
    ),
    (
        "invalid_value",
        "max_completion_tokens",
        r#"{"model":"m","messages":[{"role":"user"}],"max_completion_tokens":"9"}"#,
    ),
    (
        "invalid_value",
        "tools",
        r#"{"model":"m","messages":[{"role":"user"}],"tools":{}}"#,
    ),
    (
        "invalid_value",
        "tools[0]",
        r#"{"model":"m","messages":[{"role":"user"}],"tools":["f"]}"#,
    ),
    (
        "invalid_value",
        "tool_choice",
        r#"{"model":"m","messages":[{"role":"user"}],"tool_choice":1}"#,
    ),
    (
        "invalid_value",
        "user",
        r#"{"model":"m","messages":[{"role":"user"}],"user":{}}"#,
    ),
    (
        "invalid_value",
        "metadata",
        r#"{"model":"m","messages":[{"role":"user"}],"metadata":[]}"#,
    ),
];

#[test]
fn what_is_wrong_is_refused_by_its_name() {
    for (code, param, body) in REFUSED {
        let expected = (*code, (!param.is_empty()).then(|| (*param).to_owned()));
        assert_eq!(fault(Endpoint::ChatCompletions, body), expected, "{body}");
    }
}

/// Bodies other endpoints refuse: the code, the field, the body.
const REFUSED_ELSEWHERE: &[(Endpoint, &str, &str, &str)] = &[
    (
        Endpoint::Embeddings,
        "missing_required_field",
        "input",
        r#"{"model":"m"}"#,
    ),
    (
        Endpoint::Embeddings,
        "invalid_value",
        "input",
        r#"{"model":"m","input":[]}"#,
    ),
    (
        Endpoint::Embeddings,
        "invalid_value",
        "input",
        r#"{"model":"m","input":7}"#,
    ),
    (
        Endpoint::Responses,
        "invalid_value",
        "input",
        r#"{"model":"m","input":7}"#,
    ),
    (
        Endpoint::Responses,
        "invalid_value",
        "input[0].role",
        r#"{"model":"m","input":[{"role":"tool"}]}"#,
    ),
    (
        Endpoint::Responses,
        "invalid_value",
        "max_output_tokens",
        r#"{"model":"m","input":"x","max_output_tokens":0}"#,
    ),
    (
        Endpoint::Messages,
        "missing_required_field",
        "messages",
        r#"{"model":"m","max_tokens":5}"#,
    ),
    (
        Endpoint::Messages,
        "invalid_value",
        "messages[0].role",
        r#"{"model":"m","max_tokens":5,"messages":[{"role":"tool"}]}"#,
    ),
    (
        Endpoint::Completions,
        "invalid_value",
        "prompt",
        r#"{"model":"m","prompt":{}}"#,
    ),
    (
        Endpoint::Other,
        "missing_required_field",
        "model",
        r#"{"input":"x"}"#,
    ),
];

#[test]
fn other_endpoints_refuse_in_their_own_names() {
    for &(endpoint, code, param, body) in REFUSED_ELSEWHERE {
        assert_eq!(
            fault(endpoint, body),
            (code, Some(param.to_owned())),
            "{body}"
        );
    }
}

#[test]
fn depth_is_refused_with_the_field_it_lies_in() {
    let nested = |levels: usize| {
        let (open, close) = ("[".repeat(levels), "]".repeat(levels));
        format!(r#"{{"model":"m","messages":[{{"role":"user"}}],"deep":{open}{close}}}"#)
    };

    assert!(read(Endpoint::ChatCompletions, nested(63).as_bytes()).is_ok());
    let refused = fault(Endpoint::ChatCompletions, nested(64));
    assert_eq!(refused, ("invalid_json", Some("deep".to_owned())));
    assert_eq!(
        fault(Endpoint::ChatCompletions, nested(1_000_000)).0,
        "invalid_json"
    );
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    let body = b"{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"\xff\"}]}";

    assert_eq!(
        fault(Endpoint::ChatCompletions, body),
        ("invalid_json", None)
    );
}

#[test]
fn a_body_of_nothing_but_fields_is_refused_early() {
    let fields: String = (0..2_000)
        .map(|number| format!(r#""f{number}":0,"#))
        .collect();

    assert_eq!(
        fault(
            Endpoint::ChatCompletions,
            format!(r#"{{{fields}"model":"m"}}"#)
        )
        .0,
        "invalid_json"
    );
}

#[test]
fn a_name_given_twice_among_many_is_found() {
    let fields: String = (0..100)
        .map(|number| format!(r#""f{number}":0,"#))
        .collect();
    let body = format!(r#"{{{fields}"model":"m","f50":1,"messages":[{{"role":"user"}}]}}"#);

    assert_eq!(
        fault(Endpoint::ChatCompletions, body),
        ("invalid_json", Some("f50".to_owned()))
    );
}

#[test]
fn what_nobody_knows_passes() {
    let ask = chat(
        r#" { "x_vendor" : {"a":[1,2,{"b":null}]}, "model":"m", "messages":[{"role":"user","content":null,"zzz":1}], "stop":["a"], "seed":-1e5 } "#,
    );

    assert_eq!(ask.model, "m");
    assert!(!ask.is_stream);
}

#[test]
fn a_chat_call_is_read() {
    let ask = chat(
        r#"{"model":"gpt\u002d4","messages":[{"role":"system","content":"Be b\u00e9nign"},{"role":"user","content":"hi\n"}],
            "stream":true,"stream_options":{"include_usage":true},"max_tokens":10,"max_completion_tokens":20,"n":2,
            "user":"u-1","metadata":{"team":"a"}}"#,
    );

    assert_eq!(ask.model, "gpt-4");
    assert!(ask.is_stream && ask.wants_usage);
    assert_eq!((ask.requested_output, ask.choices), (Some(20), 2));
    assert_eq!(
        (ask.text_bytes, ask.messages, ask.media_tokens),
        (10 + 3, 2, 0)
    );
    assert_eq!(ask.user.as_deref(), Some("u-1"));
    assert_eq!(
        ask.metadata.as_deref().map(RawValue::get),
        Some(r#"{"team":"a"}"#)
    );
    assert!(!ask.has_previous_response);
    assert_eq!(
        ask.abilities,
        [Ability::Chat, Ability::Streaming].into_iter().collect()
    );
}

#[test]
fn a_limit_the_endpoint_does_not_know_is_not_believed() {
    for (endpoint, rest, limit) in [
        (Endpoint::Responses, r#""input":"x","max_tokens":1"#, None),
        (
            Endpoint::Responses,
            r#""input":"x","max_tokens":1,"max_output_tokens":9"#,
            Some(9),
        ),
        (Endpoint::Completions, r#""max_completion_tokens":1"#, None),
        (
            Endpoint::Messages,
            r#""messages":[{"role":"user"}],"max_output_tokens":1"#,
            None,
        ),
        (Endpoint::Embeddings, r#""input":"x","max_tokens":0"#, None),
    ] {
        let ask = read(endpoint, format!(r#"{{"model":"m",{rest}}}"#).as_bytes()).unwrap();
        assert_eq!(ask.requested_output, limit, "{rest}");
    }
}

#[test]
fn nulls_are_as_good_as_unsaid() {
    let ask = chat(
        r#"{"model":"m","messages":[{"role":"user","content":null}],"stream":null,"stream_options":null,"max_tokens":null,
            "n":null,"temperature":null,"top_p":null,"tools":null,"tool_choice":null,"user":null,"metadata":null,"response_format":null}"#,
    );

    assert!(!ask.is_stream && !ask.wants_usage);
    assert_eq!((ask.requested_output, ask.choices), (None, 1));
}

#[test]
fn what_a_call_needs_follows_from_what_is_in_it() {
    for (rest, ability) in [
        (
            r#""tools":[{"type":"function","function":{"name":"f"}}]"#,
            Ability::Tools,
        ),
        (r#""functions":[{"name":"f"}]"#, Ability::Tools),
        (
            r#""response_format":{"type":"json_schema","json_schema":{}}"#,
            Ability::JsonSchema,
        ),
        (r#""modalities":["text","audio"]"#, Ability::Audio),
        (r#""stream":true"#, Ability::Streaming),
    ] {
        let ask = chat(&format!(
            r#"{{"model":"m","messages":[{{"role":"user"}}],{rest}}}"#
        ));
        assert!(ask.abilities.has(ability), "{rest}");
    }
    let plain = chat(
        r#"{"model":"m","messages":[{"role":"user"}],"tools":[],"response_format":{"type":"json_object"}}"#,
    );
    assert_eq!(plain.abilities, Abilities::NONE.with(Ability::Chat));
}

#[test]
fn pictures_count_by_their_rule_and_not_by_their_bytes() {
    let data = "A".repeat(100_000);
    let content = |part: &str| {
        format!(
            r#"{{"model":"m","messages":[{{"role":"user","content":[{{"type":"text","text":"see"}},{part}]}}]}}"#
        )
    };
    for (part, media, ability) in [
        (
            format!(
                r#"{{"type":"image_url","image_url":{{"url":"data:image/png;base64,{data}"}}}}"#
            ),
            1_600,
            Ability::Vision,
        ),
        (
            format!(
                r#"{{"type":"image_url","image_url":{{"detail":"low","url":"data:image/png;base64,{data}"}}}}"#
            ),
            85,
            Ability::Vision,
        ),
        (
            r#"{"type":"image_url","image_url":"https://example.org/a.png"}"#.to_owned(),
            1_600,
            Ability::Vision,
        ),
        (
            format!(r#"{{"type":"input_audio","input_audio":{{"data":"{data}","format":""}}}}"#),
            601,
            Ability::Audio,
        ),
        (
            format!(
                r#"{{"source":{{"type":"base64","media_type":"image/png","data":"{data}"}},"type":"image"}}"#
            ),
            1_600,
            Ability::Vision,
        ),
    ] {
        let ask = chat(&content(&part));
        assert_eq!(
            (ask.text_bytes, ask.media_tokens),
            (3, media),
            "{}",
            &part[..60]
        );
        assert!(ask.abilities.has(ability));
    }
    let file = chat(&content(&format!(
        r#"{{"type":"file","file":{{"filename":"","file_data":"{data}"}}}}"#
    )));
    assert_eq!((file.text_bytes, file.media_tokens), (3, 75_003));
}

#[test]
fn text_in_the_clothes_of_media_counts_as_text() {
    let body = r#"{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[
        {"type":"document","source":{"type":"text","media_type":"text/plain","data":"0123456789"}},
        {"type":"tool_result","content":[{"type":"text","text":"01234"}]}]}]}"#;

    let ask = read(Endpoint::Messages, body.as_bytes()).unwrap();

    assert_eq!((ask.text_bytes, ask.media_tokens), (15, 0));
}

#[test]
fn prompts_may_be_text_or_tokens() {
    for (input, text_bytes, messages, tokens) in [
        (r#""four""#, 4, 1, 0),
        (r#"["one","three"]"#, 8, 2, 0),
        ("[1,2,3]", 0, 1, 3),
        ("[[1,2],[3]]", 0, 2, 3),
    ] {
        let body = format!(r#"{{"model":"m","input":{input}}}"#);
        let ask = read(Endpoint::Embeddings, body.as_bytes()).unwrap();
        assert_eq!(
            (ask.text_bytes, ask.messages, ask.media_tokens),
            (text_bytes, messages, tokens),
            "{input}"
        );
    }
    let body = br#"{"model":"m","prompt":["a","b","c"],"n":2,"best_of":4}"#;
    assert_eq!(read(Endpoint::Completions, body).unwrap().choices, 12);
}

#[test]
fn what_the_provider_stored_is_noticed() {
    for rest in [
        r#""input":"x","previous_response_id":"resp_1""#,
        r#""input":"x","conversation":"conv_1""#,
        r#""input":"x","background":true"#,
        r#""prompt":{"id":"pmpt_1"}"#,
        r#""input":[{"type":"item_reference","id":"msg_1"}]"#,
        r#""input":[{"role":"user","content":[{"type":"input_file","file_id":"file_1"}]}]"#,
        r#""input":"x","tools":[{"type":"file_search","vector_store_ids":["vs_1"]}]"#,
    ] {
        let body = format!(r#"{{"model":"m",{rest}}}"#);
        assert!(
            read(Endpoint::Responses, body.as_bytes())
                .unwrap()
                .has_previous_response,
            "{rest}"
        );
    }
    for rest in [
        r#""input":"previous_response_id","previous_response_id":null,"background":false"#,
        r#""input":"x","tools":[{"type":"function","name":"f","parameters":{"properties":{"file_id":{}}}}]"#,
    ] {
        let body = format!(r#"{{"model":"m",{rest}}}"#);
        assert!(
            !read(Endpoint::Responses, body.as_bytes())
                .unwrap()
                .has_previous_response,
            "{rest}"
        );
    }
}

#[test]
fn long_labels_pass_but_are_not_kept() {
    let (user, value) = ("u".repeat(600), "v".repeat(5_000));
    let ask = chat(&format!(
        r#"{{"model":"m","messages":[{{"role":"user"}}],"user":"{user}","metadata":{{"k":"{value}"}}}}"#
    ));

    assert_eq!(ask.user, None);
    assert!(ask.metadata.is_none());
}

#[test]
fn tool_schemas_count_as_they_are_written() {
    let tools = r#"[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}]"#;
    let ask = chat(&format!(
        r#"{{"model":"m","messages":[{{"role":"user","content":"abc"}}],"tools":{tools}}}"#
    ));

    assert_eq!(ask.text_bytes, 3 + tools.len() as u64);
}

proptest::proptest! {
    #[test]
    fn no_body_makes_the_reader_panic(body in "[{}\\[\\]\":,a-z_0-9\\\\ ]{0,80}") {
        for endpoint in [Endpoint::ChatCompletions, Endpoint::Embeddings, Endpoint::Responses, Endpoint::Messages, Endpoint::Other] {
            let _ = read(endpoint, body.as_bytes());
            let _ = read(endpoint, format!(r#"{{"model":"m","messages":[{{"role":"user","content":{body}}}]}}"#).as_bytes());
        }
    }

    #[test]
    fn text_is_never_counted_short(text in "\\PC{0,60}", name in "[a-z]{1,8}") {
        let body = serde_json::json!({
            "model": "m",
            "messages": [{"role": "user", "name": name, "content": [{"type": "text", "text": text}]}],
        }).to_string();
        let ask = read(Endpoint::ChatCompletions, body.as_bytes()).unwrap();
        let least = u64::try_from(text.len() + name.len()).unwrap();
        proptest::prop_assert_eq!(ask.text_bytes, least);
    }
}
