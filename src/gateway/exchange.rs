//! The state of one request, from its first header byte to its last answer byte.

use std::{net::IpAddr, sync::Arc};

use tokio::time::Instant;

use super::{
    admit::{Left, NotAdmitted},
    connection::Connection,
    drain::InFlight,
    metrics,
    raw::RawCall,
    refuse::Refusal,
};
use crate::{
    base::{Clock, Moment, RequestId},
    dialect::Endpoint,
    quota::Limit,
};

/// One request. Dropped when Pingora has finished with it.
pub struct Exchange {
    /// Our id for it, sent upstream and back.
    pub(super) id: RequestId,
    /// The id as text, made once.
    pub(super) id_text: String,
    /// When it began, by the clock.
    pub(super) began: Moment,
    /// When it began, for durations.
    pub(super) started: Instant,
    /// What it came to, which says how it must be answered.
    pub(super) endpoint: Endpoint,
    /// The caller's own id for it, echoed on every answer.
    pub(super) client_request_id: Option<String>,
    /// The one call at a time that the caller asked for.
    pub(super) once: Option<Limit>,
    /// What was left of the caller's limits when one of them refused it.
    pub(super) left: Left,
    /// The connection it came on.
    pub(super) connection: Option<Arc<Connection>>,
    /// Counted until dropped, so that a drain waits for it.
    pub(super) under_way: Option<InFlight>,
    /// Counted as a call from its admission on.
    pub(super) call: Option<metrics::InFlight>,
    /// The call Pingora's own phases carry, when it is one of those.
    /// Boxed: seldom there, and large.
    pub(super) raw: Option<Box<RawCall>>,
}

impl Exchange {
    /// Begins a request.
    pub(super) fn begin(clock: &Clock) -> Self {
        let began = clock.now();
        let id = RequestId::new(began);
        Self {
            id,
            id_text: id.to_string(),
            began,
            started: Instant::now(),
            endpoint: Endpoint::Other,
            client_request_id: None,
            once: None,
            left: Left::default(),
            connection: Connection::current(),
            under_way: None,
            call: None,
            raw: None,
        }
    }

    /// Returns the address the connection comes from.
    pub(super) fn peer(&self) -> IpAddr {
        self.connection
            .as_ref()
            .map_or(IpAddr::from([0, 0, 0, 0]), |connection| connection.address)
    }

    /// Remembers what was left of the caller's limits, to be told with the refusal.
    pub(super) fn denied(&mut self, denied: NotAdmitted) -> Refusal {
        self.left = denied.left;
        denied.refusal
    }

    /// Returns how long the request has been going on, in milliseconds.
    pub(super) fn elapsed_ms(&self) -> u32 {
        millis_since(self.started)
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if let Some(connection) = &self.connection {
            connection.request_is_over();
        }
    }
}

/// Returns the milliseconds since `started`.
pub(super) fn millis_since(started: Instant) -> u32 {
    u32::try_from(started.elapsed().as_millis()).unwrap_or(u32::MAX)
}
