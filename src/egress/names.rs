//! Host names and their addresses, remembered for a while.

use std::{
    fmt,
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use moka::sync::Cache;

use super::{NoAddress, Settings};
use crate::base::{Clock, Moment};

/// How many names are remembered at most.
const NAMES: u64 = 10_000;
/// How many addresses of one name are used at most.
const ADDRESSES: usize = 16;
/// A name that failed is not asked for again before this.
const FAILED_FOR: Duration = Duration::from_secs(1);

type Answer = io::Result<Vec<SocketAddr>>;
/// Asks for the addresses of a name; tests answer themselves.
pub(super) type Ask =
    dyn Fn(String, u16) -> Pin<Box<dyn Future<Output = Answer> + Send>> + Send + Sync;

/// Host names and their addresses.
pub(super) struct Names {
    known: Cache<(Arc<str>, u16), Arc<Name>>,
    ask: Box<Ask>,
    clock: Clock,
    ttl: Duration,
    stale: Duration,
    deadline: Duration,
}

/// What is known of one name and port.
#[derive(Default)]
struct Name {
    answer: Mutex<Option<Known>>,
    /// Held by the one caller that asks.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Clone)]
struct Known {
    /// `None` when the resolver failed and there was nothing older.
    addresses: Option<Arc<[SocketAddr]>>,
    answered_at: Moment,
    /// When it should be asked again.
    ask_at: Moment,
}

impl Names {
    pub(super) fn of_the_machine(settings: &Settings, clock: Clock) -> Self {
        let ask: Box<Ask> = Box::new(|host, port| {
            Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
        });
        Self::new(settings, clock, ask)
    }

    pub(super) fn new(settings: &Settings, clock: Clock, ask: Box<Ask>) -> Self {
        Self {
            known: Cache::new(NAMES),
            ask,
            clock,
            ttl: Duration::from_millis(settings.resolve_ttl_ms),
            stale: Duration::from_millis(settings.resolve_stale_ms),
            deadline: Duration::from_millis(settings.resolve_deadline_ms),
        }
    }

    pub(super) async fn resolve(
        &self,
        host: &str,
        port: u16,
    ) -> Result<Arc<[SocketAddr]>, NoAddress> {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let key = (Arc::from(host.as_str()), port);
        let name = self.known.get_with(key, Arc::default);
        if let Some(known) = name.known().filter(|known| self.clock.now() < known.ask_at) {
            return known.addresses.ok_or(NoAddress::Unresolvable);
        }
        let known = self.refreshed(&name, host, port).await;
        known.addresses.ok_or(NoAddress::Unresolvable)
    }

    /// Lets one caller ask; the others take the old answer, or wait when there is none.
    async fn refreshed(&self, name: &Name, host: String, port: u16) -> Known {
        let old = name.known().filter(|known| self.is_usable(known));
        let _asking = match (name.asking.try_lock(), old) {
            (Ok(asking), _) => asking,
            (Err(_), Some(old)) => return old,
            (Err(_), None) => name.asking.lock().await,
        };
        if let Some(known) = name.known().filter(|known| self.clock.now() < known.ask_at) {
            return known;
        }
        let answer = tokio::time::timeout(self.deadline, (self.ask)(host, port)).await;
        let now = self.clock.now();
        let known = match answer {
            Ok(Ok(addresses)) if !addresses.is_empty() => Known {
                addresses: Some(addresses.into_iter().take(ADDRESSES).collect()),
                answered_at: now,
                ask_at: now.plus(self.ttl),
            },
            _ => {
                let old = name.known().filter(|known| self.is_usable(known));
                Known {
                    answered_at: old.as_ref().map_or(now, |old| old.answered_at),
                    addresses: old.and_then(|old| old.addresses),
                    ask_at: now.plus(FAILED_FOR),
                }
            }
        };
        *name.answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(known.clone());
        known
    }

    fn is_usable(&self, known: &Known) -> bool {
        let age = self.clock.now().since(known.answered_at);
        known.addresses.is_some() && age < self.stale
    }
}

impl Name {
    fn known(&self) -> Option<Known> {
        let answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner);
        answer.clone()
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names").finish_non_exhaustive()
    }
}
