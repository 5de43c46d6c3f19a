//! `/v1/embeddings`.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{Answer, Question, Stamp, usage};
use crate::simulate::text;

/// How many numbers a vector has when nobody says.
const DIMENSIONS: u64 = 256;

pub(super) fn answer(question: &Question, stamp: &Stamp) -> Answer {
    let body = &question.body;
    let dimensions = body
        .get("dimensions")
        .and_then(Value::as_u64)
        .unwrap_or(DIMENSIONS)
        .clamp(1, 8_192);
    let is_base64 = body.get("encoding_format").and_then(Value::as_str) == Some("base64");
    let data: Vec<Value> = inputs(body)
        .iter()
        .enumerate()
        .map(|(index, input)| {
            let vector = text::vector(text::seed(&input.to_string()), dimensions);
            json!({"object": "embedding", "index": index, "embedding": written(&vector, is_base64)})
        })
        .collect();
    let mut body = json!({"object": "list", "data": data, "model": question.model});
    usage::put(
        &mut body,
        usage::embeddings(question.input_tokens, stamp.lie),
    );
    Answer::Whole { body, tokens: 0 }
}

fn inputs(body: &Value) -> Vec<Value> {
    match body.get("input") {
        Some(Value::Array(list)) if !list.iter().all(Value::is_number) => list.clone(),
        Some(one) => vec![one.clone()],
        None => Vec::new(),
    }
}

fn written(vector: &[f32], is_base64: bool) -> Value {
    if is_base64 {
        let bytes: Vec<u8> = vector
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect();
        return Value::from(STANDARD.encode(bytes));
    }
    vector.iter().copied().map(Value::from).collect()
}
