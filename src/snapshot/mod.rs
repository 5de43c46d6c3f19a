//! Everything the data path may read, in one immutable value.

pub mod build;

pub mod feed;
pub mod last_good;
mod store;

use std::sync::Arc;

use arc_swap::ArcSwap;

pub use feed::{Follower, open};

use crate::{base::Moment, catalog::Catalog};

/// The world as one request sees it.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// The last change it holds.
    pub seq: i64,
    /// When the books said so; the beginning of time for a snapshot that holds nothing yet.
    pub taken_at: Moment,
    /// What can be bought.
    pub catalog: Catalog,
}

/// Where every part of the process finds the latest snapshot.
pub type View = Arc<ArcSwap<Snapshot>>;
