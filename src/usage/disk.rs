//! All the disk work of the flusher, off the runtime's threads: what to book next, what may be deleted.

use std::{
    collections::HashMap,
    io, mem,
    sync::Arc,
    time::{Duration, Instant},
};

use uuid::Uuid;

use super::{
    leftovers::{self, Leftover},
    live::Live,
    log::Place,
    rows::Rows,
    spool::Spool,
};
use crate::base::RequestId;

/// How often the folder is searched for what dead processes left.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The folder as the flusher sees it.
#[derive(Debug)]
pub(super) struct Disk {
    spool: Arc<Spool>,
    live: Live,
    leftover: Option<Leftover>,
    looked: Option<Instant>,
    is_leftovers_turn: bool,
    /// What dead processes left whose calls are all in the books, until their holds are ended too.
    gone: Vec<Leftover>,
    /// Somebody ends what dead processes held.
    has_mourner: bool,
}

impl Disk {
    pub(super) fn new(spool: Arc<Spool>) -> Self {
        Self {
            live: Live::new(Arc::clone(&spool)),
            spool,
            leftover: None,
            looked: None,
            is_leftovers_turn: false,
            gone: Vec::new(),
            has_mourner: false,
        }
    }

    /// Adds the next calls to book to `rows`, until they are `limit`, our own and dead processes' in turn. None:
    /// nothing waits.
    pub(super) fn next(&mut self, rows: &mut Rows, limit: usize) -> io::Result<()> {
        self.is_leftovers_turn = !self.is_leftovers_turn;
        if self.is_leftovers_turn {
            self.next_of_leftovers(rows, limit)?;
            if !rows.is_empty() {
                return Ok(());
            }
        }
        self.live.next(rows, limit)?;
        if !rows.is_empty() || self.is_leftovers_turn {
            return Ok(());
        }
        self.next_of_leftovers(rows, limit)
    }

    fn next_of_leftovers(&mut self, rows: &mut Rows, limit: usize) -> io::Result<()> {
        loop {
            if self.leftover.is_none() {
                self.look()?;
            }
            let Some(leftover) = &mut self.leftover else {
                return Ok(());
            };
            leftover.next(rows, limit, self.spool.counters())?;
            if !rows.is_empty() {
                rows.note_dead();
                return Ok(());
            }
            if leftover.is_booked()
                && let Some(leftover) = self.leftover.take()
            {
                tracing::info!("everything a dead process left in the spool is booked");
                self.looked = None;
                if self.has_mourner {
                    self.gone.push(leftover);
                } else {
                    leftover.delete()?;
                }
            }
        }
    }

    fn look(&mut self) -> io::Result<()> {
        if self.looked.is_some_and(|at| at.elapsed() < LOOK_EVERY) {
            return Ok(());
        }
        self.looked = Some(Instant::now());
        let look = leftovers::look(self.spool.folder(), self.spool.boot())?;
        self.spool.set_other_bytes(look.other_bytes);
        self.leftover = look.leftover;
        Ok(())
    }

    /// Notes that the calls are in the books, and deletes what nobody needs any more.
    pub(super) fn booked(&mut self, rows: &Rows) -> io::Result<()> {
        self.live.booked(rows);
        if let Some(leftover) = &mut self.leftover {
            leftover.booked(rows);
        }
        self.live.tidy()
    }

    /// Returns the calls of this process that are not in the books.
    pub(super) fn open_calls(&self) -> &HashMap<RequestId, Place> {
        self.live.open_calls()
    }

    /// Returns the row of an open call; `None` when the disk has lost it.
    pub(super) fn read_open(&self, place: Place) -> io::Result<Option<Vec<u8>>> {
        self.live.read_open(place)
    }

    /// Keeps what dead processes left until [`Disk::bury`] is told: who dies before has told nobody.
    pub(super) fn wait_for_mourner(&mut self) {
        self.has_mourner = true;
    }

    /// Returns the dead processes whose calls are all in the books.
    pub(super) fn gone(&self) -> Vec<Uuid> {
        self.gone.iter().filter_map(Leftover::boot).collect()
    }

    /// Deletes what dead processes left whose holds are ended.
    pub(super) fn bury(&mut self, boots: &[Uuid]) -> io::Result<()> {
        let is_buried = |left: &mut Leftover| left.boot().is_none_or(|boot| boots.contains(&boot));
        for leftover in self.gone.extract_if(.., is_buried) {
            leftover.delete()?;
        }
        Ok(())
    }

    /// Tries again what the disk refused, also while nobody calls. Room is worth more than holds that end by themselves.
    pub(super) fn retry(&mut self) -> io::Result<()> {
        for leftover in mem::take(&mut self.gone) {
            leftover.delete()?;
        }
        self.spool.retry();
        Ok(())
    }

    /// Searches the folder at the next turn, however short ago the last search was.
    pub(super) fn look_again(&mut self) {
        self.looked = None;
    }

    /// Ends the segment we write when all of it is booked, so that nothing stays behind.
    pub(super) fn close(&mut self) -> io::Result<()> {
        self.live.end()
    }
}
