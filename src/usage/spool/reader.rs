//! Reads a segment back with bounded memory; damage costs the records it hit, never those behind it.

use std::{fs::File, io, os::unix::fs::FileExt};

use super::{
    record::{self, HEAD, Kind},
    tail::Tail,
};

/// How much is read from the disk at once.
const CHUNK: usize = 256 * 1024;

/// The next thing in a segment.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::usage) enum Piece {
    /// An undamaged record: the whole of it begins at `offset`.
    Record {
        /// What it says of its entry.
        kind: Kind,
        /// Where it begins.
        offset: u64,
    },
    /// Bytes that are no record.
    Damage {
        /// Where they begin.
        offset: u64,
        /// How many they are.
        length: u64,
    },
    /// Nothing more before the end.
    End,
}

/// Walks through one segment, from a record's beginning up to a given end.
#[derive(Debug)]
pub(in crate::usage) struct Reader<'a> {
    file: &'a File,
    at: u64,
    end: u64,
    /// Bytes of the file from `base` on.
    buffer: Vec<u8>,
    base: u64,
    /// The bytes never left memory, so they are what was written.
    is_ours: bool,
    /// The payload found last, kind left out, within the buffer.
    found: (usize, usize),
}

impl<'a> Reader<'a> {
    /// Begins at `at`, where a record begins; `buffer` is only there to be used again.
    pub(in crate::usage) fn new(file: &'a File, at: u64, end: u64, mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        Self {
            file,
            at,
            end,
            buffer,
            base: at,
            is_ours: false,
            found: (0, 0),
        }
    }

    /// Begins at `at`, which `tail` holds, and ends with it: the disk is not touched.
    pub(in crate::usage) fn in_memory(file: &'a File, at: u64, end: u64, tail: Tail) -> Self {
        Self {
            file,
            at,
            end: end.min(tail.end()),
            base: tail.base,
            buffer: tail.bytes,
            is_ours: true,
            found: (0, 0),
        }
    }

    /// Returns where the next piece begins.
    pub(in crate::usage) const fn position(&self) -> u64 {
        self.at
    }

    /// Gives the buffer back.
    pub(in crate::usage) fn into_buffer(self) -> Vec<u8> {
        self.buffer
    }

    /// Returns the row of the record that `next` has just found.
    pub(in crate::usage) fn payload(&self) -> &[u8] {
        let (from, to) = self.found;
        self.buffer.get(from..to).unwrap_or_default()
    }

    /// Returns the next record, or the stretch of damage up to the next one.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub(in crate::usage) fn next(&mut self) -> io::Result<Piece> {
        let offset = self.at;
        if offset >= self.end {
            return Ok(Piece::End);
        }
        if let Some((kind, length)) = self.record_at(offset)? {
            self.at = offset + length;
            return Ok(Piece::Record { kind, offset });
        }
        let mut sound = offset + 1;
        while sound < self.end && self.record_at(sound)?.is_none() {
            sound += 1;
        }
        self.at = sound.min(self.end);
        Ok(Piece::Damage {
            offset,
            length: self.at - offset,
        })
    }

    /// Returns the kind and the whole length of the record at `offset`, when one begins there.
    fn record_at(&mut self, offset: u64) -> io::Result<Option<(Kind, u64)>> {
        let Some(head) = self.bytes(offset, HEAD)? else {
            return Ok(None);
        };
        let Some((length, crc)) = record::read_head(head) else {
            return Ok(None);
        };
        let is_ours = self.is_ours;
        let Some(whole) = self.bytes(offset, HEAD + length)? else {
            return Ok(None);
        };
        let payload = whole.get(HEAD..).unwrap_or_default();
        let kind = if is_ours {
            record::kind_of(payload)
        } else {
            record::check(payload, crc)
        };
        let from = usize::try_from(offset - self.base).unwrap_or_default();
        self.found = (from + HEAD + 1, from + HEAD + length);
        Ok(kind.map(|kind| (kind, widen(HEAD + length))))
    }

    /// Returns `length` bytes at `offset`, from the buffer or the disk; `None` when the end comes first.
    fn bytes(&mut self, offset: u64, length: usize) -> io::Result<Option<&[u8]>> {
        if offset + widen(length) > self.end {
            return Ok(None);
        }
        let mut from = usize::try_from(offset - self.base).unwrap_or(usize::MAX);
        if self.buffer.len().saturating_sub(from) < length {
            self.fill(offset, length)?;
            from = 0;
        }
        Ok(self.buffer.get(from..from + length))
    }

    fn fill(&mut self, offset: u64, length: usize) -> io::Result<()> {
        let rest = usize::try_from(self.end - offset).unwrap_or(usize::MAX);
        self.buffer.resize(length.max(CHUNK).min(rest), 0);
        self.base = offset;
        self.file.read_exact_at(&mut self.buffer, offset)
    }
}

/// Reads the row of the one record at `offset`; `None` when there is no sound one.
///
/// # Errors
/// When the disk cannot be read.
pub(in crate::usage) fn read_one(file: &File, offset: u64) -> io::Result<Option<Vec<u8>>> {
    let mut head = [0; HEAD];
    file.read_exact_at(&mut head, offset)?;
    let Some((length, crc)) = record::read_head(&head) else {
        return Ok(None);
    };
    let mut payload = vec![0; length];
    file.read_exact_at(&mut payload, offset + widen(HEAD))?;
    Ok(record::check(&payload, crc).map(|_| payload.split_off(1)))
}

fn widen(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The records of `count` little entries, one after the other, and where each ends.
    fn records(count: usize) -> (Vec<u8>, Vec<usize>) {
        let mut bytes = Vec::new();
        let mut ends = Vec::new();
        for number in 0..count {
            let json = format!("{{\"number\":{number},\"text\":\"one, two\"}}");
            bytes.extend(record::wrap(Kind::Done, json.as_bytes()));
            ends.push(bytes.len());
        }
        (bytes, ends)
    }

    fn file(bytes: &[u8]) -> File {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(bytes, 0).unwrap();
        file
    }

    /// Reads everything: the payloads, and how many bytes were damaged.
    fn read(bytes: &[u8]) -> (Vec<Vec<u8>>, u64) {
        let file = file(bytes);
        let mut reader = Reader::new(&file, 0, widen(bytes.len()), Vec::new());
        let (mut payloads, mut damaged) = (Vec::new(), 0);
        loop {
            match reader.next().unwrap() {
                Piece::Record { .. } => payloads.push(reader.payload().to_vec()),
                Piece::Damage { length, .. } => damaged += length,
                Piece::End => return (payloads, damaged),
            }
        }
    }

    #[test]
    fn a_segment_torn_at_any_byte_gives_every_record_before_the_tear() {
        let (bytes, ends) = records(4);

        for cut in 0..=bytes.len() {
            let whole = ends.iter().filter(|end| **end <= cut).count();
            let kept = ends.iter().rfind(|end| **end <= cut).copied().unwrap_or(0);

            let (payloads, damaged) = read(&bytes[..cut]);

            assert_eq!(
                (payloads.len(), damaged),
                (whole, widen(cut - kept)),
                "{cut}"
            );
        }
    }

    #[test]
    fn a_byte_changed_anywhere_costs_the_one_record_it_stands_in() {
        let (bytes, ends) = records(4);
        let (all, _) = read(&bytes);

        for at in 0..bytes.len() {
            let hit = ends.iter().filter(|end| **end <= at).count();
            let mut broken = bytes.clone();
            broken[at] ^= 0x55;

            let (payloads, damaged) = read(&broken);

            let mut others = all.clone();
            others.remove(hit);
            assert_eq!(payloads, others, "{at}");
            assert!(damaged > 0, "{at}");
        }
    }

    #[test]
    fn zeros_behind_the_last_record_are_damage_and_nothing_else() {
        let (mut bytes, _) = records(2);
        bytes.resize(bytes.len() + 3 * CHUNK, 0);

        let (payloads, damaged) = read(&bytes);

        assert_eq!((payloads.len(), damaged), (2, widen(3 * CHUNK)));
    }

    #[test]
    fn records_across_the_edge_of_a_chunk_are_read_whole() {
        let (bytes, ends) = records(2 * CHUNK / 40);

        let (payloads, damaged) = read(&bytes);

        assert_eq!((payloads.len(), damaged), (ends.len(), 0));
    }
}
