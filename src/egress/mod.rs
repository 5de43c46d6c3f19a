//! Where we may connect to: resolved addresses, the SSRF guard.
//!
//! Fails closed: an address is refused unless it is a public one or the operator allowed it, and what was checked
//! is what is connected to.

mod addresses;
pub mod http;
mod names;

use std::{net::IpAddr, net::SocketAddr, sync::Arc};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use url::{Host, Url};

use self::names::Names;
use crate::base::Clock;

/// Where calls, probes and deliveries may go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Networks that may be reached although they are not public; there, plain http, bare addresses and every
    /// port are allowed too.
    pub allow: Vec<IpNet>,
    /// Ports that may be reached at public addresses.
    pub ports: Vec<u16>,
    /// How long an answer of the resolver counts, in milliseconds.
    pub resolve_ttl_ms: u64,
    /// How long an old answer is used while the resolver fails, in milliseconds.
    pub resolve_stale_ms: u64,
    /// How long the resolver may take, in milliseconds.
    pub resolve_deadline_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            ports: vec![443],
            resolve_ttl_ms: 30_000,
            resolve_stale_ms: 600_000,
            resolve_deadline_ms: 2_000,
        }
    }
}

/// We do not connect there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    /// The address is private, local, reserved or otherwise not public.
    #[error("the address is not public")]
    Address,
    /// The port is none of those that may be reached.
    #[error("the port may not be reached")]
    Port,
    /// Neither https, nor http to an allowed network.
    #[error("only https may be reached")]
    Scheme,
    /// The URL names no host, or an address instead of one.
    #[error("the host is not a name")]
    Host,
    /// The URL carries a user or a password.
    #[error("the URL carries a user or a password")]
    Userinfo,
}

/// No address to connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAddress {
    /// We do not connect there.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// The name has no address, or the resolver does not answer.
    #[error("the host name cannot be resolved")]
    Unresolvable,
}

/// Says where we may connect to.
#[derive(Debug)]
pub struct Guard {
    settings: Settings,
    names: Names,
}

impl Guard {
    /// Makes a guard over the machine's resolver.
    #[must_use]
    pub fn new(settings: Settings, clock: Clock) -> Self {
        Self {
            names: Names::of_the_machine(&settings, clock),
            settings,
        }
    }

    /// Resolves `host` and returns its addresses with `port`, the first answered first; all of them were judged.
    ///
    /// Answers are kept for [`Settings::resolve_ttl_ms`]; while the resolver fails, old ones are used.
    ///
    /// # Errors
    /// One of the addresses is not to be reached, or there is none.
    pub async fn resolve(&self, host: &str, port: u16) -> Result<Arc<[SocketAddr]>, NoAddress> {
        let addresses = match bare_address(host) {
            Some(ip) => {
                self.judge_bare(ip)?;
                Arc::from([SocketAddr::new(ip, port)])
            }
            None => self.names.resolve(host, port).await?,
        };
        // Judged on every use, cached or not: the judgement is cheaper than being wrong about it.
        for address in addresses.iter() {
            self.judge(address.ip())?;
            self.judge_port(*address)?;
        }
        Ok(addresses)
    }

    /// Judges `url` and resolves its host; what is returned may be connected to by the URL's own scheme.
    ///
    /// # Errors
    /// The URL or one of the addresses is not to be reached, or there is none.
    pub async fn resolve_url(&self, url: &Url) -> Result<Arc<[SocketAddr]>, NoAddress> {
        self.judge_url(url)?;
        let host = url.host_str().ok_or(Forbidden::Host)?;
        let port = url.port_or_known_default().ok_or(Forbidden::Port)?;
        let addresses = self.resolve(host, port).await?;
        let is_plain = url.scheme() != "https";
        if is_plain && !addresses.iter().all(|one| self.is_allowed(one.ip())) {
            return Err(Forbidden::Scheme.into());
        }
        Ok(addresses)
    }

    /// Says whether a connection to `ip` may be made at all.
    ///
    /// # Errors
    /// It may not.
    pub fn judge(&self, ip: IpAddr) -> Result<(), Forbidden> {
        let is_fine = self.is_allowed(ip) || addresses::is_public(ip);
        is_fine.then_some(()).ok_or(Forbidden::Address)
    }

    /// Says whether `url` may be stored and called, as far as can be told without resolving its host.
    ///
    /// # Errors
    /// It may not.
    pub fn judge_url(&self, url: &Url) -> Result<(), Forbidden> {
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Forbidden::Userinfo);
        }
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Forbidden::Scheme);
        }
        let port = url.port_or_known_default().ok_or(Forbidden::Port)?;
        let bare = match url.host().ok_or(Forbidden::Host)? {
            Host::Domain("") => return Err(Forbidden::Host),
            Host::Domain(_) => None,
            Host::Ipv4(ip) => Some(IpAddr::V4(ip)),
            Host::Ipv6(ip) => Some(IpAddr::V6(ip)),
        };
        if let Some(ip) = bare {
            return self.judge_bare(ip);
        }
        // A name may turn out to lead to an allowed network, so where there is one the address decides.
        let may_be_allowed = !self.settings.allow.is_empty();
        match url.scheme() {
            "https" if may_be_allowed || self.settings.ports.contains(&port) => Ok(()),
            "https" => Err(Forbidden::Port),
            "http" if may_be_allowed => Ok(()),
            _ => Err(Forbidden::Scheme),
        }
    }

    fn judge_bare(&self, ip: IpAddr) -> Result<(), Forbidden> {
        self.judge(ip)?;
        self.is_allowed(ip).then_some(()).ok_or(Forbidden::Host)
    }

    fn judge_port(&self, address: SocketAddr) -> Result<(), Forbidden> {
        let may = self.is_allowed(address.ip()) || self.settings.ports.contains(&address.port());
        may.then_some(()).ok_or(Forbidden::Port)
    }

    fn is_allowed(&self, ip: IpAddr) -> bool {
        let ip = addresses::plain(ip);
        self.settings.allow.iter().any(|net| net.contains(&ip))
    }
}

/// Reads a host that is an address, with or without the brackets of a URL.
fn bare_address(host: &str) -> Option<IpAddr> {
    let inner = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    inner.unwrap_or(host).parse().ok()
}

#[cfg(test)]
mod tests;
