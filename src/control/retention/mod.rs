//! What is kept and for how long: months made ahead, months dropped past their retention, checkpoints of the audit log.
//!
//! Every sidecar does a round when it starts, an agent does the others; an advisory lock lets one at a time. Each step is a transaction of its own and may be
//! done again, so a sidecar that dies in the middle leaves nothing half done.

mod checkpoints;
mod months;
mod rows;
mod store;

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    audit::{self, Actor, AuditKeys, By, Event, folder::Folder},
    base::{Clock, Fault, Moment},
    store::{Postgres, StoreError},
};

/// How many months are made ahead.
const MONTHS_AHEAD: i32 = 3;
/// The pause after a round that failed.
const PAUSE: Duration = Duration::from_secs(60);

/// What is kept and for how long.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Days that rows without an organization's own say are kept; months go whole, so at most a month longer.
    pub days: u32,
    /// Days that the change feed is kept.
    pub changes_days: u32,
    /// The folder outside the database for signed checkpoints of the audit log; without one its months are never dropped.
    pub checkpoint_folder: Option<PathBuf>,
    /// The time between two checkpoints.
    pub checkpoint_every_s: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            days: 90,
            changes_days: 7,
            checkpoint_folder: None,
            checkpoint_every_s: 3_600,
        }
    }
}

impl Settings {
    /// Returns what of them cannot stand.
    #[must_use]
    pub fn validate(&self) -> Vec<Fault> {
        [
            Fault::unless_within("days", self.days, 32..=3_650),
            Fault::unless_within("changes_days", self.changes_days, 1..=3_650),
            Fault::unless_within("checkpoint_every_s", self.checkpoint_every_s, 60..=86_400),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// What one round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Months that were missing and were made.
    pub months_made: i32,
    /// Months that went whole.
    pub months_dropped: u32,
    /// Months that went but for the rows of who keeps them longer.
    pub months_rewritten: u32,
    /// Months of the audit log that are due, but for which no checkpoint vouches yet.
    pub months_unvouched: u32,
    /// Rows deleted for organizations that keep theirs for less.
    pub rows_pruned: i64,
    /// Changes forgotten.
    pub changes_pruned: i64,
}

impl Report {
    /// Did anything go?
    const fn has_dropped(&self) -> bool {
        0 < self.months_dropped || 0 < self.months_rewritten || 0 < self.rows_pruned
    }
}

/// Why a round ended early.
#[derive(Debug, thiserror::Error)]
pub enum RoundFailed {
    /// Postgres did not answer, or refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The checkpoint could not be written.
    #[error("the checkpoint folder cannot be written")]
    Folder(#[from] std::io::Error),
}

/// What keeps: the books as an agent, and what it was told.
#[derive(Clone, Debug)]
pub struct Keeper {
    /// The books, as the agents' role.
    pub postgres: Postgres,
    /// The time of day.
    pub clock: Clock,
    /// What it was told.
    pub settings: Settings,
}

impl Keeper {
    /// Makes one round, and keeps checkpoints until `stopped`.
    pub async fn run(self, stopped: impl Future<Output = ()>) {
        let both = async {
            tokio::join!(self.first_round(), self.keep_checkpoints());
        };
        tokio::select! {
            () = stopped => {}
            () = both => {}
        }
    }

    /// Makes a round as soon as the books answer: nothing is booked into a month that is missing.
    async fn first_round(&self) {
        while let Err(error) = self.round().await {
            tracing::error!(error = %told(&error), "retention was not kept");
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn keep_checkpoints(&self) {
        if self.settings.checkpoint_folder.is_none() {
            tracing::warn!(
                "without retention.checkpoint_folder a log that is cut at its end looks sound"
            );
            return;
        }
        loop {
            let pause = match self.checkpoint().await {
                Ok(_) => Duration::from_secs(self.settings.checkpoint_every_s),
                Err(error) => {
                    tracing::error!(error = %told(&error), "no checkpoint of the audit log was kept");
                    PAUSE
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Makes what is missing and drops what is due; `None` while another process is at it.
    ///
    /// # Errors
    /// When a step fails; what was done before stays done.
    pub async fn round(&self) -> Result<Option<Report>, RoundFailed> {
        // Held by an open transaction: it ends with the connection, whatever becomes of us.
        let mut lock = self.postgres.begin_waiting().await?;
        if !store::is_first(&mut lock).await? {
            return Ok(None);
        }
        let mut report = Report {
            months_made: store::make_months(&self.postgres, MONTHS_AHEAD).await?,
            ..Report::default()
        };
        months::retire(self, &mut report).await?;
        rows::prune(self, &mut report).await?;
        if report.has_dropped() {
            self.note(&report).await?;
        }
        // Whoever keeps retention next, at once perhaps, must find the lock free.
        lock.rollback().await.map_err(StoreError::from)?;
        tracing::info!(?report, "retention was kept");
        Ok(Some(report))
    }

    /// Writes into the platform's own log what went.
    async fn note(&self, report: &Report) -> Result<(), StoreError> {
        let event = Event {
            action: "retention.keep",
            target_kind: "platform",
            target_id: None,
            details: json!(report),
        };
        let mut tx = self.postgres.begin_for_platform().await?;
        let by = By::new(Actor::System, self.clock.now());
        audit::store::record(&mut tx, by, &event).await?;
        tx.commit().await.map_err(StoreError::from)
    }

    /// Signs where every chain ends and keeps it outside; returns how many chains it vouches for. Nothing without a
    /// folder.
    ///
    /// # Errors
    /// When the books do not answer or the folder cannot be written.
    pub async fn checkpoint(&self) -> Result<usize, RoundFailed> {
        let Some(path) = &self.settings.checkpoint_folder else {
            return Ok(0);
        };
        checkpoints::keep(self, &Folder::at(path.clone())).await
    }

    fn keys(&self) -> Result<&'static AuditKeys, StoreError> {
        AuditKeys::installed().ok_or(StoreError::NoAuditKey)
    }

    fn days(&self) -> i32 {
        i32::try_from(self.settings.days).unwrap_or(i32::MAX)
    }

    fn before(&self, days: i32) -> Moment {
        let days = u64::try_from(days).unwrap_or_default();
        self.clock.now().minus(Duration::from_secs(days * 86_400))
    }
}

/// The error with its causes, on one line.
fn told(error: &RoundFailed) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
