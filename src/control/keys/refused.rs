//! Why a key was not made or changed.

use crate::{control::limits::LimitRefused, store::StoreError};

/// Why a key was not made or changed.
#[derive(Debug, thiserror::Error)]
pub enum KeyRefused {
    /// There is no such key in this organization.
    #[error("there is no such key")]
    NoKey,
    /// It no longer opens the door, so nothing can take over from it, and nothing of it changes.
    #[error("the key is revoked or expired")]
    NotActive,
    /// It is, or would be, more than the caller may give.
    #[error("nobody gives a key more than they have")]
    BeyondOwn,
    /// Somebody changed it since the caller read it.
    #[error("it was changed since it was read")]
    NotExpected,
    /// The organization has no such group.
    #[error("there is no such group")]
    NoGroup,
    /// The organization has no such member.
    #[error("there is no such user in the organization")]
    NoUser,
    /// There is no such organization.
    #[error("there is no such organization")]
    NoOrganization,
    /// It would let nobody in.
    #[error("a key expires in the future")]
    ExpiresInThePast,
    /// An empty list would allow nothing.
    #[error("a list of models or networks names between 1 and 1000")]
    WrongList,
    /// A name is missing or long.
    #[error("a key's name has between 1 and 200 characters")]
    WrongName,
    /// One of its limits cannot be set.
    #[error("a limit of the key cannot be set")]
    Limit(#[from] LimitRefused),
    /// The books did not take it.
    #[error("the key could not be written")]
    Store(#[source] StoreError),
}

impl From<StoreError> for KeyRefused {
    fn from(error: StoreError) -> Self {
        let StoreError::Constraint { name, .. } = &error else {
            return Self::Store(error);
        };
        match name.as_str() {
            "api_keys_group_fk" => Self::NoGroup,
            "api_keys_user_fk" => Self::NoUser,
            "api_keys_organization_fk" => Self::NoOrganization,
            "api_keys_name_ck" => Self::WrongName,
            "api_keys_allowed_models_ck" | "api_keys_allowed_cidrs_ck" => Self::WrongList,
            _ => Self::Store(error),
        }
    }
}
