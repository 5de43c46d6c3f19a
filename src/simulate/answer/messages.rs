//! Anthropic's `/v1/messages`.

use serde_json::{Value, json};

use super::{
    Answer, Event, Question, Stamp,
    speech::{Call, Speech},
    usage,
};

pub(super) fn answer(question: &Question, stamp: &Stamp) -> Answer {
    let empty = Speech::default();
    let speech = question.speeches.first().unwrap_or(&empty);
    match question.is_stream {
        true => Answer::Stream(stream(question, stamp, speech)),
        false => Answer::Whole {
            body: whole(question, stamp, speech),
            tokens: speech.tokens(),
        },
    }
}

fn stop_reason(speech: &Speech) -> &'static str {
    match (speech.is_cut, speech.calls.is_empty()) {
        (true, _) => "max_tokens",
        (false, true) => "end_turn",
        (false, false) => "tool_use",
    }
}

fn message(
    question: &Question,
    stamp: &Stamp,
    content: &Value,
    stop_reason: Option<&str>,
) -> Value {
    json!({
        "id": stamp.id("msg_"),
        "type": "message",
        "role": "assistant",
        "model": question.model,
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": null,
    })
}

fn call_block(stamp: &Stamp, position: usize, call: &Call, input: &Value) -> Value {
    json!({"type": "tool_use", "id": stamp.id(&format!("toolu_{position}")), "name": call.name, "input": input})
}

fn whole(question: &Question, stamp: &Stamp, speech: &Speech) -> Value {
    let content: Value = match speech.calls.is_empty() {
        true => json!([{"type": "text", "text": speech.text()}]),
        false => {
            let calls = speech.calls.iter().enumerate();
            calls
                .map(|(position, call)| {
                    let input = serde_json::from_str(&call.arguments.concat()).unwrap_or_default();
                    call_block(stamp, position, call, &input)
                })
                .collect()
        }
    };
    let mut body = message(question, stamp, &content, Some(stop_reason(speech)));
    usage::put(
        &mut body,
        usage::messages(question.input_tokens, speech.tokens(), stamp.lie),
    );
    body
}

fn stream(question: &Question, stamp: &Stamp, speech: &Speech) -> Vec<Event> {
    let mut events = Vec::new();
    let mut push = |name: &'static str, mut data: Value, tokens: u64| {
        if let Some(members) = data.as_object_mut() {
            members.insert("type".to_owned(), Value::from(name));
        }
        events.push(Event::named(name, &data, tokens));
    };
    let mut begun = message(question, stamp, &json!([]), None);
    usage::put(
        &mut begun,
        usage::messages(question.input_tokens, 1, stamp.lie),
    );
    push("message_start", json!({"message": begun}), 0);
    push("ping", json!({}), 0);
    if speech.calls.is_empty() {
        push(
            "content_block_start",
            json!({"index": 0, "content_block": {"type": "text", "text": ""}}),
            0,
        );
        for piece in &speech.pieces {
            push(
                "content_block_delta",
                json!({"index": 0, "delta": {"type": "text_delta", "text": piece}}),
                1,
            );
        }
        push("content_block_stop", json!({"index": 0}), 0);
    }
    for (index, call) in speech.calls.iter().enumerate() {
        let block = call_block(stamp, index, call, &json!({}));
        push(
            "content_block_start",
            json!({"index": index, "content_block": block}),
            1,
        );
        for piece in &call.arguments {
            push(
                "content_block_delta",
                json!({"index": index, "delta": {"type": "input_json_delta", "partial_json": piece}}),
                1,
            );
        }
        push("content_block_stop", json!({"index": index}), 0);
    }
    let mut delta = json!({"delta": {"stop_reason": stop_reason(speech), "stop_sequence": null}});
    usage::put(
        &mut delta,
        usage::messages(question.input_tokens, speech.tokens(), stamp.lie),
    );
    push("message_delta", delta, 0);
    push("message_stop", json!({}), 0);
    let last = events.pop().map(Event::last);
    events.extend(last);
    events
}
