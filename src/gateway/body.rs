//! The bounded reading of a request body: once, in full, for replay on every attempt.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header;
use pingora::protocols::http::ServerSession;
use tokio::time::{Instant, timeout_at};

use super::refuse::Refusal;

/// How large a body may be and how slowly it may come.
#[derive(Clone, Copy, Debug)]
pub(super) struct BodyBounds {
    /// Bytes at most.
    pub(super) bytes: u64,
    /// What every body is given.
    pub(super) time: Duration,
    /// Beyond that time, each second must have brought so many bytes.
    pub(super) bytes_per_second: u64,
}

impl BodyBounds {
    /// Returns how long a body of which so much has come may have taken.
    pub(super) fn patience(&self, received: u64) -> Duration {
        self.time + Duration::from_secs(received / self.bytes_per_second.max(1))
    }
}

/// What is set aside at most when the first bytes have come, whatever length a caller claims. Memory nothing was
/// written to costs nothing; a body that outgrows it is copied.
const FIRST_ALLOCATION: usize = 4 * 1024 * 1024;

/// Reads the whole body.
pub(super) async fn read(
    session: &mut ServerSession,
    bounds: BodyBounds,
) -> Result<Bytes, Refusal> {
    let claimed = claimed_length(session);
    if claimed.is_some_and(|claimed| bounds.bytes < claimed) {
        return Err(Refusal::TooLarge {
            limit_bytes: bounds.bytes,
        });
    }
    promise_continue(session).await?;
    let began = Instant::now();
    let Some(first) = next(session, bounds, began, 0).await? else {
        return Ok(Bytes::new());
    };
    let mut received = length(&first);
    if bounds.bytes < received {
        return Err(Refusal::TooLarge {
            limit_bytes: bounds.bytes,
        });
    }
    let Some(second) = next(session, bounds, began, received).await? else {
        return Ok(first);
    };
    let mut body = BytesMut::with_capacity(room_for(claimed));
    body.extend_from_slice(&first);
    let mut chunk = Some(second);
    while let Some(bytes) = chunk {
        received = received.saturating_add(length(&bytes));
        if bounds.bytes < received {
            return Err(Refusal::TooLarge {
                limit_bytes: bounds.bytes,
            });
        }
        body.extend_from_slice(&bytes);
        chunk = next(session, bounds, began, received).await?;
    }
    Ok(body.freeze())
}

fn claimed_length(session: &ServerSession) -> Option<u64> {
    session
        .get_header(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

fn room_for(claimed: Option<u64>) -> usize {
    claimed
        .and_then(|bytes| usize::try_from(bytes).ok())
        .unwrap_or_default()
        .min(FIRST_ALLOCATION)
}

fn length(bytes: &Bytes) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// Answers `Expect: 100-continue`, which Pingora leaves to us.
pub(super) async fn promise_continue(session: &mut ServerSession) -> Result<(), Refusal> {
    if session.get_header(header::EXPECT).is_none() {
        return Ok(());
    }
    // Writing the interim answer with an unread body would turn keep-alive off.
    let keepalive = session.get_keepalive();
    session
        .write_continue_response()
        .await
        .map_err(|_| Refusal::CallerGone)?;
    session.set_keepalive(keepalive);
    Ok(())
}

async fn next(
    session: &mut ServerSession,
    bounds: BodyBounds,
    began: Instant,
    received: u64,
) -> Result<Option<Bytes>, Refusal> {
    let ends = began + bounds.patience(received);
    match timeout_at(ends, session.read_request_body()).await {
        Ok(Ok(chunk)) => Ok(chunk),
        Ok(Err(_)) => Err(Refusal::BodyCut),
        Err(_) => Err(Refusal::BodyTooSlow),
    }
}
