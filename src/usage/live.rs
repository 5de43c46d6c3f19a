//! The segments this process is writing, read behind its own pen.

use std::{collections::HashMap, io, sync::Arc, time::Duration, time::Instant};

use super::{
    log::{Log, Place, Track, Writes},
    rows::Rows,
    spool::{Spool, View},
};
use crate::base::RequestId;

/// A current segment longer than this is ended as soon as all of it is booked.
const WORTH_ENDING: u64 = 4 * 1024 * 1024;

/// After how many waits without a new record a booked segment is ended, however short.
const IDLE_WAITS: u32 = 10;

/// After how many waits the last open intents of a full segment are carried on, so that it can go: without this
/// one long stream would keep every segment that was written meanwhile.
const CARRY_WAITS: u32 = 60;

/// The segments of the spool that this process writes.
#[derive(Debug)]
pub(super) struct Live {
    spool: Arc<Spool>,
    log: Log,
}

impl Live {
    pub(super) fn new(spool: Arc<Spool>) -> Self {
        Self {
            spool,
            log: Log::new(Writes::Still),
        }
    }

    /// Adds the next ended calls to `rows`, until they are `limit`.
    pub(super) fn next(&mut self, rows: &mut Rows, limit: usize) -> io::Result<()> {
        self.refresh();
        self.log.next_rows(rows, limit, self.spool.counters())
    }

    /// Notes that the calls are in the books.
    pub(super) fn booked(&mut self, rows: &Rows) {
        self.log.close(rows);
    }

    pub(super) fn open_calls(&self) -> &HashMap<RequestId, Place> {
        &self.log.open
    }

    pub(super) fn read_open(&self, place: Place) -> io::Result<Option<Vec<u8>>> {
        self.log.read_intent(place)
    }

    /// Deletes what nobody needs any more. Everything that `next` added must be in the books.
    pub(super) fn tidy(&mut self) -> io::Result<()> {
        self.delete_done()?;
        // A full disk has no room for copies and new segments; it will have when more was deleted.
        let _ = self.carry_on();
        let _ = self.end_idle();
        Ok(())
    }

    /// Ends the current segment, when all of it is booked, and deletes it.
    pub(super) fn end(&mut self) -> io::Result<()> {
        self.refresh();
        self.end_booked(|_| true)?;
        self.refresh();
        self.delete_done()
    }

    fn refresh(&mut self) {
        for view in self.spool.views() {
            let track = self
                .log
                .tracks
                .entry(view.name.number)
                .or_insert_with(|| track(&view));
            if track.end != view.written {
                track.grown = Instant::now();
            }
            track.end = view.written;
            track.is_sealed = view.is_sealed;
        }
        self.log.renew(|used| self.spool.take_tail(used));
    }

    fn delete_done(&mut self) -> io::Result<()> {
        let needed = self.log.needed();
        let done = |track: &Track| {
            track.is_sealed && track.is_read() && !needed.contains(&track.name.number)
        };
        for number in self.numbers(done) {
            self.spool.delete(number)?;
            self.log.tracks.remove(&number);
        }
        Ok(())
    }

    fn end_idle(&self) -> io::Result<()> {
        let patience = self.waits(IDLE_WAITS);
        self.end_booked(|track| track.end > WORTH_ENDING || track.grown.elapsed() > patience)
    }

    fn end_booked(&self, is_due: impl Fn(&Track) -> bool) -> io::Result<()> {
        let needed = self.log.needed();
        let booked = self.log.tracks.values().find(|track| {
            !track.is_sealed
                && track.is_read()
                && track.end > 0
                && !needed.contains(&track.name.number)
        });
        if let Some(track) = booked.filter(|track| is_due(track)) {
            self.spool.seal_at(track.end)?;
        }
        Ok(())
    }

    fn carry_on(&mut self) -> io::Result<()> {
        let settings = self.spool.settings();
        let is_pressed = self.spool.bytes() > settings.cap_bytes / 2;
        let patience = self.waits(CARRY_WAITS);
        let needed = self.log.needed();
        let held = |track: &Track| {
            track.is_sealed
                && track.is_read()
                && needed.contains(&track.name.number)
                && (is_pressed || track.grown.elapsed() > patience)
        };
        for number in self.numbers(held) {
            self.carry_segment(number)?;
        }
        Ok(())
    }

    fn numbers(&self, which: impl Fn(&Track) -> bool) -> Vec<u64> {
        self.log
            .tracks
            .values()
            .filter(|track| which(track))
            .map(|track| track.name.number)
            .collect()
    }

    fn carry_segment(&mut self, number: u64) -> io::Result<()> {
        let open: Vec<(RequestId, Place)> = self
            .log
            .open
            .iter()
            .filter(|(_, place)| place.number == number)
            .map(|(id, place)| (*id, *place))
            .collect();
        for (id, place) in open {
            let Some(intent) = self.log.read_intent(place)? else {
                self.log.open.remove(&id);
                continue;
            };
            let (number, offset) = self.spool.carry(&intent)?;
            self.log.open.insert(id, Place { number, offset });
        }
        // The copies must not be younger on the disk than the deletion of what they were copied from.
        self.spool.sync()
    }

    fn waits(&self, count: u32) -> Duration {
        Duration::from_millis(self.spool.settings().flush_ms).saturating_mul(count)
    }
}

fn track(view: &View) -> Track {
    Track {
        name: view.name,
        path: view.path.clone(),
        file: Arc::clone(&view.file),
        read: 0,
        end: view.written,
        is_sealed: view.is_sealed,
        grown: Instant::now(),
    }
}
