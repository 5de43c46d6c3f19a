//! Who is well enough to be asked: breakers, cool-downs and measured latency, decided in this process.
//!
//! Reading takes no lock: a plan looks at one immutable table of atomics. Nothing here calls anybody.

mod breaker;
mod cells;
mod news;
pub mod share;
mod table;

use std::{
    collections::HashSet,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use arc_swap::{ArcSwap, Guard};
use serde::{Deserialize, Serialize};

use self::{
    cells::{KeyCell, Lately, OfferCell, PairCell, Until},
    news::{News, Tray, Turns},
    table::{Map, Table},
};
use crate::{
    base::{CredentialId, ModelId, Moment, OfferId},
    catalog::Catalog,
    store::outcomes::Tally,
};

/// How patient routing is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How many offers one call tries at most.
    pub max_attempts: usize,
    /// How many failures in a row open a breaker.
    pub failures_to_open: u32,
    /// How many calls within thirty seconds are enough to judge by the share that failed (one half opens).
    pub calls_to_judge: u32,
    /// How many successes close a breaker.
    pub successes_to_close: u32,
    /// How long a breaker stays open at first; each failed trial doubles it.
    pub pause_ms: u64,
    /// How long it stays open at most.
    pub longest_pause_ms: u64,
    /// How often one that failed may be tried again: at most one call in this time.
    pub probe_every_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_attempts: 3,
            failures_to_open: 5,
            calls_to_judge: 10,
            successes_to_close: 3,
            pause_ms: 30_000,
            longest_pause_ms: 600_000,
            probe_every_ms: 1_000,
        }
    }
}

/// How an attempt failed, of the ways that speak against the offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// No connection.
    Connect,
    /// No answer in time.
    Timeout,
    /// An answer of 5xx.
    Server,
    /// An answer that broke off or made no sense.
    Broken,
}

/// A refusal that is no failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// A rate or an allowance is used up.
    Limited,
    /// The credential is not accepted, or its money is spent.
    Credential,
    /// The provider does not know the model.
    Missing,
}

/// What is left alone for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cool {
    /// An offer, whatever the credential: its provider does not have the model.
    Offer(OfferId),
    /// An offer with one credential: a rate was exceeded.
    OfferCredential(OfferId, Option<CredentialId>),
    /// A credential, whatever the offer: it was refused, or its money is spent.
    Credential(CredentialId),
    /// A credential whose offers share what is used up.
    CredentialLimit(CredentialId),
}

/// Whether an offer may be asked with a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Availability {
    /// It may.
    Ready,
    /// It failed too often, has paused, and may be tried once in a while.
    OnTrial,
    /// It failed too often; until when it is left alone.
    Failing(Moment),
    /// It has reached its provider's limit, until then.
    Limited(Moment),
    /// It must not be asked before then.
    Cooling(Moment),
}

/// What this process knows about the health of offers and credentials.
#[derive(Default)]
pub struct Health {
    settings: Settings,
    pairs: Table<Pair, PairCell>,
    offers: Table<OfferId, OfferCell>,
    credentials: Table<CredentialId, KeyCell>,
    probes: Table<ModelId, Until>,
    /// What the other proxies are to be told.
    news: Tray,
    turns: ArcSwap<Turns>,
    /// Whether somebody who fails was asked for since the others were told.
    is_asked: AtomicBool,
}

type Pair = (OfferId, Option<CredentialId>);

/// One look at the health of everything: cheap to ask many times.
pub(super) struct Look<'a> {
    settings: &'a Settings,
    pairs: Guard<Arc<Map<Pair, PairCell>>>,
    offers: Guard<Arc<Map<OfferId, OfferCell>>>,
    credentials: Guard<Arc<Map<CredentialId, KeyCell>>>,
    turns: Turns,
    is_asked: &'a AtomicBool,
}

impl Health {
    /// Knows nothing yet: everybody is well.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            ..Self::default()
        }
    }

    /// Returns how patient routing is.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Says whether `offer` may be asked with `credential` at `now`.
    #[must_use]
    pub fn availability(
        &self,
        offer: OfferId,
        credential: Option<CredentialId>,
        now: Moment,
    ) -> Availability {
        self.look().availability(offer, credential, now)
    }

    /// Says whether `offer` must not be asked with `credential` at `now`.
    #[must_use]
    pub fn is_open(&self, offer: OfferId, credential: Option<CredentialId>, now: Moment) -> bool {
        matches!(
            self.availability(offer, credential, now),
            Availability::Failing(_) | Availability::Limited(_) | Availability::Cooling(_)
        )
    }

    /// Counts an answer; `first_byte_ms` is how long its first byte took.
    pub fn succeeded(
        &self,
        offer: OfferId,
        credential: Option<CredentialId>,
        first_byte_ms: u32,
        now: Moment,
    ) {
        let cell = self.offers.cell(offer);
        cell.measure(first_byte_ms);
        cell.ended(true, now);
        let pair = self.pairs.cell((offer, credential));
        if let Some(state) = pair.succeeded(first_byte_ms, now, &self.settings) {
            self.news.add(News::Breaker(offer, credential, state));
        }
    }

    /// Counts a failure that speaks against the offer; every kind weighs the same.
    pub fn failed(
        &self,
        offer: OfferId,
        credential: Option<CredentialId>,
        failure: Failure,
        now: Moment,
    ) {
        tracing::debug!(offer.id = %offer, ?failure, "attempt failed");
        self.offers.cell(offer).ended(false, now);
        let pair = self.pairs.cell((offer, credential));
        if let Some(state) = pair.failed(failure, now, &self.settings) {
            self.news.add(News::Breaker(offer, credential, state));
        }
    }

    /// Counts a refusal that speaks against nobody's health.
    pub fn refused(&self, offer: OfferId, credential: Option<CredentialId>, refusal: Refusal) {
        self.pairs.cell((offer, credential)).count(|tally| {
            let count = match refusal {
                Refusal::Limited => &mut tally.limited,
                Refusal::Credential => &mut tally.refused,
                Refusal::Missing => &mut tally.missing,
            };
            *count += 1;
        });
    }

    /// Leaves something alone until `until`; a longer pause that already stands is kept.
    pub fn cool(&self, what: Cool, until: Moment) {
        if self.extend(what, until) {
            self.news.add(News::Cool(what, until));
        }
    }

    fn extend(&self, what: Cool, until: Moment) -> bool {
        match what {
            Cool::Offer(offer) => self.offers.cell(offer).cool_until.extend(until),
            Cool::OfferCredential(offer, credential) => {
                let pair = self.pairs.cell((offer, credential));
                pair.cool_until.extend(until)
            }
            Cool::Credential(credential) => {
                self.credentials.cell(credential).cool_until.extend(until)
            }
            Cool::CredentialLimit(credential) => {
                let key = self.credentials.cell(credential);
                key.limited_until.extend(until)
            }
        }
    }

    /// Goes by whose turn it is to try the sick.
    fn take_turns(&self, turns: Turns) {
        if **self.turns.load() != turns {
            self.turns.store(Arc::new(turns));
        }
    }

    /// Says whether somebody who fails was asked for lately.
    fn asks_for_trials(&self) -> bool {
        self.is_asked.swap(false, Ordering::Relaxed)
    }

    /// Returns how calls went since this was last asked.
    fn take_tallies(&self) -> Vec<(Pair, Tally)> {
        let pairs = self.pairs.look();
        let tallies = pairs.iter().map(|(pair, cell)| (*pair, cell.take_tally()));
        tallies.filter(|(_, tally)| !tally.is_empty()).collect()
    }

    /// Counts once more what nobody heard.
    fn count_again(&self, pair: Pair, told: &Tally) {
        self.pairs.cell(pair).count(|tally| tally.add(told));
    }

    /// Forgets what was held against a credential: another secret stands in its place.
    pub fn forgive(&self, credential: CredentialId) {
        self.credentials.retain(|one| *one != credential);
        self.pairs.retain(|(_, used)| *used != Some(credential));
    }

    /// Forgets offers and credentials that are not in `catalog` any more.
    pub fn keep_only(&self, catalog: &Catalog) {
        let offers: HashSet<OfferId> = catalog.offers.iter().map(|offer| offer.id).collect();
        let models: HashSet<ModelId> = catalog.offers.iter().map(|offer| offer.model.id).collect();
        let keys = catalog
            .offers
            .iter()
            .flat_map(|offer| &offer.provider.credentials);
        let keys: HashSet<CredentialId> = keys.map(|credential| credential.id).collect();
        self.offers.retain(|offer| offers.contains(offer));
        self.credentials.retain(|key| keys.contains(key));
        self.probes.retain(|model| models.contains(model));
        self.pairs.retain(|(offer, key)| {
            offers.contains(offer) && key.is_none_or(|key| keys.contains(&key))
        });
    }

    /// Returns how long the first byte of `offer` takes on the whole, when it was ever measured.
    #[must_use]
    pub fn latency_ms(&self, offer: OfferId) -> Option<u32> {
        self.offers.look().get(&offer)?.latency_ms()
    }

    /// Lists every breaker that is not closed at `now`, for the metrics.
    #[must_use]
    pub fn failing(&self, now: Moment) -> Vec<(OfferId, Option<CredentialId>, Availability)> {
        let pairs = self.pairs.look();
        let states = pairs
            .iter()
            .map(|((offer, key), cell)| (*offer, *key, cell.availability(now)));
        states
            .filter(|(_, _, state)| *state != Availability::Ready)
            .collect()
    }

    pub(super) fn look(&self) -> Look<'_> {
        Look {
            settings: &self.settings,
            pairs: self.pairs.look(),
            offers: self.offers.look(),
            credentials: self.credentials.look(),
            turns: **self.turns.load(),
            is_asked: &self.is_asked,
        }
    }

    /// Takes the one permission of its second to ask a model all of whose offers are failing.
    pub(super) fn may_probe(&self, model: ModelId, now: Moment) -> bool {
        self.is_asked.store(true, Ordering::Relaxed);
        let turns = **self.turns.load();
        if !turns.is_ours(now, self.settings.probe_every_ms) {
            return false;
        }
        let probe = self.probes.cell(model);
        probe.claim(now, self.settings.probe_every_ms)
    }
}

impl Look<'_> {
    pub(super) fn availability(
        &self,
        offer: OfferId,
        credential: Option<CredentialId>,
        now: Moment,
    ) -> Availability {
        let pair = self.pairs.get(&(offer, credential));
        let key = credential.and_then(|key| self.credentials.get(&key));
        let limited = [
            pair.map(|pair| pair.cool_until.moment()),
            key.map(|key| key.limited_until.moment()),
        ];
        let limited = limited.into_iter().flatten().max();
        let paused = [
            self.offers.get(&offer).map(|cell| cell.cool_until.moment()),
            key.map(|key| key.cool_until.moment()),
        ];
        let paused = paused.into_iter().flatten().max();
        match (limited.max(paused), limited) {
            (Some(until), Some(limited)) if now < until && until == limited => {
                Availability::Limited(until)
            }
            (Some(until), _) if now < until => Availability::Cooling(until),
            _ => pair.map_or(Availability::Ready, |pair| pair.availability(now)),
        }
    }

    pub(super) fn latency_ms(&self, offer: OfferId) -> Option<u32> {
        self.offers.get(&offer)?.latency_ms()
    }

    pub(super) fn median_ms(&self, offer: OfferId) -> Option<u32> {
        self.offers.get(&offer)?.median_ms()
    }

    pub(super) fn success_ppm(&self, offer: OfferId) -> Option<u32> {
        self.offers.get(&offer)?.success_ppm()
    }

    /// How an offer did in the last minutes; `None` when nobody asked it.
    pub(super) fn lately(&self, offer: OfferId, now: Moment) -> Option<Lately> {
        self.offers.get(&offer)?.lately(now)
    }

    /// Takes the one permission of its second to try an offer whose breaker is half-open.
    pub(super) fn may_try(
        &self,
        offer: OfferId,
        credential: Option<CredentialId>,
        now: Moment,
    ) -> bool {
        self.is_asked.store(true, Ordering::Relaxed);
        if !self.turns.is_ours(now, self.settings.probe_every_ms) {
            return false;
        }
        let pair = self.pairs.get(&(offer, credential));
        pair.is_none_or(|pair| pair.tried.claim(now, self.settings.probe_every_ms))
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
