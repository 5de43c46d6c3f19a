//! The last good snapshot on disk, its secrets sealed: a proxy starts with it while Postgres is away. Mode 0600.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// Returns where the snapshot is kept below a state folder.
#[must_use]
pub fn path_in(state_dir: &Path) -> PathBuf {
    state_dir.join("last-good-snapshot.json")
}

/// Keeps the text; a reader sees the old one or the new one, never half of it.
///
/// # Errors
/// When the folder cannot be written to.
pub fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
    }
    let fresh = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&fresh)?;
    file.write_all(text.as_bytes())?;
    file.sync_data()?;
    fs::rename(fresh, path)
}

/// Reads the text; `None` when nothing was kept.
///
/// # Errors
/// When a file is there and cannot be read.
pub fn read(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
