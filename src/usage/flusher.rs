//! Carries what the spool holds into the books: each call exactly once, however often Postgres or we die on the way.
//!
//! Nothing here is ever waited for by a call. While Postgres is away the spool grows and the flusher keeps trying.

use std::{
    future::Future,
    io,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures::future::try_join_all;
use tokio::signal::unix::{SignalKind, signal};

use super::{
    Counters, Entry, Spool, dead,
    disk::Disk,
    store::{self, NotBooked},
};
use crate::{
    base::RequestId,
    store::{Postgres, StoreError},
};

/// The longest pause between two tries to reach Postgres.
const LONGEST_PAUSE: Duration = Duration::from_millis(900);

/// The first pause after Postgres went away.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// How often the months to come are made.
const PARTITIONS_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// When they are tried again after a failure.
const PARTITIONS_RETRY: Duration = Duration::from_secs(60);

/// How long the last entries may take once the process is told to stop; what is left waits for the next start.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Why nothing can be booked at the moment. Everything is still on the disk.
#[derive(Debug, thiserror::Error)]
pub enum Away {
    /// Postgres does not take entries.
    #[error("the books are away")]
    Books(#[source] StoreError),
    /// The spool cannot be read.
    #[error("the spool cannot be read")]
    Spool(#[source] io::Error),
}

/// Carries entries from one folder into the books.
#[derive(Debug)]
pub struct Flusher {
    spool: Arc<Spool>,
    disk: Arc<Mutex<Disk>>,
    /// Read from the disk, but not yet known to be in the books.
    pending: Vec<Entry>,
    partitions_due: Instant,
}

/// What one turn left to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// This many entries were booked.
    Booked(usize),
    /// Nothing waits.
    Idle,
}

impl Flusher {
    /// Makes the one flusher of a spool.
    #[must_use]
    pub fn new(spool: Arc<Spool>) -> Self {
        Self {
            disk: Arc::new(Mutex::new(Disk::new(Arc::clone(&spool)))),
            spool,
            pending: Vec::new(),
            partitions_due: Instant::now(),
        }
    }

    /// Flushes until `shutdown` ends, and then what is left for a few seconds more.
    ///
    /// `on_booked` is called with each call that is in the books for good; it must not block.
    pub async fn run(
        mut self,
        postgres: Postgres,
        on_booked: impl Fn(RequestId) + Send + Sync,
        shutdown: impl Future<Output = ()> + Send,
    ) {
        survive_file_size_limits();
        let mut shutdown = pin!(shutdown);
        let mut away = None;
        loop {
            let pause = match self.turn(&postgres, &on_booked).await {
                Ok(turn) => {
                    came_back(&mut away);
                    self.pause_after(turn)
                }
                Err(error) => longer(&mut away, &error),
            };
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                () = tokio::time::sleep(pause) => {}
            }
        }
        let last_words = self.drain(&postgres, &on_booked);
        if let Ok(Err(error)) = tokio::time::timeout(LAST_WORDS, last_words).await {
            tracing::warn!(%error, "some entries stay in the spool until the next start");
        }
    }

    /// Flushes until nothing waits, dead processes' segments included.
    ///
    /// # Errors
    /// When Postgres or the disk is away; nothing is lost.
    pub async fn drain(
        &mut self,
        postgres: &Postgres,
        on_booked: &(impl Fn(RequestId) + Send + Sync),
    ) -> Result<(), Away> {
        self.on_disk(|disk| {
            disk.look_again();
            Ok(())
        })
        .await?;
        while self.turn(postgres, on_booked).await? != Turn::Idle {}
        self.on_disk(Disk::close).await
    }

    /// Books at most one batch.
    async fn turn(
        &mut self,
        postgres: &Postgres,
        on_booked: &(impl Fn(RequestId) + Send + Sync),
    ) -> Result<Turn, Away> {
        if self.spool.is_full() {
            self.on_disk(|disk| {
                disk.retry();
                Ok(())
            })
            .await?;
        }
        if self.pending.is_empty() {
            self.pending = self.on_disk(Disk::next).await?;
        }
        if self.pending.is_empty() {
            self.on_disk(|disk| disk.booked(&[])).await?;
            return Ok(Turn::Idle);
        }
        self.ensure_partitions(postgres).await;
        let statements = self.pending.chunks(self.spool.settings().rows());
        let refused = try_join_all(statements.map(|entries| book(postgres, entries)))
            .await
            .map_err(Away::Books)?
            .concat();
        self.bury(&refused).await?;
        let booked = std::mem::take(&mut self.pending);
        for entry in &booked {
            if !refused.iter().any(|refused| refused.id == entry.request_id) {
                on_booked(entry.request_id);
            }
        }
        let count = booked.len();
        self.on_disk(move |disk| disk.booked(&booked)).await?;
        Ok(Turn::Booked(count))
    }

    /// Keeps what the books refuse. Until that is done nothing of the batch counts as booked.
    async fn bury(&self, refused: &[Refused]) -> Result<(), Away> {
        for refused in refused {
            let Some(entry) = self
                .pending
                .iter()
                .find(|entry| entry.request_id == refused.id)
            else {
                continue;
            };
            tracing::error!(request.id = %refused.id, "the books refuse an entry, it is kept in the spool's dead letters");
            let json = serde_json::to_vec(entry).map_err(|error| Away::Spool(error.into()))?;
            let reason = refused.reason.clone();
            let folder = self.spool.folder().to_owned();
            self.on_disk(move |_| dead::bury(&folder, &json, reason))
                .await?;
            Counters::add(&self.spool.counters().dead_letters, 1);
        }
        Ok(())
    }

    /// Makes the months to come. Booking needs none of it: a missing month is made on demand.
    async fn ensure_partitions(&mut self, postgres: &Postgres) {
        if Instant::now() < self.partitions_due {
            return;
        }
        let made = async {
            let mut conn = postgres.acquire().await?;
            store::ensure_partitions(&mut conn).await
        };
        let pause = match made.await {
            Ok(()) => PARTITIONS_EVERY,
            Err(error) => {
                tracing::warn!(%error, "the months to come could not be made in the books");
                PARTITIONS_RETRY
            }
        };
        self.partitions_due = Instant::now() + pause;
    }

    /// Works on the disk off the runtime's threads.
    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Disk) -> io::Result<T> + Send + 'static,
    ) -> Result<T, Away> {
        let disk = Arc::clone(&self.disk);
        tokio::task::spawn_blocking(move || {
            work(&mut disk.lock().unwrap_or_else(PoisonError::into_inner))
        })
        .await
        .map_err(|died| Away::Spool(io::Error::other(died)))?
        .map_err(Away::Spool)
    }

    /// A full batch is followed by the next at once; else entries gather for half the time they may wait.
    fn pause_after(&self, turn: Turn) -> Duration {
        let settings = self.spool.settings();
        match turn {
            Turn::Booked(count) if count * 2 >= settings.rows() => Duration::ZERO,
            Turn::Booked(_) | Turn::Idle => Duration::from_millis(settings.flush_ms / 2),
        }
    }
}

/// An entry that can never be booked, and why.
#[derive(Clone, Debug)]
struct Refused {
    id: RequestId,
    reason: String,
}

/// Books entries; halves what the books refuse until the entry at fault stands alone. Returns those.
///
/// # Errors
/// When the books are away. Some entries may be booked then: sending them again changes nothing.
async fn book(postgres: &Postgres, entries: &[Entry]) -> Result<Vec<Refused>, StoreError> {
    let mut conn = postgres.acquire().await?;
    let mut refused = Vec::new();
    let mut parts = vec![entries];
    while let Some(part) = parts.pop() {
        match store::ingest(&mut conn, part).await {
            Ok(_) => {}
            Err(NotBooked::Away(error)) => return Err(error),
            Err(NotBooked::TooSlow(error)) if part.len() < 2 => return Err(error),
            Err(NotBooked::Refused(error)) if part.len() < 2 => {
                refused.extend(part.iter().map(|entry| Refused {
                    id: entry.request_id,
                    reason: dead::chain(&error),
                }));
            }
            Err(NotBooked::Refused(_) | NotBooked::TooSlow(_)) => {
                let (front, back) = part.split_at(part.len() / 2);
                parts.extend([back, front]);
            }
        }
    }
    Ok(refused)
}

/// Where file sizes are limited, a write that is refused must not end the process: a handled signal does not.
fn survive_file_size_limits() {
    let exceeded = SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw());
    if let Err(error) = signal(exceeded) {
        tracing::warn!(%error, "a limit on file sizes would end this process");
    }
}

fn came_back(away: &mut Option<Duration>) {
    if away.take().is_some() {
        tracing::info!("entries are booked again");
    }
}

/// Returns how long to wait before the next try: longer each time, never longer than a second.
fn longer(away: &mut Option<Duration>, error: &Away) -> Duration {
    let pause = match *away {
        None => {
            let cause = std::error::Error::source(error).map(ToString::to_string);
            tracing::warn!(%error, cause, "no entry can be booked, they wait in the spool");
            FIRST_PAUSE
        }
        Some(last) => (last * 2).min(LONGEST_PAUSE),
    };
    *away = Some(pause);
    pause
}
