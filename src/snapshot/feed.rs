//! Keeps the view current: read again when the catalog changes and once a minute; bad data never replaces good.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::time::{Instant, sleep, timeout_at};

use super::{
    Snapshot, View,
    build::{NotBuilt, build},
    last_good, store,
};
use crate::{
    catalog::Vault,
    store::{
        Postgres, StoreError,
        feed::{Kind, News, Reader},
    },
};

/// How long changes are collected before the books are asked: an import is many.
const DEBOUNCE: Duration = Duration::from_millis(50);

/// How often the books are asked although nothing was announced: prices begin and end by the clock.
const AT_LEAST: Duration = Duration::from_secs(60);

/// How often the books are asked while there is no snapshot from them yet.
const IMPATIENT: Duration = Duration::from_millis(250);

/// Why the view could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum Stale {
    /// The books are away.
    #[error("the books cannot be read")]
    Books(#[from] StoreError),
    /// What they say is no catalog.
    #[error(transparent)]
    NotBuilt(#[from] NotBuilt),
}

/// Who keeps a view current.
pub struct Follower {
    pub view: View,
    pub vault: Vault,
    pub postgres: Postgres,
    pub state_dir: PathBuf,
}

/// Opens a view of the last good snapshot below `state_dir`, or of nothing.
#[must_use]
pub fn open(state_dir: &Path, vault: &Vault) -> View {
    let kept = last_good::read(&last_good::path_in(state_dir)).unwrap_or_else(|error| {
        tracing::warn!(error = %error, "the last good snapshot cannot be read");
        None
    });
    let snapshot = kept.and_then(|text| match build(&text, vault) {
        Ok(snapshot) => Some(snapshot),
        Err(error) => {
            tracing::warn!(error = %error, "the last good snapshot is none");
            None
        }
    });
    Arc::new(ArcSwap::from_pointee(snapshot.unwrap_or_default()))
}

impl Follower {
    /// Follows the books until the feed ends.
    pub async fn run(self, mut news: Reader) {
        let mut is_current = self.take().await;
        loop {
            let patience = if is_current { AT_LEAST } else { IMPATIENT };
            match timeout_at(Instant::now() + patience, catalog_changed(&mut news)).await {
                Ok(true) => sleep(DEBOUNCE).await,
                Ok(false) => return,
                Err(_) => {}
            }
            is_current = self.take().await;
        }
    }

    /// Takes a new snapshot; when that fails the view stays as it was.
    async fn take(&self) -> bool {
        match self.read().await {
            Ok((text, snapshot)) => {
                self.keep(text, snapshot).await;
                true
            }
            Err(error) => {
                tracing::warn!(error = %error, cause = ?error, "the catalog stays as it was");
                false
            }
        }
    }

    async fn read(&self) -> Result<(String, Snapshot), Stale> {
        let mut conn = self.postgres.acquire().await?;
        let text = store::read(&mut conn).await?;
        let snapshot = build(&text, &self.vault)?;
        Ok((text, snapshot))
    }

    async fn keep(&self, text: String, snapshot: Snapshot) {
        let is_news = self.view.load().seq != snapshot.seq;
        self.view.store(Arc::new(snapshot));
        if !is_news {
            return;
        }
        let path = last_good::path_in(&self.state_dir);
        let written = tokio::task::spawn_blocking(move || last_good::write(&path, &text)).await;
        if let Ok(Err(error)) = written {
            tracing::warn!(error = %error, "the snapshot could not be kept");
        }
    }
}

/// Waits until the catalog may have changed; `false` when nobody will tell any more.
async fn catalog_changed(news: &mut Reader) -> bool {
    while let Some(news) = news.next().await {
        let is_ours = match news {
            News::Changes { changes, .. } => {
                changes.iter().any(|change| change.kind == Kind::Catalog)
            }
            News::Gap { .. } => true,
            News::Silence => false,
        };
        if is_ours {
            return true;
        }
    }
    false
}
