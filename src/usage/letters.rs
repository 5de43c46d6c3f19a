//! What could not be booked, for operators: reading it, and trying it again once its cause is gone.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{booking, dead, row, rows::Rows};
use crate::{
    base::RequestId,
    store::{Postgres, StoreError},
};

/// How many letters one statement books.
const AT_ONCE: usize = 500;

/// An entry that the books refused.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Letter {
    /// The call, when it can be told.
    pub request_id: Option<RequestId>,
    /// Why it was refused.
    pub reason: String,
    /// The entry, as it would have been booked; its text when it is no JSON.
    pub entry: Value,
}

/// What lies in a spool's folder that is not in the books and will not get there by itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Letters {
    /// Entries the books refused.
    pub letters: Vec<Letter>,
    /// Copies of stretches of segments that were no record.
    pub damaged: Vec<PathBuf>,
}

/// What became of the letters that were tried again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Retried {
    /// How many are in the books now.
    pub booked: usize,
    /// How many the books refuse still.
    pub refused: usize,
}

/// Why letters were not tried again. All of them are still there.
#[derive(Debug, thiserror::Error)]
pub enum NotRetried {
    /// Postgres is away.
    #[error("the books are away")]
    Books(#[from] StoreError),
    /// The folder cannot be read or written.
    #[error("the dead letters cannot be read or written")]
    Disk(#[from] io::Error),
}

/// One line of the file.
#[derive(Deserialize)]
struct Line {
    reason: String,
    entry: String,
}

/// Reads what lies in a spool's folder.
///
/// # Errors
/// When the folder cannot be read.
pub fn read(folder: &Path) -> io::Result<Letters> {
    let mut found = Letters::default();
    for path in dead::files(folder)? {
        found.letters.extend(lines(&path)?.into_iter().map(letter));
    }
    for file in fs::read_dir(folder)? {
        let path = file?.path();
        if path.extension().is_some_and(|extension| extension == "bad") {
            found.damaged.push(path);
        }
    }
    found.damaged.sort();
    Ok(found)
}

/// Tries to book every letter of a folder again; those that are refused still are kept. A proxy may go on writing there.
///
/// # Errors
/// When Postgres or the disk is away; no letter is lost.
pub async fn retry(folder: &Path, postgres: &Postgres) -> Result<Retried, NotRetried> {
    dead::set_aside(folder)?;
    let mut retried = Retried::default();
    for path in dead::files(folder)?
        .iter()
        .filter(|path| dead::is_aside(path))
    {
        let mut rows = Rows::default();
        let mut strange = Vec::new();
        for line in lines(path)? {
            if rows.push(line.entry.as_bytes()).is_err() {
                strange.push(line);
            }
        }
        let mut refused = Vec::new();
        for part in rows.parts(AT_ONCE) {
            refused.extend(booking::book(postgres, part).await?);
        }
        retried.booked += rows.len() - refused.len();
        retried.refused += refused.len() + strange.len();
        for refused in refused {
            dead::bury(folder, refused.row.as_bytes(), refused.reason)?;
        }
        for line in strange {
            dead::bury(folder, line.entry.as_bytes(), line.reason)?;
        }
        fs::remove_file(path)?;
    }
    Ok(retried)
}

fn lines(path: &Path) -> io::Result<Vec<Line>> {
    let mut lines = Vec::new();
    for line in BufReader::new(File::open(path)?).split(b'\n') {
        let line = line?;
        // A line that was torn is kept as it is, like any other that cannot be read.
        let read = serde_json::from_slice(&line).unwrap_or_else(|error| Line {
            reason: format!("the letter cannot be read: {error}"),
            entry: String::from_utf8_lossy(&line).into_owned(),
        });
        if !line.is_empty() {
            lines.push(read);
        }
    }
    Ok(lines)
}

fn letter(line: Line) -> Letter {
    Letter {
        request_id: row::id_of(line.entry.as_bytes()),
        reason: line.reason,
        entry: serde_json::from_str(&line.entry).unwrap_or(Value::String(line.entry)),
    }
}
