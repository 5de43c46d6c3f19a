//! What is called: a proxy under measurement, or the provider itself.

use std::net::SocketAddr;

/// The yardstick's name.
pub(crate) const BARE: &str = "bare Pingora";
/// The provider without anything between.
pub(crate) const DIRECT: &str = "direct";
/// The gateway's name.
pub(crate) const SYNAXIS: &str = "Synaxis";

/// Somebody who answers calls.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    /// Whose processor time counts; nobody's when calls go direct.
    pub(crate) pids: Vec<u32>,
    /// What callers send as their key.
    pub(crate) api_key: String,
}

impl Target {
    /// Returns a target that looks at no key.
    pub(crate) fn open(name: &'static str, address: SocketAddr, pids: Vec<u32>) -> Self {
        Self {
            name,
            address,
            pids,
            api_key: "nobody-looks".to_owned(),
        }
    }

    /// Returns where calls go.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1/chat/completions", self.address)
    }
}
