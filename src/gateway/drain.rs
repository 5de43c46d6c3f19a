//! Going away politely: which phase of its life the gateway is in, and what is still in flight.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Notify, watch};

/// A phase of the gateway's life; it only goes forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Connections are accepted.
    Serving,
    /// No new connection; every answer closes its own; streams run on.
    Draining,
    /// The time for streams is up: they end with an error event.
    Cutting,
}

/// The gateway's phase and its calls in flight.
#[derive(Debug)]
pub struct Drain {
    phase: watch::Sender<Phase>,
    /// Pingora's own word for "close after this answer".
    closing: watch::Sender<bool>,
    in_flight: AtomicUsize,
    idle: Notify,
}

/// One call in flight, for as long as it lives.
#[derive(Debug)]
pub struct InFlight(Arc<Drain>);

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.0.in_flight.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}

impl Drain {
    /// Makes the state of a gateway that serves.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            phase: watch::Sender::new(Phase::Serving),
            closing: watch::Sender::new(false),
            in_flight: AtomicUsize::new(0),
            idle: Notify::new(),
        })
    }

    /// Returns the phase now.
    #[must_use]
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Returns how many calls are in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Acquire)
    }

    /// Counts a call until the returned guard is dropped.
    #[must_use]
    pub fn enter(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        InFlight(Arc::clone(self))
    }

    /// Waits until the gateway has reached `phase`.
    pub async fn reached(&self, phase: Phase) {
        let mut seen = self.phase.subscribe();
        // The sender lives as long as `self`, so this ends only when the phase is there.
        if seen.wait_for(|now| phase <= *now).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Stops accepting, then lets calls end: at most `patience`, after which streams are cut.
    pub async fn drain(&self, patience: Duration) {
        self.closing.send_replace(true);
        self.phase.send_replace(Phase::Draining);
        if tokio::time::timeout(patience, self.idle()).await.is_err() {
            self.phase.send_replace(Phase::Cutting);
            // A cut stream still writes its error event and its entry.
            let _cut = tokio::time::timeout(Duration::from_secs(2), self.idle()).await;
        }
    }

    /// Returns the watch Pingora asks before it keeps a connection.
    pub(super) fn closing(&self) -> watch::Receiver<bool> {
        self.closing.subscribe()
    }

    async fn idle(&self) {
        loop {
            let idle = self.idle.notified();
            if self.in_flight() == 0 {
                return;
            }
            idle.await;
        }
    }
}
