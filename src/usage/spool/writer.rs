//! The files of one process and what must happen to them next. Guarded by the spool's one lock.

use std::{collections::VecDeque, mem, sync::Arc};

use uuid::Uuid;

use super::{
    View,
    segment::{Name, Segment},
    tail::Tail,
};

/// How much is kept in memory while the disk takes nothing: the ends of some twenty thousand calls.
const KEPT_BYTES: usize = 32 * 1024 * 1024;

/// The segments of this process, and what is not in them yet.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) current: Segment,
    /// Full, but not yet booked. Kept open, so that they stay locked.
    sealed: Vec<Segment>,
    /// Ends of calls that the next write takes along.
    pub(super) gathered: Vec<u8>,
    /// How often what was gathered has been taken along.
    pub(super) takings: u64,
    /// What the disk did not take, oldest first.
    kept: VecDeque<Vec<u8>>,
    kept_bytes: usize,
    pub(super) tail: Tail,
}

impl Writer {
    pub(super) fn new(first: Segment) -> Self {
        Self {
            current: first,
            sealed: Vec::new(),
            gathered: Vec::new(),
            takings: 0,
            kept: VecDeque::new(),
            kept_bytes: 0,
            tail: Tail::default(),
        }
    }

    pub(super) fn succeed(&mut self, next: Segment) {
        self.sealed.push(mem::replace(&mut self.current, next));
    }

    pub(super) fn views(&self, boot: Uuid) -> Vec<View> {
        let view = |segment: &Segment, is_sealed| View {
            name: Name {
                boot,
                number: segment.number,
            },
            file: Arc::clone(&segment.file),
            path: segment.path.clone(),
            written: segment.written,
            is_sealed,
        };
        self.sealed
            .iter()
            .map(|segment| view(segment, true))
            .chain([view(&self.current, false)])
            .collect()
    }

    pub(super) fn take_sealed(&mut self, number: u64) -> Option<Segment> {
        let at = self
            .sealed
            .iter()
            .position(|segment| segment.number == number)?;
        Some(self.sealed.remove(at))
    }

    /// Says whether something waits in memory because the disk did not take it.
    pub(super) fn is_behind(&self) -> bool {
        !self.kept.is_empty()
    }

    /// Says whether memory has room for so many bytes more.
    pub(super) fn fits(&self, length: usize) -> bool {
        self.kept_bytes + self.gathered.len() + length <= KEPT_BYTES
    }

    /// Keeps what was gathered behind all that the disk did not take before.
    pub(super) fn keep_gathered(&mut self) {
        if !self.gathered.is_empty() {
            self.kept_bytes += self.gathered.len();
            self.kept.push_back(mem::take(&mut self.gathered));
        }
    }

    pub(super) fn take_kept(&mut self) -> Option<Vec<u8>> {
        let records = self.kept.pop_front()?;
        self.kept_bytes -= records.len();
        Some(records)
    }

    pub(super) fn put_back(&mut self, records: Vec<u8>) {
        self.kept_bytes += records.len();
        self.kept.push_front(records);
    }
}
