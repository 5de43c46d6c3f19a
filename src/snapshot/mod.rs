//! Everything the data path may read, in one immutable value.
//!
//! What the books say wrongly never replaces what they said rightly: a snapshot is checked whole before it is shown.

pub mod ask;
pub mod build;
pub mod last_good;
mod rows;

pub mod follow;

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::{
    base::Moment,
    catalog::{Catalog, Provider},
    routing::Preferences,
};

pub use ask::{Demand, Size, keep_own};
pub use build::{BadSnapshot, build, read};
pub use follow::{Source, follow, open};
pub use last_good::LastGood;

/// Everything the data path may read, at one instant.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// The last change of the books it contains; negative before anything was read.
    pub seq: i64,
    /// When it was read.
    pub taken_at: Moment,
    /// What can be bought.
    pub catalog: Catalog,
    /// Everybody who can be asked, also who sells nothing now.
    pub providers: Vec<Arc<Provider>>,
    /// What is wanted of it.
    pub preferences: Preferences,
    /// When a price begins or ends next: what the catalog says holds until then.
    pub changes_at: Option<Moment>,
    /// What it was made of, to tell an accident from a decision.
    pub counts: Counts,
}

/// What a snapshot was made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Offers in the books, switched off or not.
    pub offers: usize,
    /// Of these, with a known price.
    pub priced: usize,
    /// Offers that were taken out of the books.
    pub retired: i64,
    /// Rows of organizations that could not be used.
    pub left_out: usize,
}

/// The snapshot of this moment; whoever serves a request takes one and keeps it to the end.
pub type View = Arc<ArcSwap<Snapshot>>;

impl Snapshot {
    /// Returns what is known before anything was read: nothing.
    #[must_use]
    pub fn none() -> Self {
        Self {
            seq: -1,
            ..Self::default()
        }
    }

    /// Says whether anything was ever read.
    #[must_use]
    pub const fn is_loaded(&self) -> bool {
        0 <= self.seq
    }
}
