//! The last good snapshot on disk, for a start without Postgres. Keys in it are sealed, as they are in the books.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use crate::base::Moment;

/// What the file begins with; the checksum and the moment follow.
const HEAD: &str = "synaxis-snapshot-1";

/// The last good snapshot on disk.
#[derive(Clone, Debug)]
pub struct LastGood {
    path: PathBuf,
}

impl LastGood {
    /// Keeps the snapshot at `path`; its folder is made when it is not there.
    #[must_use]
    pub fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Writes the text the books gave, readable by this user only. Whoever dies in between leaves the old file.
    ///
    /// # Errors
    /// The disk's.
    pub fn write(&self, text: &str, taken_at: Moment) -> io::Result<()> {
        let folder = self.path.parent();
        let folder = folder.filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
        let fresh = self.path.with_extension("new");
        // One left behind may have another mode.
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&fresh)?;
        let checksum = crc32c::crc32c(text.as_bytes());
        writeln!(file, "{HEAD} {checksum:08x} {}", taken_at.millis())?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, &self.path)?;
        File::open(folder)?.sync_all()?;
        Ok(())
    }

    /// Reads what was written, and when the books gave it; `None` when there is nothing, or it was damaged.
    ///
    /// # Errors
    /// The disk's.
    pub fn read(&self) -> io::Result<Option<(String, Moment)>> {
        let whole = match fs::read(&self.path) {
            Ok(whole) => whole,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(checked(&whole))
    }
}

fn checked(whole: &[u8]) -> Option<(String, Moment)> {
    let whole = std::str::from_utf8(whole).ok()?;
    let (head, text) = whole.split_once('\n')?;
    let mut parts = head.strip_prefix(HEAD)?.split_whitespace();
    let checksum = u32::from_str_radix(parts.next()?, 16).ok()?;
    let taken_at = Moment::from_millis(parts.next()?.parse().ok()?);
    (crc32c::crc32c(text.as_bytes()) == checksum).then(|| (text.to_owned(), taken_at))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const AT: Moment = Moment::from_millis(1_795_000_000_000);

    #[test]
    fn what_was_written_is_read_by_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/catalog.snapshot");
        let last_good = LastGood::at(path.clone());
        assert_eq!(last_good.read().unwrap(), None);

        last_good.write("{\"a\": 1}", AT).unwrap();
        last_good.write("{\"b\": 2}\n", AT).unwrap();

        assert_eq!(
            last_good.read().unwrap(),
            Some(("{\"b\": 2}\n".to_owned(), AT))
        );
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(
            fs::read_dir(folder.path().join("state")).unwrap().count(),
            1
        );
    }

    #[test]
    fn a_damaged_file_counts_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalog.snapshot");
        let last_good = LastGood::at(path.clone());
        last_good.write("{\"seq\": 12345}", AT).unwrap();
        let whole = fs::read(&path).unwrap();

        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            assert_eq!(last_good.read().unwrap(), None, "cut at {cut}");
        }
        for place in whole.len() - 14..whole.len() {
            let mut changed = whole.clone();
            changed[place] ^= 1;
            fs::write(&path, &changed).unwrap();
            assert_eq!(last_good.read().unwrap(), None, "changed at {place}");
        }
    }
}
