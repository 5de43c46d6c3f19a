//! Header to caller: whose key this is, and whether it opens the door from here and now.

use std::{net::IpAddr, sync::Arc};

use http::{HeaderMap, HeaderName, header};
use ipnet::IpNet;

use super::refuse::Refusal;
use crate::{
    base::Moment,
    keys::{Grant, Keys, NoGrant, Standing},
};

/// Where SDKs put the key; the first is the usual one.
static KEY_HEADERS: [HeaderName; 4] = [
    header::AUTHORIZATION,
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("api-key"),
    HeaderName::from_static("x-goog-api-key"),
];

/// How browsers send a key with a WebSocket, which cannot carry other headers.
const SUBPROTOCOL_KEY: &str = "openai-insecure-api-key.";

/// Somebody whose key opened the door.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    /// What the key may do.
    pub(super) grant: Arc<Grant>,
}

/// Finds out who is calling.
///
/// A key that is unknown and one whose secret is wrong sound the same; Postgres being away never sounds like
/// a wrong key.
pub(super) async fn authenticate(
    headers: &HeaderMap,
    address: IpAddr,
    keys: &Keys,
    now: Moment,
) -> Result<Caller, Refusal> {
    let credential = find_credential(headers)?.ok_or(Refusal::UnknownKey)?;
    let grant = match keys.find_cached(credential) {
        Some(grant) => grant,
        None => Box::pin(keys.lookup_from(credential, address))
            .await
            .map_err(|missing| match missing {
                NoGrant::Unknown => Refusal::UnknownKey,
                NoGrant::Unavailable => Refusal::KeysUnavailable,
            })?,
    };
    match grant.standing {
        Standing::Revoked => return Err(Refusal::RevokedKey),
        Standing::OrganizationSuspended => return Err(Refusal::OrganizationSuspended),
        Standing::Live => {}
    }
    if grant.is_expired(now) {
        return Err(Refusal::ExpiredKey);
    }
    if !grant.admits(address) {
        return Err(Refusal::AddressNotAllowed);
    }
    Ok(Caller { grant })
}

/// Returns the one credential in the headers; two different ones are refused.
fn find_credential(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let mut found: Option<&str> = None;
    let written = KEY_HEADERS.iter().flat_map(|name| {
        headers
            .get_all(name)
            .into_iter()
            .map(move |value| (name, value))
    });
    for (name, value) in written {
        let Ok(text) = value.to_str() else {
            return Err(Refusal::UnknownKey);
        };
        let credential = if *name == header::AUTHORIZATION {
            bearer(text)
        } else {
            Some(text.trim())
        };
        let Some(credential) = credential else {
            continue;
        };
        if found.is_some_and(|other| other != credential) {
            return Err(Refusal::TwoKeys);
        }
        found = Some(credential);
    }
    Ok(found.or_else(|| subprotocol(headers)))
}

fn bearer(text: &str) -> Option<&str> {
    let (scheme, credential) = text.trim().split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| credential.trim())
}

fn subprotocol(headers: &HeaderMap) -> Option<&str> {
    let protocols = headers.get(header::SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()?;
    protocols
        .split(',')
        .find_map(|protocol| protocol.trim().strip_prefix(SUBPROTOCOL_KEY))
}

/// Returns the caller's true address: the peer's, or what the last trusted proxy in the chain saw.
pub(super) fn true_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|net| net.contains(address));
    if !is_trusted(&peer) {
        return peer;
    }
    let hops: Vec<&str> = headers
        .get_all("x-forwarded-for")
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .collect();
    let mut seen = peer;
    for hop in hops.iter().rev() {
        // What a trusted proxy could not write is not believed, nor anything before it.
        let Ok(address) = hop.parse::<IpAddr>() else {
            break;
        };
        seen = address;
        if !is_trusted(&address) {
            break;
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn a_key_is_found_wherever_an_sdk_puts_it() {
        for (name, value) in [
            ("authorization", "Bearer k"),
            ("authorization", "bearer  k"),
            ("x-api-key", "k"),
            ("api-key", "k"),
            ("x-goog-api-key", " k "),
            (
                "sec-websocket-protocol",
                "realtime, openai-insecure-api-key.k",
            ),
        ] {
            assert_eq!(
                find_credential(&headers(&[(name, value)])).unwrap(),
                Some("k"),
                "{name}"
            );
        }
    }

    #[test]
    fn two_different_keys_in_one_request_are_refused_and_the_same_twice_is_not() {
        let same = headers(&[("authorization", "Bearer k"), ("x-api-key", "k")]);
        let other = headers(&[("authorization", "Bearer k"), ("x-api-key", "j")]);

        assert_eq!(find_credential(&same).unwrap(), Some("k"));
        assert!(matches!(find_credential(&other), Err(Refusal::TwoKeys)));
    }

    #[test]
    fn forwarded_addresses_count_only_from_trusted_proxies() {
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap()];
        let chain = headers(&[("x-forwarded-for", "1.1.1.1, 2.2.2.2, 10.0.0.9")]);

        let through = true_address("10.0.0.1".parse().unwrap(), &chain, &trusted);
        let direct = true_address("3.3.3.3".parse().unwrap(), &chain, &trusted);

        assert_eq!(through, "2.2.2.2".parse::<IpAddr>().unwrap());
        assert_eq!(direct, "3.3.3.3".parse::<IpAddr>().unwrap());
    }
}
