//! Asks a provider which models it has: a call that costs nothing.

use std::time::Duration;

use serde_json::{Map, Value};

use super::probe::{Trial, models_of, with_key};
use crate::{
    catalog::provider::Dialect,
    egress::{
        Guard,
        http::{NotFetched, body_of},
    },
};

/// How long a provider may take to list its models.
const DEADLINE: Duration = Duration::from_secs(20);
/// The longest list that is read.
const LONGEST: usize = 8 * 1024 * 1024;
/// The most models that are taken off one list.
const MOST_MODELS: usize = 5_000;
/// The longest name that is believed to be one.
const LONGEST_NAME: usize = 200;

/// A model as its provider lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The provider's name for it.
    pub name: String,
    /// What people read.
    pub display_name: String,
    /// What else the provider says: an object.
    pub details: Value,
}

/// Why there is no list.
#[derive(Debug, thiserror::Error)]
pub enum NotListed {
    /// The provider could not be asked.
    #[error("the provider could not be asked")]
    NotFetched(#[from] NotFetched),
    /// It takes too long.
    #[error("the provider did not answer in time")]
    Late,
    /// It answered something else.
    #[error("the answer is no list of models (status {0})")]
    NoList(u16),
}

/// Lists a provider's models by name, as far as their names can be ones.
///
/// # Errors
/// See [`NotListed`].
pub async fn list(guard: &Guard, trial: Trial<'_>) -> Result<Vec<Listed>, NotListed> {
    let asked = tokio::time::timeout(DEADLINE, ask(guard, trial));
    asked.await.map_err(|_| NotListed::Late)?
}

async fn ask(guard: &Guard, trial: Trial<'_>) -> Result<Vec<Listed>, NotListed> {
    let mut url = models_of(trial.base_url);
    if trial.dialect == Dialect::Anthropic {
        // Twenty a page otherwise.
        url.set_query(Some("limit=1000"));
    }
    let client = guard.client_for(&url, DEADLINE).await?;
    let response = with_key(client.get(url), &trial).send().await;
    let response = response.map_err(NotFetched::from)?;
    let status = response.status().as_u16();
    if !response.status().is_success() {
        return Err(NotListed::NoList(status));
    }
    let body = body_of(response, LONGEST).await?;
    read(&body).ok_or(NotListed::NoList(status))
}

/// Reads `{"data": [{"id": …}]}`, as every dialect writes it.
fn read(body: &[u8]) -> Option<Vec<Listed>> {
    let whole: Value = serde_json::from_slice(body).ok()?;
    let data = whole.get("data")?.as_array()?;
    let mut models: Vec<Listed> = data.iter().take(MOST_MODELS).filter_map(one).collect();
    models.sort_by(|one, other| one.name.cmp(&other.name));
    models.dedup_by(|one, other| one.name == other.name);
    Some(models)
}

fn one(value: &Value) -> Option<Listed> {
    let fields = value.as_object()?;
    let id = fields.get("id")?.as_str()?;
    // Google's list says `models/…` where its calls do not.
    let name = id.strip_prefix("models/").unwrap_or(id);
    let length = name.chars().count();
    if name.chars().any(char::is_control) || !(1..=LONGEST_NAME).contains(&length) {
        return None;
    }
    let told = fields.get("display_name").and_then(Value::as_str);
    Some(Listed {
        name: name.to_owned(),
        display_name: told.unwrap_or(name).chars().take(LONGEST_NAME).collect(),
        details: Value::Object(details(fields)),
    })
}

/// The simple fields of a model: what is nested is nobody's to keep.
fn details(fields: &Map<String, Value>) -> Map<String, Value> {
    let simple = fields.iter().filter(|(name, value)| {
        let is_short = value.as_str().is_none_or(|text| text.len() <= LONGEST_NAME);
        *name != "id" && !value.is_object() && !value.is_array() && is_short
    });
    let simple = simple.map(|(name, value)| (name.clone(), value.clone()));
    simple.take(20).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_by_its_names_once_each_and_what_is_none_is_left_out() {
        let body = br#"{"data": [{"id": "b", "owned_by": "x", "permission": [1]}, {"id": "models/a"}, {"id": "b"},
            {"id": ""}, {"name": "c"}, 7]}"#;

        let models = read(body).unwrap();

        let names: Vec<_> = models.iter().map(|model| model.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(models[1].details, serde_json::json!({"owned_by": "x"}));
        assert_eq!(read(b"{\"error\": 1}"), None);
        assert_eq!(read(b"<html>"), None);
    }
}
