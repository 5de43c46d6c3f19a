//! The segments of processes that died: read to their end, then every call without one is booked as abandoned.
//!
//! A living process holds the locks of its segments, so what can be locked is nobody's. Must never touch the rest.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use uuid::Uuid;

use super::{
    Counters,
    log::{Log, Track, Writes},
    rows::Rows,
    spool::Name,
};

/// Everything one dead process left, locked by us.
#[derive(Debug)]
pub(super) struct Leftover {
    log: Log,
}

impl Leftover {
    /// Adds the next calls to `rows`, until they are `limit`: ended ones first, then abandoned ones, whose intents
    /// are the rows they leave. None: all were added.
    pub(super) fn next(
        &mut self,
        rows: &mut Rows,
        limit: usize,
        counters: &Counters,
    ) -> io::Result<()> {
        self.log.next_rows(rows, limit, counters)?;
        if !rows.is_empty() {
            return Ok(());
        }
        let open: Vec<_> = self
            .log
            .open
            .iter()
            .take(limit)
            .map(|(id, place)| (*id, *place))
            .collect();
        for (id, place) in open {
            let intent = self.log.read_intent(place)?;
            if intent.is_none_or(|row| rows.push(&row).is_err()) {
                self.log.open.remove(&id);
            }
        }
        Counters::add(&counters.abandoned, rows.len());
        Ok(())
    }

    /// Notes that the calls are in the books.
    pub(super) fn booked(&mut self, rows: &Rows) {
        self.log.close(rows);
    }

    /// Says whether everything is in the books.
    pub(super) fn is_booked(&self) -> bool {
        self.log.open.is_empty() && self.log.tracks.values().all(Track::is_read)
    }

    /// Returns which process it was.
    pub(super) fn boot(&self) -> Option<Uuid> {
        let first = self.log.tracks.values().next();
        first.map(|track| track.name.boot)
    }

    /// Deletes the segments.
    pub(super) fn delete(self) -> io::Result<()> {
        for track in self.log.tracks.values() {
            remove(&track.path)?;
        }
        Ok(())
    }
}

/// What a look at the folder found.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// The first dead process whose segments could all be locked.
    pub(super) leftover: Option<Leftover>,
    /// The bytes of all segments but our own.
    pub(super) other_bytes: u64,
}

/// Looks through the folder for what dead processes left; `own` is this process.
pub(super) fn look(folder: &Path, own: Uuid) -> io::Result<Look> {
    let mut look = Look::default();
    let mut boots: BTreeMap<Uuid, BTreeMap<Name, PathBuf>> = BTreeMap::new();
    for file in fs::read_dir(folder)? {
        let file = file?;
        let path = file.path();
        if path.extension().is_some_and(|extension| extension == "new") {
            sweep_unborn(&path);
        }
        let Some(name) = Name::read(&path).filter(|name| name.boot != own) else {
            continue;
        };
        look.other_bytes += file.metadata().map_or(0, |metadata| metadata.len());
        boots.entry(name.boot).or_default().insert(name, path);
    }
    for segments in boots.values() {
        if let Some(log) = claim(segments)? {
            look.leftover = Some(Leftover { log });
            break;
        }
    }
    Ok(look)
}

/// Locks every segment of one process, in the order of their names so that two of us never hold half each.
fn claim(segments: &BTreeMap<Name, PathBuf>) -> io::Result<Option<Log>> {
    let mut log = Log::new(Writes::NoMore);
    for (name, path) in segments {
        let file = match File::options().read(true).write(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        if file.try_lock().is_err() {
            return Ok(None);
        }
        let end = file.metadata()?.len();
        let track = Track {
            name: *name,
            path: path.clone(),
            file: Arc::new(file),
            read: 0,
            end,
            is_sealed: true,
            grown: Instant::now(),
        };
        log.tracks.insert(name.number, track);
    }
    Ok(Some(log))
}

/// Removes the segment of a process that died before it could name it.
fn sweep_unborn(path: &Path) {
    let is_nobodys = File::open(path).is_ok_and(|file| file.try_lock().is_ok());
    if is_nobodys {
        let _ = fs::remove_file(path);
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
