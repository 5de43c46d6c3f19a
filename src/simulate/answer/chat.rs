//! `/v1/chat/completions`.

use serde_json::{Value, json};

use super::{Answer, Event, Question, Stamp, speech::Speech, usage};
use crate::simulate::{fault::Lie, text::count};

pub(super) fn answer(question: &Question, stamp: &Stamp) -> Answer {
    match question.is_stream {
        true => Answer::Stream(stream(question, stamp)),
        false => whole(question, stamp),
    }
}

fn finish(speech: &Speech) -> &'static str {
    match (speech.is_cut, speech.calls.is_empty()) {
        (true, _) => "length",
        (false, true) => "stop",
        (false, false) => "tool_calls",
    }
}

fn call_id(stamp: &Stamp, choice: usize, position: usize) -> String {
    stamp.id(&format!("call_{choice}{position}"))
}

fn whole(question: &Question, stamp: &Stamp) -> Answer {
    let choices: Vec<Value> = question
        .speeches
        .iter()
        .enumerate()
        .map(|(index, speech)| {
            let mut message = json!({"role": "assistant", "content": speech.text(), "refusal": null, "annotations": []});
            if let (false, Some(members)) = (speech.calls.is_empty(), message.as_object_mut()) {
                members.insert("content".to_owned(), Value::Null);
                members.insert("tool_calls".to_owned(), tool_calls(speech, stamp, index));
            }
            json!({"index": index, "message": message, "logprobs": null, "finish_reason": finish(speech)})
        })
        .collect();
    let output = question.output_tokens();
    let mut body = json!({
        "id": stamp.id("chatcmpl-"),
        "object": "chat.completion",
        "created": stamp.created,
        "model": question.model,
        "choices": choices,
        "service_tier": "default",
        "system_fingerprint": "fp_simulated",
    });
    usage::put(
        &mut body,
        usage::chat(question.input_tokens, output, stamp.lie),
    );
    Answer::Whole {
        body,
        tokens: output,
    }
}

fn tool_calls(speech: &Speech, stamp: &Stamp, choice: usize) -> Value {
    let calls = speech.calls.iter().enumerate().map(|(position, call)| {
        json!({
            "id": call_id(stamp, choice, position),
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments.concat()},
        })
    });
    calls.collect()
}

/// Makes the events of one stream.
struct Chunks<'a> {
    question: &'a Question,
    stamp: &'a Stamp,
    id: String,
    sent: u64,
    events: Vec<Event>,
}

fn stream(question: &Question, stamp: &Stamp) -> Vec<Event> {
    let mut chunks = Chunks {
        question,
        stamp,
        id: stamp.id("chatcmpl-"),
        sent: 0,
        events: Vec::new(),
    };
    for (index, speech) in question.speeches.iter().enumerate() {
        chunks.speech(index, speech);
    }
    chunks.end();
    chunks.events
}

impl Chunks<'_> {
    fn speech(&mut self, index: usize, speech: &Speech) {
        let content = if speech.calls.is_empty() {
            json!("")
        } else {
            Value::Null
        };
        self.delta(
            index,
            &json!({"role": "assistant", "content": content, "refusal": null}),
            None,
            0,
        );
        for piece in &speech.pieces {
            self.delta(index, &json!({"content": piece}), None, 1);
        }
        for (position, call) in speech.calls.iter().enumerate() {
            let id = call_id(self.stamp, index, position);
            let begin = json!({"index": position, "id": id, "type": "function", "function": {"name": call.name, "arguments": ""}});
            self.delta(index, &json!({"tool_calls": [begin]}), None, 1);
            for piece in &call.arguments {
                let more = json!({"index": position, "function": {"arguments": piece}});
                self.delta(index, &json!({"tool_calls": [more]}), None, 1);
            }
        }
        self.delta(index, &json!({}), Some(finish(speech)), 0);
    }

    fn delta(&mut self, index: usize, delta: &Value, finish: Option<&str>, tokens: u64) {
        self.sent += tokens;
        let choice =
            json!({"index": index, "delta": delta, "logprobs": null, "finish_reason": finish});
        let mut chunk = self.chunk(&json!([choice]));
        if self.stamp.lie == Lie::Each {
            let so_far = usage::chat(self.question.input_tokens, self.sent, self.stamp.lie);
            usage::put(&mut chunk, so_far);
        } else if self.question.wants_usage() {
            usage::put(&mut chunk, Some(Value::Null));
        }
        self.events.push(Event::plain(&chunk, tokens));
    }

    fn chunk(&self, choices: &Value) -> Value {
        json!({
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.stamp.created,
            "model": self.question.model,
            "service_tier": "default",
            "system_fingerprint": "fp_simulated",
            "choices": choices,
        })
    }

    fn end(&mut self) {
        let told = usage::chat(
            self.question.input_tokens,
            self.question.output_tokens(),
            self.stamp.lie,
        )
        .filter(|_| self.question.wants_usage())
        .map(|usage| {
            let mut chunk = self.chunk(&json!([]));
            usage::put(&mut chunk, Some(usage));
            Event::plain(&chunk, 0)
        });
        let times = match self.stamp.lie {
            Lie::Twice => 2,
            Lie::Late => 0,
            Lie::Truth | Lie::None | Lie::TenFold | Lie::Negative | Lie::Text | Lie::Each => 1,
        };
        self.events
            .extend(told.iter().cycle().take(times * told.iter().len()).cloned());
        self.events.push(Event::done());
        if self.stamp.lie == Lie::Late {
            self.events.extend(told);
        }
        debug_assert_eq!(
            self.sent,
            self.question.output_tokens(),
            "{}",
            count(self.events.len())
        );
    }
}
