//! What a simulated provider has done so far.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

/// What a simulated provider has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Calls that came in.
    pub calls: u64,
    /// Calls that were answered to the end with a status below 400.
    pub complete: u64,
    /// Calls refused with a status.
    pub refused: u64,
    /// Calls whose caller left first.
    pub client_gone: u64,
    /// Calls broken off on purpose.
    pub broken: u64,
    /// Calls open now.
    pub open: u64,
    /// The most calls open at once.
    pub most_open: u64,
    /// Connections accepted.
    pub connections: u64,
    /// Tokens read.
    pub input_tokens: u64,
    /// Tokens sent.
    pub output_tokens: u64,
}

/// The counts behind [`Stats`].
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) calls: AtomicU64,
    pub(super) complete: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) client_gone: AtomicU64,
    pub(super) broken: AtomicU64,
    pub(super) open: AtomicU64,
    pub(super) most_open: AtomicU64,
    pub(super) connections: AtomicU64,
    pub(super) input_tokens: AtomicU64,
    pub(super) output_tokens: AtomicU64,
}

impl Counts {
    /// Counts a call that came in.
    pub(super) fn opened(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let open = self.open.fetch_add(1, Ordering::Relaxed) + 1;
        self.most_open.fetch_max(open, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Stats {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Stats {
            calls: read(&self.calls),
            complete: read(&self.complete),
            refused: read(&self.refused),
            client_gone: read(&self.client_gone),
            broken: read(&self.broken),
            open: read(&self.open),
            most_open: read(&self.most_open),
            connections: read(&self.connections),
            input_tokens: read(&self.input_tokens),
            output_tokens: read(&self.output_tokens),
        }
    }
}
