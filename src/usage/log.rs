//! The segments of one process as they are read back: which entries come next, which calls are still open, and
//! which segments nobody needs any more.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use serde::Deserialize;

use super::{
    Counters, Entry, dead,
    spool::{Kind, Name, Piece, Reader, read_one},
};
use crate::base::RequestId;

/// How many bytes of entries one statement carries at most.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// One segment, read up to some point.
#[derive(Debug)]
pub(super) struct Track {
    pub(super) name: Name,
    pub(super) path: PathBuf,
    pub(super) file: Arc<File>,
    pub(super) read: u64,
    pub(super) end: u64,
    pub(super) is_sealed: bool,
    /// When it was last seen to have grown.
    pub(super) grown: Instant,
}

/// Where an open intent stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) number: u64,
    pub(super) offset: u64,
}

/// Whether the process that writes the segments still lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writes {
    Still,
    NoMore,
}

/// The segments of one process.
#[derive(Debug)]
pub(super) struct Log {
    writes: Writes,
    pub(super) tracks: BTreeMap<u64, Track>,
    /// The calls whose end is not in the books yet.
    pub(super) open: HashMap<RequestId, Place>,
    buffer: Vec<u8>,
}

#[derive(Deserialize)]
struct Opened {
    request_id: RequestId,
}

impl Log {
    pub(super) fn new(writes: Writes) -> Self {
        Self {
            writes,
            tracks: BTreeMap::new(),
            open: HashMap::new(),
            buffer: Vec::new(),
        }
    }

    /// Returns the next ended calls, at most `limit`; none when everything was read.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub(super) fn next_entries(
        &mut self,
        limit: usize,
        counters: &Counters,
    ) -> io::Result<Vec<Entry>> {
        let mut batch = Batch::new(limit);
        let unread: Vec<u64> = self
            .tracks
            .values()
            .filter(|track| !track.is_read())
            .map(|track| track.name.number)
            .collect();
        for number in unread {
            match self.read_track(number, &mut batch, counters) {
                // What was read before belongs to the books; the fault will still be there next time.
                Err(_) if !batch.entries.is_empty() => break,
                other => other?,
            }
            if batch.is_full() {
                break;
            }
        }
        Ok(batch.entries)
    }

    fn read_track(
        &mut self,
        number: u64,
        batch: &mut Batch,
        counters: &Counters,
    ) -> io::Result<()> {
        let Some(track) = self.tracks.get_mut(&number) else {
            return Ok(());
        };
        let file = Arc::clone(&track.file);
        let buffer = std::mem::take(&mut self.buffer);
        let mut reader = Reader::new(&file, track.read, track.end, buffer);
        while !batch.is_full() {
            match reader.next()? {
                Piece::End => break,
                Piece::Damage { offset, length } => {
                    Counters::add(&counters.damaged, 1);
                    tracing::warn!(segment = %track.name, offset, length, "a stretch of the spool is no record");
                    dead::quarantine(&track.path, &file, offset, length)?;
                }
                Piece::Record { kind, offset } => {
                    let json = reader.payload();
                    let read = match kind {
                        Kind::Done => batch.take(json),
                        // Whoever carried it has noted where it stands now.
                        Kind::Carried if self.writes == Writes::Still => Ok(()),
                        Kind::Intent | Kind::Carried => {
                            // A call that tries again writes another intent: the last one counts.
                            serde_json::from_slice::<Opened>(json).map(|opened| {
                                self.open
                                    .insert(opened.request_id, Place { number, offset });
                            })
                        }
                    };
                    if let Err(error) = read {
                        Counters::add(&counters.dead_letters, 1);
                        tracing::error!(segment = %track.name, offset, %error, "a record of the spool cannot be read, it is kept in the dead letters");
                        dead::bury(folder(&track.path), json, error.to_string())?;
                    }
                }
            }
        }
        track.read = reader.position();
        self.buffer = reader.into_buffer();
        Ok(())
    }

    /// Notes that the calls are in the books: their intents are not needed any more.
    pub(super) fn close(&mut self, entries: &[Entry]) {
        for entry in entries {
            self.open.remove(&entry.request_id);
        }
    }

    /// Returns the segments in which an intent is open.
    pub(super) fn needed(&self) -> HashSet<u64> {
        self.open.values().map(|place| place.number).collect()
    }

    /// Returns the JSON of an open intent; `None` when the disk has lost it.
    pub(super) fn read_intent(&self, place: Place) -> io::Result<Option<Vec<u8>>> {
        match self.tracks.get(&place.number) {
            Some(track) => read_one(&track.file, place.offset),
            None => Ok(None),
        }
    }
}

impl Track {
    pub(super) const fn is_read(&self) -> bool {
        self.read >= self.end
    }
}

fn folder(segment: &Path) -> &Path {
    segment.parent().unwrap_or(Path::new("."))
}

/// What one statement will book.
struct Batch {
    entries: Vec<Entry>,
    bytes: usize,
    limit: usize,
}

impl Batch {
    fn new(limit: usize) -> Self {
        Self {
            entries: Vec::new(),
            bytes: 0,
            limit,
        }
    }

    fn is_full(&self) -> bool {
        self.entries.len() >= self.limit || self.bytes >= BATCH_BYTES
    }

    fn take(&mut self, json: &[u8]) -> serde_json::Result<()> {
        self.entries.push(serde_json::from_slice(json)?);
        self.bytes += json.len();
        Ok(())
    }
}
