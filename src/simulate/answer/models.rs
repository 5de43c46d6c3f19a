//! `/v1/models`.

use serde_json::{Value, json};

/// Lists the models, in OpenAI's form with what Anthropic's clients read beside it.
pub(in crate::simulate) fn list(models: &[String], owner: &str) -> Value {
    let data: Vec<Value> = models.iter().map(|name| one(name, owner)).collect();
    json!({
        "object": "list",
        "data": data,
        "has_more": false,
        "first_id": models.first(),
        "last_id": models.last(),
    })
}

/// Describes one model.
pub(in crate::simulate) fn one(name: &str, owner: &str) -> Value {
    json!({
        "id": name,
        "object": "model",
        "type": "model",
        "created": 1_750_000_000,
        "created_at": "2025-06-15T15:06:40Z",
        "display_name": name,
        "owned_by": owner,
    })
}
