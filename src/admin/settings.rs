//! What the sidecar may be told: addresses, origins, patience.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use ipnet::IpNet;
use serde::Deserialize;

use super::throttle::Rates;
use crate::base::Fault;

/// The settings of the sidecar.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where the API and the console answer.
    pub listen: SocketAddr,
    /// Where `/metrics`, `/livez` and `/readyz` answer; never the public port.
    pub operations_listen: SocketAddr,
    /// The exact origins a browser may call from, such as `https://console.example.com`.
    pub origins: Vec<String>,
    /// The balancers whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Most connections at once.
    pub max_connections: usize,
    /// Most connections at once from one address; trusted proxies are exempt.
    pub max_connections_per_address: usize,
    /// How long a caller may take to send a head, and to begin the next one, in seconds.
    pub header_deadline_s: u64,
    /// How long a request may take, its body included, in seconds.
    pub deadline_s: u64,
    /// How long open requests may end in after a signal to stop.
    pub drain_s: u64,
    /// How often sign-in, registration and reset may be tried.
    pub throttle: Rates,
}

/// The port of the API by default.
const PORT: u16 = 8081;
/// The port of the operations listener by default.
const OPERATIONS_PORT: u16 = 9465;
/// The longest drain that still is one: an hour.
const LONGEST_DRAIN_S: u64 = 3600;
/// The longest deadline that still is one: ten minutes.
const LONGEST_DEADLINE_S: u64 = 600;
/// More descriptors than a process is given.
const MOST_CONNECTIONS: usize = 1_000_000;

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)),
            operations_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, OPERATIONS_PORT)),
            origins: Vec::new(),
            trusted_proxies: Vec::new(),
            max_connections: 1_024,
            max_connections_per_address: 256,
            header_deadline_s: 10,
            deadline_s: 30,
            throttle: Rates::default(),
            drain_s: 30,
        }
    }
}

impl Settings {
    /// Returns every fault that can be seen in these settings alone.
    #[must_use]
    pub fn validate(&self) -> Vec<Fault> {
        let drain = Fault::unless_within("drain_s", self.drain_s, 1..=LONGEST_DRAIN_S);
        let origins = self
            .origins
            .iter()
            .filter(|origin| !is_origin(origin))
            .map(|origin| {
                Fault::new(
                    "origins",
                    format!("`{origin}` is no origin"),
                    "write scheme and host as a browser sends them: https://console.example.com",
                )
            });
        let deadline = Fault::unless_within("deadline_s", self.deadline_s, 1..=LONGEST_DEADLINE_S);
        let header = Fault::unless_within(
            "header_deadline_s",
            self.header_deadline_s,
            1..=LONGEST_DEADLINE_S,
        );
        let connections = [
            ("max_connections", self.max_connections),
            (
                "max_connections_per_address",
                self.max_connections_per_address,
            ),
        ];
        let connections = connections
            .into_iter()
            .filter_map(|(path, most)| Fault::unless_within(path, most, 1..=MOST_CONNECTIONS));
        let throttle = self.throttle.validate().into_iter();
        drain
            .into_iter()
            .chain(deadline)
            .chain(header)
            .chain(connections)
            .chain(origins)
            .chain(throttle.map(|fault| fault.under("throttle")))
            .collect()
    }

    /// Returns how long a request may take.
    #[must_use]
    pub const fn deadline(&self) -> Duration {
        Duration::from_secs(self.deadline_s)
    }
}

/// Says whether `text` is what a browser would send, or the wildcard that only development may use.
fn is_origin(text: &str) -> bool {
    text == "*" || url::Url::parse(text).is_ok_and(|url| url.origin().ascii_serialization() == text)
}

#[cfg(test)]
mod tests {
    use super::Settings;

    #[test]
    fn an_origin_is_what_a_browser_sends() {
        let origins = |list: &[&str]| Settings {
            origins: list.iter().map(|origin| (*origin).to_owned()).collect(),
            ..Settings::default()
        };

        assert_eq!(
            origins(&["https://console.example.com", "http://127.0.0.1:5173"]).validate(),
            []
        );
        assert_eq!(
            origins(&["console.example.com", "https://a.example/"])
                .validate()
                .len(),
            2
        );
    }
}
