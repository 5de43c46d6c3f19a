//! The folder outside the database where checkpoints are kept: a file per month, only ever added to.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use super::{
    checkpoint::{Checkpoint, NotOurs, digest},
    key::AuditKeys,
    store::End,
};
use crate::base::Moment;

/// What every file of the folder ends with.
const ENDING: &str = "jws";

/// Where checkpoints are kept.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

/// A line of the folder that cannot be believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}:{line}: {kind}", file.display())]
pub struct LineFault {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub kind: LineKind,
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineKind {
    /// It is not ours.
    #[error("the checkpoint is not ours: {0}")]
    NotOurs(NotOurs),
    /// The line before it is another than when it was written.
    #[error("the checkpoint does not follow the one before it")]
    OutOfOrder,
}

impl Folder {
    /// Names the folder; it is made when something is first kept.
    #[must_use]
    pub const fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// Signs where the chains end and keeps it; returns once the disk has it.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn keep(&self, ends: &[End], now: Moment, keys: &AuditKeys) -> io::Result<()> {
        fs::create_dir_all(&self.0)?;
        let path = self
            .0
            .join(format!("{}.{ENDING}", now.utc().format("%Y-%m")));
        let previous = last_line(&path)?.as_deref().map(digest);
        let line = Checkpoint::of(ends, now, previous).sign(keys)?;
        let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
        file.write_all(format!("{line}\n").as_bytes())?;
        file.sync_all()?;
        // The file's name, too.
        File::open(&self.0)?.sync_all()
    }

    /// Reads every checkpoint of the folder, oldest file first, and what cannot be believed.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn read(&self, keys: &AuditKeys) -> io::Result<(Vec<Checkpoint>, Vec<LineFault>)> {
        let mut checkpoints = Vec::new();
        let mut faults = Vec::new();
        for file in self.files()? {
            read_file(&file, keys, &mut checkpoints, &mut faults)?;
        }
        Ok((checkpoints, faults))
    }

    fn files(&self) -> io::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let path = entry?.path();
            if path.extension().is_some_and(|ending| ending == ENDING) {
                files.push(path);
            }
        }
        files.sort();
        Ok(files)
    }
}

fn last_line(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text.lines().next_back().map(str::to_owned)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn read_file(
    file: &Path,
    keys: &AuditKeys,
    checkpoints: &mut Vec<Checkpoint>,
    faults: &mut Vec<LineFault>,
) -> io::Result<()> {
    let text = fs::read_to_string(file)?;
    let mut before: Option<&str> = None;
    for (index, line) in text.lines().enumerate() {
        match judge(line, before, keys) {
            Ok(checkpoint) => checkpoints.push(checkpoint),
            Err(kind) => faults.push(LineFault {
                file: file.to_owned(),
                line: index + 1,
                kind,
            }),
        }
        before = Some(line);
    }
    Ok(())
}

fn judge(line: &str, before: Option<&str>, keys: &AuditKeys) -> Result<Checkpoint, LineKind> {
    let checkpoint = Checkpoint::read(line, keys).map_err(LineKind::NotOurs)?;
    if checkpoint.previous != before.map(digest) {
        return Err(LineKind::OutOfOrder);
    }
    Ok(checkpoint)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Folder, LineKind};
    use crate::{
        audit::{AuditKeys, store::End},
        base::{Moment, Secret},
        store::Whose,
    };

    fn ends(seq: i64) -> Vec<End> {
        vec![End {
            whose: Whose::Platform,
            seq,
            hash: Some(vec![9; 32]),
        }]
    }

    #[test]
    fn checkpoints_are_added_and_a_line_that_is_taken_out_is_missed() {
        let keys = AuditKeys::new(&Secret::new("k".repeat(32))).expect("long enough");
        let place = tempfile::tempdir().expect("a folder");
        let folder = Folder::at(place.path().join("checkpoints"));
        for seq in 1..=3 {
            folder
                .keep(&ends(seq), Moment::from_millis(seq), &keys)
                .expect("kept");
        }

        let (checkpoints, faults) = folder.read(&keys).expect("read");
        assert_eq!((checkpoints.len(), faults), (3, Vec::new()));

        let file = place.path().join("checkpoints/1970-01.jws");
        let text = fs::read_to_string(&file).expect("read");
        let lines: Vec<&str> = text.lines().collect();
        fs::write(&file, format!("{}\n{}\n", lines[0], lines[2])).expect("written");

        let (checkpoints, faults) = folder.read(&keys).expect("read");
        assert_eq!(checkpoints.len(), 1);
        assert_eq!((faults[0].line, faults[0].kind), (2, LineKind::OutOfOrder));
    }
}
