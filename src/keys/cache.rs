//! The grants this process has seen, how sure it still is of each, and what the feed takes away.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use moka::sync::Cache;
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::grant::Grant;
use crate::{
    base::{ApiKeyId, Moment},
    store::feed::{Change, Kind},
};

/// SHA-256 of a whole key.
pub type WholeHash = [u8; 32];

/// Changes kept to judge answers that were under way when they came.
const RECENT: usize = 4_096;

/// A grant, and what is known of its age.
#[derive(Clone, Debug)]
pub struct Known {
    /// What the key may do.
    pub grant: Arc<Grant>,
    /// It holds every change up to this one.
    pub seq: i64,
    /// When the books were asked for it.
    pub read_at: Moment,
}

/// The grants this process has seen.
#[derive(Debug)]
pub struct Grants {
    known: Cache<WholeHash, Known>,
    /// Where a key's grant is kept, so that a change of one key does not walk through all.
    places: Arc<Mutex<HashMap<ApiKeyId, WholeHash>>>,
    recent: Mutex<Recent>,
    /// A grant at least this new loses nothing unnoticed; no grant is, until the feed has begun.
    covered_from: AtomicI64,
    /// As of when the feed has told everything.
    confirmed_at: AtomicI64,
    entries: u64,
}

/// The last changes, complete after `complete_from`.
#[derive(Debug, Default)]
struct Recent {
    changes: VecDeque<Change>,
    complete_from: i64,
}

impl Grants {
    /// Prepares to keep at most `entries` grants; the view is as old as `now`.
    #[must_use]
    pub fn new(entries: u64, now: Moment) -> Self {
        let places: Arc<Mutex<HashMap<ApiKeyId, WholeHash>>> = Arc::default();
        let left = Arc::clone(&places);
        let known = Cache::builder()
            .max_capacity(entries)
            .eviction_listener(move |hash: Arc<WholeHash>, gone: Known, cause| {
                if cause != moka::notification::RemovalCause::Replaced {
                    leave(&left, gone.grant.api_key_id, &hash);
                }
            })
            .build();
        Self {
            known,
            places,
            recent: Mutex::default(),
            covered_from: AtomicI64::new(i64::MAX),
            confirmed_at: AtomicI64::new(now.millis()),
            entries,
        }
    }

    /// Returns the grant kept under a key's hash.
    #[must_use]
    pub fn find(&self, hash: &WholeHash) -> Option<Known> {
        self.known.get(hash)
    }

    /// Returns how old what we know of this grant may be.
    #[must_use]
    pub fn age(&self, known: &Known, now: Moment) -> Duration {
        // In this order: whoever sees a new confirmation also sees from where on it counts.
        let confirmed_at = self.confirmed_at.load(Ordering::Acquire);
        let sure_at = if self.is_covered(known) {
            known.read_at.max(Moment::from_millis(confirmed_at))
        } else {
            known.read_at
        };
        now.since(sure_at)
    }

    /// Returns as of when the feed has told everything.
    #[must_use]
    pub fn confirmed_at(&self) -> Moment {
        Moment::from_millis(self.confirmed_at.load(Ordering::Acquire))
    }

    /// Keeps a grant under its key's hash; says no when a change has overtaken it.
    #[must_use]
    pub fn keep(&self, hash: WholeHash, known: Known) -> bool {
        let (key, seq) = (known.grant.api_key_id, known.seq);
        let grant = Arc::clone(&known.grant);
        self.known.insert(hash, known);
        // After the grant: the one it replaces may have taken its place along.
        self.places().insert(key, hash);
        self.tidy_places();
        // Last: a change that came before the grant stood here could not find it.
        let is_overtaken = self.recent().has_touched(&grant, seq);
        if is_overtaken {
            self.known.invalidate(&hash);
        }
        !is_overtaken
    }

    /// Forgets the grant under a key's hash.
    pub fn forget(&self, hash: &WholeHash) {
        self.known.invalidate(hash);
    }

    /// Drops what changed; everything else kept is current as of `at`.
    pub fn confirm(&self, changes: &[Change], at: Moment) {
        self.recent().push(changes);
        self.drop_changed(changes);
        self.confirmed_at.fetch_max(at.millis(), Ordering::AcqRel);
    }

    /// Stops trusting what was read before the change `seq`; what is newer is current as of `at`.
    pub fn doubt(&self, seq: i64, at: Moment) {
        self.recent().start_again(seq);
        self.covered_from.store(seq, Ordering::Release);
        self.confirmed_at.fetch_max(at.millis(), Ordering::AcqRel);
    }

    /// Says whether the feed would tell of a change to this grant.
    #[must_use]
    pub fn is_covered(&self, known: &Known) -> bool {
        known.seq >= self.covered_from.load(Ordering::Acquire)
    }

    /// Returns every grant kept, with its key's hash.
    pub fn iter(&self) -> impl Iterator<Item = (Arc<WholeHash>, Known)> {
        self.known.iter()
    }

    fn drop_changed(&self, changes: &[Change]) {
        let mut owners = HashSet::new();
        for change in changes {
            match (change.kind, change.id) {
                (Kind::ApiKey, Some(id)) => self.drop_key(ApiKeyId(id)),
                (Kind::Organization | Kind::Group | Kind::User, Some(id)) => {
                    owners.insert(id);
                }
                (Kind::ApiKey | Kind::Organization | Kind::Group | Kind::User, None) => {
                    self.known.invalidate_all();
                }
                (Kind::Catalog | Kind::Switch | Kind::Unknown, _) => {}
            }
        }
        if owners.is_empty() {
            return;
        }
        for (hash, known) in &self.known {
            if owners_of(&known.grant).any(|id| owners.contains(&id)) {
                self.known.invalidate(hash.as_ref());
            }
        }
    }

    fn drop_key(&self, key: ApiKeyId) {
        let hash = self.places().get(&key).copied();
        if let Some(hash) = hash {
            self.known.invalidate(&hash);
        }
    }

    /// A grant refused by the cache may leave its place behind; they are few, and swept when they are many.
    fn tidy_places(&self) {
        let most = usize::try_from(self.entries)
            .unwrap_or(usize::MAX)
            .saturating_mul(2);
        if self.places().len() > most.max(1_024) {
            let live = self
                .known
                .iter()
                .map(|(hash, known)| (known.grant.api_key_id, *hash));
            let live: HashMap<_, _> = live.collect();
            *self.places() = live;
        }
    }

    fn places(&self) -> MutexGuard<'_, HashMap<ApiKeyId, WholeHash>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn leave(places: &Mutex<HashMap<ApiKeyId, WholeHash>>, key: ApiKeyId, hash: &WholeHash) {
    let mut places = places.lock().unwrap_or_else(PoisonError::into_inner);
    if places.get(&key) == Some(hash) {
        places.remove(&key);
    }
}

/// Everybody a grant depends on but the key itself.
fn owners_of(grant: &Grant) -> impl Iterator<Item = Uuid> {
    [
        Some(grant.organization_id.uuid()),
        grant.group_id.map(|group| group.uuid()),
        grant.user_id.map(|user| user.uuid()),
    ]
    .into_iter()
    .flatten()
}

impl Recent {
    fn push(&mut self, changes: &[Change]) {
        for change in changes {
            if self.changes.len() >= RECENT
                && let Some(oldest) = self.changes.pop_front()
            {
                self.complete_from = oldest.seq;
            }
            self.changes.push_back(*change);
        }
    }

    fn start_again(&mut self, seq: i64) {
        self.changes.clear();
        self.complete_from = seq;
    }

    fn has_touched(&self, grant: &Grant, seq: i64) -> bool {
        let newer = self
            .changes
            .iter()
            .rev()
            .take_while(|change| change.seq > seq);
        seq < self.complete_from || newer.into_iter().any(|change| touches(change, grant))
    }
}

fn touches(change: &Change, grant: &Grant) -> bool {
    match change.kind {
        Kind::ApiKey => change.id.is_none_or(|id| id == grant.api_key_id.uuid()),
        Kind::Organization | Kind::Group | Kind::User => change
            .id
            .is_none_or(|id| owners_of(grant).any(|owner| owner == id)),
        Kind::Catalog | Kind::Switch | Kind::Unknown => false,
    }
}

/// Compares two hashes in the same time wherever they differ.
#[must_use]
pub fn is_same(one: &[u8; 32], other: &[u8; 32]) -> bool {
    one.ct_eq(other).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::{GroupId, OrganizationId},
        keys::Standing,
    };

    const NOON: Moment = Moment::from_millis(1_795_000_000_000);

    fn known(seq: i64, group: Option<GroupId>) -> Known {
        let grant = Grant {
            api_key_id: ApiKeyId::new(NOON),
            public_id: "0123456789abcdef".to_owned(),
            secret_hash: [1; 32],
            organization_id: OrganizationId::new(NOON),
            user_id: None,
            group_id: group,
            standing: Standing::Live,
            expires_at_ms: None,
            scopes: Vec::new(),
            allowed_models: None,
            allowed_cidrs: None,
            limits: Vec::new(),
            limits_enforced: true,
            shares_when_away: false,
            default_max_output_tokens: 4_096,
            body_limit_bytes: None,
            allows_training: false,
            seq,
        };
        Known {
            grant: Arc::new(grant),
            seq,
            read_at: NOON,
        }
    }

    fn change(seq: i64, kind: Kind, id: Uuid) -> Change {
        let id = Some(id);
        Change { seq, kind, id }
    }

    #[test]
    fn a_grant_overtaken_by_a_change_is_not_kept() {
        let grants = Grants::new(10, NOON);
        let old = known(5, None);
        let key = old.grant.api_key_id.uuid();
        grants.doubt(5, NOON);

        grants.confirm(&[change(6, Kind::ApiKey, key)], NOON);

        assert!(!grants.keep([1; 32], old.clone()));
        assert!(grants.find(&[1; 32]).is_none());
        let fresh = Known { seq: 6, ..old };
        assert!(grants.keep([1; 32], fresh));
        assert!(grants.find(&[1; 32]).is_some());
    }

    #[test]
    fn a_grant_read_before_the_changes_that_are_remembered_is_not_kept() {
        let grants = Grants::new(10, NOON);
        grants.doubt(5, NOON);

        assert!(!grants.keep([1; 32], known(4, None)));
        assert!(grants.keep([1; 32], known(5, None)));
    }

    #[test]
    fn a_change_takes_away_what_hangs_on_it_and_nothing_else() {
        let group = GroupId::new(NOON);
        let (own, grouped, other) = (known(1, None), known(1, Some(group)), known(1, None));
        let changes = [
            change(2, Kind::ApiKey, own.grant.api_key_id.uuid()),
            change(3, Kind::Group, group.uuid()),
            change(4, Kind::Catalog, other.grant.organization_id.uuid()),
        ];
        let grants = Grants::new(10, NOON);
        for (hash, known) in [([1; 32], own), ([2; 32], grouped), ([3; 32], other)] {
            assert!(grants.keep(hash, known));
        }

        grants.confirm(&changes, NOON);

        let is_there = |hash: u8| grants.find(&[hash; 32]).is_some();
        assert_eq!([1, 2, 3].map(is_there), [false, false, true]);
    }

    #[test]
    fn a_grant_is_as_old_as_the_last_confirmation_that_covers_it() {
        let later = NOON.plus(Duration::from_secs(60));
        let (before, after) = (known(4, None), known(5, None));
        let grants = Grants::new(10, NOON);
        let age = |known: &Known| grants.age(known, later).as_secs();
        assert_eq!(
            [age(&before), age(&after)],
            [60, 60],
            "no feed, no confirmation"
        );

        grants.doubt(5, later);

        assert_eq!([age(&before), age(&after)], [60, 0]);
    }

    #[test]
    fn a_grant_that_replaced_another_is_still_found_by_its_key() {
        let grants = Grants::new(10, NOON);
        let one = known(1, None);
        let key = one.grant.api_key_id.uuid();
        assert!(grants.keep([1; 32], one.clone()));
        assert!(grants.keep([1; 32], Known { seq: 2, ..one }));

        grants.confirm(&[change(3, Kind::ApiKey, key)], NOON);

        assert!(grants.find(&[1; 32]).is_none());
    }

    #[test]
    fn more_changes_than_are_remembered_leave_no_grant_in_doubt() {
        let grants = Grants::new(10, NOON);
        grants.doubt(0, NOON);
        let stranger = ApiKeyId::new(NOON).uuid();
        let many = i64::try_from(RECENT).expect("a small number") + 10;
        let changes: Vec<Change> = (1..=many)
            .map(|seq| change(seq, Kind::ApiKey, stranger))
            .collect();

        grants.confirm(&changes, NOON);

        assert!(
            !grants.keep([1; 32], known(9, None)),
            "older than what is remembered"
        );
        assert!(grants.keep([1; 32], known(10, None)));
    }
}
