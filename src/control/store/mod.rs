//! Limits in the books.

mod read;
pub mod switches;
mod write;

pub use read::{find_limits, limits_holding};
pub use write::{delete_limit, insert_limit, lock_limit, update_limit, upsert_limit};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    base::{ApiKeyId, GroupId, LimitId, Moment, UserId},
    quota::limit::{Limit, Subject},
    store::{Scope, StoreError},
};

/// A subject as the columns hold it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SubjectColumns {
    kind: &'static str,
    group: Option<Uuid>,
    user: Option<Uuid>,
    api_key: Option<Uuid>,
    model: Option<Uuid>,
    credential: Option<Uuid>,
}

impl SubjectColumns {
    /// Returns the columns, or `None` for another organization and for what only the catalog limits.
    #[must_use]
    pub fn of(subject: Subject, scope: Scope) -> Option<Self> {
        let none = Self::default();
        let columns = match subject {
            Subject::Organization(id) if id == scope.organization() => Self {
                kind: "organization",
                ..none
            },
            Subject::Organization(_) | Subject::CredentialOffer(..) | Subject::Share(..) => {
                return None;
            }
            Subject::Group(id) => Self {
                kind: "group",
                group: Some(id.uuid()),
                ..none
            },
            Subject::User(id) => Self {
                kind: "user",
                user: Some(id.uuid()),
                ..none
            },
            Subject::Key(id) => Self {
                kind: "key",
                api_key: Some(id.uuid()),
                ..none
            },
            Subject::KeyModel(id, model) => Self {
                kind: "key_model",
                api_key: Some(id.uuid()),
                model: Some(model.uuid()),
                ..none
            },
            Subject::Credential(id) => Self {
                kind: "credential",
                credential: Some(id.uuid()),
                ..none
            },
        };
        Some(columns)
    }
}

/// A limit as the books keep it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptLimit {
    /// The limit.
    pub limit: Limit,
    /// When it was made.
    pub created_at: Moment,
    /// When it was last changed.
    pub updated_at: Moment,
}

/// What limits are looked for by.
#[derive(Clone, Copy, Debug, Default)]
pub struct LimitFilter<'a> {
    /// The one with this id.
    pub id: Option<LimitId>,
    /// Of one kind of subject.
    pub kind: Option<&'a str>,
    /// Of one group.
    pub group: Option<GroupId>,
    /// Of one member.
    pub user: Option<UserId>,
    /// Of one key, which is the first of its lineage.
    pub api_key: Option<ApiKeyId>,
}

/// Reads a word of the books.
fn noun<T: DeserializeOwned>(word: String) -> Result<T, StoreError> {
    serde_json::from_value(Value::String(word)).map_err(StoreError::Malformed)
}

/// Returns the word the books and the wire share for a meter, a window, an enforcement or a mode.
fn word(noun: impl Serialize) -> Result<String, StoreError> {
    match serde_json::to_value(noun) {
        Ok(value) => Ok(value.as_str().unwrap_or_default().to_owned()),
        Err(error) => Err(StoreError::Malformed(error)),
    }
}
