//! Connections of one listener: how many there may be, and how long each may dawdle.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto::Builder, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
};
use tower::ServiceExt;

use super::{Plane, Settings};
use crate::base::tasks::Tasks;

/// The most headers a request may have.
const MOST_HEADERS: usize = 64;
/// The largest head, in bytes; one read more may pass.
const LARGEST_HEAD: usize = 32 * 1024;
/// How long to rest when no connection can be taken, such as for want of descriptors.
const REST: Duration = Duration::from_millis(50);

/// What stands behind one listener.
pub struct Door {
    router: Router,
    settings: Arc<Settings>,
    tasks: Tasks,
    places: Arc<Semaphore>,
    guests: Guests,
}

/// How many connections each address has.
#[derive(Clone, Debug, Default)]
struct Guests(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One connection's place; given back when dropped.
struct Place {
    _of_all: OwnedSemaphorePermit,
    _of_address: Option<Guest>,
}

struct Guest {
    guests: Guests,
    address: IpAddr,
}

impl Door {
    /// Makes a door to a router.
    #[must_use]
    pub fn new(plane: &Plane, router: Router) -> Self {
        Self {
            router,
            places: Arc::new(Semaphore::new(plane.settings.max_connections)),
            settings: Arc::clone(&plane.settings),
            tasks: plane.tasks.clone(),
            guests: Guests::default(),
        }
    }

    /// Serves until `stopping` turns true, and then until open requests have ended.
    ///
    /// # Errors
    ///
    /// Never by itself; the type is what the caller waits for.
    pub async fn serve(
        self,
        listener: TcpListener,
        mut stopping: watch::Receiver<bool>,
    ) -> io::Result<()> {
        let graceful = GracefulShutdown::new();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = stopping.wait_for(|is_stopping| *is_stopping) => break,
            };
            match accepted {
                Ok((stream, peer)) => self.let_in(stream, peer, &graceful),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be taken");
                    tokio::time::sleep(REST).await;
                }
            }
        }
        drop(listener);
        graceful.shutdown().await;
        Ok(())
    }

    fn let_in(&self, stream: TcpStream, peer: SocketAddr, graceful: &GracefulShutdown) {
        let Some(place) = self.place(peer.ip().to_canonical()) else {
            tracing::warn!("a connection is refused: there are too many");
            return;
        };
        // A small answer must not wait for the next one.
        let _only_slower = stream.set_nodelay(true);
        let named = move |mut request: Request<_>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            request.map(Body::new)
        };
        let service = TowerToHyperService::new(self.router.clone().map_request(named));
        let mut builder = Builder::new(TokioExecutor::new()).http1_only();
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_secs(self.settings.header_deadline_s))
            .max_headers(MOST_HEADERS)
            .max_buf_size(LARGEST_HEAD);
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection.into_owned());
        self.tasks.spawn("connection", async move {
            let _place = place;
            // A caller that leaves half-way is no fault of anybody.
            let _ended = connection.await;
        });
    }

    fn place(&self, address: IpAddr) -> Option<Place> {
        let of_all = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let trusted = &self.settings.trusted_proxies;
        let is_trusted = trusted.iter().any(|net| net.contains(&address));
        let of_address = match is_trusted {
            true => None,
            false => Some(
                self.guests
                    .admit(address, self.settings.max_connections_per_address)?,
            ),
        };
        Some(Place {
            _of_all: of_all,
            _of_address: of_address,
        })
    }
}

impl Guests {
    fn admit(&self, address: IpAddr, most: usize) -> Option<Guest> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        if most <= *count {
            return None;
        }
        *count += 1;
        Some(Guest {
            guests: self.clone(),
            address,
        })
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut counts = self.guests.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_places_and_gets_them_back() {
        let guests = Guests::default();
        let (one, other): (IpAddr, IpAddr) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());

        let first = guests.admit(one, 2);
        let second = guests.admit(one, 2);
        assert!(first.is_some() && second.is_some());
        assert!(guests.admit(one, 2).is_none());
        assert!(guests.admit(other, 2).is_some());

        drop(first);
        assert!(guests.admit(one, 2).is_some());
    }
}
