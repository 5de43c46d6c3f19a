//! What the data path may be told: addresses, bounds, patience.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use ipnet::IpNet;
use serde::Deserialize;

use crate::base::Fault;

/// The settings of the proxy.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where calls come in.
    pub listen: SocketAddr,
    /// Where `/metrics`, `/livez` and `/readyz` answer; never the public port.
    pub operations_listen: SocketAddr,
    /// Whose `X-Forwarded-For` and PROXY header are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether connections from `trusted_proxies` begin with a PROXY protocol header.
    pub proxy_protocol: bool,
    /// Largest request body; an organization may lower it.
    pub body_limit_bytes: u64,
    /// Slowest body that is waited for, once `body_deadline_s` has passed.
    pub body_min_bytes_per_s: u64,
    /// How long a body may take whatever its pace.
    pub body_deadline_s: u64,
    /// Largest request header, all lines together.
    pub header_limit_bytes: u64,
    /// How long a request header may take.
    pub header_deadline_s: u64,
    /// How long an idle connection is kept.
    pub keepalive_s: u64,
    /// Most connections at once.
    pub max_connections: usize,
    /// Most connections at once from one address; trusted proxies are exempt.
    pub max_connections_per_address: usize,
    /// Where `synaxis proxy --upgrade` takes the listeners from the running proxy.
    pub upgrade_socket: Option<PathBuf>,
    /// How long open calls may end in after a signal to stop.
    pub drain_s: u64,
    /// Threads that serve; 0 is one per core.
    pub threads: usize,
    /// Silence after which a stream gets a keep-alive comment.
    pub keepalive_comment_s: u64,
    /// Where the last good snapshot and the seen keys are kept.
    pub state_dir: PathBuf,
}

/// The port calls come in at by default.
const PORT: u16 = 8080;
/// The port of the operations listener by default.
const OPERATIONS_PORT: u16 = 9464;
/// The smallest header limit that real clients fit in.
const SMALLEST_HEADER_LIMIT: u64 = 4096;
/// The longest patience that still is one: a day.
const LONGEST_S: u64 = 86_400;

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)),
            operations_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, OPERATIONS_PORT)),
            trusted_proxies: Vec::new(),
            proxy_protocol: false,
            body_limit_bytes: 32 << 20,
            body_min_bytes_per_s: 1024,
            body_deadline_s: 30,
            header_limit_bytes: 32 << 10,
            header_deadline_s: 10,
            keepalive_s: 60,
            max_connections: 20_000,
            max_connections_per_address: 1024,
            upgrade_socket: None,
            drain_s: 120,
            threads: 0,
            keepalive_comment_s: 15,
            state_dir: PathBuf::from("state"),
        }
    }
}

impl Settings {
    /// Returns every fault that can be seen in these settings alone.
    #[must_use]
    pub fn validate(&self) -> Vec<Fault> {
        let mut faults: Vec<Fault> = [
            Fault::unless_within("body_limit_bytes", self.body_limit_bytes, 1024..=1 << 30),
            Fault::unless_within(
                "body_min_bytes_per_s",
                self.body_min_bytes_per_s,
                1..=1 << 30,
            ),
            Fault::unless_within("body_deadline_s", self.body_deadline_s, 1..=LONGEST_S),
            Fault::unless_within(
                "header_limit_bytes",
                self.header_limit_bytes,
                SMALLEST_HEADER_LIMIT..=1 << 20,
            ),
            Fault::unless_within("header_deadline_s", self.header_deadline_s, 1..=LONGEST_S),
            Fault::unless_within("keepalive_s", self.keepalive_s, 1..=LONGEST_S),
            Fault::unless_within("max_connections", self.max_connections, 1..=10_000_000),
            Fault::unless_within(
                "max_connections_per_address",
                self.max_connections_per_address,
                1..=10_000_000,
            ),
            Fault::unless_within("drain_s", self.drain_s, 1..=LONGEST_S),
            Fault::unless_within("threads", self.threads, 0..=1024),
            Fault::unless_within(
                "keepalive_comment_s",
                self.keepalive_comment_s,
                1..=LONGEST_S,
            ),
        ]
        .into_iter()
        .flatten()
        .collect();
        faults.extend(self.combinations());
        faults
    }

    fn combinations(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        if self.proxy_protocol && self.trusted_proxies.is_empty() {
            faults.push(Fault::new(
                "proxy_protocol",
                "nobody is trusted to send the header",
                "list the balancers in trusted_proxies",
            ));
        }
        if self.max_connections < self.max_connections_per_address {
            faults.push(Fault::new(
                "max_connections_per_address",
                format!("more than max_connections ({})", self.max_connections),
                "lower it or raise max_connections",
            ));
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::Settings;

    #[test]
    fn the_defaults_have_no_fault() {
        assert_eq!(Settings::default().validate(), []);
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let settings = Settings {
            drain_s: 0,
            body_limit_bytes: 0,
            proxy_protocol: true,
            ..Settings::default()
        };

        let faults = settings.validate();

        let paths: Vec<&str> = faults.iter().map(|fault| fault.path.as_str()).collect();
        assert_eq!(paths, ["body_limit_bytes", "drain_s", "proxy_protocol"]);
    }
}
