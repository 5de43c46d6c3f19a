//! `/v1/responses`: the whole object, and the events that build it up.

use serde_json::{Value, json};

use super::{
    Answer, Event, Question, Stamp,
    speech::{Call, Speech},
    usage,
};

pub(super) fn answer(question: &Question, stamp: &Stamp) -> Answer {
    let empty = Speech::default();
    let speech = question.speeches.first().unwrap_or(&empty);
    let response = Response {
        question,
        stamp,
        speech,
    };
    match question.is_stream {
        true => Answer::Stream(response.stream()),
        false => Answer::Whole {
            body: response.object("completed"),
            tokens: speech.tokens(),
        },
    }
}

struct Response<'a> {
    question: &'a Question,
    stamp: &'a Stamp,
    speech: &'a Speech,
}

impl Response<'_> {
    fn object(&self, status: &str) -> Value {
        let asked = |name: &str, otherwise: Value| {
            self.question.body.get(name).cloned().unwrap_or(otherwise)
        };
        let is_ended = status == "completed";
        let (status, details) = match is_ended && self.speech.is_cut {
            true => ("incomplete", json!({"reason": "max_output_tokens"})),
            false => (status, Value::Null),
        };
        let mut object = json!({
            "id": self.stamp.id("resp_"),
            "object": "response",
            "created_at": self.stamp.created,
            "status": status,
            "background": false,
            "error": null,
            "incomplete_details": details,
            "instructions": asked("instructions", Value::Null),
            "max_output_tokens": asked("max_output_tokens", Value::Null),
            "model": self.question.model,
            "output": if is_ended { self.output() } else { json!([]) },
            "parallel_tool_calls": true,
            "previous_response_id": asked("previous_response_id", Value::Null),
            "reasoning": {"effort": null, "summary": null},
            "store": asked("store", json!(true)),
            "temperature": asked("temperature", json!(1)),
            "text": asked("text", json!({"format": {"type": "text"}})),
            "tool_choice": asked("tool_choice", json!("auto")),
            "tools": asked("tools", json!([])),
            "top_p": asked("top_p", json!(1)),
            "truncation": "disabled",
            "usage": null,
            "user": asked("user", Value::Null),
            "metadata": asked("metadata", json!({})),
        });
        if is_ended {
            usage::put(
                &mut object,
                usage::responses(
                    self.question.input_tokens,
                    self.speech.tokens(),
                    self.stamp.lie,
                ),
            );
        }
        object
    }

    fn output(&self) -> Value {
        if self.speech.calls.is_empty() {
            return json!([self.message("completed", &json!([part(&self.speech.text())]))]);
        }
        let calls = self.speech.calls.iter().enumerate();
        calls
            .map(|(position, call)| {
                self.call(position, call, "completed", &call.arguments.concat())
            })
            .collect()
    }

    fn message(&self, status: &str, content: &Value) -> Value {
        json!({"id": self.stamp.id("msg_"), "type": "message", "status": status, "role": "assistant", "content": content})
    }

    fn call(&self, position: usize, call: &Call, status: &str, arguments: &str) -> Value {
        json!({
            "id": self.stamp.id(&format!("fc_{position}")),
            "type": "function_call",
            "status": status,
            "call_id": self.stamp.id(&format!("call_{position}")),
            "name": call.name,
            "arguments": arguments,
        })
    }

    fn stream(&self) -> Vec<Event> {
        let mut events = Events::default();
        events.push(
            "response.created",
            json!({"response": self.object("in_progress")}),
            0,
        );
        events.push(
            "response.in_progress",
            json!({"response": self.object("in_progress")}),
            0,
        );
        if self.speech.calls.is_empty() {
            self.text_events(&mut events);
        }
        for (position, call) in self.speech.calls.iter().enumerate() {
            self.call_events(&mut events, position, call);
        }
        let name = if self.speech.is_cut {
            "response.incomplete"
        } else {
            "response.completed"
        };
        events.push(name, json!({"response": self.object("completed")}), 0);
        let last = events.list.pop().map(Event::last);
        events.list.extend(last);
        events.list
    }

    fn text_events(&self, events: &mut Events) {
        let id = self.stamp.id("msg_");
        let item = self.message("in_progress", &json!([]));
        events.push(
            "response.output_item.added",
            json!({"output_index": 0, "item": item}),
            0,
        );
        let at = json!({"item_id": id, "output_index": 0, "content_index": 0});
        events.push(
            "response.content_part.added",
            with(&at, &json!({"part": part("")})),
            0,
        );
        for piece in &self.speech.pieces {
            events.push(
                "response.output_text.delta",
                with(&at, &json!({"delta": piece, "logprobs": []})),
                1,
            );
        }
        let text = self.speech.text();
        events.push(
            "response.output_text.done",
            with(&at, &json!({"text": text, "logprobs": []})),
            0,
        );
        events.push(
            "response.content_part.done",
            with(&at, &json!({"part": part(&text)})),
            0,
        );
        let item = self.message("completed", &json!([part(&text)]));
        events.push(
            "response.output_item.done",
            json!({"output_index": 0, "item": item}),
            0,
        );
    }

    fn call_events(&self, events: &mut Events, position: usize, call: &Call) {
        let arguments = call.arguments.concat();
        let item = self.call(position, call, "in_progress", "");
        let at = json!({"item_id": item.get("id"), "output_index": position});
        events.push(
            "response.output_item.added",
            with(&at, &json!({"item": item})),
            1,
        );
        for piece in &call.arguments {
            events.push(
                "response.function_call_arguments.delta",
                with(&at, &json!({"delta": piece})),
                1,
            );
        }
        let done = json!({"arguments": arguments, "name": call.name});
        events.push("response.function_call_arguments.done", with(&at, &done), 0);
        let item = self.call(position, call, "completed", &arguments);
        events.push(
            "response.output_item.done",
            json!({"output_index": position, "item": item}),
            0,
        );
    }
}

fn part(text: &str) -> Value {
    json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
}

/// Returns an object with the members of both.
fn with(one: &Value, other: &Value) -> Value {
    let members = [one, other]
        .into_iter()
        .filter_map(Value::as_object)
        .flatten();
    members
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

#[derive(Default)]
struct Events {
    list: Vec<Event>,
}

impl Events {
    fn push(&mut self, name: &'static str, members: Value, tokens: u64) {
        let head = json!({"type": name, "sequence_number": self.list.len()});
        self.list
            .push(Event::named(name, &with(&head, &members), tokens));
    }
}
