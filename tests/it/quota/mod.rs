//! What the ledger promises, against a real Redis.

mod admission;
mod clock;
mod degraded;
mod ends;
mod failover;
mod line;
mod loss;
mod proof;
mod server;
mod shares;
mod slices;
mod windows;
mod wire;
pub mod wound;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use chrono_tz::Tz;
use synaxis::{
    base::{
        ApiKeyId, Clock, CredentialId, Moment, OrganizationId, RequestId, Secret, tasks::Tasks,
    },
    quota::{
        Actual, Ask, Bid, Books, BooksAway, Charge, Decision, Enforcement, Hold, Ledger, Limit,
        Meter, Mode, Policy, Scripts, Settings, Span, Standing, Subject, Unavailable, Window,
    },
    store::redis::{Redis, Settings as RedisSettings},
};
use tokio::{sync::oneshot, task::JoinHandle};
use uuid::Uuid;

use crate::stack::test_redis_url;

pub fn now() -> Moment {
    Clock::System.now()
}

/// A fresh id that no other test has.
pub fn fresh() -> Uuid {
    RequestId::new(now()).uuid()
}

/// Books that know what was told them, when it was committed, and nothing else.
#[derive(Debug, Default)]
pub struct TestBooks {
    entries: Mutex<Vec<(OrganizationId, RequestId, Actual)>>,
    questions: AtomicU64,
    is_away: std::sync::atomic::AtomicBool,
}

impl TestBooks {
    pub fn commit(&self, organization: OrganizationId, id: RequestId, actual: Actual) {
        let mut entries = self.entries.lock().expect("the books");
        if !entries.iter().any(|(_, known, _)| *known == id) {
            entries.push((organization, id, actual));
        }
    }

    pub fn questions(&self) -> u64 {
        self.questions.load(Ordering::Relaxed)
    }

    pub fn set_away(&self, is_away: bool) {
        self.is_away.store(is_away, Ordering::Relaxed);
    }

    /// Only whole organizations are asked for in these tests.
    fn sum(&self, organization: OrganizationId, span: &Span) -> u64 {
        let entries = self.entries.lock().expect("the books");
        let booked = entries.iter().filter(|(whose, id, _)| {
            *whose == organization && (span.from..span.to).contains(&id.at().millis())
        });
        booked.map(|(_, _, actual)| span.meter.of(actual)).sum()
    }
}

#[async_trait]
impl Books for TestBooks {
    async fn spent(
        &self,
        organization: OrganizationId,
        spans: &[Span],
    ) -> Result<Vec<u64>, BooksAway> {
        self.questions.fetch_add(1, Ordering::Relaxed);
        if self.is_away.load(Ordering::Relaxed) {
            return Err(BooksAway("the books are away".into()));
        }
        Ok(spans
            .iter()
            .map(|span| self.sum(organization, span))
            .collect())
    }
}

/// One proxy's ledger, kept as in production.
pub struct TestProxy {
    pub ledger: Arc<Ledger>,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<()>,
}

/// Where and how a proxy keeps its ledger.
#[derive(Clone)]
pub struct Place {
    pub url: String,
    pub prefix: String,
    pub settings: Settings,
    pub books: Arc<TestBooks>,
    pub deadline_ms: u64,
}

impl Place {
    pub fn at(url: String) -> Self {
        Self {
            url,
            prefix: format!("test:{}:", fresh().simple()),
            settings: Settings {
                rebuild_grace_ms: 200,
                ..Settings::default()
            },
            books: Arc::default(),
            deadline_ms: 250,
        }
    }

    pub fn shared() -> Self {
        // The machine is busy while all tests run: a late answer is no failure of the limits.
        Self {
            deadline_ms: 5_000,
            ..Self::at(test_redis_url())
        }
    }

    pub fn redis(&self) -> Redis {
        Redis::connect(&RedisSettings {
            url: Secret::new(self.url.clone()),
            key_prefix: self.prefix.clone(),
            deadline_ms: self.deadline_ms,
        })
        .expect("a Redis address")
    }

    pub fn proxy(&self) -> TestProxy {
        self.proxy_with(Scripts::default())
    }

    pub fn proxy_with(&self, scripts: Scripts) -> TestProxy {
        let books = Arc::clone(&self.books);
        let ledger = Ledger::with_scripts(self.settings.clone(), self.redis(), books, scripts);
        let (stop, stopped) = oneshot::channel();
        let running = Tasks::default().spawn("ledger", {
            let ledger = Arc::clone(&ledger);
            async move {
                ledger
                    .run(async {
                        let _ = stopped.await;
                    })
                    .await;
            }
        });
        TestProxy {
            ledger,
            stop: Some(stop),
            running,
        }
    }
}

impl TestProxy {
    /// Ends as a process does that is asked to.
    pub async fn stop(mut self) {
        let _ = self.stop.take().expect("not stopped yet").send(());
        (&mut self.running).await.expect("the ledger ends");
    }

    /// Ends as a process does that is killed.
    pub fn kill(&self) {
        self.running.abort();
    }
}

/// One tenant and how it calls.
#[derive(Clone)]
pub struct Tenant {
    pub organization: OrganizationId,
    pub limits: Vec<Limit>,
    pub policy: Policy,
}

impl Tenant {
    pub fn new(limits: &[(Meter, Window, u64)]) -> Self {
        let organization = OrganizationId(fresh());
        let limits = limits.iter().map(|(meter, window, amount)| Limit {
            id: fresh(),
            subject: Subject::Organization(organization),
            meter: *meter,
            window: *window,
            amount: *amount,
            enforcement: Enforcement::Hard,
            mode: Mode::Enforce,
            zone: Tz::UTC,
        });
        Self {
            organization,
            limits: limits.collect(),
            policy: Policy::default(),
        }
    }

    /// What a call of such a size would take of each limit.
    pub fn bid(&self, size: &Actual) -> Bid {
        let tenant = self.limits.iter().map(|limit| limit.hold(size, size));
        Bid {
            tenant: tenant.collect(),
            own: Vec::new(),
        }
    }

    pub async fn admit(
        &self,
        proxy: &TestProxy,
        bids: &[Bid],
        now: Moment,
    ) -> Result<Decision, Unavailable> {
        let ask = Ask {
            id: RequestId::new(now),
            organization: self.organization,
            limits: &self.limits,
            bids,
            now,
            policy: self.policy,
        };
        proxy.ledger.admit(ask).await
    }

    /// Asks for one call of such a size, now.
    pub async fn ask(&self, proxy: &TestProxy, size: &Actual) -> Decision {
        let bids = [self.bid(size)];
        self.admit(proxy, &bids, now()).await.expect("an answer")
    }

    pub async fn standings(&self, proxy: &TestProxy) -> Vec<Standing> {
        let peeked = proxy.ledger.peek(self.organization, &self.limits, now());
        peeked.await.expect("the standings")
    }

    pub async fn remaining(&self, proxy: &TestProxy) -> Vec<u64> {
        let standings = self.standings(proxy).await;
        standings.iter().map(|one| one.remaining).collect()
    }
}

pub const fn call(input: u64, output: u64, cost_nano_usd: u64) -> Actual {
    Actual {
        requests: 1,
        input,
        output,
        cost_nano_usd,
        list_nano_usd: cost_nano_usd,
    }
}

/// An allowance of some provider's key.
pub fn allowance(meter: Meter, window: Window, amount: u64) -> Limit {
    Limit {
        id: fresh(),
        subject: Subject::Credential(CredentialId(fresh())),
        meter,
        window,
        amount,
        enforcement: Enforcement::Hard,
        mode: Mode::Enforce,
        zone: Tz::UTC,
    }
}

pub fn charge(limit: &Limit, amount: u64) -> Charge {
    Charge {
        limit: limit.clone(),
        amount,
    }
}

pub fn held(decision: Decision) -> Hold {
    match decision {
        Decision::Held { hold, .. } => hold,
        other => panic!("not held: {other:?}"),
    }
}

pub fn is_held(decision: &Decision) -> bool {
    matches!(decision, Decision::Held { .. })
}

/// Waits until everything that was settled is known to Redis.
pub async fn settled(tenant: &Tenant, proxy: &TestProxy, remaining: &[u64]) {
    crate::stack::within(Duration::from_secs(10), async || {
        tenant.remaining(proxy).await == remaining
    })
    .await;
}

/// A key limit's subject, for a tenant that has several.
pub fn key_subject() -> Subject {
    Subject::Key(ApiKeyId(fresh()))
}
