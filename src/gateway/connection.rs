//! What is known of a connection: whose it is, and which part of a request it is reading.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

tokio::task_local! {
    /// The connection the current task serves; set by `listen` around everything Pingora does with it.
    static CURRENT: Arc<Connection>;
}

/// One accepted connection.
#[derive(Debug)]
pub(super) struct Connection {
    /// Where it comes from: the PROXY protocol's word when a trusted balancer gave it, else the peer.
    pub(super) address: IpAddr,
    /// Whether the next bytes belong to a header block, which has a deadline and a bound.
    is_in_head: AtomicBool,
    /// How many requests it has brought to their end.
    requests: AtomicU32,
}

impl Connection {
    /// Makes a connection that waits for its first request.
    pub(super) fn new(address: IpAddr) -> Arc<Self> {
        Arc::new(Self {
            address,
            is_in_head: AtomicBool::new(true),
            requests: AtomicU32::new(0),
        })
    }

    /// Runs `task` as the work of this connection.
    pub(super) async fn scope<F: Future>(self: Arc<Self>, task: F) -> F::Output {
        CURRENT.scope(self, task).await
    }

    /// Returns the connection the current task serves.
    pub(super) fn current() -> Option<Arc<Self>> {
        CURRENT.try_with(Arc::clone).ok()
    }

    /// Returns the number of the header block being read, if one is.
    pub(super) fn head_number(&self) -> Option<u32> {
        let is_in_head = self.is_in_head.load(Ordering::Relaxed);
        is_in_head.then(|| self.requests.load(Ordering::Relaxed))
    }

    /// Notes that a header block was read whole: what follows is a body, with its own bounds.
    pub(super) fn head_is_read(&self) {
        self.is_in_head.store(false, Ordering::Relaxed);
    }

    /// Notes that a request is over: what follows is the next header block.
    pub(super) fn request_is_over(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.is_in_head.store(true, Ordering::Relaxed);
    }
}
