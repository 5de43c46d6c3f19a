//! The data path. One file per step, in the order a request meets them.

mod connection;
mod guard;
pub mod listen;

mod exchange;
mod framing;
mod path;
mod proxy;
mod proxy_protocol;

mod authenticate;
mod body;
mod call;
mod local;

mod admit;
mod forward;
mod learn;
mod once;
mod route;

mod decode;
mod downstream;
mod outbound;
mod pool;
mod raw;
mod relay;
mod rest;
mod upstream;
mod verdict;

mod answer;
mod head;
mod meter;
mod refuse;
mod settle;

pub mod drain;
pub mod handover;
pub mod metrics;
mod offer_metrics;
pub mod operations;
pub mod readings;
pub mod settings;

use std::sync::Arc;

pub use admit::own_charges;
pub use drain::{Drain, Phase};
pub use learn::{Learner, Lesson};
pub use metrics::Metrics;
pub use offer_metrics::OfferMetrics;
pub use rest::limited as rest_after;
pub use settings::Settings;

use crate::{
    base::Clock, egress, keys::Keys, quota::Ledger, routing::Health, snapshot::View, usage::Spool,
};

/// Everything the data path uses. Changing things arrive through `view`; nothing here is locked.
pub struct Gateway {
    settings: Settings,
    clock: Clock,
    keys: Arc<Keys>,
    view: View,
    health: Arc<Health>,
    egress: Arc<egress::Guard>,
    books: Arc<settle::Books>,
    pool: Arc<pool::Pool>,
    lessons: learn::Lessons,
    metrics: Arc<Metrics>,
    drain: Arc<Drain>,
}

/// What a gateway is made of.
pub struct Parts {
    pub settings: Settings,
    pub clock: Clock,
    pub keys: Arc<Keys>,
    pub view: View,
    pub health: Arc<Health>,
    pub egress: Arc<egress::Guard>,
    pub ledger: Arc<Ledger>,
    pub spool: Arc<Spool>,
    pub metrics: Arc<Metrics>,
    pub drain: Arc<Drain>,
}

impl Gateway {
    /// Puts the parts together; the learner is to be run beside.
    #[must_use]
    pub fn new(parts: Parts) -> (Self, Learner) {
        let (lessons, inbox) = learn::open();
        let learner = Learner::new(
            inbox,
            Arc::clone(&parts.ledger),
            Arc::clone(&parts.metrics),
            Arc::clone(&parts.view),
            parts.clock.clone(),
        );
        let books = settle::Books {
            ledger: parts.ledger,
            spool: parts.spool,
            metrics: Arc::clone(&parts.metrics),
            usual: crate::quota::Usual::default(),
        };
        let gateway = Self {
            settings: parts.settings,
            clock: parts.clock,
            keys: parts.keys,
            view: parts.view,
            health: parts.health,
            egress: parts.egress,
            books: Arc::new(books),
            pool: Arc::new(pool::Pool::new()),
            lessons,
            metrics: parts.metrics,
            drain: parts.drain,
        };
        (gateway, learner)
    }

    /// Returns the work of closing connections to providers that nobody uses; it never ends.
    pub fn close_unused(&self) -> impl Future<Output = ()> + Send + use<> {
        Arc::clone(&self.pool).close_unused()
    }
}
