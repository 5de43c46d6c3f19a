//! Where a request came from.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::{HeaderMap, header, request::Parts},
};
use ipnet::IpNet;

use crate::admin::{Plane, error::ApiError};

/// The longest user agent we keep.
const LONGEST_AGENT: usize = 400;

/// Where a request came from: the first address that is not one of our own balancers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The caller's address.
    pub address: IpAddr,
    /// What the caller's program says of itself, cut to 400 characters.
    pub user_agent: Option<String>,
}

impl Origin {
    /// Reads it out of the connection and the headers that `trusted` balancers wrote.
    #[must_use]
    pub fn of(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> Self {
        let agent = headers.get(header::USER_AGENT);
        let agent = agent.and_then(|agent| agent.to_str().ok());
        Self {
            address: address(peer, headers, trusted),
            user_agent: agent.map(|agent| agent.chars().take(LONGEST_AGENT).collect()),
        }
    }
}

impl FromRequestParts<Plane> for Origin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, plane: &Plane) -> Result<Self, ApiError> {
        if let Some(known) = parts.extensions.get::<Self>() {
            return Ok(known.clone());
        }
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0.ip());
        let origin = Self::of(peer, &parts.headers, &plane.settings.trusted_proxies);
        parts.extensions.insert(origin.clone());
        Ok(origin)
    }
}

/// Walks `X-Forwarded-For` from its end, past every balancer we trust; what cannot be read ends the walk.
fn address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|net| net.contains(&address));
    let values = headers.get_all("x-forwarded-for").iter();
    let texts: Vec<&str> = values.filter_map(|value| value.to_str().ok()).collect();
    let hops = texts.iter().rev().flat_map(|text| text.rsplit(','));
    let mut nearest = peer.to_canonical();
    for hop in hops {
        if !is_trusted(nearest) {
            break;
        }
        let Ok(further) = hop.trim().parse::<IpAddr>() else {
            break;
        };
        nearest = further.to_canonical();
    }
    nearest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address_of(peer: &str, forwarded: &[&str]) -> String {
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap()];
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        let origin = Origin::of(peer.parse().unwrap(), &headers, &trusted);
        origin.address.to_string()
    }

    #[test]
    fn only_a_trusted_balancer_says_who_is_behind_it() {
        assert_eq!(address_of("203.0.113.7", &["198.51.100.1"]), "203.0.113.7");
        assert_eq!(address_of("10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(
            address_of("::ffff:10.0.0.1", &["198.51.100.1"]),
            "198.51.100.1"
        );
        assert_eq!(address_of("10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn what_a_caller_wrote_before_our_balancers_does_not_count() {
        let said = ["1.2.3.4, 198.51.100.1", "10.2.2.2"];

        assert_eq!(address_of("10.0.0.1", &said), "198.51.100.1");
        assert_eq!(address_of("10.0.0.1", &["1.2.3.4, nonsense"]), "10.0.0.1");
    }
}
