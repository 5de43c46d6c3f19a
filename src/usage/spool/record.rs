//! One record on disk: `[len u32][crc32c u32][payload]`, little-endian; the payload is a kind and a row in JSON.
//!
//! JSON holds no byte below 0x20, and a believable length has a zero byte: no payload can pose as a record.

use std::cell::Cell;

use crate::usage::{Entry, Intent, row};

/// The bytes before a payload.
pub(super) const HEAD: usize = 8;

/// The longest payload: what a damaged length claims beyond it is not believed.
pub(super) const MAX_PAYLOAD: usize = 1 << 20;

/// How much of a model's name survives in an entry that is too long to be written.
const SHORT_NAME: usize = 200;

/// What a record says of its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(in crate::usage) enum Kind {
    /// The call is about to reach an upstream.
    Intent = 1,
    /// The call has ended.
    Done = 2,
    /// An intent copied from an older segment, so that the old one could go.
    Carried = 3,
}

thread_local! {
    /// What the last record of this thread was written in.
    static RECORD: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Hands `take` the record of a call that is about to reach an upstream.
pub(super) fn with_intent<T>(intent: &Intent, take: impl FnOnce(&[u8]) -> T) -> T {
    with_record(Kind::Intent, &intent.0, row::write_abandoned, take)
}

/// Hands `take` the record of a call that has ended.
pub(super) fn with_done<T>(entry: &Entry, take: impl FnOnce(&[u8]) -> T) -> T {
    with_record(Kind::Done, entry, row::write, take)
}

/// An entry that is too long loses what its caller attached, never what it cost.
fn with_record<T>(
    kind: Kind,
    entry: &Entry,
    row: fn(&Entry, &mut Vec<u8>),
    take: impl FnOnce(&[u8]) -> T,
) -> T {
    let mut record = RECORD.take();
    put(kind, &mut record, |out| row(entry, out));
    if HEAD + MAX_PAYLOAD < record.len() {
        put(kind, &mut record, |out| row(&slim(entry), out));
    }
    let taken = take(&record);
    RECORD.set(record);
    taken
}

fn slim(entry: &Entry) -> Entry {
    Entry {
        client_request_id: None,
        tags: serde_json::Value::Null,
        requested_model: entry.requested_model.chars().take(SHORT_NAME).collect(),
        attempts: Vec::new(),
        ..entry.clone()
    }
}

/// Puts a row that is written already into a record.
pub(super) fn wrap(kind: Kind, row: &[u8]) -> Vec<u8> {
    let mut record = Vec::with_capacity(HEAD + 1 + row.len());
    put(kind, &mut record, |out| out.extend_from_slice(row));
    record
}

/// Makes `record` the record of what `write` writes: length and checksum stand before it.
fn put(kind: Kind, record: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    record.clear();
    record.extend_from_slice(&[0; HEAD]);
    record.push(kind as u8);
    write(record);
    let Some((head, payload)) = record.split_at_mut_checked(HEAD) else {
        return;
    };
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let (length_part, crc_part) = head.split_at_mut(HEAD / 2);
    length_part.copy_from_slice(&length.to_le_bytes());
    crc_part.copy_from_slice(&crc32c::crc32c(payload).to_le_bytes());
}

/// Reads the length and the checksum from a head; `None` when the length cannot be true.
pub(super) fn read_head(head: &[u8]) -> Option<(usize, u32)> {
    let (length, rest) = head.split_first_chunk::<4>()?;
    let crc = rest.first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    (2..=MAX_PAYLOAD)
        .contains(&length)
        .then_some((length, u32::from_le_bytes(*crc)))
}

/// Returns the kind that a payload names.
pub(super) fn kind_of(payload: &[u8]) -> Option<Kind> {
    match payload.first()? {
        1 => Some(Kind::Intent),
        2 => Some(Kind::Done),
        3 => Some(Kind::Carried),
        _ => None,
    }
}

/// Returns the kind of a payload, when it is undamaged.
pub(super) fn check(payload: &[u8], crc: u32) -> Option<Kind> {
    let kind = kind_of(payload)?;
    (crc32c::crc32c(payload) == crc).then_some(kind)
}
