//! What cannot be booked is kept in files beside the segments, for a person to look at.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

use serde::Serialize;

/// How much of one stretch of damage is kept.
const DAMAGE_KEPT: u64 = 64 * 1024;

/// The file in the spool's folder that holds entries the books refuse, one JSON object a line.
const DEAD_LETTERS: &str = "dead-letters.jsonl";

#[derive(Serialize)]
struct DeadLetter<'a> {
    reason: String,
    entry: &'a str,
}

/// Keeps an entry, in JSON, that will never be booked; returns once it is on the disk.
///
/// # Errors
/// When the disk does not take it: the segment it stands in must stay.
pub(super) fn bury(folder: &Path, entry: &[u8], reason: String) -> io::Result<()> {
    let letter = DeadLetter {
        reason,
        entry: &String::from_utf8_lossy(entry),
    };
    let mut line = serde_json::to_vec(&letter)?;
    line.push(b'\n');
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(folder.join(DEAD_LETTERS))?;
    file.write_all(&line)?;
    file.sync_data()
}

/// Copies the beginning of a damaged stretch to a file named after where it was found.
///
/// # Errors
/// When the disk does not take it.
pub(super) fn quarantine(segment: &Path, file: &File, offset: u64, length: u64) -> io::Result<()> {
    let mut bytes = vec![0; usize::try_from(length.min(DAMAGE_KEPT)).unwrap_or_default()];
    file.read_exact_at(&mut bytes, offset)?;
    // After a loss of power a file may end in zeros that nobody wrote.
    if bytes.iter().all(|byte| *byte == 0) {
        return Ok(());
    }
    let mut copy = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(segment.with_extension(format!("{offset}.bad")))?;
    copy.write_all(&bytes)
}

/// Returns what went wrong and why, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
