//! What an answer says it used: the truth, or what a fault makes of it.

use serde_json::{Value, json};

use crate::simulate::fault::Lie;

/// Says a count the way the fault wants it said.
fn said(tokens: u64, lie: Lie) -> Value {
    match lie {
        Lie::TenFold => json!(tokens.saturating_mul(10)),
        Lie::Negative => json!(-i64::try_from(tokens).unwrap_or(i64::MAX)),
        Lie::Text => json!("lots"),
        Lie::Truth | Lie::None | Lie::Twice | Lie::Each | Lie::Late => json!(tokens),
    }
}

/// Usage as chat, completions and embeddings say it.
pub(super) fn chat(input: u64, output: u64, lie: Lie) -> Option<Value> {
    (lie != Lie::None).then(|| {
        json!({
            "prompt_tokens": said(input, lie),
            "completion_tokens": said(output, lie),
            "total_tokens": said(input + output, lie),
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 0, "audio_tokens": 0, "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
            },
        })
    })
}

/// Usage as embeddings say it.
pub(super) fn embeddings(input: u64, lie: Lie) -> Option<Value> {
    (lie != Lie::None)
        .then(|| json!({"prompt_tokens": said(input, lie), "total_tokens": said(input, lie)}))
}

/// Usage as the responses interface says it.
pub(super) fn responses(input: u64, output: u64, lie: Lie) -> Option<Value> {
    (lie != Lie::None).then(|| {
        json!({
            "input_tokens": said(input, lie),
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": said(output, lie),
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": said(input + output, lie),
        })
    })
}

/// Usage as Anthropic says it.
pub(super) fn messages(input: u64, output: u64, lie: Lie) -> Option<Value> {
    (lie != Lie::None).then(|| {
        json!({
            "input_tokens": said(input, lie),
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": said(output, lie),
        })
    })
}

/// Puts usage into an object, where there is any to tell.
pub(super) fn put(object: &mut Value, usage: Option<Value>) {
    if let (Some(members), Some(usage)) = (object.as_object_mut(), usage) {
        members.insert("usage".to_owned(), usage);
    }
}
