//! A row of the catalog as people see it, and which rows they ask for.

use uuid::Uuid;

use crate::base::{Moment, OrganizationId, page::Paging};

/// A row: what it says, whose it is, since when.
#[derive(Clone, Debug)]
pub struct Row<T> {
    /// Its id.
    pub id: Uuid,
    /// Whose it is; `None` is the platform's.
    pub owner: Option<OrganizationId>,
    /// What it says.
    pub entry: T,
    /// When it was made.
    pub created_at: Moment,
    /// When it was last changed.
    pub updated_at: Moment,
}

/// Which of the rows a transaction may see are sought. What is `None` does not matter.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sought {
    /// This one alone.
    pub id: Option<Uuid>,
    /// The owner's own, or else what the platform shares.
    pub is_own: Option<bool>,
    /// Of this provider.
    pub provider: Option<Uuid>,
    /// Of this model.
    pub model: Option<Uuid>,
    /// Of this offer.
    pub offer: Option<Uuid>,
    /// Which page.
    pub paging: Paging,
}

impl Sought {
    /// Seeks one row.
    #[must_use]
    pub fn one(id: Uuid) -> Self {
        Self {
            id: Some(id),
            ..Self::default()
        }
    }

    /// Seeks a page of all rows.
    #[must_use]
    pub fn page(paging: Paging) -> Self {
        Self {
            paging,
            ..Self::default()
        }
    }
}
