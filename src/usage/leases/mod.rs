//! What a proxy has begun and not yet booked, told to Redis, so that the loss of its machine loses no call.
//!
//! A lease is the call's own entry as it stands when nothing more is ever heard of it. Whoever finds that a proxy has
//! fallen silent books its leases, and ends what Redis held for them. The spool needs none of this.

mod keeper;
mod store;
mod sweeper;

use async_trait::async_trait;
use serde::Deserialize;

pub(super) use self::keeper::Keeper;
pub use self::{store::Leases, sweeper::Sweeper};
use crate::base::{NanoUsd, OrganizationId, RequestId, Tokens};

/// A call of a dead process, as the books have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Lost {
    /// The call.
    #[serde(rename = "request_id")]
    pub id: RequestId,
    /// Whose.
    #[serde(rename = "organization_id")]
    pub organization: OrganizationId,
    /// What it read.
    #[serde(rename = "input_tokens")]
    pub input: Tokens,
    /// What it wrote.
    #[serde(rename = "output_tokens")]
    pub output: Tokens,
    /// What it cost.
    #[serde(rename = "cost_nano_usd")]
    pub cost: NanoUsd,
}

/// What was held for calls of a dead process was not ended; it must be tried again.
#[derive(Debug, thiserror::Error)]
#[error("what a dead process held cannot be ended")]
pub struct NotEnded(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Whoever holds calls to their limits.
#[async_trait]
pub trait Holds: std::fmt::Debug + Send + Sync {
    /// Ends what was held for calls of dead processes with what the books say of them. Again changes nothing.
    async fn end(&self, calls: &[Lost]) -> Result<(), NotEnded>;
}

/// Reads what was lost from a row; `None` when it is no row.
pub(super) fn lost(row: &str) -> Option<Lost> {
    serde_json::from_str(row).ok()
}
