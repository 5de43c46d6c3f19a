//! Tries a provider's key with a call that costs nothing: the list of its models.

use std::time::Duration;

use reqwest::{RequestBuilder, StatusCode};
use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;

use super::provider::{Auth, Dialect};
use crate::{
    base::Secret,
    egress::{
        Guard, NoAddress,
        http::{NotFetched, body_of},
    },
};

/// How long the trial may take altogether.
const DEADLINE: Duration = Duration::from_secs(8);
/// The longest list of models that is read.
const LONGEST: usize = 2 * 1024 * 1024;
/// The version of Anthropic's API that is asked for.
const ANTHROPIC_VERSION: &str = "2023-06-01";

/// What came of trying a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The provider took it.
    Works,
    /// The provider does not know it, or forbids what was asked.
    Refused,
    /// Nobody answered.
    Unreachable,
    /// The answer says nothing about the key.
    Unclear,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// In one word.
    pub outcome: Outcome,
    /// The answer's status, when there was one.
    pub status: Option<u16>,
    /// In words of ours; a provider's own may say too much.
    pub detail: String,
}

/// A key and where it is tried.
#[derive(Clone, Copy, Debug)]
pub struct Trial<'a> {
    /// What stands before the path of a call.
    pub base_url: &'a Url,
    /// The language the provider speaks.
    pub dialect: Dialect,
    /// How the provider wants its key.
    pub auth: Auth,
    /// The key.
    pub secret: &'a Secret,
}

/// Tries a key; takes eight seconds at most.
pub async fn probe(guard: &Guard, trial: Trial<'_>) -> Finding {
    match tokio::time::timeout(DEADLINE, ask(guard, trial)).await {
        Ok(Ok(finding)) => finding,
        Ok(Err(NotFetched::NoAddress(NoAddress::Forbidden(forbidden)))) => {
            unreachable(&format!("the base URL may not be called: {forbidden}"))
        }
        Ok(Err(NotFetched::NoAddress(NoAddress::Unresolvable))) => {
            unreachable("the host name cannot be resolved")
        }
        Ok(Err(NotFetched::Failed(error))) if error.is_connect() => {
            unreachable("the connection could not be made")
        }
        Ok(Err(NotFetched::Failed(_))) => unreachable("the call broke off"),
        Ok(Err(NotFetched::TooLong)) => Finding {
            outcome: Outcome::Unclear,
            status: None,
            detail: "the answer is no list of models: it is too long".to_owned(),
        },
        Err(_) => unreachable("no answer in time"),
    }
}

async fn ask(guard: &Guard, trial: Trial<'_>) -> Result<Finding, NotFetched> {
    let url = models_of(trial.base_url);
    let client = guard.client_for(&url, DEADLINE).await?;
    let response = with_key(client.get(url), &trial).send().await?;
    let status = response.status();
    let body = match status.is_success() {
        true => body_of(response, LONGEST).await?,
        false => Vec::new(),
    };
    let (outcome, detail) = meaning(status, &body);
    Ok(Finding {
        outcome,
        status: Some(status.as_u16()),
        detail: detail.to_owned(),
    })
}

pub(super) fn models_of(base_url: &Url) -> Url {
    let mut url = base_url.clone();
    let path = format!("{}/models", base_url.path().trim_end_matches('/'));
    url.set_path(&path);
    url
}

pub(super) fn with_key(request: RequestBuilder, trial: &Trial<'_>) -> RequestBuilder {
    let secret = trial.secret.expose();
    let request = match trial.auth {
        Auth::Bearer => request.bearer_auth(secret),
        Auth::XApiKey => request.header("x-api-key", secret),
        Auth::ApiKey => request.header("api-key", secret),
        Auth::None => request,
    };
    match trial.dialect {
        Dialect::Openai => request,
        Dialect::Anthropic => request.header("anthropic-version", ANTHROPIC_VERSION),
    }
}

/// Reads an answer. Only a list says that the key was taken: a web page says nothing.
fn meaning(status: StatusCode, body: &[u8]) -> (Outcome, &'static str) {
    let is_json = || serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok();
    match status.as_u16() {
        200..=299 if is_json() => (Outcome::Works, "the provider listed its models"),
        200..=299 => (Outcome::Unclear, "the answer is no list of models"),
        401 => (Outcome::Refused, "the provider does not know the key"),
        402 => (Outcome::Refused, "the account has no money left"),
        403 => (Outcome::Refused, "the provider forbids it to this key"),
        404 | 405 => (Outcome::Unclear, "the provider does not list its models"),
        429 => (Outcome::Unclear, "the provider has had too many calls"),
        300..=399 => (Outcome::Unclear, "the provider sends us elsewhere"),
        500..=599 => (Outcome::Unclear, "the provider has a fault"),
        _ => (Outcome::Unclear, "the answer says nothing about the key"),
    }
}

fn unreachable(detail: &str) -> Finding {
    Finding {
        outcome: Outcome::Unreachable,
        status: None,
        detail: detail.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_models_stands_below_the_base_url() {
        for (base, list) in [
            ("https://shop.example/v1", "https://shop.example/v1/models"),
            ("https://shop.example/v1/", "https://shop.example/v1/models"),
            ("https://shop.example", "https://shop.example/models"),
        ] {
            assert_eq!(models_of(&base.parse().unwrap()).as_str(), list);
        }
    }

    #[test]
    fn only_a_list_says_that_the_key_was_taken() {
        let outcome = |status: u16, body: &str| {
            meaning(StatusCode::from_u16(status).unwrap(), body.as_bytes()).0
        };

        assert_eq!(outcome(200, "{\"data\":[]}"), Outcome::Works);
        assert_eq!(outcome(200, "<html>"), Outcome::Unclear);
        assert_eq!(outcome(401, ""), Outcome::Refused);
        assert_eq!(outcome(302, ""), Outcome::Unclear);
        assert_eq!(outcome(503, ""), Outcome::Unclear);
    }
}
