//! Keeps the view fresh: reads again when the catalog changed, and now and then in any case.

use std::{collections::HashMap, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::{BadSnapshot, LastGood, Snapshot, View, build, read};
use crate::{
    base::{Clock, CredentialId, Secret},
    catalog::Vault,
    routing::Health,
    store::{
        Postgres,
        feed::{Kind, News, Reader},
    },
};

/// A view is at most this old while the books answer: prices begin and end without a change being told.
const EVERY: Duration = Duration::from_secs(60);
/// How soon it is read again when a price is about to change: the books' clock may be a little behind.
const SOONEST: Duration = Duration::from_millis(100);
/// Changes seldom come alone: so long is waited for the next before reading.
const SETTLING: Duration = Duration::from_millis(50);
/// The pause after the books could not be read.
const PAUSE: Duration = Duration::from_secs(1);
/// How long the books may take to answer; a start waits no longer for books that hang.
const PATIENCE: Duration = Duration::from_secs(3);

/// Where snapshots come from, and who is told of them.
#[derive(Clone, Debug)]
pub struct Source {
    /// The books.
    pub postgres: Postgres,
    /// Opens providers' keys.
    pub vault: Arc<Vault>,
    /// The snapshot on disk, if one is kept.
    pub last_good: Option<LastGood>,
    /// Forgets what is not sold any more, and forgives keys that were replaced.
    pub health: Arc<Health>,
    /// The time.
    pub clock: Clock,
}

/// Opens a view: on the books, else on the last good snapshot, else on nothing, to be filled by [`follow`].
pub async fn open(source: &Source) -> View {
    let kept = source.kept().await.unwrap_or_else(Snapshot::none);
    let snapshot = match source.fresh(&kept).await {
        Ok(snapshot) => snapshot,
        Err(error) => {
            tracing::warn!(error = %chain(&error), "the catalog cannot be read from the books");
            kept
        }
    };
    tracing::info!(
        seq = snapshot.seq,
        offers = snapshot.catalog.offers.len(),
        "opened the catalog"
    );
    Arc::new(ArcSwap::from_pointee(snapshot))
}

/// Keeps `view` fresh until the feed ends. `reader` must have been subscribed before the view was opened.
///
/// A changed catalog is seen within a tenth of a second. What cannot be read, or is wrong, leaves the view as it is.
pub async fn follow(view: View, source: Source, mut reader: Reader) {
    let mut due = Instant::now() + source.first_pause(&view);
    loop {
        match timeout_at(due, changed(&mut reader, &view)).await {
            Ok(None) => return,
            Ok(Some(())) => sleep(SETTLING).await,
            Err(_) => {}
        }
        let pause = source.refresh(&view).await;
        due = Instant::now() + pause;
    }
}

/// Waits until the books hold a catalog the view does not show; `None` when the feed has ended.
async fn changed(reader: &mut Reader, view: &View) -> Option<()> {
    loop {
        let seen = view.load().seq;
        let is_news = match reader.next().await? {
            News::Silence => false,
            News::Gap { seq, .. } => seq != seen,
            News::Changes { changes, .. } => changes
                .iter()
                .any(|change| change.kind == Kind::Catalog && seen < change.seq),
        };
        if is_news {
            return Some(());
        }
    }
}

impl Source {
    /// Replaces the view by what the books say now, and returns when to look again.
    async fn refresh(&self, view: &View) -> Duration {
        let old = view.load_full();
        match self.fresh(&old).await {
            Ok(snapshot) => {
                self.tell(&old, &snapshot);
                let pause = self.until_it_changes(&snapshot);
                view.store(Arc::new(snapshot));
                pause
            }
            Err(error @ (BadSnapshot::Store(_) | BadSnapshot::Late)) => {
                tracing::warn!(error = %chain(&error), "the catalog cannot be read, the old one stays");
                PAUSE
            }
            Err(error) => {
                tracing::error!(error = %chain(&error), "the catalog is wrong, the old one stays");
                EVERY
            }
        }
    }

    fn first_pause(&self, view: &View) -> Duration {
        let snapshot = view.load();
        if snapshot.is_loaded() {
            self.until_it_changes(&snapshot)
        } else {
            PAUSE
        }
    }

    /// Returns how long a snapshot holds: a price that was announced long ago begins without another word.
    fn until_it_changes(&self, snapshot: &Snapshot) -> Duration {
        let changes_in = snapshot.changes_at.map(|at| at.since(self.clock.now()));
        changes_in.map_or(EVERY, |wait| wait.clamp(SOONEST, EVERY))
    }

    async fn fresh(&self, old: &Snapshot) -> Result<Snapshot, BadSnapshot> {
        let building = build(&self.postgres, &self.vault, &self.clock);
        let (snapshot, text) = timeout(PATIENCE, building)
            .await
            .unwrap_or(Err(BadSnapshot::Late))?;
        snapshot.may_replace(old)?;
        self.keep(&snapshot, text).await;
        Ok(snapshot)
    }

    /// Writes the snapshot down. A full disk costs the next start without Postgres, not this one.
    async fn keep(&self, snapshot: &Snapshot, text: String) {
        let Some(last_good) = self.last_good.clone() else {
            return;
        };
        let taken_at = snapshot.taken_at;
        let writing = move || last_good.write(&text, taken_at);
        match tokio::task::spawn_blocking(writing).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(error = %error, "the last good snapshot was not kept"),
            Err(error) => tracing::warn!(error = %error, "the last good snapshot was not kept"),
        }
    }

    /// Reads the snapshot that was written down.
    async fn kept(&self) -> Option<Snapshot> {
        let last_good = self.last_good.clone()?;
        let reading = tokio::task::spawn_blocking(move || last_good.read())
            .await
            .ok()?;
        let (text, taken_at) = match reading {
            Ok(found) => found?,
            Err(error) => {
                tracing::warn!(error = %error, "the last good snapshot cannot be read");
                return None;
            }
        };
        match read(&text, &self.vault, taken_at) {
            Ok(snapshot) => Some(snapshot),
            Err(error) => {
                tracing::error!(error = %chain(&error), "the last good snapshot is wrong");
                None
            }
        }
    }

    fn tell(&self, old: &Snapshot, new: &Snapshot) {
        let before = secrets(old);
        let after = secrets(new);
        let replaced = after.iter().filter(|(id, secret)| {
            before
                .get(*id)
                .is_some_and(|old| old.expose() != secret.expose())
        });
        replaced.for_each(|(id, _)| self.health.forgive(*id));
        self.health.keep_only(&new.catalog);
    }
}

fn secrets(snapshot: &Snapshot) -> HashMap<CredentialId, &Secret> {
    let offers = snapshot.catalog.offers.iter();
    offers
        .flat_map(|offer| &offer.provider.credentials)
        .map(|credential| (credential.id, &credential.secret))
        .collect()
}

/// Spells an error with its causes, which the one who ends it logs.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}
