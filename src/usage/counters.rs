//! What went wrong on the way to the books, for the metrics page.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since the start of the process; each should stay zero.
#[derive(Debug, Default)]
pub struct Counters {
    /// Ends of calls that neither the disk nor memory could hold.
    pub lost: AtomicU64,
    /// Times the disk did not take what was written.
    pub failed_syncs: AtomicU64,
    /// Stretches of a segment that were no record.
    pub damaged: AtomicU64,
    /// Entries the books refuse, kept in a file.
    pub dead_letters: AtomicU64,
    /// Entries written for calls whose process died.
    pub abandoned: AtomicU64,
}

impl Counters {
    pub(super) fn add(counter: &AtomicU64, count: usize) {
        counter.fetch_add(u64::try_from(count).unwrap_or_default(), Ordering::Relaxed);
    }
}
