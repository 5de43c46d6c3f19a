//! Books what a proxy left that is not coming back, from its leases; any other proxy does it.

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use rand::RngExt as _;
use uuid::Uuid;

use super::{Holds, Leases, NotEnded, lost};
use crate::{
    store::{Postgres, StoreError, proxies::Proxies, redis::RedisError},
    usage::{Counters, Spool, booking, dead, rows::Rows},
};

/// How long is waited before a proxy's silence is believed: every living one is heard meanwhile, even when Redis's clock
/// was put ahead.
const LISTEN: Duration = Duration::from_secs(3);

/// How many leases are booked at once.
const BATCH: usize = 256;

/// Books what dead proxies left.
#[derive(Debug)]
pub struct Sweeper {
    spool: Arc<Spool>,
    leases: Leases,
    proxies: Arc<Proxies>,
    holds: Arc<dyn Holds>,
    silence: Duration,
}

/// Why a sweep ended early. Everything is still there.
#[derive(Debug, thiserror::Error)]
pub enum NotSwept {
    /// Redis does not answer.
    #[error("the leases cannot be read")]
    Redis(#[from] RedisError),
    /// Postgres does not take entries.
    #[error("the books are away")]
    Books(#[from] StoreError),
    /// The limits cannot be told.
    #[error(transparent)]
    Holds(#[from] NotEnded),
    /// What the books refuse could not be kept.
    #[error("the dead letters cannot be written")]
    Disk(#[from] std::io::Error),
}

impl Sweeper {
    /// Sweeps for the proxy of `spool`; nothing of its own is touched.
    #[must_use]
    pub fn new(
        spool: Arc<Spool>,
        leases: Leases,
        proxies: Arc<Proxies>,
        holds: Arc<dyn Holds>,
    ) -> Self {
        let silence = Duration::from_millis(spool.settings().abandon_after_ms);
        Self {
            spool,
            leases,
            proxies,
            holds,
            silence,
        }
    }

    /// Sweeps every now and then until `shutdown` ends.
    pub async fn run(self, postgres: Postgres, shutdown: impl Future<Output = ()> + Send) {
        let mut shutdown = pin!(shutdown);
        let pause = (self.silence / 8).clamp(Duration::from_millis(50), Duration::from_secs(30));
        loop {
            // Proxies that were started together need not sweep together.
            let pause = pause.mul_f64(rand::rng().random_range(0.5..1.5));
            tokio::select! {
                () = &mut shutdown => return,
                () = tokio::time::sleep(pause) => {}
            }
            match self.sweep(&postgres).await {
                Ok(0) => {}
                Ok(calls) => {
                    tracing::warn!(calls, "booked what proxies left that are not coming back")
                }
                Err(error) => {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::warn!(%error, cause, "what a lost proxy left cannot be booked yet");
                }
            }
        }
    }

    /// Books what silent proxies left; returns how many calls that were.
    ///
    /// # Errors
    /// When Redis, Postgres or the disk is away; nothing is lost.
    pub async fn sweep(&self, postgres: &Postgres) -> Result<usize, NotSwept> {
        let mut swept = 0;
        if self.proxies.silent(self.silence).await?.is_empty() {
            return Ok(swept);
        }
        tokio::time::sleep(LISTEN.min(self.silence)).await;
        for proxy in self.proxies.silent(self.silence).await? {
            if proxy != self.spool.boot() {
                swept += self.sweep_one(postgres, proxy).await?;
            }
        }
        Ok(swept)
    }

    async fn sweep_one(&self, postgres: &Postgres, proxy: Uuid) -> Result<usize, NotSwept> {
        let mut swept = 0;
        loop {
            let leases = self.leases.some(proxy, BATCH).await?;
            if leases.is_empty() {
                break;
            }
            swept += self.book(postgres, &leases).await?;
            let ids: Vec<String> = leases.into_iter().map(|(id, _)| id).collect();
            self.leases.keep(proxy, false, &[], &ids).await?;
        }
        // Heard again meanwhile, it tells anew what is open.
        if self.proxies.forget(proxy, self.silence).await? {
            tracing::warn!(%proxy, calls = swept, "a proxy is given up");
        }
        Ok(swept)
    }

    async fn book(
        &self,
        postgres: &Postgres,
        leases: &[(String, Vec<u8>)],
    ) -> Result<usize, NotSwept> {
        let mut rows = Rows::default();
        for (id, row) in leases {
            if rows.push(row).is_err() {
                self.bury(row, format!("the lease {id} is no row"))?;
            }
        }
        let refused = booking::book(postgres, rows.all()).await?;
        for refused in &refused {
            self.bury(refused.row.as_bytes(), refused.reason.clone())?;
        }
        let booked = rows.each().filter_map(lost);
        self.holds.end(&booked.collect::<Vec<_>>()).await?;
        Counters::add(&self.spool.counters().abandoned, rows.len() - refused.len());
        Ok(rows.len())
    }

    fn bury(&self, row: &[u8], reason: String) -> Result<(), NotSwept> {
        tracing::error!(%reason, "a lease cannot be booked, it is kept in the dead letters");
        dead::bury(self.spool.folder(), row, reason)?;
        Counters::add(&self.spool.counters().dead_letters, 1);
        Ok(())
    }
}
