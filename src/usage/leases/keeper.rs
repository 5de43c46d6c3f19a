//! Keeps the leases of this process like its open calls, and ends what processes held whose spool we have booked.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use uuid::Uuid;

use super::{Holds, Leases, Lost, NotEnded, store::LONGEST};
use crate::{
    base::RequestId,
    store::{proxies::Proxies, redis::RedisError},
    usage::{disk::Disk, log::Place, row},
};

/// How often Redis is told: what began later than this before the machine was lost is lost.
const EVERY: Duration = Duration::from_millis(200);

/// How many calls are told of at once.
const AT_ONCE: usize = 1_024;

/// What changed since Redis was told last.
#[derive(Debug, Default)]
pub(in crate::usage) struct Changes {
    /// Calls that are open, where each stands, and its row.
    pub(in crate::usage) opened: Vec<(RequestId, Place, String)>,
    /// Calls that are in the books.
    pub(in crate::usage) closed: Vec<RequestId>,
}

/// The leases of this process as Redis has them.
#[derive(Debug, Default)]
pub(in crate::usage) struct Known {
    places: HashMap<RequestId, Place>,
}

impl Known {
    /// Compares with the calls that are open, of which at most so many are told of.
    pub(in crate::usage) fn changes(&self, disk: &Disk, most: usize) -> Changes {
        let (open, mut changes) = (disk.open_calls(), Changes::default());
        let gone = |id: &&RequestId| !open.contains_key(*id);
        changes.closed.extend(self.places.keys().filter(gone));
        let room = (most + changes.closed.len()).saturating_sub(self.places.len());
        let is_new = |(id, place): &(&RequestId, &Place)| self.places.get(id) != Some(*place);
        let fresh = open.iter().filter(is_new).take(room.min(AT_ONCE));
        for (id, place) in fresh {
            // What the disk does not give now it may give the next time.
            let row = disk.read_open(*place).ok().flatten();
            if let Some(row) = row.and_then(short) {
                changes.opened.push((*id, *place, row));
            }
        }
        changes
    }
}

/// Returns the row without what its caller attached, when that is long.
fn short(row: Vec<u8>) -> Option<String> {
    if LONGEST < row.len() {
        return row::without_tags(&row);
    }
    String::from_utf8(row).ok()
}

/// Keeps the leases of this process.
#[derive(Debug)]
pub(in crate::usage) struct Keeper {
    own: Uuid,
    leases: Leases,
    proxies: Arc<Proxies>,
    holds: Arc<dyn Holds>,
    known: Known,
    /// Redis may have others than we know of.
    is_unsure: bool,
    told: Option<Instant>,
    /// Calls of dead processes that are in the books and may still be held.
    lost: Vec<Lost>,
    is_complaining: bool,
}

/// Why Redis could not be told.
#[derive(Debug, thiserror::Error)]
pub(in crate::usage) enum NotTold {
    #[error(transparent)]
    Redis(#[from] RedisError),
    #[error(transparent)]
    Holds(#[from] NotEnded),
}

impl Keeper {
    pub(in crate::usage) fn new(
        own: Uuid,
        leases: Leases,
        proxies: Arc<Proxies>,
        holds: Arc<dyn Holds>,
    ) -> Self {
        Self {
            own,
            leases,
            proxies,
            holds,
            known: Known::default(),
            is_unsure: true,
            told: None,
            lost: Vec::new(),
            is_complaining: false,
        }
    }

    pub(in crate::usage) fn is_due(&self) -> bool {
        self.told.is_none_or(|told| EVERY <= told.elapsed())
    }

    /// Hands out what Redis knows, for comparing; it must come back with [`Keeper::tell`].
    pub(in crate::usage) fn known(&mut self) -> Known {
        std::mem::take(&mut self.known)
    }

    /// Notes that calls of a dead process are in the books.
    pub(in crate::usage) fn note_lost(&mut self, calls: impl Iterator<Item = Lost>) {
        self.lost.extend(calls);
    }

    /// Tells Redis what changed, and that all calls of `gone` processes are in the books; what fails is tried again the
    /// next time. Returns the processes of which Redis keeps nothing any more.
    pub(in crate::usage) async fn tell(
        &mut self,
        known: Known,
        changes: Changes,
        gone: Vec<Uuid>,
    ) -> Vec<Uuid> {
        self.known = known;
        self.told = Some(Instant::now());
        let mut ended = Vec::new();
        let told = async {
            self.end_lost().await?;
            for boot in gone {
                self.forget(boot).await?;
                ended.push(boot);
            }
            self.tell_changes(changes).await
        };
        let told = told.await;
        self.complain(told);
        ended
    }

    /// Says once that Redis is away, not four times a second.
    fn complain(&mut self, told: Result<(), NotTold>) {
        let was_complaining = std::mem::replace(&mut self.is_complaining, told.is_err());
        match told {
            Ok(()) if was_complaining => tracing::info!("redis keeps the open calls again"),
            Ok(()) => {}
            Err(error) if was_complaining => {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "redis was not told"
                );
            }
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "redis does not keep the open calls: they are in the spool alone"
            ),
        }
    }

    async fn tell_changes(&mut self, changes: Changes) -> Result<(), NotTold> {
        let is_anew = std::mem::replace(&mut self.is_unsure, true);
        if is_anew {
            self.proxies.beat(self.own).await?;
            self.known.places.clear();
        }
        let mut rows = Vec::with_capacity(changes.opened.len());
        for (id, place, row) in changes.opened {
            rows.push((id, row));
            self.known.places.insert(id, place);
        }
        let mut dropped = Vec::with_capacity(changes.closed.len());
        for id in changes.closed {
            self.known.places.remove(&id);
            dropped.push(id.to_string());
        }
        if is_anew || !rows.is_empty() || !dropped.is_empty() {
            let kept = self.leases.keep(self.own, is_anew, &rows, &dropped);
            // After an answer that says something else all are told again: Redis may have lost its memory.
            self.is_unsure = kept.await? != self.known.places.len();
        } else {
            self.is_unsure = false;
        }
        Ok(())
    }

    /// Ends what dead processes held.
    async fn end_lost(&mut self) -> Result<(), NotTold> {
        while !self.lost.is_empty() {
            let some = self.lost.len().min(AT_ONCE);
            self.holds
                .end(self.lost.get(..some).unwrap_or_default())
                .await?;
            self.lost.drain(..some);
        }
        Ok(())
    }

    /// Takes a dead process out of Redis.
    async fn forget(&self, boot: Uuid) -> Result<(), NotTold> {
        self.leases.keep(boot, true, &[], &[]).await?;
        self.proxies.forget(boot, Duration::ZERO).await?;
        Ok(())
    }

    /// Lets all leases of this process go: everything of it is in the books.
    pub(in crate::usage) async fn leave(&mut self) {
        if let Err(error) = self.leases.keep(self.own, true, &[], &[]).await {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "leases are left behind"
            );
        }
    }
}
