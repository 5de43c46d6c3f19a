//! The segments of one process as they are read back, from memory where it has them: which rows come next, which
//! calls are still open, and which segments nobody needs any more.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use super::{
    Counters, dead, row,
    rows::{NoRow, Rows},
    spool::{Kind, Name, Piece, Reader, Tail, read_one},
};
use crate::base::RequestId;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// What was written last, when we are who wrote it.
    tail: Tail,
    buffer: Vec<u8>,
}

impl Log {
    pub(super) fn new(writes: Writes) -> Self {
        Self {
            writes,
            tracks: BTreeMap::new(),
            open: HashMap::new(),
            tail: Tail::default(),
            buffer: Vec::new(),
        }
    }

    /// Adds the next ended calls to `rows`, until they are `limit`; none when everything was read.
    ///
    /// # Errors
    /// When the disk cannot be read and nothing was added.
    pub(super) fn next_rows(
        &mut self,
        rows: &mut Rows,
        limit: usize,
        counters: &Counters,
    ) -> io::Result<()> {
        while !rows.is_full(limit) {
            let Some(number) = self.first_unread() else {
                break;
            };
            match self.read_on(number, rows, limit, counters) {
                // What was read before belongs to the books; the fault will still be there next time.
                Err(_) if !rows.is_empty() => break,
                other => other?,
            }
        }
        Ok(())
    }

    fn first_unread(&self) -> Option<u64> {
        let mut tracks = self.tracks.values();
        let unread = tracks.find(|track| !track.is_read())?;
        Some(unread.name.number)
    }

    /// Reads on in one segment, from memory or from the disk, as far as that one has it.
    fn read_on(
        &mut self,
        number: u64,
        rows: &mut Rows,
        limit: usize,
        counters: &Counters,
    ) -> io::Result<()> {
        let Some(track) = self.tracks.get(&number) else {
            return Ok(());
        };
        let file = Arc::clone(&track.file);
        let (at, end) = (track.read, track.end);
        if self.tail.holds(number, at) {
            let tail = std::mem::take(&mut self.tail);
            let base = tail.base;
            let mut reader = Reader::in_memory(&file, at, end, tail);
            let read = self.read_records(number, &mut reader, rows, limit, counters);
            let bytes = reader.into_buffer();
            self.tail = Tail {
                number,
                base,
                bytes,
            };
            return read;
        }
        let is_ahead = self.tail.number == number && at < self.tail.base;
        let end = if is_ahead {
            end.min(self.tail.base)
        } else {
            end
        };
        let mut reader = Reader::new(&file, at, end, std::mem::take(&mut self.buffer));
        let read = self.read_records(number, &mut reader, rows, limit, counters);
        self.buffer = reader.into_buffer();
        read
    }

    fn read_records(
        &mut self,
        number: u64,
        reader: &mut Reader<'_>,
        rows: &mut Rows,
        limit: usize,
        counters: &Counters,
    ) -> io::Result<()> {
        let Some(track) = self.tracks.get_mut(&number) else {
            return Ok(());
        };
        while !rows.is_full(limit) {
            match reader.next()? {
                Piece::End => break,
                Piece::Damage { offset, length } => {
                    Counters::add(&counters.damaged, 1);
                    tracing::warn!(segment = %track.name, offset, length, "a stretch of the spool is no record");
                    dead::quarantine(&track.path, &track.file, offset, length)?;
                }
                Piece::Record { kind, offset } => {
                    let row = reader.payload();
                    let read = match kind {
                        Kind::Done => rows.push(row),
                        // Whoever carried it has noted where it stands now.
                        Kind::Carried if self.writes == Writes::Still => Ok(()),
                        // A call that tries again writes another intent: the last one counts.
                        Kind::Intent | Kind::Carried => row::id_of(row)
                            .map(|id| {
                                self.open.insert(id, Place { number, offset });
                            })
                            .ok_or(NoRow::NoId),
                    };
                    if let Err(error) = read {
                        Counters::add(&counters.dead_letters, 1);
                        tracing::error!(segment = %track.name, offset, %error, "a record of the spool cannot be read, it is kept in the dead letters");
                        dead::bury(folder(&track.path), row, error.to_string())?;
                    }
                }
            }
            track.read = reader.position();
        }
        Ok(())
    }

    /// Exchanges what memory has, when all of it was read, for what was written meanwhile.
    pub(super) fn renew(&mut self, take: impl FnOnce(Tail) -> Tail) {
        let track = self.tracks.get(&self.tail.number);
        if track.is_none_or(|track| self.tail.end() <= track.read) {
            self.tail = take(std::mem::take(&mut self.tail));
        }
    }

    /// Notes that the calls are in the books: their intents are not needed any more.
    pub(super) fn close(&mut self, rows: &Rows) {
        for id in rows.ids() {
            self.open.remove(&id);
        }
    }

    /// Returns the segments in which an intent is open.
    pub(super) fn needed(&self) -> HashSet<u64> {
        self.open.values().map(|place| place.number).collect()
    }

    /// Returns the row of an open intent; `None` when the disk has lost it.
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
