//! From a credential to what it grants: cached, one question per key, revoked within a second.
//!
//! Fails open for known callers while the books are away, up to `max_stale_s`, and closed after that and for
//! everybody else: `Unavailable` is an answer about us (503), never about the caller (401).

use std::{
    net::IpAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use moka::sync::Cache;
use serde::Deserialize;

use super::{
    cache::{Grants, Known, WholeHash, is_same},
    flight::{Answer, Flights, NoAnswer},
    grant::Grant,
    guesses::Guesses,
    seen::{self, Seen},
    token::{self, Presented},
};
use crate::{
    base::{Clock, Moment},
    store::{
        Postgres,
        feed::{Kind, News, Reader},
    },
};

/// How keys are looked up and remembered.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How long a known caller is served on what we last knew while Postgres is away.
    pub max_stale_s: u64,
    /// How long a grant counts as current after the books last confirmed it.
    pub fresh_ms: u64,
    /// How long a key the books do not know is refused without asking again.
    pub negative_ttl_ms: u64,
    /// Grants kept in memory.
    pub cache_entries: u64,
    /// Questions to Postgres at a time.
    pub concurrent_lookups: usize,
    /// How long one question may take.
    pub lookup_timeout_ms: u64,
    /// How many keys that do not exist are looked up for one network within a minute; 0 sets no bound.
    pub guesses_per_minute: u32,
    /// Where seen grants (hashes, never secrets) outlive the process; none without it.
    pub seen_file: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_stale_s: 900,
            fresh_ms: 3_000,
            negative_ttl_ms: 1_000,
            cache_entries: 100_000,
            concurrent_lookups: 32,
            lookup_timeout_ms: 2_000,
            guesses_per_minute: 20,
            seen_file: None,
        }
    }
}

/// Keys the books do not know, kept at most.
const UNKNOWN_ENTRIES: u64 = 10_000;
/// How long callers are served what we have before Postgres is tried again; the feed asks more often than that.
const AWAY: Duration = Duration::from_secs(4);
/// How often seen grants are written down.
const REMEMBER: Duration = Duration::from_secs(10);
/// What an unknown id is compared with, so that it takes as long as a wrong secret.
const NOBODY: [u8; 32] = [0x5a; 32];

/// Why a credential grants nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoGrant {
    /// It is no key of ours: malformed, unknown, or with a wrong secret.
    #[error("the key is not known")]
    Unknown,
    /// We cannot tell: Postgres is away and this key was not seen, or too long ago.
    #[error("keys cannot be looked up now")]
    Unavailable,
}

/// Looks keys up, for one process.
#[derive(Debug)]
pub struct Keys {
    settings: Settings,
    clock: Clock,
    grants: Grants,
    unknown: Cache<WholeHash, ()>,
    guesses: Guesses,
    flights: Flights,
    /// Until then Postgres counts as away, and callers do not wait to find out.
    away_until: AtomicI64,
    has_unwritten: AtomicBool,
}

impl Keys {
    /// Prepares to look keys up; reads nothing yet. See [`Keys::recall`] and [`Keys::follow`].
    #[must_use]
    pub fn new(settings: Settings, postgres: Postgres, clock: Clock) -> Arc<Self> {
        let patience = Duration::from_millis(settings.lookup_timeout_ms);
        let unknown = Cache::builder()
            .max_capacity(UNKNOWN_ENTRIES)
            .time_to_live(Duration::from_millis(settings.negative_ttl_ms))
            .build();
        Arc::new(Self {
            grants: Grants::new(settings.cache_entries, clock.now()),
            unknown,
            guesses: Guesses::new(settings.guesses_per_minute),
            flights: Flights::new(
                postgres,
                clock.clone(),
                settings.concurrent_lookups,
                patience,
            ),
            away_until: AtomicI64::new(i64::MIN),
            has_unwritten: AtomicBool::new(false),
            settings,
            clock,
        })
    }

    /// Returns what a known key grants, without waiting; `None` when [`Keys::lookup`] must decide.
    #[must_use]
    pub fn find_cached(&self, credential: &str) -> Option<Arc<Grant>> {
        let hash = token::whole_hash(credential)?;
        let known = self.grants.find(&hash)?;
        self.serves(&known, self.clock.now()).then_some(known.grant)
    }

    /// Returns what a key that comes from `from` grants, as [`Keys::lookup`] does; for a network that guesses too
    /// often only known keys are looked at.
    ///
    /// # Errors
    /// Those of [`Keys::lookup`].
    pub async fn lookup_from(&self, credential: &str, from: IpAddr) -> Result<Arc<Grant>, NoGrant> {
        let hash = token::whole_hash(credential).ok_or(NoGrant::Unknown)?;
        if self.guesses.are_too_many(from) && self.grants.find(&hash).is_none() {
            return Err(NoGrant::Unknown);
        }
        let found = self.lookup(credential).await;
        if matches!(found, Err(NoGrant::Unknown)) {
            self.guesses.note(from);
        }
        found
    }

    /// Returns what a key grants. Whether it is revoked, expired or suspended stands in the grant.
    ///
    /// # Errors
    /// [`NoGrant::Unknown`] for what is no key of ours, [`NoGrant::Unavailable`] when we cannot tell.
    pub async fn lookup(&self, credential: &str) -> Result<Arc<Grant>, NoGrant> {
        let presented = token::parse(credential).ok_or(NoGrant::Unknown)?;
        let known = self.grants.find(&presented.whole_hash);
        if let Some(known) = &known
            && self.serves(known, self.clock.now())
        {
            return Ok(Arc::clone(&known.grant));
        }
        if self.unknown.contains_key(&presented.whole_hash) {
            return Err(NoGrant::Unknown);
        }
        match self.ask(&presented).await {
            Ok(grant) => grant.ok_or(NoGrant::Unknown),
            Err(NoAnswer) => self.serve_stale(known),
        }
    }

    /// Says whether a grant may be used without asking.
    fn serves(&self, known: &Known, now: Moment) -> bool {
        let age = self.grants.age(known, now);
        let is_away = now.millis() < self.away_until.load(Ordering::Acquire);
        age <= Duration::from_millis(self.settings.fresh_ms) || (is_away && self.is_bearable(age))
    }

    fn is_bearable(&self, age: Duration) -> bool {
        age <= Duration::from_secs(self.settings.max_stale_s)
    }

    /// Asks the books; `Ok(None)` when the key is not ours. A grant overtaken by a change is asked for once more.
    async fn ask(&self, presented: &Presented) -> Result<Option<Arc<Grant>>, NoAnswer> {
        let mut known = self.ask_awake(&presented.public_id).await?;
        if !self.take_in(presented, known.as_ref()) {
            known = self.ask_awake(&presented.public_id).await?;
            self.take_in(presented, known.as_ref());
        }
        let grant = known.map(|known| known.grant);
        Ok(grant.filter(|grant| is_same(&grant.secret_hash, &presented.secret_hash)))
    }

    /// Asks again when the question ran out while this process was stopped: that says nothing about the books.
    async fn ask_awake(&self, public_id: &str) -> Answer {
        let asked_at = self.clock.now();
        let answer = self.flights.ask(public_id).await;
        let slept = Duration::from_millis(self.settings.lookup_timeout_ms.saturating_mul(2));
        if answer.is_err() && self.clock.now().since(asked_at) > slept {
            return self.flights.ask(public_id).await;
        }
        answer
    }

    /// Keeps what the books said; says no when a change has overtaken it.
    fn take_in(&self, presented: &Presented, known: Option<&Known>) -> bool {
        let hash = presented.whole_hash;
        let secret_hash = known.map_or(&NOBODY, |known| &known.grant.secret_hash);
        let is_ours = is_same(secret_hash, &presented.secret_hash);
        let Some(known) = known.filter(|_| is_ours) else {
            self.grants.forget(&hash);
            self.unknown.insert(hash, ());
            return true;
        };
        self.has_unwritten.store(true, Ordering::Release);
        self.grants.keep(hash, known.clone())
    }

    /// Postgres did not answer: what we knew is good for a while.
    fn serve_stale(&self, known: Option<Known>) -> Result<Arc<Grant>, NoGrant> {
        self.is_away();
        let known = known.ok_or(NoGrant::Unavailable)?;
        if self.is_bearable(self.grants.age(&known, self.clock.now())) {
            Ok(known.grant)
        } else {
            Err(NoGrant::Unavailable)
        }
    }

    /// Takes away what the feed says has changed, and writes seen grants down, until the feed ends.
    pub async fn follow(self: Arc<Self>, mut reader: Reader) {
        let mut remember_at = self.clock.now().plus(REMEMBER);
        while let Some(news) = reader.next().await {
            self.learn(&news);
            if self.clock.now() >= remember_at {
                self.remember().await;
                remember_at = self.clock.now().plus(REMEMBER);
            }
        }
        self.remember().await;
    }

    fn learn(&self, news: &News) {
        match news {
            News::Changes { changes, at, .. } => {
                // First: the file must not be confirmed with what this takes away.
                if !changes.is_empty() {
                    self.has_unwritten.store(true, Ordering::Release);
                }
                self.grants.confirm(changes, *at);
                // An organization that is brought back has keys that were unknown a moment ago.
                if changes
                    .iter()
                    .any(|change| change.kind == Kind::Organization)
                {
                    self.unknown.invalidate_all();
                }
                self.away_until.store(i64::MIN, Ordering::Release);
            }
            News::Gap { seq, at } => {
                self.has_unwritten.store(true, Ordering::Release);
                self.grants.doubt(*seq, *at);
                self.away_until.store(i64::MIN, Ordering::Release);
            }
            News::Silence => self.is_away(),
        }
    }

    /// Postgres did not answer: for a while nobody waits to find that out again.
    fn is_away(&self) {
        let until = self.clock.now().plus(AWAY);
        self.away_until.store(until.millis(), Ordering::Release);
    }

    /// Returns how long ago the feed last confirmed what we know.
    #[must_use]
    pub fn view_age(&self) -> Duration {
        self.clock.now().since(self.grants.confirmed_at())
    }

    /// Writes seen grants to `seen_file`, so that the next process knows them without Postgres.
    ///
    /// A file that cannot be written is logged and tried again: it is a convenience, not the books.
    pub async fn remember(&self) {
        let Some(path) = self.settings.seen_file.clone() else {
            return;
        };
        let confirmed_at = self.grants.confirmed_at();
        let has_unwritten = self.has_unwritten.swap(false, Ordering::AcqRel);
        let seen: Option<Vec<Seen>> = has_unwritten.then(|| self.seen().collect());
        let writing = tokio::task::spawn_blocking(move || match seen {
            Some(seen) => seen::write(&path, confirmed_at, &seen),
            None => seen::confirm(&path, confirmed_at),
        });
        if let Ok(Err(error)) = writing.await {
            self.has_unwritten.store(true, Ordering::Release);
            tracing::warn!(error = %error, "seen keys could not be written down");
        }
    }

    fn seen(&self) -> impl Iterator<Item = Seen> {
        self.grants.iter().map(|(hash, known)| Seen {
            whole_hash: *hash,
            sure_at_ms: (!self.grants.is_covered(&known)).then(|| known.read_at.millis()),
            grant: known.grant,
        })
    }

    /// Reads the grants an earlier process wrote to `seen_file`; returns how many.
    ///
    /// They are as old as that file, so they serve only while Postgres is away and for `max_stale_s`.
    pub fn recall(&self) -> usize {
        let Some(path) = &self.settings.seen_file else {
            return 0;
        };
        match seen::read(path) {
            Ok(seen) => seen
                .into_iter()
                .filter(|(hash, known)| self.grants.keep(*hash, known.clone()))
                .count(),
            Err(error) => {
                tracing::warn!(error = %error, "seen keys could not be read");
                0
            }
        }
    }
}
