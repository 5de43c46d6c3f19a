//! Work nobody waits for: an agent wakes by the clock or by a nudge, looks, acts through tools, and leaves a report.

pub mod schedule;

pub mod journal;

mod store;

pub mod driver;

pub mod tools;

pub mod cost;
pub mod discovery;
pub mod health;
pub mod maintenance;
pub mod security;

use async_trait::async_trait;
use serde::Serialize;
use serde_json::Value;

use crate::{
    audit::{Actor, By},
    base::{Clock, Moment, RunId},
    store::Postgres,
    tenancy::{Permission, Permissions},
};

/// What the agents' leader holds.
pub const LEASE: &str = "agents";

/// Why a waking came to nothing; its first line goes into the journal, all of it into the log.
pub type Fault = anyhow::Error;

/// Somebody who wakes, looks, acts and reports.
///
/// A waking may be done again, ends by itself, and tries nothing twice: the next waking does.
#[async_trait]
pub trait Agent: Send + Sync {
    /// Returns its name in the books.
    fn name(&self) -> &'static str;

    /// Returns all it may ever do.
    fn permissions(&self) -> Permissions;

    /// Does what there is to do.
    ///
    /// # Errors
    /// When it could not; what was done before stays done.
    async fn wake(&self, waking: &Waking) -> Result<Report, Fault>;
}

/// One waking: why, when, and with what.
#[derive(Clone, Debug)]
pub struct Waking {
    /// Which one.
    pub run: RunId,
    /// When it began.
    pub now: Moment,
    /// The books; every transaction is refused once another process leads.
    pub postgres: Postgres,
    /// The time of day.
    pub clock: Clock,
    /// Whose.
    pub agent: &'static str,
    /// All the agent may do.
    pub permissions: Permissions,
    /// Does it act, or only look?
    pub mode: Mode,
}

/// Whether what an agent decides is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It is.
    Act,
    /// It is only reported.
    Dry,
}

/// A tool refused: the agent is not permitted that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{agent} is not permitted {permission}")]
pub struct NotPermitted {
    /// Who asked.
    pub agent: &'static str,
    /// For what.
    pub permission: Permission,
}

impl Waking {
    /// Says who acts, and when.
    #[must_use]
    pub fn by(&self) -> By {
        By::new(Actor::Agent, self.now)
    }

    /// Asks whether the agent may, and whether it acts or only looks.
    ///
    /// # Errors
    /// When it may not.
    pub fn permit(&self, permission: Permission) -> Result<Mode, NotPermitted> {
        let agent = self.agent;
        match self.permissions.holds(permission) {
            true => Ok(self.mode),
            false => Err(NotPermitted { agent, permission }),
        }
    }
}

/// What a waking saw and did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// An object of numbers and names; no secret.
    pub details: Value,
}

impl Report {
    /// Makes a report of what serializes to an object.
    ///
    /// # Errors
    /// When it does not serialize.
    pub fn of(details: &impl Serialize) -> Result<Self, Fault> {
        Ok(Self {
            details: serde_json::to_value(details)?,
        })
    }
}
