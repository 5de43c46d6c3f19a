//! What was written last, kept in memory too, so that the flusher need not read it back from the disk.

/// How much is kept for a flusher that is late: a second of thousands of calls.
const ROOM: usize = 16 * 1024 * 1024;

/// The bytes of one segment from `base` on, as they were written. May end early, never holds a gap.
#[derive(Debug, Default)]
pub(in crate::usage) struct Tail {
    pub(in crate::usage) number: u64,
    pub(in crate::usage) base: u64,
    pub(in crate::usage) bytes: Vec<u8>,
}

impl Tail {
    /// Keeps records that were written at `offset` of segment `number`, unless something before them is missing.
    pub(super) fn push(&mut self, number: u64, offset: u64, records: &[u8]) {
        if self.bytes.is_empty() {
            (self.number, self.base) = (number, offset);
        }
        let fits = self.bytes.len() + records.len() <= ROOM;
        if fits && (self.number, self.end()) == (number, offset) {
            self.bytes.extend_from_slice(records);
        }
    }

    /// Returns what is kept, and begins anew in the room of `used`.
    pub(super) fn take(&mut self, used: Self) -> Self {
        let mut bytes = used.bytes;
        bytes.clear();
        let (number, base) = (0, 0);
        std::mem::replace(
            self,
            Self {
                number,
                base,
                bytes,
            },
        )
    }

    /// Returns where in the segment the bytes end.
    pub(in crate::usage) fn end(&self) -> u64 {
        self.base
            .saturating_add(u64::try_from(self.bytes.len()).unwrap_or(u64::MAX))
    }

    /// Says whether what stands at `offset` of segment `number` is here.
    pub(in crate::usage) fn holds(&self, number: u64, offset: u64) -> bool {
        self.number == number && (self.base..self.end()).contains(&offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_in_a_row_is_kept_as_one() {
        let mut tail = Tail::default();

        tail.push(3, 100, b"one");
        tail.push(3, 103, b"two");

        assert_eq!((tail.number, tail.base, tail.end()), (3, 100, 106));
        assert_eq!(tail.bytes, b"onetwo");
        assert!(tail.holds(3, 105) && !tail.holds(3, 106) && !tail.holds(4, 105));
    }

    #[test]
    fn after_a_gap_nothing_is_kept_until_it_is_taken() {
        let mut tail = Tail::default();
        tail.push(1, 0, b"one");

        tail.push(2, 0, b"another segment");
        tail.push(1, 3 + 1, b"too far");
        let taken = tail.take(Tail::default());
        tail.push(2, 15, b"anew");

        assert_eq!(taken.bytes, b"one");
        assert_eq!((tail.number, tail.base), (2, 15));
        assert_eq!(tail.bytes, b"anew");
    }

    #[test]
    fn a_flusher_that_does_not_come_costs_bounded_memory() {
        let mut tail = Tail::default();
        let records = vec![0; ROOM / 3];

        for round in 0..9 {
            tail.push(1, round * u64::try_from(records.len()).unwrap(), &records);
        }

        assert_eq!(tail.bytes.len(), 3 * records.len());
    }
}
