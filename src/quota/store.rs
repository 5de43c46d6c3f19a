//! What the books say was spent: where counters begin when Redis does not know.

use async_trait::async_trait;
use serde::Serialize;
use uuid::Uuid;

use super::{Meter, Subject};
use crate::base::OrganizationId;

/// One question to the books: how much of a meter a subject used in a stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Span {
    /// The limit it is asked for.
    pub id: Uuid,
    /// Whose use.
    pub subject: Subject,
    /// Of what.
    pub meter: Meter,
    /// From when on, in milliseconds since 1970.
    pub from: i64,
    /// Until when, exclusive.
    pub to: i64,
}

/// The books cannot be read, so what was spent is unknown.
#[derive(Debug, thiserror::Error)]
#[error("the books cannot be read")]
pub struct BooksAway(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Whoever knows what was spent.
#[async_trait]
pub trait Books: Send + Sync {
    /// Returns what was booked for each span, in order. Sees everything committed before the call.
    async fn spent(
        &self,
        organization: OrganizationId,
        spans: &[Span],
    ) -> Result<Vec<u64>, BooksAway>;
}
