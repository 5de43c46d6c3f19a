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
    Counters, Holds, Leases, Spool,
    booking::{self, Refused},
    dead,
    disk::Disk,
    leases::{self, Keeper},
    rows::Rows,
    store,
};
use crate::{
    base::RequestId,
    store::{Postgres, StoreError, proxies::Proxies},
};

/// How many statements book at the same time when many entries wait.
const STATEMENTS: usize = 2;

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
    /// Read from the spool, but not yet known to be in the books.
    pending: Rows,
    keeper: Option<Keeper>,
    partitions_due: Instant,
}

/// What one turn left to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// As much as one turn takes was booked: more waits.
    Full,
    /// All that waited was booked.
    Part,
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
            pending: Rows::default(),
            keeper: None,
            partitions_due: Instant::now(),
        }
    }

    /// Tells Redis of open calls too, and ends what dead processes held whose spool it books.
    #[must_use]
    pub fn with_leases(
        mut self,
        leases: Leases,
        proxies: Arc<Proxies>,
        holds: Arc<dyn Holds>,
    ) -> Self {
        let own = self.spool.boot();
        self.keeper = Some(Keeper::new(own, leases, proxies, holds));
        let mut disk = self.disk.lock().unwrap_or_else(PoisonError::into_inner);
        disk.wait_for_mourner();
        drop(disk);
        self
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
            if self.keeper.as_ref().is_some_and(Keeper::is_due) {
                self.keep_leases().await;
            }
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                () = tokio::time::sleep(pause) => {}
            }
        }
        let last_words = async {
            self.drain(&postgres, &on_booked).await?;
            self.keep_leases().await;
            if let Some(keeper) = &mut self.keeper {
                keeper.leave().await;
            }
            Ok::<(), Away>(())
        };
        if let Ok(Err(error)) = tokio::time::timeout(LAST_WORDS, last_words).await {
            tracing::warn!(%error, "some entries stay in the spool until the next start");
        }
    }

    /// Tells Redis which calls are open. What cannot be told now is told later.
    async fn keep_leases(&mut self) {
        let Some(mut keeper) = self.keeper.take() else {
            return;
        };
        let known = keeper.known();
        let most = self.spool.settings().most_leases;
        let compared = self.on_disk(move |disk| {
            let changes = known.changes(disk, most);
            Ok((known, changes, disk.gone()))
        });
        // A task that died took what was known with it: then all is told anew.
        let (known, changes, gone) = compared.await.unwrap_or_default();
        let ended = keeper.tell(known, changes, gone).await;
        self.keeper = Some(keeper);
        if let Err(error) = self.on_disk(move |disk| disk.bury(&ended)).await {
            tracing::warn!(%error, "what a dead process left cannot be deleted");
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
            self.on_disk(Disk::retry).await?;
        }
        let limit = self.spool.settings().rows() * STATEMENTS;
        if self.pending.is_empty() {
            self.with_pending(move |disk, rows| disk.next(rows, limit))
                .await?;
        }
        if self.pending.is_empty() {
            self.with_pending(|disk, none| disk.booked(none)).await?;
            return Ok(Turn::Idle);
        }
        self.ensure_partitions(postgres).await;
        let parts = self.pending.parts(self.spool.settings().rows());
        let refused = try_join_all(parts.map(|part| booking::book(postgres, part)))
            .await
            .map_err(Away::Books)?
            .concat();
        self.bury(&refused).await?;
        for id in self.pending.ids() {
            if !refused.iter().any(|refused| refused.id == id) {
                on_booked(id);
            }
        }
        if let Some(keeper) = self.keeper.as_mut().filter(|_| self.pending.are_of_dead()) {
            keeper.note_lost(self.pending.each().filter_map(leases::lost));
        }
        // What one dead process left is soon booked; that of the next waits already.
        let turn = if self.pending.is_full(limit) || self.pending.are_of_dead() {
            Turn::Full
        } else {
            Turn::Part
        };
        self.with_pending(|disk, rows| {
            let booked = disk.booked(rows);
            rows.clear();
            booked
        })
        .await?;
        Ok(turn)
    }

    /// Keeps what the books refuse. Until that is done nothing of the batch counts as booked.
    async fn bury(&self, refused: &[Refused]) -> Result<(), Away> {
        for refused in refused {
            tracing::error!(request.id = %refused.id, "the books refuse an entry, it is kept in the spool's dead letters");
            let Refused { row, reason, .. } = refused.clone();
            let folder = self.spool.folder().to_owned();
            self.on_disk(move |_| dead::bury(&folder, row.as_bytes(), reason))
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

    /// Works on the disk and on what is pending; after a failure nothing is lost that is not in the spool.
    async fn with_pending(
        &mut self,
        work: impl FnOnce(&mut Disk, &mut Rows) -> io::Result<()> + Send + 'static,
    ) -> Result<(), Away> {
        let mut rows = std::mem::take(&mut self.pending);
        let (rows, worked) = self
            .on_disk(move |disk| {
                let worked = work(disk, &mut rows);
                Ok((rows, worked))
            })
            .await?;
        self.pending = rows;
        worked.map_err(Away::Spool)
    }

    /// A full turn is followed by the next at once; else entries gather for half the time they may wait.
    fn pause_after(&self, turn: Turn) -> Duration {
        match turn {
            Turn::Full => Duration::ZERO,
            Turn::Part | Turn::Idle => Duration::from_millis(self.spool.settings().flush_ms / 2),
        }
    }
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
