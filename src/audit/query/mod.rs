//! Reading the log: which rows, in which order.

pub mod store;

use uuid::Uuid;

use crate::base::Moment;

/// Which rows are asked for; nothing asks for all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Rows of this kind of actor.
    pub actor_kind: Option<String>,
    /// Rows of this actor.
    pub actor_id: Option<Uuid>,
    /// Rows of this action.
    pub action: Option<String>,
    /// Rows about this kind of thing.
    pub target_kind: Option<String>,
    /// Rows about this thing.
    pub target_id: Option<Uuid>,
    /// Rows not older than this.
    pub from: Option<Moment>,
    /// Rows older than this.
    pub until: Option<Moment>,
}
