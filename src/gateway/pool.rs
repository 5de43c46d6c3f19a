//! Connections to providers: taken, given back, closed when nobody needs them.
//!
//! Plain ones are made and kept here, see [`outbound`]; encrypted ones are Pingora's.

use std::{
    collections::HashMap,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use pingora::{
    connectors::{ConnectorOptions, http::Connector},
    protocols::{
        ALPN, Stream,
        http::{client::HttpSession, v1::client::HttpSession as PlainSession},
    },
    upstreams::peer::HttpPeer,
};
use tokio::{
    io::{AsyncRead, ReadBuf},
    time::{Instant, interval},
};

use super::outbound;
use crate::{
    base::CredentialId,
    catalog::{Credential, Provider},
};

/// How long an unused connection to a provider is kept; balancers commonly close theirs after 60 s.
const IDLE: Duration = Duration::from_secs(55);

/// How often unused connections are looked at.
const LOOK: Duration = Duration::from_secs(5);

/// How many unused connections of a kind are kept.
const POOLED: usize = 512;

/// All connections to providers.
pub(super) struct Pool {
    secure: Connector,
    plain: Mutex<Kept>,
}

/// Plain connections that nobody uses.
#[derive(Default)]
struct Kept {
    by_lane: HashMap<Lane, Vec<Idle>>,
    count: usize,
}

/// Where a plain connection leads and for whom: tenants never share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Lane {
    address: SocketAddr,
    credential: Option<CredentialId>,
}

struct Idle {
    stream: Stream,
    since: Instant,
}

/// Where a connection leads, and how.
pub(super) enum Way {
    Plain { lane: Lane, connect: Duration },
    Secure(Box<HttpPeer>),
}

impl Way {
    /// Returns the way to `provider` at `address`.
    pub(super) fn to(
        provider: &Provider,
        credential: Option<&Credential>,
        address: SocketAddr,
    ) -> Self {
        if provider.base_url.scheme() == "https" {
            return Self::Secure(Box::new(peer(provider, credential, address)));
        }
        let lane = Lane {
            address,
            credential: credential.map(|credential| credential.id),
        };
        let connect = Duration::from_millis(provider.deadlines.connect_ms);
        Self::Plain { lane, connect }
    }
}

impl Pool {
    pub(super) fn new() -> Self {
        Self {
            secure: Connector::new(Some(ConnectorOptions::new(POOLED))),
            plain: Mutex::default(),
        }
    }

    /// Takes an unused connection or makes one; says whether it was used before.
    pub(super) async fn take(&self, way: &Way) -> pingora::Result<(HttpSession, bool)> {
        let (lane, connect) = match way {
            Way::Plain { lane, connect } => (lane, *connect),
            // Boxed: a handshake needs much room, and seldom.
            Way::Secure(peer) => return Box::pin(self.secure.get_http_session(&**peer)).await,
        };
        let kept = self.take_kept(lane);
        let is_reused = kept.is_some();
        let stream = match kept {
            Some(stream) => stream,
            None => Box::new(Box::pin(outbound::connect(lane.address, connect)).await?),
        };
        Ok((HttpSession::H1(PlainSession::new(stream)), is_reused))
    }

    /// Gives back a connection whose answer was read to its end.
    pub(super) async fn give_back(&self, session: HttpSession, way: &Way) {
        match (session, way) {
            (HttpSession::H1(mut session), Way::Plain { lane, .. }) => {
                session.respect_keepalive();
                if let Some(stream) = session.reuse().await {
                    self.keep(*lane, stream);
                }
            }
            (session, Way::Secure(peer)) => {
                let idle = Some(IDLE);
                Box::pin(self.secure.release_http_session(session, &**peer, idle)).await;
            }
            // Plain connections speak nothing else.
            (_, Way::Plain { .. }) => {}
        }
    }

    /// Closes, for as long as it is polled, what was not used for long or was closed by its provider.
    pub(super) async fn close_unused(self: Arc<Self>) {
        let mut looks = interval(LOOK);
        loop {
            looks.tick().await;
            self.close_stale(Instant::now());
        }
    }

    fn close_stale(&self, now: Instant) {
        let mut kept = self.kept();
        kept.by_lane.retain(|_, idle| {
            idle.retain_mut(|one| now < one.since + IDLE && is_quiet(&mut one.stream));
            !idle.is_empty()
        });
        kept.count = kept.by_lane.values().map(Vec::len).sum();
    }

    /// Returns the connection that was used last, while its provider has not closed it.
    fn take_kept(&self, lane: &Lane) -> Option<Stream> {
        loop {
            let mut idle = {
                let mut kept = self.kept();
                let idle = kept.by_lane.get_mut(lane)?.pop()?;
                kept.count = kept.count.saturating_sub(1);
                idle
            };
            if Instant::now() < idle.since + IDLE && is_quiet(&mut idle.stream) {
                return Some(idle.stream);
            }
        }
    }

    fn keep(&self, lane: Lane, mut stream: Stream) {
        if !is_quiet(&mut stream) {
            return;
        }
        let since = Instant::now();
        let mut kept = self.kept();
        if kept.count < POOLED {
            kept.count += 1;
            let idle = kept.by_lane.entry(lane).or_default();
            idle.push(Idle { stream, since });
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.plain.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says whether a connection is open and its provider says nothing: nothing was asked.
fn is_quiet(stream: &mut Stream) -> bool {
    let mut byte = [0];
    let mut nobody = Context::from_waker(Waker::noop());
    let mut read = ReadBuf::new(&mut byte);
    matches!(
        Pin::new(stream).poll_read(&mut nobody, &mut read),
        Poll::Pending
    )
}

/// Returns the peer at `address`; connections are pooled by credential, so that tenants never share one.
pub(super) fn peer(
    provider: &Provider,
    credential: Option<&Credential>,
    address: SocketAddr,
) -> HttpPeer {
    let is_tls = provider.base_url.scheme() == "https";
    let name = provider.base_url.host_str().unwrap_or_default().to_owned();
    let mut peer = HttpPeer::new(address, is_tls, name);
    let connect = Duration::from_millis(provider.deadlines.connect_ms);
    peer.group_key = group_of(credential);
    peer.options.connection_timeout = Some(connect);
    peer.options.total_connection_timeout = Some(connect.saturating_mul(2));
    peer.options.idle_timeout = Some(IDLE);
    if is_tls {
        peer.options.alpn = ALPN::H2H1;
        peer.options.max_h2_streams = 100;
    }
    peer
}

fn group_of(credential: Option<&Credential>) -> u64 {
    let id = credential.map_or(0, |credential| credential.id.uuid().as_u128());
    let folded = (id >> 64) ^ (id & u128::from(u64::MAX));
    u64::try_from(folded).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use pingora::http::RequestHeader;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };

    use super::*;

    /// More at once than any queue of Pingora's pool holds.
    const MANY: usize = 40;

    async fn provider() -> (TcpListener, Way) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let lane = Lane {
            address: listener.local_addr().unwrap(),
            credential: None,
        };
        let connect = Duration::from_secs(2);
        (listener, Way::Plain { lane, connect })
    }

    /// Asks over `session` and reads the answer to its end; the provider's side is `provider`.
    async fn exchange(session: &mut HttpSession, provider: &mut TcpStream) {
        let head = RequestHeader::build("GET", b"/", None).unwrap();
        session.write_request_header(Box::new(head)).await.unwrap();
        session.finish_request_body().await.unwrap();
        let answer = async {
            let mut asked = [0; 256];
            assert_ne!(provider.read(&mut asked).await.unwrap(), 0);
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
            provider.write_all(answer).await.unwrap();
        };
        let (read, ()) = tokio::join!(session.read_response_header(), answer);
        read.unwrap();
        while session.read_response_body().await.unwrap().is_some() {}
    }

    /// Takes so many connections at once, uses each and gives them all back; returns the providers' sides.
    async fn used(pool: &Pool, listener: &TcpListener, way: &Way, count: usize) -> Vec<TcpStream> {
        let (mut sessions, mut sides) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let (session, is_reused) = pool.take(way).await.unwrap();
            assert!(!is_reused);
            sessions.push(session);
            sides.push(listener.accept().await.unwrap().0);
        }
        for (mut session, side) in sessions.into_iter().zip(&mut sides) {
            exchange(&mut session, side).await;
            pool.give_back(session, way).await;
        }
        sides
    }

    #[tokio::test]
    async fn as_many_connections_as_were_used_at_once_are_used_again() {
        let (pool, (listener, way)) = (Pool::new(), provider().await);
        let _sides = used(&pool, &listener, &way, MANY).await;

        let mut taken = Vec::new();
        for _ in 0..MANY {
            let (session, is_reused) = pool.take(&way).await.unwrap();
            assert!(is_reused);
            taken.push(session);
        }

        assert!(!pool.take(&way).await.unwrap().1);
    }

    #[tokio::test]
    async fn a_connection_its_provider_closed_is_not_used_again() {
        let (pool, (listener, way)) = (Pool::new(), provider().await);
        let sides = used(&pool, &listener, &way, 2).await;

        drop(sides);
        tokio::time::sleep(Duration::from_millis(50)).await;

        assert!(!pool.take(&way).await.unwrap().1);
    }

    #[tokio::test]
    async fn unused_connections_are_closed_after_a_while_and_by_their_provider() {
        let (pool, (listener, way)) = (Pool::new(), provider().await);
        let mut sides = used(&pool, &listener, &way, 3).await;

        drop(sides.pop());
        tokio::time::sleep(Duration::from_millis(50)).await;
        pool.close_stale(Instant::now());
        assert_eq!(pool.kept().count, 2);

        pool.close_stale(Instant::now() + IDLE);
        assert_eq!(pool.kept().count, 0);
        assert_eq!(sides[0].read(&mut [0]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn tenants_never_share_a_connection() {
        let (pool, (listener, way)) = (Pool::new(), provider().await);
        let _sides = used(&pool, &listener, &way, 1).await;
        let Way::Plain { lane, connect } = way else {
            unreachable!()
        };
        let credential = Some(CredentialId(uuid::Uuid::from_u128(7)));
        let lane = Lane { credential, ..lane };

        let (_, is_reused) = pool.take(&Way::Plain { lane, connect }).await.unwrap();

        assert!(!is_reused);
    }
}
