//! Who changed what: written in the transaction of the change, or the change does not happen.

pub mod source;

pub mod key;

pub mod chain;
pub mod verify;

pub mod checkpoint;
pub mod folder;

pub mod inspect;
pub mod store;

pub mod finding;
pub mod query;

pub use key::AuditKeys;
pub use source::{Source, UserAgent};

use serde_json::Value;
use uuid::Uuid;

use crate::base::{ApiKeyId, Moment, UserId};

/// Who acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A person at the sidecar.
    User(UserId),
    /// A program with a key.
    Key(ApiKeyId),
    /// Somebody at the command line.
    Operator,
    /// Background work.
    Agent,
    /// Synaxis itself.
    System,
}

/// Who acts, when, and from where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct By {
    /// Who.
    pub actor: Actor,
    /// When.
    pub now: Moment,
    /// From where.
    pub source: Source,
}

impl By {
    /// Says who acts and when; from where is not known.
    #[must_use]
    pub fn new(actor: Actor, now: Moment) -> Self {
        Self {
            actor,
            now,
            source: Source::default(),
        }
    }

    /// Returns the person who acts, when it is one.
    #[must_use]
    pub const fn person(&self) -> Option<UserId> {
        match self.actor {
            Actor::User(user) => Some(user),
            Actor::Key(_) | Actor::Operator | Actor::Agent | Actor::System => None,
        }
    }

    /// Adds from where.
    #[must_use]
    pub const fn from(self, source: Source) -> Self {
        Self { source, ..self }
    }
}

/// One change, as it is written down. Holds no secret.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// What was done, as `noun.verb`.
    pub action: &'static str,
    /// To what kind of thing.
    pub target_kind: &'static str,
    /// To which one.
    pub target_id: Option<Uuid>,
    /// What a reader needs to understand it: an object.
    pub details: Value,
}
