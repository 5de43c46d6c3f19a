//! What a webhook is told, how it is signed, and what its answer means.

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use reqwest::{Response, StatusCode};
use serde::Serialize;
use serde_json::Value;
use sha2::Sha256;
use url::Url;
use uuid::Uuid;

use crate::{
    base::{AlertId, Moment, OrganizationId, Secret},
    egress::{Guard, NoAddress, http::NotFetched},
};

/// How long a webhook may take to answer.
pub const DEADLINE: Duration = Duration::from_secs(10);
/// Who we say we are.
const USER_AGENT: &str = concat!("Synaxis/", env!("CARGO_PKG_VERSION"));

/// What a delivery is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum About {
    /// An alert was raised, or matters more now.
    #[serde(rename = "alert.raised")]
    Raised,
    /// An alert is over.
    #[serde(rename = "alert.resolved")]
    Resolved,
    /// Somebody tries the channel.
    #[serde(rename = "channel.test")]
    Test,
}

impl About {
    /// Reads the books' word.
    #[must_use]
    pub fn of(word: &str) -> Self {
        match word {
            "resolved" => Self::Resolved,
            _ => Self::Raised,
        }
    }
}

/// What is told.
#[derive(Clone, Debug, Serialize)]
pub struct Notice {
    /// The delivery: the same at every try.
    pub id: Uuid,
    /// What it is about.
    #[serde(rename = "type")]
    pub about: About,
    /// Whose alert it is; `None` is the platform's.
    pub organization_id: Option<OrganizationId>,
    /// The alert; `None` in a test.
    pub alert: Option<NoticedAlert>,
}

/// An alert, as it is told.
#[derive(Clone, Debug, Serialize)]
pub struct NoticedAlert {
    /// Which one.
    pub id: AlertId,
    /// What kind of thing.
    pub kind: String,
    /// How much it matters.
    pub severity: String,
    /// What it is, for people.
    pub message: String,
    /// What programs want to know.
    pub details: Value,
    /// How often it was raised so far.
    pub occurrences: i32,
    /// When it was raised first.
    pub raised_at: Moment,
    /// When it was over.
    pub resolved_at: Option<Moment>,
}

/// What came of one try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// The answer's status, when there was one.
    pub status: Option<u16>,
    /// Why it does not count as told, in words of ours; `None` when it does.
    pub fault: Option<String>,
    /// Whether another try may end otherwise.
    pub may_pass: bool,
}

impl Tried {
    /// It was told.
    #[must_use]
    pub const fn told(status: Option<u16>) -> Self {
        Self {
            status,
            fault: None,
            may_pass: false,
        }
    }

    /// It was not, for a reason that may pass.
    #[must_use]
    pub fn failed(status: Option<u16>, fault: &str) -> Self {
        Self {
            status,
            fault: Some(fault.to_owned()),
            may_pass: true,
        }
    }

    /// It was not, and never will be.
    #[must_use]
    pub fn hopeless(status: Option<u16>, fault: &str) -> Self {
        Self {
            may_pass: false,
            ..Self::failed(status, fault)
        }
    }
}

/// Returns what proves that a body came from us at a time: `v1=` and, in hex, the HMAC-SHA256 of `time.body`.
#[must_use]
pub fn signature(secret: &Secret, seconds: i64, body: &[u8]) -> String {
    use std::fmt::Write;
    // Keys of every length are taken.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()) else {
        return String::new();
    };
    mac.update(seconds.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    let mut text = "v1=".to_owned();
    for byte in mac.finalize().into_bytes() {
        let _always_fits = write!(text, "{byte:02x}");
    }
    text
}

/// Tells a webhook, at an address that was judged just now.
pub async fn tell(
    guard: &Guard,
    target: &str,
    secret: &Secret,
    notice: &Notice,
    now: Moment,
) -> Tried {
    let (Ok(url), Ok(body)) = (Url::parse(target), serde_json::to_vec(notice)) else {
        return Tried::hopeless(None, "the target is no URL");
    };
    let seconds = now.millis() / 1_000;
    let sent = async {
        let client = guard.client_for(&url, DEADLINE).await?;
        let request = client
            .post(url.clone())
            .header("content-type", "application/json")
            .header("user-agent", USER_AGENT)
            .header("x-synaxis-delivery", notice.id.to_string())
            .header("x-synaxis-timestamp", seconds.to_string())
            .header("x-synaxis-signature", signature(secret, seconds, &body))
            .body(body);
        Ok::<Response, NotFetched>(request.send().await?)
    };
    match tokio::time::timeout(DEADLINE, sent).await {
        Ok(Ok(response)) => meaning(response.status()),
        Ok(Err(error)) => unheard(&error),
        Err(_) => Tried::failed(None, "no answer in time"),
    }
}

/// Only what says yes counts: a page that sends us elsewhere has not read it.
fn meaning(status: StatusCode) -> Tried {
    let code = Some(status.as_u16());
    match status.as_u16() {
        200..=299 => Tried::told(code),
        410 => Tried::hopeless(code, "the target says it is gone"),
        300..=399 => Tried::failed(code, "the target sends us elsewhere"),
        _ => Tried::failed(code, "the target refused it"),
    }
}

fn unheard(error: &NotFetched) -> Tried {
    match error {
        NotFetched::NoAddress(NoAddress::Forbidden(forbidden)) => {
            Tried::hopeless(None, &format!("not to be called: {forbidden}"))
        }
        NotFetched::NoAddress(NoAddress::Unresolvable) => {
            Tried::failed(None, "the host name cannot be resolved")
        }
        NotFetched::Failed(error) if error.is_timeout() => Tried::failed(None, "no answer in time"),
        NotFetched::Failed(error) if error.is_connect() => {
            Tried::failed(None, "the connection could not be made")
        }
        NotFetched::Failed(_) | NotFetched::TooLong => Tried::failed(None, "the call broke off"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_covers_the_time_and_the_body() {
        let secret = Secret::new("It's a Secret to Everybody".to_owned());

        let signed = signature(&secret, 1_700_000_000, b"{}");

        // printf '1700000000.{}' | openssl dgst -sha256 -hmac "It's a Secret to Everybody"
        assert_eq!(
            signed,
            "v1=1df0d47c3774d7ccf5c4d51759477d319136747489fd8d3da926674d75de192f"
        );
        assert_ne!(signed, signature(&secret, 1_700_000_001, b"{}"));
        assert_ne!(signed, signature(&secret, 1_700_000_000, b"{ }"));
    }

    #[test]
    fn only_a_yes_is_a_yes() {
        let told = |code| meaning(StatusCode::from_u16(code).unwrap());

        assert_eq!(told(204), Tried::told(Some(204)));
        assert!(told(302).may_pass && told(404).may_pass && told(503).may_pass);
        assert!(!told(410).may_pass && told(410).fault.is_some());
    }
}
