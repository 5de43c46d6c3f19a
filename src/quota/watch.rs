//! What makes this proxy's account of its holds bear comparison with what Redis had a moment before: by how much its
//! holds fell meanwhile, and which scripts may have run whose outcome nobody heard.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::sleep;

use super::counter::Counter;
use crate::base::RequestId;

/// How often is looked whether what is under way has come to its end.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Watches the desk while counters are compared with the books.
#[derive(Debug, Default)]
pub(super) struct Watch {
    is_on: AtomicBool,
    /// By counter and the start of its window.
    fallen: Mutex<HashMap<(Counter, i64), u64>>,
    doubts: Mutex<Doubts>,
    passing: Mutex<Arc<Passing>>,
}

/// Held from before a script is sent until the desk knows its outcome.
#[derive(Debug, Default)]
pub(super) struct Passing;

/// Holds of which Redis may have another idea than the desk, or which the desk does not know at all.
#[derive(Debug, Default)]
struct Doubts {
    of: HashSet<RequestId>,
    /// There was one since the watch began.
    were_any: bool,
}

impl Watch {
    /// Begins to note what falls.
    pub(super) fn begin(&self) {
        lock(&self.fallen).clear();
        self.is_on.store(true, Ordering::SeqCst);
        let mut doubts = lock(&self.doubts);
        doubts.were_any = !doubts.of.is_empty();
    }

    pub(super) fn end(&self) {
        self.is_on.store(false, Ordering::SeqCst);
        lock(&self.fallen).clear();
    }

    /// Notes that a hold stands for less on a counter, in the window that began at `start`, than it did.
    pub(super) fn note(&self, counter: Counter, start: i64, from: u64, to: u64) {
        if to < from && self.is_on.load(Ordering::SeqCst) {
            let mut fallen = lock(&self.fallen);
            let sum = fallen.entry((counter, start)).or_default();
            *sum = sum.saturating_add(from - to);
        }
    }

    /// Returns by how much the holds fell on each counter since the watch began.
    pub(super) fn fallen(&self) -> HashMap<(Counter, i64), u64> {
        lock(&self.fallen).clone()
    }

    /// Notes that nobody heard what became of a script for this hold.
    pub(super) fn doubt(&self, id: RequestId) {
        let mut doubts = lock(&self.doubts);
        doubts.were_any = true;
        doubts.of.insert(id);
    }

    /// Notes that Redis was told how this hold ended.
    pub(super) fn clear(&self, id: RequestId) {
        let mut doubts = lock(&self.doubts);
        if !doubts.of.is_empty() {
            doubts.of.remove(&id);
        }
    }

    /// Says whether Redis and the desk were of one mind about every hold since the watch began.
    pub(super) fn is_clear(&self) -> bool {
        let doubts = lock(&self.doubts);
        !doubts.were_any && doubts.of.is_empty()
    }

    /// Notes that a script is about to be sent.
    pub(super) fn pass(&self) -> Arc<Passing> {
        Arc::clone(&lock(&self.passing))
    }

    /// Waits until the desk knows the outcome of every script that was sent before.
    pub(super) async fn let_pass(&self) {
        let earlier = std::mem::take(&mut *lock(&self.passing));
        while 1 < Arc::strong_count(&earlier) {
            sleep(LOOK_EVERY).await;
        }
    }

    /// Forgets everything.
    pub(super) fn reset(&self) {
        *lock(&self.doubts) = Doubts::default();
    }
}

fn lock<T>(guarded: &Mutex<T>) -> MutexGuard<'_, T> {
    guarded.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::base::{Moment, tasks::Tasks};

    #[tokio::test]
    async fn whoever_was_sent_before_is_waited_for_and_nobody_else() {
        let watch = Arc::new(Watch::default());
        let earlier = watch.pass();
        let waiting = Arc::clone(&watch);
        let waited = Tasks::default().spawn("waiting", async move {
            let began = Instant::now();
            waiting.let_pass().await;
            began.elapsed()
        });
        sleep(Duration::from_millis(30)).await;
        let later = watch.pass();

        drop(earlier);

        assert!(Duration::from_millis(25) < waited.await.unwrap());
        drop(later);
    }

    #[test]
    fn a_doubt_that_was_cleared_meanwhile_still_blurs_the_watch() {
        let watch = Watch::default();
        let id = RequestId::new(Moment::from_millis(1_795_000_000_000));

        watch.begin();
        assert!(watch.is_clear());
        watch.doubt(id);
        watch.clear(id);
        assert!(!watch.is_clear());

        watch.begin();
        assert!(watch.is_clear());
        watch.doubt(id);
        watch.begin();
        assert!(!watch.is_clear());
    }
}
