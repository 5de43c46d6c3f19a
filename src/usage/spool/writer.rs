//! The files of one process and what must happen to them next. Guarded by the spool's one lock.

use std::{collections::VecDeque, sync::Arc};

use uuid::Uuid;

use super::{
    View,
    segment::{Name, Segment},
};

/// How much is kept in memory while the disk takes nothing: the ends of some twenty thousand calls.
const KEPT_BYTES: usize = 32 * 1024 * 1024;

/// The segments of this process, and what the disk did not take.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) current: Segment,
    /// Full, but not yet booked. Kept open, so that they stay locked.
    sealed: Vec<Segment>,
    kept: VecDeque<Vec<u8>>,
    kept_bytes: usize,
}

/// Memory is full as well.
#[derive(Debug)]
pub(super) struct Overflow;

impl Writer {
    pub(super) fn new(first: Segment) -> Self {
        Self {
            current: first,
            sealed: Vec::new(),
            kept: VecDeque::new(),
            kept_bytes: 0,
        }
    }

    pub(super) fn succeed(&mut self, next: Segment) {
        self.sealed.push(std::mem::replace(&mut self.current, next));
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

    /// Says whether something waits in memory for the disk.
    pub(super) fn is_behind(&self) -> bool {
        !self.kept.is_empty()
    }

    pub(super) fn keep(&mut self, record: Vec<u8>) -> Result<(), Overflow> {
        if self.kept_bytes + record.len() > KEPT_BYTES {
            return Err(Overflow);
        }
        self.kept_bytes += record.len();
        self.kept.push_back(record);
        Ok(())
    }

    pub(super) fn take_kept(&mut self) -> Option<Vec<u8>> {
        let record = self.kept.pop_front()?;
        self.kept_bytes -= record.len();
        Some(record)
    }

    pub(super) fn put_back(&mut self, record: Vec<u8>) {
        self.kept_bytes += record.len();
        self.kept.push_front(record);
    }
}
