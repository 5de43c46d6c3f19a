//! The file in which seen grants outlive the process: a line with its age, then a line per grant. Mode 0600.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, BufWriter, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{
    cache::{Known, WholeHash},
    grant::Grant,
};
use crate::base::Moment;

/// Digits of the age line: it is overwritten in place, so its length never changes.
const DIGITS: usize = 20;

/// One line: a grant and how sure we were of it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Seen {
    /// SHA-256 of the whole key.
    pub whole_hash: WholeHash,
    /// When it was surely current, in milliseconds since 1970; `None` for as long as the file's own age says.
    pub sure_at_ms: Option<i64>,
    /// What the key may do.
    pub grant: Arc<Grant>,
}

/// Writes the file anew; a reader sees the old one or the new one, never half of it.
///
/// # Errors
/// When the folder cannot be written to.
pub fn write(path: &Path, confirmed_at: Moment, seen: &[Seen]) -> io::Result<()> {
    let fresh = path.with_extension("new");
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&fresh)?;
    let mut out = BufWriter::new(file);
    writeln!(out, "{}", age_line(confirmed_at))?;
    for line in seen {
        serde_json::to_writer(&mut out, line)?;
        out.write_all(b"\n")?;
    }
    out.into_inner()?.sync_data()?;
    fs::rename(fresh, path)
}

/// Says that everything in the file that was current still is at `confirmed_at`.
///
/// # Errors
/// When the file cannot be written to; a missing one is left missing.
pub fn confirm(path: &Path, confirmed_at: Moment) -> io::Result<()> {
    let mut file = match OpenOptions::new().write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    file.seek(SeekFrom::Start(0))?;
    file.write_all(age_line(confirmed_at).as_bytes())
}

/// Reads the grants; lines that cannot be read are left out. A missing file holds none.
///
/// # Errors
/// When the file is there and cannot be read.
pub fn read(path: &Path) -> io::Result<Vec<(WholeHash, Known)>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut lines = BufReader::new(file).lines();
    let Some(Ok(confirmed_at_ms)) = lines.next().transpose()?.map(|line| line.trim().parse())
    else {
        return Ok(Vec::new());
    };
    let mut seen = Vec::new();
    for line in lines {
        if let Ok(line) = serde_json::from_str::<Seen>(&line?) {
            seen.push((line.whole_hash, known(line, confirmed_at_ms)));
        }
    }
    Ok(seen)
}

fn known(line: Seen, confirmed_at_ms: i64) -> Known {
    Known {
        seq: line.grant.seq,
        read_at: Moment::from_millis(line.sure_at_ms.unwrap_or(confirmed_at_ms)),
        grant: line.grant,
    }
}

fn age_line(confirmed_at: Moment) -> String {
    format!("{:0DIGITS$}", confirmed_at.millis().max(0))
}
