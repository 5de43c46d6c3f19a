//! Lines on their way to standard error: gathered by whoever speaks, written by one thread. Must never make a
//! speaker wait: a line that finds no room is dropped and counted.

use std::{
    io::{self, Write},
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread::{self, Thread},
    time::{Duration, Instant},
};

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// How much may wait for a reader who is slow: some ten thousand lines.
const ROOM: usize = 4 * 1024 * 1024;

/// How long a line waits for others to go with it. A warning waits for nobody.
const GATHERING: Duration = Duration::from_millis(20);

/// How long the last lines may take: a reader who has stopped reading must not keep the process.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Lines dropped by this process, which has one log.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Returns how many lines of the log were dropped since the start.
pub fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// How soon a line must be out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Haste {
    None,
    Now,
}

impl Haste {
    pub(super) fn of(event: &Metadata<'_>) -> Self {
        if *event.level() <= Level::WARN {
            Self::Now
        } else {
            Self::None
        }
    }
}

/// Where lines are put.
#[derive(Clone, Debug)]
pub(super) struct Outbox {
    shared: Arc<Shared>,
    thread: Thread,
}

/// Writes what lies in the outbox; dropped, it writes the rest.
#[derive(Debug)]
pub struct Lines {
    outbox: Outbox,
    ended: mpsc::Receiver<()>,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: Vec<u8>,
    dropped: u64,
    is_urgent: bool,
    is_ending: bool,
}

impl Lines {
    /// Starts the thread that writes to `page`.
    pub(super) fn start(page: impl Write + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (end, ended) = mpsc::channel();
        let own = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || {
                own.write(page);
                drop(end);
            })?;
        let outbox = Outbox {
            shared,
            thread: thread.thread().clone(),
        };
        Ok(Self { outbox, ended })
    }

    pub(super) fn outbox(&self) -> Outbox {
        self.outbox.clone()
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.outbox.shared.waiting().is_ending = true;
        self.outbox.thread.unpark();
        // It says nothing but that it is gone.
        let _ended = self.ended.recv_timeout(LAST_LINES);
    }
}

impl Outbox {
    /// Puts whole lines into the box.
    pub(super) fn put(&self, lines: &[u8], haste: Haste) {
        let mut waiting = self.shared.waiting();
        if ROOM < waiting.lines.len() + lines.len() {
            waiting.dropped += 1;
            return;
        }
        let is_first = waiting.lines.is_empty();
        waiting.lines.extend_from_slice(lines);
        waiting.is_urgent |= haste == Haste::Now;
        drop(waiting);
        if is_first || haste == Haste::Now {
            self.thread.unpark();
        }
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes until the end is told and nothing is left.
    fn write(&self, mut page: impl Write) {
        let mut lines = Vec::new();
        while let Some(dropped) = self.take(&mut lines) {
            let is_written = page.write_all(&lines).and_then(|()| page.flush()).is_ok();
            let unwritten = if is_written { 0 } else { count(&lines) };
            lines.clear();
            DROPPED.fetch_add(dropped + unwritten, Ordering::Relaxed);
            if 0 < dropped {
                tracing::warn!(
                    lines = dropped,
                    "lines of the log were dropped, nobody takes them fast enough"
                );
            }
        }
    }

    /// Waits for lines and takes them; returns how many others were dropped, or `None` at the end.
    fn take(&self, lines: &mut Vec<u8>) -> Option<u64> {
        let mut began = None;
        loop {
            let mut waiting = self.waiting();
            if waiting.lines.is_empty() {
                if waiting.is_ending {
                    return None;
                }
                drop(waiting);
                thread::park();
                continue;
            }
            let rest = GATHERING.saturating_sub(began.get_or_insert_with(Instant::now).elapsed());
            if waiting.is_urgent || waiting.is_ending || rest.is_zero() {
                waiting.is_urgent = false;
                mem::swap(&mut waiting.lines, lines);
                return Some(mem::take(&mut waiting.dropped));
            }
            drop(waiting);
            thread::park_timeout(rest);
        }
    }
}

fn count(lines: &[u8]) -> u64 {
    u64::try_from(memchr::memchr_iter(b'\n', lines).count()).unwrap_or_default()
}

/// Lets others format their lines into the box, each with one write.
impl<'w> MakeWriter<'w> for Outbox {
    type Writer = Slot<'w>;

    fn make_writer(&'w self) -> Slot<'w> {
        Slot(self, Haste::None)
    }

    fn make_writer_for(&'w self, event: &Metadata<'_>) -> Slot<'w> {
        Slot(self, Haste::of(event))
    }
}

/// Takes one line.
#[derive(Debug)]
pub(super) struct Slot<'w>(&'w Outbox, Haste);

impl Write for Slot<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.put(line, self.1);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page that others can read, and hold fast.
    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Page {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }

        /// Waits for so many lines; returns how long it took.
        fn wait_for(&self, lines: usize) -> Duration {
            let began = Instant::now();
            while self.text().lines().count() < lines {
                assert!(began.elapsed() < Duration::from_secs(10), "{}", self.text());
                thread::yield_now();
            }
            began.elapsed()
        }
    }

    #[test]
    fn lines_of_many_speakers_are_written_whole_and_in_order() {
        let page = Page::default();
        let lines = Lines::start(page.clone()).unwrap();
        let outbox = lines.outbox();

        thread::scope(|scope| {
            for speaker in 0..4 {
                let outbox = &outbox;
                scope.spawn(move || {
                    for number in 0..1_000 {
                        outbox.put(format!("{speaker} {number}\n").as_bytes(), Haste::None);
                    }
                });
            }
        });
        drop(lines);

        let text = page.text();
        for speaker in ["0 ", "1 ", "2 ", "3 "] {
            let numbers: Vec<usize> = text
                .lines()
                .filter_map(|line| line.strip_prefix(speaker)?.parse().ok())
                .collect();
            assert_eq!(numbers, (0..1_000).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_line_is_out_soon_though_nobody_speaks_after_it() {
        let page = Page::default();
        let lines = Lines::start(page.clone()).unwrap();

        lines.outbox().put(b"once\n", Haste::None);
        page.wait_for(1);
        lines.outbox().put(b"again\n", Haste::None);
        page.wait_for(2);

        assert_eq!(page.text(), "once\nagain\n");
    }

    #[test]
    fn a_speaker_never_waits_for_a_reader_and_what_was_dropped_is_counted() {
        let page = Page::default();
        let lines = Lines::start(page.clone()).unwrap();
        let outbox = lines.outbox();
        let line = vec![b'\n'; 1024];
        let before = dropped();

        let held = page.0.lock().unwrap();
        for _ in 0..3 * ROOM / line.len() {
            outbox.put(&line, Haste::Now);
        }
        drop(held);
        drop(lines);

        assert!(u64::try_from(ROOM / line.len()).unwrap() <= dropped() - before);
        assert!(page.text().len() <= 2 * ROOM);
    }

    #[test]
    fn a_reader_who_stopped_reading_does_not_keep_the_process() {
        let page = Page::default();
        let lines = Lines::start(page.clone()).unwrap();
        let held = page.0.lock().unwrap();
        lines.outbox().put(b"unread\n", Haste::Now);

        let began = Instant::now();
        drop(lines);

        assert!(began.elapsed() < LAST_LINES * 5);
        drop(held);
    }
}
