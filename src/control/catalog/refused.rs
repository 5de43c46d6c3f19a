//! Why a change of the catalog was refused.

use crate::{
    base::{Fault, Moment},
    catalog::{Row, vault::NotSealed},
    store::{OwnerTx, StoreError},
};

/// Why a change of the catalog was refused; the transaction must be rolled back then.
#[derive(Debug, thiserror::Error)]
pub enum CatalogRefused {
    /// It is not there, or not the owner's to change.
    #[error("there is no such thing in this catalog")]
    Missing,
    /// Something it names is not there.
    #[error("`{0}` names something that is not in this catalog")]
    NoSuch(&'static str),
    /// Fields are out of range.
    #[error("a field is out of range")]
    Faulty(Vec<Fault>),
    /// Another has this name already.
    #[error("the name is taken")]
    Taken,
    /// It was changed since it was read.
    #[error("it was changed since it was read")]
    NotExpected,
    /// A provider with keys does not move: the keys were given for the host it has.
    #[error("keys were given for the host it has now; take them away first")]
    KeysBound,
    /// The organization may not have providers of its own.
    #[error("this organization may not have providers of its own")]
    NoCustomProviders,
    /// No other key waits to take this one's place.
    #[error("no new key waits to take the place of the old one")]
    NothingPending,
    /// Somebody decided already.
    #[error("somebody decided on it already")]
    Decided,
    /// A negative price cannot be released.
    #[error("a negative price cannot count")]
    Negative,
    /// The sealing key of this process was retired: its configuration is an old one.
    #[error("the sealing key was retired")]
    SealingKeyRetired,
    /// The secret could not be sealed.
    #[error("the secret could not be sealed")]
    NotSealed(#[from] NotSealed),
    /// The books did not take it.
    #[error("the catalog could not be written")]
    Store(#[source] StoreError),
}

impl From<StoreError> for CatalogRefused {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Constraint { name, .. } => match name.as_str() {
                "sealing_keys_retired_ck" => Self::SealingKeyRetired,
                name if name.ends_with("_uq") => Self::Taken,
                name if name.ends_with("_owner_ck") => Self::Missing,
                // The books are stricter than we were.
                name if name.ends_with("_ck") => {
                    let what = "does not fit into the books";
                    Self::Faulty(vec![Fault::new("", what, "shorten or correct it")])
                }
                _ => Self::Store(error),
            },
            _ => Self::Store(error),
        }
    }
}

impl CatalogRefused {
    /// Refuses what has faults.
    ///
    /// # Errors
    /// When there is any.
    pub(super) fn unless_sound(faults: Vec<Fault>) -> Result<(), Self> {
        if faults.is_empty() {
            Ok(())
        } else {
            Err(Self::Faulty(faults))
        }
    }
}

/// Returns the one row, if it is the owner's to change and as the caller saw it.
pub(super) fn own<T>(
    tx: &OwnerTx,
    rows: Vec<Row<T>>,
    expected: Option<Moment>,
) -> Result<Row<T>, CatalogRefused> {
    let row = visible(rows)?;
    if row.owner != tx.owner() {
        return Err(CatalogRefused::Missing);
    }
    if expected.is_some_and(|expected| expected != row.updated_at) {
        return Err(CatalogRefused::NotExpected);
    }
    Ok(row)
}

/// Returns the one row.
pub(super) fn visible<T>(rows: Vec<Row<T>>) -> Result<Row<T>, CatalogRefused> {
    rows.into_iter().next().ok_or(CatalogRefused::Missing)
}
