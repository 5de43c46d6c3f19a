//! One file of the spool: locked by the process that writes it, appended to at a known offset, never rewritten.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::fs::{FallocateFlags, fallocate};
use uuid::Uuid;

/// Disk that is ours before an intent is written: the ends of what is in flight fit when the disk is full.
const RESERVE: u64 = 256 * 1024;

/// How much more is taken at once, when the disk has it: asking costs as much as many records.
const STEP: u64 = 512 * 1024;

/// How often another process may take our unborn segment for a dead one before we believe in a fault.
const BIRTHS: usize = 4;

/// A segment that this process writes.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) number: u64,
    pub(super) path: PathBuf,
    /// Holds the lock for as long as it is open.
    pub(super) file: Arc<File>,
    /// Where the next record goes. What lies behind it was never acknowledged.
    pub(super) written: u64,
    reserved: u64,
}

impl Segment {
    /// Makes the segment `number` of `boot`. It gets its name only once it is locked.
    pub(super) fn create(folder: &Path, boot: Uuid, number: u64) -> io::Result<Self> {
        let path = folder.join(Name { boot, number }.to_string());
        let unborn = path.with_extension("new");
        for _ in 0..BIRTHS {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&unborn)?;
            if file.try_lock().is_ok() && std::fs::rename(&unborn, &path).is_ok() {
                return Ok(Self {
                    number,
                    path,
                    file: Arc::new(file),
                    written: 0,
                    reserved: 0,
                });
            }
            // Whoever sweeps up after the dead was faster.
            let _ = std::fs::remove_file(&unborn);
        }
        Err(io::Error::from(io::ErrorKind::ResourceBusy))
    }

    /// Appends one record; it survives the death of this process once this returns.
    pub(super) fn append(&mut self, record: &[u8]) -> io::Result<()> {
        // A torn write is overwritten by the next one.
        self.file.write_all_at(record, self.written)?;
        self.written = self.end_with(record.len());
        Ok(())
    }

    /// Makes sure that `length` bytes and the reserve fit.
    pub(super) fn reserve(&mut self, length: usize) -> io::Result<()> {
        let needed = self.end_with(length) + RESERVE;
        if needed <= self.reserved {
            return Ok(());
        }
        self.extend_to(needed + STEP)
            .or_else(|_| self.extend_to(needed))
    }

    fn extend_to(&mut self, until: u64) -> io::Result<()> {
        match fallocate(&*self.file, FallocateFlags::KEEP_SIZE, 0, until) {
            // A file system that cannot promise is believed until it fails.
            Ok(()) | Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
                self.reserved = until;
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn end_with(&self, length: usize) -> u64 {
        self.written
            .saturating_add(u64::try_from(length).unwrap_or(u64::MAX))
    }
}

/// What a segment's file is called: `<boot>-<number>.seg`, so that names sort in the order of writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::usage) struct Name {
    pub(in crate::usage) boot: Uuid,
    pub(in crate::usage) number: u64,
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{:08}.seg", self.boot.simple(), self.number)
    }
}

impl Name {
    /// Reads the name of a segment; `None` for any other file.
    pub(in crate::usage) fn read(path: &Path) -> Option<Self> {
        let (boot, number) = path
            .file_name()?
            .to_str()?
            .strip_suffix(".seg")?
            .split_once('-')?;
        Some(Self {
            boot: Uuid::try_parse(boot).ok()?,
            number: number.parse().ok()?,
        })
    }
}
