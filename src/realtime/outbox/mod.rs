//! Events in the books, in the order they were committed.

pub mod store;

pub use store::emit;

use uuid::Uuid;

use crate::base::{Moment, OrganizationId};

/// How long an event can be read again.
pub const KEPT: std::time::Duration = std::time::Duration::from_hours(24);

/// An event that was committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Its place in the order of commits.
    pub seq: i64,
    /// Which one.
    pub id: Uuid,
    /// When it was written.
    pub at: Moment,
    /// Whose it is; `None` is the platform's.
    pub organization: Option<OrganizationId>,
    /// What kind of thing happened, see [`super::Event::KINDS`].
    pub kind: String,
    /// What is told of it: an object, as JSON.
    pub data: String,
}
