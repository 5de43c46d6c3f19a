//! What cannot be booked is kept in files beside the segments, for a person to look at.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use serde::Serialize;
use uuid::Uuid;

/// How much of one stretch of damage is kept.
const DAMAGE_KEPT: u64 = 64 * 1024;

/// The file in the spool's folder that holds entries the books refuse, one JSON object a line.
const DEAD_LETTERS: &str = "dead-letters.jsonl";

/// What files are called that were set aside to be tried again; an id stands between.
const ASIDE: (&str, &str) = ("dead-letters-", ".retry");

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
    let mut file = open_locked(&folder.join(DEAD_LETTERS))?;
    file.write_all(&line)?;
    file.sync_data()
}

/// Opens the file that stands at `path` once nobody else writes to it. One that was set aside meanwhile is not it.
fn open_locked(path: &Path) -> io::Result<File> {
    loop {
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)?;
        file.lock()?;
        let is_there = fs::metadata(path).is_ok_and(|there| {
            file.metadata()
                .is_ok_and(|ours| ours.ino() == there.ino() && ours.dev() == there.dev())
        });
        if is_there {
            return Ok(file);
        }
    }
}

/// Sets the letters aside, so that others may be written while these are tried again. Nothing when there are none.
pub(super) fn set_aside(folder: &Path) -> io::Result<()> {
    let (begin, end) = ASIDE;
    let path = folder.join(DEAD_LETTERS);
    if !path.exists() {
        return Ok(());
    }
    // Whoever writes holds the lock, and looks where the file is once it has it.
    let file = open_locked(&path)?;
    let aside = folder.join(format!("{begin}{}{end}", Uuid::now_v7()));
    fs::rename(&path, aside)?;
    drop(file);
    Ok(())
}

/// Returns every file with letters, those that were set aside first.
pub(super) fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for file in fs::read_dir(folder)? {
        let path = file?.path();
        if is_aside(&path) {
            files.push(path);
        }
    }
    files.sort();
    let current = folder.join(DEAD_LETTERS);
    if current.exists() {
        files.push(current);
    }
    Ok(files)
}

/// Says whether a file was set aside.
pub(super) fn is_aside(path: &Path) -> bool {
    let (begin, end) = ASIDE;
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with(begin) && name.ends_with(end))
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
