//! Who changed what: written in the transaction of the change, or the change does not happen.

pub mod store;

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

/// Who acts, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct By {
    /// Who.
    pub actor: Actor,
    /// When.
    pub now: Moment,
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
