//! `spawn`: named, counted, waited for at shutdown.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Notify, task::JoinHandle};

/// The background tasks of one process.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    running: Arc<Running>,
}

#[derive(Debug, Default)]
struct Running {
    count: AtomicUsize,
    changed: Notify,
}

/// Counts one task for as long as it lives, however it ends.
struct Alive(Arc<Running>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::AcqRel);
        self.0.changed.notify_waiters();
    }
}

impl Tasks {
    /// Starts `task` on the current runtime and counts it until it ends.
    pub fn spawn<F>(&self, name: &'static str, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.running.count.fetch_add(1, Ordering::AcqRel);
        let alive = Alive(Arc::clone(&self.running));
        #[expect(clippy::disallowed_methods, reason = "the one place that spawns")]
        tokio::spawn(async move {
            let _alive = alive;
            tracing::trace!(task.name = name, "task started");
            task.await
        })
    }

    /// Returns how many tasks run.
    #[must_use]
    pub fn count(&self) -> usize {
        self.running.count.load(Ordering::Acquire)
    }

    /// Waits until every task has ended, at most `patience`; says whether all did.
    pub async fn wait(&self, patience: Duration) -> bool {
        let all_ended = async {
            loop {
                let changed = self.running.changed.notified();
                if self.count() == 0 {
                    return;
                }
                changed.await;
            }
        };
        tokio::time::timeout(patience, all_ended).await.is_ok()
    }
}
