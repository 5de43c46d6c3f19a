//! The thread that forces what was written to the disk, and retries what the disk refused.

use std::{
    io,
    sync::{Arc, Weak, atomic::Ordering},
    thread,
    time::Duration,
};

use super::Spool;

/// Starts the thread; it ends with its spool.
pub(super) fn start(spool: &Arc<Spool>) -> io::Result<()> {
    let pause = Duration::from_millis(spool.settings.sync_ms.max(1));
    let spool = Arc::downgrade(spool);
    thread::Builder::new()
        .name("spool-sync".to_owned())
        .spawn(move || while turn(&spool, pause) {})?;
    Ok(())
}

fn turn(spool: &Weak<Spool>, pause: Duration) -> bool {
    thread::sleep(pause);
    let Some(spool) = spool.upgrade() else {
        return false;
    };
    spool.retry();
    if let Err(error) = spool.sync() {
        // What the kernel could not write it may have dropped: only the process' own death is survived until then.
        if spool.counters.failed_syncs.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::error!(%error, "the spool's disk does not take what was written");
        }
    }
    true
}
