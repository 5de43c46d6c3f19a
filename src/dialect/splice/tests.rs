//! Only what must change changes; all else is the caller's, byte for byte.

use proptest::prelude::*;
use serde_json::Map;

use super::*;
use crate::dialect::read;

fn spliced(endpoint: Endpoint, body: &str, changes: &Changes<'_>) -> String {
    let body = Bytes::copy_from_slice(body.as_bytes());
    let ask = read(endpoint, &body).expect("a good body");
    String::from_utf8(splice(&body, &ask, changes).concat()).expect("text")
}

fn chat(body: &str, changes: &Changes<'_>) -> String {
    spliced(Endpoint::ChatCompletions, body, changes)
}

fn quirks(max_tokens_field: Option<&str>, drop_fields: &[&str]) -> Quirks {
    Quirks {
        max_tokens_field: max_tokens_field.map(str::to_owned),
        drop_fields: drop_fields.iter().map(|&name| name.to_owned()).collect(),
        ..Quirks::default()
    }
}

const MESSAGES: &str =
    r#""messages": [ {"role":"user","content":"model max_tokens \u0041 \\ é"} ]"#;

#[test]
fn a_body_that_needs_no_change_is_one_slice_of_itself() {
    let body = Bytes::from(format!(
        "\n{{ \"model\" :\t\"m\", {MESSAGES} , \"x\":1.50e0}}\r\n"
    ));
    let ask = read(Endpoint::ChatCompletions, &body).unwrap();
    let quirks = Quirks::default();
    let changes = Changes {
        model: "m",
        include_usage: true,
        output_limit: None,
        quirks: &quirks,
    };

    let pieces = splice(&body, &ask, &changes);

    assert_eq!(pieces, std::slice::from_ref(&body));
    assert_eq!(pieces[0].as_ptr(), body.as_ptr());
}

#[test]
fn the_model_is_named_anew_wherever_it_stands() {
    let quirks = Quirks::default();
    let changes = Changes {
        model: "meta/llama \"3\"",
        include_usage: false,
        output_limit: None,
        quirks: &quirks,
    };
    for (before, after) in [
        (
            format!(r#"{{"model":"m",{MESSAGES}}}"#),
            format!(r#"{{"model":"meta/llama \"3\"",{MESSAGES}}}"#),
        ),
        (
            format!(r#"{{{MESSAGES} , "model" : "m" }}"#),
            format!(r#"{{{MESSAGES} , "model" : "meta/llama \"3\"" }}"#),
        ),
        (
            format!(r#"{{"mod\u0065l":"\u006d",{MESSAGES}}}"#),
            format!(r#"{{"mod\u0065l":"meta/llama \"3\"",{MESSAGES}}}"#),
        ),
    ] {
        assert_eq!(chat(&before, &changes), after);
    }
}

#[test]
fn usage_is_asked_for_only_in_streams_and_only_once() {
    let quirks = Quirks::default();
    let changes = Changes {
        model: "m",
        include_usage: true,
        output_limit: None,
        quirks: &quirks,
    };
    for (before, after) in [
        (r#""stream":true"#, None),
        (
            r#""stream":true,"stream_options":null"#,
            Some(r#""stream":true,"stream_options":{"include_usage":true}"#),
        ),
        (
            r#""stream":true,"stream_options":{ }"#,
            Some(r#""stream":true,"stream_options":{"include_usage":true }"#),
        ),
        (
            r#""stream":true,"stream_options":{"a":1}"#,
            Some(r#""stream":true,"stream_options":{"include_usage":true,"a":1}"#),
        ),
        (
            r#""stream":true,"stream_options":{"include_usage":false}"#,
            Some(r#""stream":true,"stream_options":{"include_usage":true}"#),
        ),
        (
            r#""stream":true,"stream_options":{"include_usage":null}"#,
            Some(r#""stream":true,"stream_options":{"include_usage":true}"#),
        ),
        (
            r#""stream":true,"stream_options":{"include_usage":true}"#,
            Some(r#""stream":true,"stream_options":{"include_usage":true}"#),
        ),
        (r#""stream":false"#, Some(r#""stream":false"#)),
        (r#""stream":null"#, Some(r#""stream":null"#)),
    ] {
        let start = if after.is_none() {
            r#""stream_options":{"include_usage":true},"#
        } else {
            ""
        };
        let rest = after.unwrap_or(before);
        assert_eq!(
            chat(&format!(r#"{{"model":"m",{MESSAGES},{before}}}"#), &changes),
            format!(r#"{{{start}"model":"m",{MESSAGES},{rest}}}"#),
        );
    }
}

#[test]
fn usage_is_not_asked_for_where_nobody_knows_the_question() {
    let quirks = Quirks::default();
    let changes = Changes {
        model: "m",
        include_usage: true,
        output_limit: None,
        quirks: &quirks,
    };
    let responses = r#"{"model":"m","input":"x","stream":true}"#;
    assert_eq!(spliced(Endpoint::Responses, responses, &changes), responses);
    let silent = Quirks {
        inject_usage: false,
        ..Quirks::default()
    };
    let body = format!(r#"{{"model":"m",{MESSAGES},"stream":true}}"#);
    assert_eq!(
        chat(
            &body,
            &Changes {
                quirks: &silent,
                ..changes
            }
        ),
        body
    );
}

#[test]
fn the_output_is_limited_by_the_name_the_provider_knows() {
    for (field, before, after) in [
        (None, "", r#""max_tokens":100,"#),
        (
            Some("max_completion_tokens"),
            "",
            r#""max_completion_tokens":100,"#,
        ),
        (None, r#""max_tokens":99,"#, r#""max_tokens":99,"#),
        (None, r#""max_tokens":101,"#, r#""max_tokens":100,"#),
        (None, r#""max_tokens":null,"#, r#""max_tokens":100,"#),
        (
            None,
            r#""max_tokens":5000,"max_completion_tokens":6000,"#,
            r#""max_tokens":100,"max_completion_tokens":100,"#,
        ),
        (
            Some("max_completion_tokens"),
            r#""max_tokens":7,"#,
            r#""max_completion_tokens":7,"#,
        ),
        (
            Some("max_tokens"),
            r#""max_completion_tokens" : 700,"#,
            r#""max_tokens" : 100,"#,
        ),
        (
            Some("max_tokens"),
            r#""max_tokens":1,"max_completion_tokens":2,"#,
            r#""max_tokens":1,"max_completion_tokens":2,"#,
        ),
    ] {
        let quirks = quirks(field, &[]);
        let changes = Changes {
            model: "m",
            include_usage: false,
            output_limit: Some(100),
            quirks: &quirks,
        };
        assert_eq!(
            chat(&format!(r#"{{{before}"model":"m",{MESSAGES}}}"#), &changes),
            format!(r#"{{{after}"model":"m",{MESSAGES}}}"#),
        );
    }
}

#[test]
fn each_endpoint_has_its_own_name_for_the_limit() {
    let quirks = quirks(Some("max_completion_tokens"), &[]);
    let changes = Changes {
        model: "m",
        include_usage: false,
        output_limit: Some(9),
        quirks: &quirks,
    };
    for (endpoint, body, after) in [
        (
            Endpoint::Responses,
            r#"{"model":"m","input":"x"}"#,
            r#"{"max_output_tokens":9,"model":"m","input":"x"}"#,
        ),
        (
            Endpoint::Completions,
            r#"{"model":"m","prompt":"x"}"#,
            r#"{"max_tokens":9,"model":"m","prompt":"x"}"#,
        ),
        (
            Endpoint::Embeddings,
            r#"{"model":"m","input":"x"}"#,
            r#"{"model":"m","input":"x"}"#,
        ),
        (
            Endpoint::Other,
            r#"{"model":"m","query":"x"}"#,
            r#"{"model":"m","query":"x"}"#,
        ),
    ] {
        assert_eq!(spliced(endpoint, body, &changes), after);
    }
}

#[test]
fn refused_fields_go_with_exactly_one_comma_each() {
    for (dropped, before, after) in [
        (
            &["a"][..],
            r#"{"a":1, "model":"m",M}"#,
            r#"{"model":"m",M}"#,
        ),
        (
            &["a", "b"],
            r#"{"a":1,"b":2,"model":"m",M}"#,
            r#"{"model":"m",M}"#,
        ),
        (
            &["a"],
            r#"{"model":"m", "a" : 1 ,M}"#,
            r#"{"model":"m" ,M}"#,
        ),
        (
            &["a", "b"],
            r#"{"model":"m","a":1,"b":2,M}"#,
            r#"{"model":"m",M}"#,
        ),
        (
            &["a", "b"],
            r#"{"a":1,"model":"m",M,"b":2}"#,
            r#"{"model":"m",M}"#,
        ),
        (
            &["a", "b", "c"],
            r#"{"a":{"b":2},"model":"m",M,"b":2,"c":3 }"#,
            r#"{"model":"m",M }"#,
        ),
        (
            &["model", "zzz"],
            r#"{"model":"m",M}"#,
            r#"{"model":"m",M}"#,
        ),
        (
            &["a"],
            r#"{"\u0061":1,"model":"m",M}"#,
            r#"{"model":"m",M}"#,
        ),
    ] {
        let quirks = quirks(None, dropped);
        let changes = Changes {
            model: "m",
            include_usage: false,
            output_limit: None,
            quirks: &quirks,
        };
        let fill = |text: &str| text.replace('M', MESSAGES);
        assert_eq!(chat(&fill(before), &changes), fill(after));
    }
}

#[test]
fn a_refused_field_is_neither_limited_nor_asked_for() {
    let quirks = quirks(None, &["max_tokens", "stream_options"]);
    let changes = Changes {
        model: "n",
        include_usage: true,
        output_limit: Some(5),
        quirks: &quirks,
    };

    let after = chat(
        &format!(
            r#"{{"max_tokens":9,"model":"m","stream":true,"stream_options":{{}},{MESSAGES}}}"#
        ),
        &changes,
    );

    assert_eq!(
        after,
        format!(r#"{{"model":"n","stream":true,{MESSAGES}}}"#)
    );
}

#[test]
fn a_refused_limit_is_renamed_rather_than_lost() {
    let quirks = quirks(Some("max_completion_tokens"), &["max_tokens"]);
    let changes = Changes {
        model: "m",
        include_usage: false,
        output_limit: None,
        quirks: &quirks,
    };

    let after = chat(
        &format!(r#"{{"max_tokens":9,"model":"m",{MESSAGES}}}"#),
        &changes,
    );

    assert_eq!(
        after,
        format!(r#"{{"max_completion_tokens":9,"model":"m",{MESSAGES}}}"#)
    );
}

/// One top-level field and how much white space stands around it.
fn fields() -> impl Strategy<Value = Vec<(String, Value, String)>> {
    let value = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        Just(serde_json::json!({"model": "inner", "max_tokens": [1, {"stream": true}]})),
    ];
    let field = ("[a-f]{1,3}|stop|seed", value, "[ \t\n]{0,3}");
    proptest::collection::vec(field, 0..8)
}

fn number_or_null() -> impl Strategy<Value = Option<Value>> {
    proptest::option::of(prop_oneof![
        Just(Value::Null),
        (1_u64..300).prop_map(Value::from)
    ])
}

fn written(fields: &[(String, Value, String)]) -> String {
    let fields: Vec<String> = fields
        .iter()
        .map(|(name, value, space)| {
            format!(
                "{space}{}{space}:{space}{value}{space}",
                Value::from(name.as_str())
            )
        })
        .collect();
    format!("{{{}}}", fields.join(","))
}

proptest! {
    #[test]
    fn everything_outside_the_edits_is_the_callers(
        mut fields in fields(),
        place in 0_usize..9,
        limit in number_or_null(),
        options in proptest::option::of(prop_oneof![
            Just(Value::Null),
            Just(serde_json::json!({})),
            Just(serde_json::json!({"include_usage": false, "x": 1})),
            Just(serde_json::json!({"x": 1})),
        ]),
        is_stream in any::<bool>(),
        output_limit in proptest::option::of(1_u64..300),
        max_tokens_field in proptest::option::of(Just("max_completion_tokens")),
        dropped in proptest::collection::vec("[a-f]{1,2}|stop|max_tokens|stream_options", 0..3),
    ) {
        let mut add = |name: &str, value: Value| fields.insert(place.min(fields.len()), (name.to_owned(), value, " ".to_owned()));
        add("messages", serde_json::json!([{"role": "user", "content": "x"}]));
        add("model", Value::from("m"));
        add("stream", Value::from(is_stream));
        if let Some(limit) = limit {
            add("max_tokens", limit);
        }
        if let Some(options) = options {
            add("stream_options", options);
        }
        let mut seen = std::collections::HashSet::new();
        fields.retain(|(name, _, _)| seen.insert(name.clone()));
        let body = Bytes::from(written(&fields));
        let dropped: Vec<&str> = dropped.iter().map(String::as_str).collect();
        let quirks = quirks(max_tokens_field, &dropped);
        let changes = Changes { model: "up/\"stream\"", include_usage: true, output_limit, quirks: &quirks };
        let ask = read(Endpoint::ChatCompletions, &body).unwrap();

        let pieces = splice(&body, &ask, &changes);

        let after: Map<String, Value> = serde_json::from_slice(&pieces.concat()).unwrap();
        let before: Map<String, Value> = serde_json::from_slice(&body).unwrap();
        let acted_on = ["model", "max_tokens", "max_completion_tokens", "stream_options"];
        prop_assert_eq!(&after["model"], "up/\"stream\"");
        for (name, value) in &before {
            if acted_on.contains(&name.as_str()) {
                continue;
            }
            let expected = (!dropped.contains(&name.as_str())).then_some(value);
            prop_assert_eq!(after.get(name), expected, "{}", name);
        }
        for name in after.keys() {
            prop_assert!(before.contains_key(name) || acted_on.contains(&name.as_str()), "{}", name);
        }
        let limit_name = max_tokens_field.unwrap_or("max_tokens");
        if let Some(most) = output_limit {
            let given = before.get("max_tokens").and_then(Value::as_u64);
            let expected = (!dropped.contains(&limit_name)).then(|| given.unwrap_or(most).min(most));
            prop_assert_eq!(after.get(limit_name).and_then(Value::as_u64), expected);
        }
        if is_stream && !dropped.contains(&"stream_options") {
            prop_assert_eq!(&after["stream_options"]["include_usage"], true);
        }
        // Slices of the body stand in its order; what is new is short.
        let (start, mut at, mut new) = (body.as_ptr() as usize, 0, 0);
        for piece in &pieces {
            let place = (piece.as_ptr() as usize).wrapping_sub(start);
            if place < body.len() {
                prop_assert!(at <= place);
                at = place + piece.len();
            } else {
                new += piece.len();
            }
        }
        prop_assert!(new < 150, "{}", new);
    }
}
