//! What happened, on this machine's disk before anybody is told: it survives the process, and waits for Postgres.
//!
//! Fails closed for money: when the spool is full or its disk is, no intent is taken, so no paid call begins. What
//! has begun may always end.

mod reader;
mod record;
mod segment;
mod sync;
mod writer;

use std::{
    fs::{DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub(super) use self::{
    reader::{Piece, Reader, read_one},
    record::Kind,
    segment::Name,
};
use self::{segment::Segment, sync::Syncer, writer::Writer};
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
    settings: Settings,
    boot: Uuid,
    /// Ends before the segments are closed: until then they are locked.
    syncer: Syncer,
    writer: Mutex<Writer>,
    counters: Arc<Counters>,
    own_bytes: AtomicU64,
    /// What other processes, living and dead, have in the folder.
    other_bytes: AtomicU64,
    /// The disk refused the last intent.
    is_starved: AtomicBool,
}

impl Spool {
    /// Opens the folder and its first segment, and starts the thread that forces writes to the disk.
    ///
    /// # Errors
    /// When the folder cannot be made or written.
    pub fn open(settings: &Settings, clock: &Clock) -> Result<Arc<Self>, SpoolError> {
        let not_writable = |source| SpoolError::NotWritable {
            path: settings.spool_dir.clone(),
            source,
        };
        let boot = RequestId::new(clock.now()).uuid();
        let counters = Arc::new(Counters::default());
        let pause = Duration::from_millis(settings.sync_ms.max(1));
        let first = make_folder(&settings.spool_dir)
            .and_then(|()| Segment::create(&settings.spool_dir, boot, 1))
            .map_err(not_writable)?;
        let syncer = Syncer::start(&settings.spool_dir, pause, &counters).map_err(not_writable)?;
        syncer.note_name();
        Ok(Arc::new(Self {
            settings: settings.clone(),
            boot,
            syncer,
            writer: Mutex::new(Writer::new(first)),
            counters,
            own_bytes: AtomicU64::new(0),
            other_bytes: AtomicU64::new(0),
            is_starved: AtomicBool::new(false),
        }))
    }

    /// Writes down that a call is about to reach an upstream; it survives this process once this returns.
    ///
    /// # Errors
    /// When the spool is full: a paid call must be refused then.
    pub fn intend(&self, intent: &Intent) -> Result<(), SpoolError> {
        let record = encode(Kind::Intent, &intent.0)?;
        let mut writer = self.writer();
        self.write_kept(&mut writer);
        if self.bytes() > self.settings.cap_bytes / 10 * 9 || writer.is_behind() {
            return Err(SpoolError::Full);
        }
        let taken = self.append_with_reserve(&mut writer, &record);
        self.is_starved.store(taken.is_err(), Ordering::Relaxed);
        taken.map_err(refusal)
    }

    /// Writes down how a call ended. When the disk refuses, it is kept in memory and written as soon as it fits.
    ///
    /// # Errors
    /// When disk and memory are full; an intent that was written still stands for the call.
    pub fn done(&self, entry: &Entry) -> Result<(), SpoolError> {
        let record = encode(Kind::Done, entry)?;
        let mut writer = self.writer();
        self.write_kept(&mut writer);
        let kept = if self.bytes() > self.settings.cap_bytes {
            Err(SpoolError::Full)
        } else if !writer.is_behind() && self.append(&mut writer, &record).is_ok() {
            Ok(())
        } else {
            writer.keep(record).map_err(|_| SpoolError::Full)
        };
        if kept.is_err() {
            self.counters.lost.fetch_add(1, Ordering::Relaxed);
        }
        kept
    }

    /// Returns how many bytes the folder's segments hold.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.own_bytes.load(Ordering::Relaxed) + self.other_bytes.load(Ordering::Relaxed)
    }

    /// Says whether intents are refused now.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.is_starved.load(Ordering::Relaxed)
            || self.bytes() > self.settings.cap_bytes / 10 * 9
            || self.writer().is_behind()
    }

    /// Returns what went wrong since the start.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Returns the settings it was opened with.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    fn append_with_reserve(&self, writer: &mut Writer, record: &[u8]) -> io::Result<()> {
        self.rotate_when_due(writer, record.len())?;
        writer.current.reserve(record.len())?;
        self.append_here(writer, record)
    }

    fn append(&self, writer: &mut Writer, record: &[u8]) -> io::Result<()> {
        // Without room for another segment the current one grows into its reserve.
        let _ = self.rotate_when_due(writer, record.len());
        self.append_here(writer, record)
    }

    fn append_here(&self, writer: &mut Writer, record: &[u8]) -> io::Result<()> {
        let before = writer.current.written;
        writer.current.append(record)?;
        self.syncer.note(&writer.current.file);
        self.own_bytes
            .fetch_add(writer.current.written - before, Ordering::Relaxed);
        Ok(())
    }

    /// Writes what waits in memory, oldest first, until the disk refuses again.
    fn write_kept(&self, writer: &mut Writer) {
        while let Some(record) = writer.take_kept() {
            if self.append(writer, &record).is_err() {
                writer.put_back(record);
                return;
            }
        }
    }

    fn rotate_when_due(&self, writer: &mut Writer, length: usize) -> io::Result<()> {
        // A small cap must not be filled by one segment, which could not be deleted while it is written.
        let limit = self.settings.segment_bytes.min(self.settings.cap_bytes / 8);
        if writer.current.written > 0 && writer.current.end_with(length) > limit {
            self.rotate(writer)?;
        }
        Ok(())
    }

    fn rotate(&self, writer: &mut Writer) -> io::Result<()> {
        let number = writer.current.number + 1;
        writer.succeed(Segment::create(
            &self.settings.spool_dir,
            self.boot,
            number,
        )?);
        self.syncer.note_name();
        Ok(())
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the flusher asks of the spool it empties.
impl Spool {
    pub(super) fn boot(&self) -> Uuid {
        self.boot
    }

    pub(super) fn folder(&self) -> &Path {
        &self.settings.spool_dir
    }

    /// Returns every segment of this process, oldest first.
    pub(super) fn views(&self) -> Vec<View> {
        self.writer().views(self.boot)
    }

    /// Ends the current segment when nothing was written since `written`; says whether it did.
    pub(super) fn seal_at(&self, written: u64) -> io::Result<bool> {
        let mut writer = self.writer();
        if writer.current.written != written {
            return Ok(false);
        }
        self.rotate(&mut writer)?;
        Ok(true)
    }

    /// Copies an open intent, in JSON, to the end of the current segment; returns that segment's number and the
    /// offset in it.
    pub(super) fn carry(&self, intent: &[u8]) -> io::Result<(u64, u64)> {
        let record = record::wrap(Kind::Carried, intent);
        let mut writer = self.writer();
        self.append_with_reserve(&mut writer, &record)?;
        let offset = writer.current.written - u64::try_from(record.len()).unwrap_or_default();
        Ok((writer.current.number, offset))
    }

    /// Deletes a sealed segment, everything in it being in the books or carried on.
    pub(super) fn delete(&self, number: u64) -> io::Result<()> {
        let Some(segment) = self.writer().take_sealed(number) else {
            return Ok(());
        };
        self.own_bytes.fetch_sub(segment.written, Ordering::Relaxed);
        std::fs::remove_file(&segment.path)
    }

    pub(super) fn set_other_bytes(&self, bytes: u64) {
        self.other_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Returns once everything written so far is on the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.syncer.sync()
    }

    /// Tries again what the disk refused.
    pub(super) fn retry(&self) {
        let mut writer = self.writer();
        self.write_kept(&mut writer);
        if self.is_starved.load(Ordering::Relaxed) && writer.current.reserve(0).is_ok() {
            self.is_starved.store(false, Ordering::Relaxed);
        }
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        let current = &self.writer().current;
        if current.written == 0 {
            let _ = std::fs::remove_file(&current.path);
        }
    }
}

fn make_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

fn encode(kind: Kind, entry: &Entry) -> Result<Vec<u8>, SpoolError> {
    record::encode(kind, entry).map_err(|error| SpoolError::Io(error.into()))
}

fn refusal(error: io::Error) -> SpoolError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            SpoolError::Full
        }
        _ => SpoolError::Io(error),
    }
}
