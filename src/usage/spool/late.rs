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

/// How often what was gathered is looked at: seen twice, it is written. A killed process forgets no more of how
/// calls ended than two of these.
const LOOK_EVERY: Duration = Duration::from_micros(2_500);

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
                let mut look = None;
                while !told.load(Ordering::Acquire) {
                    if pen.write_stale(&mut look) {
                        // Not a park: under load nobody needs to wake us.
                        thread::sleep(LOOK_EVERY);
                    } else {
                        thread::park();
                        look = None;
                    }
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
