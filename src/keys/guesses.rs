//! Who guesses keys: well-formed ones that do not exist, counted by where they come from.
//!
//! A source that guessed too often is not looked up for any more: no guess of its costs the books a question. Callers
//! whose key is known are served from there all the same.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use moka::sync::Cache;

/// How long a guess counts, from the first of its source.
const WINDOW: Duration = Duration::from_secs(60);
/// Sources remembered at most.
const SOURCES: u64 = 10_000;
/// So many guesses within the window are told to the operator.
const TELLING: u32 = 100;

/// The guesses of the last minute, by source.
#[derive(Debug)]
pub(super) struct Guesses {
    permitted: u32,
    by_source: Cache<IpNet, Arc<AtomicU32>>,
}

impl Guesses {
    /// Counts until `permitted`; zero permits any number.
    pub(super) fn new(permitted: u32) -> Self {
        let by_source = Cache::builder()
            .max_capacity(SOURCES)
            .time_to_live(WINDOW)
            .build();
        Self {
            permitted,
            by_source,
        }
    }

    /// Says whether so many came from there that no more are looked at.
    pub(super) fn are_too_many(&self, from: IpAddr) -> bool {
        let guessed = || self.by_source.get(&source(from));
        self.permitted != 0
            && guessed().is_some_and(|count| self.permitted <= count.load(Ordering::Relaxed))
    }

    pub(super) fn note(&self, from: IpAddr) {
        let source = source(from);
        let count = self.by_source.get_with(source, Arc::default);
        if count.fetch_add(1, Ordering::Relaxed).saturating_add(1) == TELLING {
            tracing::warn!(%source, guesses = TELLING, "somebody guesses API keys");
        }
    }
}

/// The network that one guesser has to himself: whoever is given a prefix has all its addresses.
fn source(address: IpAddr) -> IpNet {
    match address.to_canonical() {
        IpAddr::V4(address) => Ipv4Net::new_assert(address, 24).trunc().into(),
        IpAddr::V6(address) => Ipv6Net::new_assert(address, 56).trunc().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn guesses_are_counted_by_network() {
        let guesses = Guesses::new(3);
        for from in ["192.0.2.1", "192.0.2.77", "::ffff:192.0.2.9"] {
            assert!(!guesses.are_too_many(address(from)));
            guesses.note(address(from));
        }

        assert!(guesses.are_too_many(address("192.0.2.200")));
        assert!(!guesses.are_too_many(address("192.0.3.1")));
        for _ in 0..3 {
            guesses.note(address("2001:db8:0:1::1"));
        }
        assert!(guesses.are_too_many(address("2001:db8:0:2::7")));
        assert!(!guesses.are_too_many(address("2001:db8:0:100::7")));
    }

    #[test]
    fn no_number_of_guesses_is_too_many_where_any_is_permitted() {
        let guesses = Guesses::new(0);

        guesses.note(address("192.0.2.1"));

        assert!(!guesses.are_too_many(address("192.0.2.1")));
    }
}
