//! When a process must stop: told by a signal, or left by its parent.

use std::io;

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};

/// The signals that tell a process to stop, watched from the moment this is made.
#[derive(Debug)]
pub struct Stop {
    interrupt: Signals,
    terminate: Signals,
    hangup: Signals,
}

impl Stop {
    /// Begins to watch; a signal no longer ends the process by itself.
    ///
    /// # Errors
    ///
    /// When signals cannot be watched.
    pub fn watch() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for Ctrl-C, SIGTERM, or the terminal's end.
    pub async fn told(mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}

/// Asks the kernel to end this process when the process `parent` ends.
///
/// # Errors
///
/// When the parent has already ended.
pub fn die_with_parent(parent: u32) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::TERM))?;
    // The parent may have ended before the kernel was asked.
    let is_orphan = getppid()
        .map(Pid::as_raw_nonzero)
        .is_none_or(|pid| u32::try_from(pid.get()) != Ok(parent));
    if is_orphan {
        return Err(io::Error::other("the parent process has ended"));
    }
    Ok(())
}
