//! How the books spell values of closed sets, and structures.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::store::StoreError;

/// Writes a value of a closed set as the books spell it.
pub(super) fn word<T: Serialize>(value: &T) -> Result<String, StoreError> {
    match serde_json::to_value(value).map_err(StoreError::Malformed)? {
        Value::String(word) => Ok(word),
        other => Ok(other.to_string()),
    }
}

pub(super) fn of_word<T: DeserializeOwned>(word: String) -> Result<T, StoreError> {
    of_json(Value::String(word))
}

pub(super) fn json<T: Serialize>(value: &T) -> Result<Value, StoreError> {
    serde_json::to_value(value).map_err(StoreError::Malformed)
}

pub(super) fn of_json<T: DeserializeOwned>(value: Value) -> Result<T, StoreError> {
    serde_json::from_value(value).map_err(StoreError::Malformed)
}
