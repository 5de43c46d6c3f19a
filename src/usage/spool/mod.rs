//! What happened, on this machine's disk before anybody is told: it survives the process, and waits for Postgres.
//!
//! Fails closed for money: when the spool is full or its disk is, no intent is taken, so no paid call begins. What
//! has begun may always end.

mod late;
mod pen;
mod reader;
mod record;
mod segment;
mod sync;
mod tail;
mod writer;

use std::{
    fs::{DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use self::{
    late::Late,
    pen::{Gathered, Pen},
    segment::Segment,
    sync::Syncer,
};
pub(super) use self::{
    reader::{Piece, Reader, read_one},
    record::Kind,
    segment::Name,
    tail::Tail,
};
use super::{Counters, Entry, Intent};
use crate::base::{Clock, RequestId};

/// Where entries wait for the books, how many, and how long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The folder of the segments. Several proxies may share it; it must be on a disk of this machine.
    pub spool_dir: PathBuf,
    /// How long a segment grows, in bytes.
    pub segment_bytes: u64,
    /// How much the folder may hold, in bytes: paid calls are refused from nine tenths on.
    pub cap_bytes: u64,
    /// How often what was written is forced to the disk, in milliseconds: what a loss of power may cost.
    pub sync_ms: u64,
    /// How long an entry waits at most before it is sent to Postgres, in milliseconds.
    pub flush_ms: u64,
    /// How many entries one statement books at most.
    pub batch: usize,
    /// How many open calls Redis keeps at most for one proxy, so that the loss of its machine loses none of them.
    pub most_leases: usize,
    /// How long a proxy may be silent before the others book what it left, in milliseconds.
    pub abandon_after_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            spool_dir: PathBuf::from("spool"),
            segment_bytes: 64 * 1024 * 1024,
            cap_bytes: 1024 * 1024 * 1024,
            sync_ms: 100,
            flush_ms: 500,
            batch: 1_000,
            most_leases: 20_000,
            abandon_after_ms: 600_000,
        }
    }
}

impl Settings {
    /// Returns how many entries one statement books: never more than a thousand, whatever was configured.
    pub(super) fn rows(&self) -> usize {
        self.batch.clamp(1, 1_000)
    }
}

/// Why the spool did not take a record.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The folder cannot be used at all: not ready.
    #[error("the spool folder `{path}` cannot be written")]
    NotWritable {
        /// The folder.
        path: PathBuf,
        /// What the disk said.
        #[source]
        source: io::Error,
    },
    /// The spool or its disk is full: no paid call may begin.
    #[error("the spool is full")]
    Full,
    /// The disk failed.
    #[error("the spool's disk failed")]
    Io(#[source] io::Error),
}

/// The end of one segment as of now, and the file to read it from.
pub(super) struct View {
    pub(super) name: Name,
    pub(super) file: Arc<File>,
    pub(super) path: PathBuf,
    pub(super) written: u64,
    pub(super) is_sealed: bool,
}

/// The spool of one process.
#[derive(Debug)]
pub struct Spool {
    /// Ends before the pen is put down.
    late: Option<Late>,
    pen: Arc<Pen>,
}

impl Spool {
    /// Opens the folder and its first segment, and starts the threads that write and force what nobody waits for.
    ///
    /// # Errors
    /// When the folder cannot be made or written.
    pub fn open(settings: &Settings, clock: &Clock) -> Result<Arc<Self>, SpoolError> {
        let open = || {
            let folder = &settings.spool_dir;
            make_folder(folder)?;
            let boot = RequestId::new(clock.now()).uuid();
            let counters = Arc::new(Counters::default());
            let first = Segment::create(folder, boot, 1)?;
            let pause = Duration::from_millis(settings.sync_ms.max(1));
            let syncer = Syncer::start(folder, pause, &counters)?;
            let pen = Arc::new(Pen::new(settings, boot, first, syncer, counters));
            let late = Some(Late::start(Arc::clone(&pen))?);
            Ok(Arc::new(Self { late, pen }))
        };
        open().map_err(|source| SpoolError::NotWritable {
            path: settings.spool_dir.clone(),
            source,
        })
    }

    /// Writes down that a call is about to reach an upstream; it survives this process once this returns.
    ///
    /// # Errors
    /// When the spool is full: a paid call must be refused then.
    pub fn intend(&self, intent: &Intent) -> Result<(), SpoolError> {
        record::with_intent(intent, |record| self.pen.intend(record))
    }

    /// Writes down how a call ended, some milliseconds later: until then the death of this process leaves the call
    /// as its intent says. When the disk refuses, it is kept in memory and written as soon as it fits.
    ///
    /// # Errors
    /// When disk and memory are full; an intent that was written still stands for the call.
    pub fn done(&self, entry: &Entry) -> Result<(), SpoolError> {
        let gathered = record::with_done(entry, |record| self.pen.gather(record))?;
        if let (Gathered::First, Some(late)) = (gathered, &self.late) {
            late.note();
        }
        Ok(())
    }

    /// Returns how many bytes the folder's segments hold.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.pen.bytes()
    }

    /// Says whether intents are refused now.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.pen.is_full()
    }

    /// Returns which process this is, among all that ever wrote a spool.
    #[must_use]
    pub fn boot(&self) -> Uuid {
        self.pen.boot
    }

    /// Returns what went wrong since the start.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.pen.counters
    }

    /// Returns the settings it was opened with.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.pen.settings
    }
}

/// What the flusher asks of the spool it empties.
impl Spool {
    pub(super) fn folder(&self) -> &Path {
        &self.pen.settings.spool_dir
    }

    /// Returns every segment of this process, oldest first.
    pub(super) fn views(&self) -> Vec<View> {
        self.pen.views()
    }

    /// Returns what was written since this was asked last, as far as memory has it, in exchange for what was read.
    pub(super) fn take_tail(&self, used: Tail) -> Tail {
        self.pen.take_tail(used)
    }

    /// Ends the current segment when nothing was written since `written`; says whether it did.
    pub(super) fn seal_at(&self, written: u64) -> io::Result<bool> {
        self.pen.seal_at(written)
    }

    /// Copies an open intent's row to the end of the current segment; returns that segment's number and the offset
    /// in it.
    pub(super) fn carry(&self, row: &[u8]) -> io::Result<(u64, u64)> {
        self.pen.carry(&record::wrap(Kind::Carried, row))
    }

    /// Deletes a sealed segment, everything in it being in the books or carried on.
    pub(super) fn delete(&self, number: u64) -> io::Result<()> {
        self.pen.delete(number)
    }

    pub(super) fn set_other_bytes(&self, bytes: u64) {
        self.pen.set_other_bytes(bytes);
    }

    /// Returns once everything written so far is on the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.pen.sync()
    }

    /// Tries again what the disk refused.
    pub(super) fn retry(&self) {
        self.pen.retry();
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.late = None;
        self.pen.put_down();
    }
}

fn make_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}
