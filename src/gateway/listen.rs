//! Sockets to exchanges: accepting, caps in total and per address, the true address, and going away.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use pingora::{
    apps::{HttpServerApp, ServerApp},
    proxy::{HttpProxy, http_proxy},
    server::configuration::ServerConf,
};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};

use super::{
    Drain, Gateway, Metrics, Phase, Settings,
    connection::Connection,
    guard::{Guarded, HeadBounds},
    proxy_protocol,
};
use crate::base::tasks::Tasks;

/// How long accepting rests when there are no descriptors left: spinning helps nobody.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(50);

/// The traffic listener of one gateway.
pub struct Edge {
    proxy: Arc<HttpProxy<Gateway>>,
    settings: Settings,
    metrics: Arc<Metrics>,
    drain: Arc<Drain>,
    open: Arc<Open>,
    tasks: Tasks,
}

/// The connections that stand now.
#[derive(Debug, Default)]
struct Open {
    by_address: Mutex<HashMap<IpAddr, usize>>,
}

/// One connection's place under the caps, given back when dropped.
struct Place {
    open: Arc<Open>,
    address: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.open.lock();
        if let Some(count) = counts.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

impl Open {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.by_address
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place for `address`, unless it has as many as it may.
    fn take(self: &Arc<Self>, address: IpAddr, most: usize) -> Option<Place> {
        let mut counts = self.lock();
        let count = counts.entry(address).or_default();
        if most <= *count {
            return None;
        }
        *count += 1;
        Some(Place {
            open: Arc::clone(self),
            address,
        })
    }
}

impl Edge {
    /// Makes the edge of `gateway`.
    #[must_use]
    pub fn new(gateway: Gateway, tasks: Tasks) -> Self {
        let settings = gateway.settings.clone();
        let metrics = Arc::clone(&gateway.metrics);
        let drain = Arc::clone(&gateway.drain);
        let conf = Arc::new(ServerConf::default());
        Self {
            proxy: Arc::new(http_proxy(&conf, gateway)),
            settings,
            metrics,
            drain,
            open: Arc::default(),
            tasks,
        }
    }

    /// Accepts until the gateway drains.
    pub async fn accept(&self, listener: &TcpListener) {
        let places = Arc::new(tokio::sync::Semaphore::new(self.settings.max_connections));
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.drain.reached(Phase::Draining) => return,
                accepted = listener.accept() => accepted,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(error = %error, "a connection could not be accepted");
                    sleep(OUT_OF_DESCRIPTORS).await;
                    continue;
                }
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                self.metrics.refused("too_many_connections");
                continue;
            };
            self.welcome(stream, peer, place);
        }
    }

    /// Closes the connections nothing is in flight on.
    pub async fn close_idle(&self) {
        self.proxy.http_cleanup().await;
    }

    fn welcome(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        total: tokio::sync::OwnedSemaphorePermit,
    ) {
        let is_trusted = self
            .settings
            .trusted_proxies
            .iter()
            .any(|net| net.contains(&peer.ip()));
        let most = if is_trusted {
            usize::MAX
        } else {
            self.settings.max_connections_per_address
        };
        let Some(place) = self.open.take(peer.ip(), most) else {
            self.metrics.refused("too_many_connections");
            return;
        };
        let proxy = Arc::clone(&self.proxy);
        let settings = self.settings.clone();
        let drain = Arc::clone(&self.drain);
        let has_preamble = is_trusted && self.settings.proxy_protocol;
        self.tasks.spawn("connection", async move {
            let _places = (total, place);
            let served = converse(&proxy, stream, peer, &settings, &drain, has_preamble).await;
            if let Err(error) = served {
                tracing::debug!(error = %error, "a connection ended before its first request");
            }
        });
    }
}

/// Serves one connection from its first byte to its last.
async fn converse(
    proxy: &Arc<HttpProxy<Gateway>>,
    mut stream: TcpStream,
    peer: SocketAddr,
    settings: &Settings,
    drain: &Drain,
    has_preamble: bool,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let bounds = HeadBounds {
        bytes: usize::try_from(settings.header_limit_bytes).unwrap_or(usize::MAX),
        time: Duration::from_secs(settings.header_deadline_s),
    };
    let mut address = peer.ip();
    if has_preamble {
        let told = timeout(bounds.time, proxy_protocol::read(&mut stream)).await??;
        address = told.unwrap_or(address);
    }
    // Nothing is set aside for a connection that says nothing.
    let patience = Duration::from_secs(settings.keepalive_s);
    // Readiness alone may be spurious; only a byte is a word. A drain does not end the wait: the caller may have
    // been accepted in the moment before it, and its request is under way.
    timeout(patience, stream.peek(&mut [0])).await??;
    let connection = Connection::new(address);
    let guarded = Guarded::new(stream, Arc::clone(&connection), bounds);
    let closing = drain.closing();
    connection
        .scope(proxy.process_new(Box::new(guarded), &closing))
        .await;
    Ok(())
}
