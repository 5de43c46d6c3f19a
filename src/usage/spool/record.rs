//! One record on disk: `[len u32][crc32c u32][payload]`, little-endian; the payload is a kind and an entry in JSON.
//!
//! JSON holds no byte below 0x20, and a believable length has a zero byte: no payload can pose as a record.

use crate::usage::Entry;

/// The bytes before a payload.
pub(super) const HEAD: usize = 8;

/// The longest payload: what a damaged length claims beyond it is not believed.
pub(super) const MAX_PAYLOAD: usize = 1 << 20;

/// Most entries take less, so the buffer of a record grows at most once.
const USUAL_LENGTH: usize = 1_536;

/// How much of a model's name survives in an entry that is too long to be written.
const SHORT_NAME: usize = 200;

/// What a record says of its entry.
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

impl Kind {
    pub(super) const fn of(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Intent),
            2 => Some(Self::Done),
            3 => Some(Self::Carried),
            _ => None,
        }
    }
}

/// Writes `entry` as one record. One that is too long loses what its caller attached, never what it cost.
///
/// # Errors
/// When the entry cannot be written as JSON.
pub(super) fn encode(kind: Kind, entry: &Entry) -> serde_json::Result<Vec<u8>> {
    let record = encode_whole(kind, entry)?;
    if record.len() <= HEAD + MAX_PAYLOAD {
        return Ok(record);
    }
    let slim = Entry {
        client_request_id: None,
        tags: serde_json::Value::Null,
        requested_model: entry.requested_model.chars().take(SHORT_NAME).collect(),
        attempts: Vec::new(),
        ..entry.clone()
    };
    encode_whole(kind, &slim)
}

fn encode_whole(kind: Kind, entry: &Entry) -> serde_json::Result<Vec<u8>> {
    let mut record = Vec::with_capacity(USUAL_LENGTH);
    record.extend_from_slice(&[0; HEAD]);
    record.push(kind as u8);
    serde_json::to_writer(&mut record, entry)?;
    seal(&mut record);
    Ok(record)
}

/// Puts an entry that already is JSON into a record.
pub(super) fn wrap(kind: Kind, json: &[u8]) -> Vec<u8> {
    let mut record = Vec::with_capacity(HEAD + 1 + json.len());
    record.extend_from_slice(&[0; HEAD]);
    record.push(kind as u8);
    record.extend_from_slice(json);
    seal(&mut record);
    record
}

/// Fills in the length and the checksum of what stands behind the head.
fn seal(record: &mut [u8]) {
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

/// Returns the kind of an undamaged payload.
pub(super) fn check(payload: &[u8], crc: u32) -> Option<Kind> {
    let kind = Kind::of(*payload.first()?)?;
    (crc32c::crc32c(payload) == crc).then_some(kind)
}
