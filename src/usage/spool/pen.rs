//! The one pen of a process: what it appends to its segments, in which order, and what it still owes the disk.
//!
//! The beginning of a call is on its way to the disk when `intend` returns. Its end is gathered: the next
//! beginning takes it along, or the late thread does some milliseconds later, so that a busy proxy makes one
//! system call for each call.

use std::{
    io, mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use uuid::Uuid;

use super::{
    Settings, SpoolError, View, segment::Segment, sync::Syncer, tail::Tail, writer::Writer,
};
use crate::usage::Counters;

/// How much is gathered at most before it is written.
const PAGE: usize = 64 * 1024;

/// Writes the segments of one process.
#[derive(Debug)]
pub(super) struct Pen {
    pub(super) settings: Settings,
    pub(super) boot: Uuid,
    /// Ends before the segments are closed: until then they are locked.
    syncer: Syncer,
    writer: Mutex<Writer>,
    pub(super) counters: Arc<Counters>,
    own_bytes: AtomicU64,
    /// What other processes, living and dead, have in the folder.
    other_bytes: AtomicU64,
    /// The disk refused the last intent.
    is_starved: AtomicBool,
}

/// Whether a record that was gathered is the first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gathered {
    First,
    Another,
}

impl Pen {
    pub(super) fn new(
        settings: &Settings,
        boot: Uuid,
        first: Segment,
        syncer: Syncer,
        counters: Arc<Counters>,
    ) -> Self {
        syncer.note_name();
        Self {
            settings: settings.clone(),
            boot,
            syncer,
            writer: Mutex::new(Writer::new(first)),
            counters,
            own_bytes: AtomicU64::new(0),
            other_bytes: AtomicU64::new(0),
            is_starved: AtomicBool::new(false),
        }
    }

    /// Writes a record, and all that was gathered before it; it survives this process once this returns.
    pub(super) fn intend(&self, record: &[u8]) -> Result<(), SpoolError> {
        let mut writer = self.writer();
        self.write_kept(&mut writer);
        if self.is_nearly_capped() || writer.is_behind() {
            return Err(SpoolError::Full);
        }
        let taken = self.append_with_reserve(&mut writer, record);
        self.is_starved.store(taken.is_err(), Ordering::Relaxed);
        taken.map_err(refusal)
    }

    /// Gathers a record that the next write takes along. It is lost only when disk and memory are full.
    pub(super) fn gather(&self, record: &[u8]) -> Result<Gathered, SpoolError> {
        let mut writer = self.writer();
        self.write_kept(&mut writer);
        if self.settings.cap_bytes < self.bytes() || !writer.fits(record.len()) {
            self.counters.lost.fetch_add(1, Ordering::Relaxed);
            return Err(SpoolError::Full);
        }
        let is_first = writer.gathered.is_empty();
        writer.gathered.extend_from_slice(record);
        if writer.is_behind() || PAGE <= writer.gathered.len() {
            self.write_down(&mut writer);
        }
        Ok(if is_first {
            Gathered::First
        } else {
            Gathered::Another
        })
    }

    /// Writes what was gathered before the last look already; says whether something younger waits, or was taken
    /// since that look.
    pub(super) fn write_stale(&self, look: &mut Option<u64>) -> bool {
        let mut writer = self.writer();
        let is_still = look.replace(writer.takings) == Some(writer.takings);
        if is_still {
            self.write_down(&mut writer);
        }
        !is_still || !writer.gathered.is_empty()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.own_bytes.load(Ordering::Relaxed) + self.other_bytes.load(Ordering::Relaxed)
    }

    pub(super) fn is_full(&self) -> bool {
        self.is_starved.load(Ordering::Relaxed)
            || self.is_nearly_capped()
            || self.writer().is_behind()
    }

    fn is_nearly_capped(&self) -> bool {
        self.settings.cap_bytes / 10 * 9 < self.bytes()
    }

    /// Appends what was gathered and `record` in one write. When it fails, what was gathered still waits.
    fn append_with_reserve(&self, writer: &mut Writer, record: &[u8]) -> io::Result<()> {
        let mut records = mem::take(&mut writer.gathered);
        let owed = records.len();
        records.extend_from_slice(record);
        let taken = self
            .rotate_when_due(writer, records.len())
            .and_then(|()| writer.current.reserve(records.len()))
            .and_then(|()| self.append_here(writer, &records));
        records.truncate(if taken.is_ok() { 0 } else { owed });
        writer.gathered = records;
        writer.takings += u64::from(taken.is_ok());
        taken
    }

    fn append(&self, writer: &mut Writer, records: &[u8]) -> io::Result<()> {
        // Without room for another segment the current one grows into its reserve.
        let _ = self.rotate_when_due(writer, records.len());
        self.append_here(writer, records)
    }

    fn append_here(&self, writer: &mut Writer, records: &[u8]) -> io::Result<()> {
        let before = writer.current.written;
        writer.current.append(records)?;
        writer.tail.push(writer.current.number, before, records);
        self.syncer.note(&writer.current.file);
        self.own_bytes
            .fetch_add(writer.current.written - before, Ordering::Relaxed);
        Ok(())
    }

    fn write_down(&self, writer: &mut Writer) {
        let mut records = mem::take(&mut writer.gathered);
        let is_written =
            records.is_empty() || !writer.is_behind() && self.append(writer, &records).is_ok();
        if is_written {
            records.clear();
        }
        writer.gathered = records;
        writer.takings += 1;
        writer.keep_gathered();
    }

    /// Writes what the disk did not take before, oldest first, until it refuses again.
    fn write_kept(&self, writer: &mut Writer) {
        while let Some(records) = writer.take_kept() {
            if self.append(writer, &records).is_err() {
                writer.put_back(records);
                return;
            }
        }
    }

    fn rotate_when_due(&self, writer: &mut Writer, length: usize) -> io::Result<()> {
        // A small cap must not be filled by one segment, which could not be deleted while it is written.
        let limit = self.settings.segment_bytes.min(self.settings.cap_bytes / 8);
        if 0 < writer.current.written && limit < writer.current.end_with(length) {
            self.rotate(writer)?;
        }
        Ok(())
    }

    fn rotate(&self, writer: &mut Writer) -> io::Result<()> {
        let number = writer.current.number + 1;
        let folder = &self.settings.spool_dir;
        writer.succeed(Segment::create(folder, self.boot, number)?);
        self.syncer.note_name();
        Ok(())
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the flusher asks of the pen whose segments it empties.
impl Pen {
    /// Returns every segment, oldest first, all that was gathered written.
    pub(super) fn views(&self) -> Vec<View> {
        let mut writer = self.writer();
        self.write_down(&mut writer);
        writer.views(self.boot)
    }

    pub(super) fn take_tail(&self, used: Tail) -> Tail {
        self.writer().tail.take(used)
    }

    pub(super) fn seal_at(&self, written: u64) -> io::Result<bool> {
        let mut writer = self.writer();
        if writer.current.written != written {
            return Ok(false);
        }
        self.rotate(&mut writer)?;
        Ok(true)
    }

    /// Appends a record that no call waits for; returns its segment's number and its offset.
    pub(super) fn carry(&self, record: &[u8]) -> io::Result<(u64, u64)> {
        let mut writer = self.writer();
        self.append_with_reserve(&mut writer, record)?;
        let offset = writer.current.written - u64::try_from(record.len()).unwrap_or_default();
        Ok((writer.current.number, offset))
    }

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

    /// Writes the last records and leaves nothing behind when there never was one.
    pub(super) fn put_down(&self) {
        let mut writer = self.writer();
        self.write_kept(&mut writer);
        self.write_down(&mut writer);
        if writer.current.written == 0 {
            let _ = std::fs::remove_file(&writer.current.path);
        }
    }
}

fn refusal(error: io::Error) -> SpoolError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            SpoolError::Full
        }
        _ => SpoolError::Io(error),
    }
}
