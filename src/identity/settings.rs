//! What the door may be told: where it stands, and how long a stay lasts.

use serde::Deserialize;
use url::Url;

use crate::base::Fault;

/// Who may make an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Registration {
    /// Anybody who has an address.
    #[default]
    Open,
    /// Only whom an operator makes, or an organization's provider admits.
    Closed,
}

/// The settings of the door.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where people reach the sidecar: in links of mails, in tokens as their issuer, as the way back from a provider.
    pub public_url: String,
    /// Who may make an account.
    pub registration: Registration,
    /// How long a session is kept that is not used, in seconds.
    pub session_idle_s: u64,
    /// How long a session lasts at most, in seconds.
    pub session_lifetime_s: u64,
    /// How long a key signs, in days.
    pub signing_key_days: u64,
    /// How long attempts to sign in are kept, in days.
    pub attempts_kept_days: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            public_url: "http://127.0.0.1:8081".to_owned(),
            registration: Registration::default(),
            session_idle_s: 14 * 86_400,
            session_lifetime_s: 90 * 86_400,
            signing_key_days: 30,
            attempts_kept_days: 90,
        }
    }
}

/// A year, in seconds.
const YEAR_S: u64 = 366 * 86_400;

impl Settings {
    /// Returns every fault that can be seen in these settings alone.
    #[must_use]
    pub fn validate(&self) -> Vec<Fault> {
        let url = (!is_base(&self.public_url)).then(|| {
            let mend = "write scheme and host without a path: https://synaxis.example.com";
            Fault::new("public_url", "is no address people could reach", mend)
        });
        let ranges = [
            Fault::unless_within("session_idle_s", self.session_idle_s, 60..=YEAR_S),
            Fault::unless_within("session_lifetime_s", self.session_lifetime_s, 60..=YEAR_S),
            Fault::unless_within("signing_key_days", self.signing_key_days, 1..=365),
            Fault::unless_within("attempts_kept_days", self.attempts_kept_days, 1..=3_650),
        ];
        url.into_iter()
            .chain(ranges.into_iter().flatten())
            .collect()
    }

    /// Says whether what is sent there can be read on the way.
    #[must_use]
    pub fn is_plain_and_public(&self) -> bool {
        let Ok(url) = Url::parse(&self.public_url) else {
            return false;
        };
        let is_here = match url.host() {
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            Some(url::Host::Domain(name)) => name == "localhost",
            None => false,
        };
        url.scheme() != "https" && !is_here
    }
}

/// Says whether `text` is an origin: what paths can be put behind.
fn is_base(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https") && url.origin().ascii_serialization() == text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(url: &str) -> Settings {
        Settings {
            public_url: url.to_owned(),
            ..Settings::default()
        }
    }

    #[test]
    fn a_public_url_is_an_origin() {
        assert_eq!(at("https://synaxis.example.com").validate(), []);
        for url in [
            "synaxis.example.com",
            "https://a.example/",
            "https://a.example/x",
            "ftp://a.example",
        ] {
            assert_eq!(at(url).validate().len(), 1, "{url}");
        }
    }

    #[test]
    fn only_this_machine_may_be_reached_in_the_clear() {
        assert!(at("http://synaxis.example.com").is_plain_and_public());
        assert!(!at("https://synaxis.example.com").is_plain_and_public());
        assert!(!at("http://127.0.0.1:8081").is_plain_and_public());
    }
}
