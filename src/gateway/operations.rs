//! What operators ask: metrics, and whether the gateway lives, has started, is ready.
//!
//! Never on the public port; never calls a model; never red because an upstream is.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use http::{Response, StatusCode, header};
use pingora::{
    apps::{ServerApp, http_app::ServeHttp},
    protocols::{http::ServerSession, l4::stream::Stream},
};
use tokio::net::TcpListener;

use super::{Drain, Metrics, Parts, Phase, metrics::Breaker, readings::Readings};
use crate::{
    base::{Clock, Moment, tasks::Tasks},
    keys::Keys,
    quota::Ledger,
    routing::{Availability, Health},
    snapshot::{Snapshot, View},
    usage::Spool,
};

/// What the operations listener tells of.
pub struct Operations {
    clock: Clock,
    keys: Arc<Keys>,
    view: View,
    ledger: Arc<Ledger>,
    spool: Arc<Spool>,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    drain: Arc<Drain>,
}

/// How long a probe of Redis may take before the gateway calls itself not ready.
const PROBE: Duration = Duration::from_secs(1);

impl Operations {
    /// Tells of a gateway's parts.
    #[must_use]
    pub fn of(parts: &Parts) -> Self {
        Self {
            clock: parts.clock.clone(),
            keys: Arc::clone(&parts.keys),
            view: Arc::clone(&parts.view),
            ledger: Arc::clone(&parts.ledger),
            spool: Arc::clone(&parts.spool),
            health: Arc::clone(&parts.health),
            metrics: Arc::clone(&parts.metrics),
            drain: Arc::clone(&parts.drain),
        }
    }

    /// Serves until the process ends.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, tasks: Tasks) {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let app = Arc::clone(&self);
            let closing = self.drain.closing();
            tasks.spawn("operations connection", async move {
                app.process_new(Box::new(Stream::from(stream)), &closing)
                    .await;
            });
        }
    }

    /// Waits until the gateway is ready.
    pub async fn ready(&self) {
        while self.find_hindrance().await.is_some() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Returns what keeps the gateway from being ready, or nothing.
    async fn find_hindrance(&self) -> Option<String> {
        if self.drain.phase() != Phase::Serving {
            return Some("draining".to_owned());
        }
        if !self.view.load().is_loaded() {
            return Some("no snapshot of the catalog yet".to_owned());
        }
        if self.spool.is_full() {
            return Some("the spool is full".to_owned());
        }
        match tokio::time::timeout(PROBE, self.ledger.ready()).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("limits: {error}")),
            Err(_) => Some("limits: Redis does not answer".to_owned()),
        }
    }

    /// Brings the gauges up to date and writes all metrics.
    fn render(&self) -> String {
        let now = self.clock.now();
        let view = self.view.load();
        self.show_breakers(&view, now);
        let drift = i64::try_from(self.ledger.drift_nano_usd()).unwrap_or(i64::MAX);
        self.metrics.quota_drift_nano_usd.set(drift);
        self.metrics.render(&Readings {
            holds_open: self.ledger.open_holds(),
            spool_bytes: self.spool.bytes(),
            snapshot_age: now.since(view.taken_at),
            key_view_age: self.keys.view_age(),
            limits_enforced: self.ledger.is_enforced(),
            quota: self.ledger.counters(),
            usage: self.spool.counters(),
        })
    }

    fn show_breakers(&self, view: &Snapshot, now: Moment) {
        let failing = self.health.failing(now);
        let states = failing.iter().filter_map(|(offer, _, availability)| {
            let offer = view
                .catalog
                .offers
                .iter()
                .find(|known| known.id == *offer)?;
            let state = match availability {
                Availability::Ready => Breaker::Closed,
                Availability::OnTrial => Breaker::Probing,
                Availability::Failing(_) | Availability::Limited(_) | Availability::Cooling(_) => {
                    Breaker::Open
                }
            };
            Some((offer.as_ref(), state))
        });
        self.metrics.show_breakers(states);
    }
}

#[async_trait]
impl ServeHttp for Operations {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let path = session.req_header().uri.path().to_owned();
        match path.as_str() {
            "/metrics" => text(StatusCode::OK, self.render()),
            "/livez" => text(StatusCode::OK, "ok\n".to_owned()),
            "/readyz" | "/startupz" => match self.find_hindrance().await {
                None => text(StatusCode::OK, "ok\n".to_owned()),
                Some(hindrance) => text(StatusCode::SERVICE_UNAVAILABLE, hindrance + "\n"),
            },
            _ => text(StatusCode::NOT_FOUND, "nothing here\n".to_owned()),
        }
    }
}

fn text(status: StatusCode, body: String) -> Response<Vec<u8>> {
    let body = body.into_bytes();
    let length = body.len();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let kind = header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
        .headers_mut()
        .insert(header::CONTENT_LENGTH, header::HeaderValue::from(length));
    response
}
