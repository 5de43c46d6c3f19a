//! The thread that writes down the ends of calls when no beginning comes along to take them.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use super::pen::Pen;

/// How long the end of a call waits at most before it is written: what a killed process forgets of how calls ended.
const PATIENCE: Duration = Duration::from_millis(4);

/// Writes what was gathered.
#[derive(Debug)]
pub(super) struct Late {
    is_ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Late {
    /// Starts the thread for what `pen` gathers.
    pub(super) fn start(pen: Arc<Pen>) -> io::Result<Self> {
        let is_ending = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&is_ending);
        let thread = thread::Builder::new()
            .name("spool-late".to_owned())
            .spawn(move || {
                while !told.load(Ordering::Acquire) {
                    if !pen.has_gathered() {
                        thread::park();
                        continue;
                    }
                    // Not a park: under load nobody needs to wake us.
                    thread::sleep(PATIENCE);
                    pen.write_gathered();
                }
            })?;
        Ok(Self {
            is_ending,
            thread: Some(thread),
        })
    }

    /// Tells that the first record was gathered.
    pub(super) fn note(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for Late {
    fn drop(&mut self) {
        self.is_ending.store(true, Ordering::Release);
        self.note();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
