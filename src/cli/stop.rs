//! When a process must stop: told by a signal, or left by its parent.

use std::io;

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use tokio::signal::unix::{SignalKind, signal};

/// Waits for Ctrl-C, SIGTERM, or the terminal's end.
///
/// # Errors
///
/// When signals cannot be watched.
pub async fn told() -> io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    Ok(())
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
