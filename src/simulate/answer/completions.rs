//! `/v1/completions`.

use serde_json::{Value, json};

use super::{Answer, Event, Question, Stamp, speech::Speech, usage};

pub(super) fn answer(question: &Question, stamp: &Stamp) -> Answer {
    match question.is_stream {
        true => Answer::Stream(stream(question, stamp)),
        false => whole(question, stamp),
    }
}

fn finish(speech: &Speech) -> &'static str {
    if speech.is_cut { "length" } else { "stop" }
}

fn choice(index: usize, text: &str, finish: Option<&str>) -> Value {
    json!({"index": index, "text": text, "logprobs": null, "finish_reason": finish})
}

fn object(question: &Question, stamp: &Stamp, choices: &Value) -> Value {
    json!({
        "id": stamp.id("cmpl-"),
        "object": "text_completion",
        "created": stamp.created,
        "model": question.model,
        "choices": choices,
    })
}

fn whole(question: &Question, stamp: &Stamp) -> Answer {
    let speeches = question.speeches.iter().enumerate();
    let choices: Value = speeches
        .map(|(index, speech)| choice(index, &speech.text(), Some(finish(speech))))
        .collect();
    let output = question.output_tokens();
    let mut body = object(question, stamp, &choices);
    usage::put(
        &mut body,
        usage::chat(question.input_tokens, output, stamp.lie),
    );
    Answer::Whole {
        body,
        tokens: output,
    }
}

fn stream(question: &Question, stamp: &Stamp) -> Vec<Event> {
    let mut events = Vec::new();
    for (index, speech) in question.speeches.iter().enumerate() {
        for piece in &speech.pieces {
            let chunk = object(question, stamp, &json!([choice(index, piece, None)]));
            events.push(Event::plain(&chunk, 1));
        }
        let last = object(
            question,
            stamp,
            &json!([choice(index, "", Some(finish(speech)))]),
        );
        events.push(Event::plain(&last, 0));
    }
    let told = usage::chat(question.input_tokens, question.output_tokens(), stamp.lie);
    if let (true, Some(told)) = (question.wants_usage(), told) {
        let mut chunk = object(question, stamp, &json!([]));
        usage::put(&mut chunk, Some(told));
        events.push(Event::plain(&chunk, 0));
    }
    events.push(Event::done());
    events
}
