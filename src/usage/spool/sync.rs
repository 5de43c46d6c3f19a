//! The thread that forces what was written to the disk; it ends before its spool does.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::usage::Counters;

/// Forces writes to the disk, every now and then and on demand.
#[derive(Debug)]
pub(super) struct Syncer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    unsynced: Mutex<Unsynced>,
    is_ending: AtomicBool,
    counters: Arc<Counters>,
}

/// What a loss of power would take.
#[derive(Debug, Default)]
struct Unsynced {
    files: Vec<Arc<File>>,
    has_new_names: bool,
}

impl Syncer {
    /// Starts the thread for the segments in `folder`.
    pub(super) fn start(
        folder: &Path,
        pause: Duration,
        counters: &Arc<Counters>,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            folder: folder.to_owned(),
            unsynced: Mutex::default(),
            is_ending: AtomicBool::new(false),
            counters: Arc::clone(counters),
        });
        let own = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("spool-sync".to_owned())
            .spawn(move || own.run(pause))?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Notes that something was written to `file`.
    pub(super) fn note(&self, file: &Arc<File>) {
        let mut unsynced = self.shared.unsynced();
        let is_noted = unsynced
            .files
            .last()
            .is_some_and(|last| Arc::ptr_eq(last, file));
        if !is_noted {
            unsynced.files.push(Arc::clone(file));
        }
    }

    /// Notes that a file was made in the folder.
    pub(super) fn note_name(&self) {
        self.shared.unsynced().has_new_names = true;
    }

    /// Returns once everything noted so far is on the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.shared.sync()
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.shared.is_ending.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn run(&self, pause: Duration) {
        while !self.is_ending.load(Ordering::Acquire) {
            thread::park_timeout(pause);
            if let Err(error) = self.sync()
                // What the kernel could not write it may have dropped: only our own death is survived until then.
                && self.counters.failed_syncs.fetch_add(1, Ordering::Relaxed) == 0
            {
                tracing::error!(%error, "the spool's disk does not take what was written");
            }
        }
    }

    fn sync(&self) -> io::Result<()> {
        let unsynced = std::mem::take(&mut *self.unsynced());
        let named = match unsynced.has_new_names {
            true => File::open(&self.folder).and_then(|folder| folder.sync_all()),
            false => Ok(()),
        };
        // One file that fails must not keep the others from the disk.
        unsynced
            .files
            .iter()
            .map(|file| file.sync_data())
            .fold(named, Result::and)
    }

    fn unsynced(&self) -> std::sync::MutexGuard<'_, Unsynced> {
        self.unsynced.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
