//! Keys: made, taken back, replaced, listed. A key's text leaves here once.

use std::time::Duration;

use ipnet::IpNet;
use serde_json::json;

use super::limits::{self, LimitRefused, NewLimit, Terms};
use crate::{
    audit::{self, Actor, By, Event},
    base::{ApiKeyId, GroupId, Moment, Secret, UserId},
    keys::{
        self, ApiKey, KeyState,
        store::{KeyIdentity, KeyRights},
        token::{self, PREFIX},
    },
    quota::limit::Subject,
    store::{OrgTx, StoreError},
};

/// A key to be made.
#[derive(Clone, Debug, Default)]
pub struct NewKey {
    /// What it is for.
    pub name: String,
    /// The team it counts for; `None` is the user's primary one.
    pub group_id: Option<GroupId>,
    /// The person it counts for.
    pub user_id: Option<UserId>,
    /// The models it may ask for; `None` allows all.
    pub allowed_models: Option<Vec<String>>,
    /// Where it may come from; `None` allows everywhere.
    pub allowed_cidrs: Option<Vec<IpNet>>,
    /// When it stops.
    pub expires_at: Option<Moment>,
    /// Limits of its own; none is unlimited but for what its organization, group and user are permitted.
    pub limits: Vec<Terms>,
}

/// A key that was just made.
#[derive(Debug)]
pub struct CreatedKey {
    /// Its id.
    pub id: ApiKeyId,
    /// The 16 characters callers see.
    pub public_id: String,
    /// The key itself: not kept anywhere, shown once.
    pub api_key: Secret,
}

/// Why a key was not made or changed.
#[derive(Debug, thiserror::Error)]
pub enum KeyRefused {
    /// There is no such key in this organization.
    #[error("there is no such key")]
    NoKey,
    /// It no longer opens the door, so nothing can take over from it.
    #[error("the key is revoked or expired")]
    NotActive,
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

/// Makes a key of this transaction's organization.
///
/// # Errors
/// See [`KeyRefused`].
pub async fn create(tx: &mut OrgTx, new: NewKey, by: By) -> Result<CreatedKey, KeyRefused> {
    if new.expires_at.is_some_and(|at| at <= by.now) {
        return Err(KeyRefused::ExpiresInThePast);
    }
    let cidrs = new
        .allowed_cidrs
        .map(|nets| nets.iter().map(text_of).collect::<Vec<_>>());
    let rights = KeyRights {
        name: &new.name,
        group_id: new.group_id,
        user_id: new.user_id,
        allowed_models: new.allowed_models.as_deref(),
        allowed_cidrs: cidrs.as_deref(),
        expires_at: new.expires_at,
        ..KeyRights::default()
    };
    let created = write(tx, rights, by).await?;
    for terms in new.limits {
        let subject = Subject::Key(created.id);
        limits::set(tx, NewLimit { subject, terms }, by).await?;
    }
    let details = json!({ "name": new.name, "public_id": created.public_id });
    record(tx, by, "api_key.create", created.id, details).await?;
    Ok(created)
}

/// Takes a key back at once and for good; a revoked one stays as it was.
///
/// # Errors
/// See [`KeyRefused`].
pub async fn revoke(
    tx: &mut OrgTx,
    wanted: &str,
    reason: Option<&str>,
    by: By,
) -> Result<ApiKey, KeyRefused> {
    let key = find(tx, wanted).await?;
    if keys::store::revoke_key(tx, key.id, person(by), reason).await? {
        let details = json!({ "public_id": key.public_id, "reason": reason });
        record(tx, by, "api_key.revoke", key.id, details).await?;
    }
    Ok(key)
}

/// Makes a key that takes over from another with the same rights; the old one stops after `grace`.
///
/// Both share one set of limits, with what was used of them: rotating a key gives nobody more.
///
/// # Errors
/// See [`KeyRefused`].
pub async fn rotate(
    tx: &mut OrgTx,
    wanted: &str,
    grace: Duration,
    by: By,
) -> Result<CreatedKey, KeyRefused> {
    let old = find(tx, wanted).await?;
    if old.state(by.now) != KeyState::Active {
        return Err(KeyRefused::NotActive);
    }
    let rights = KeyRights {
        name: &old.name,
        group_id: old.group_id,
        user_id: old.user_id,
        allowed_models: old.allowed_models.as_deref(),
        allowed_cidrs: old.allowed_cidrs.as_deref(),
        scopes: &old.scopes,
        expires_at: old.expires_at,
        rotated_from: Some(old.id),
        lineage_id: Some(old.lineage()),
    };
    let created = write(tx, rights, by).await?;
    keys::store::expire_key(tx, old.id, by.now.plus(grace)).await?;
    let details = json!({ "public_id": created.public_id, "from": old.public_id, "grace_s": grace.as_secs() });
    record(tx, by, "api_key.rotate", created.id, details).await?;
    Ok(created)
}

/// Returns up to `batch` keys of this transaction's organization made before one, newest first.
///
/// # Errors
/// When the books do not answer.
pub async fn list(
    tx: &mut OrgTx,
    before: Option<ApiKeyId>,
    batch: i64,
) -> Result<Vec<ApiKey>, StoreError> {
    keys::store::list_keys(tx, before, batch).await
}

/// Returns what names a key in the books: its id, its public id, or the public id of a whole key.
#[must_use]
pub fn name_of(text: &str) -> &str {
    let rest = text.strip_prefix(PREFIX).unwrap_or(text);
    rest.split_once('_')
        .map_or(rest, |(public_id, _)| public_id)
}

async fn find(tx: &mut OrgTx, wanted: &str) -> Result<ApiKey, KeyRefused> {
    let key = keys::store::find_key(tx, name_of(wanted)).await?;
    key.ok_or(KeyRefused::NoKey)
}

/// Mints a key and writes it.
async fn write(tx: &mut OrgTx, rights: KeyRights<'_>, by: By) -> Result<CreatedKey, KeyRefused> {
    let (api_key, public_id, secret_hash) = token::mint();
    let id = ApiKeyId::new(by.now);
    let key = KeyIdentity {
        id,
        public_id: &public_id,
        secret_hash: &secret_hash,
        created_by: person(by),
    };
    keys::store::insert_key(tx, key, rights).await?;
    Ok(CreatedKey {
        id,
        public_id,
        api_key,
    })
}

async fn record(
    tx: &mut OrgTx,
    by: By,
    action: &'static str,
    id: ApiKeyId,
    details: serde_json::Value,
) -> Result<(), StoreError> {
    let event = Event {
        action,
        target_kind: "api_key",
        target_id: Some(id.uuid()),
        details,
    };
    audit::store::record(tx, by, &event).await
}

fn person(by: By) -> Option<UserId> {
    match by.actor {
        Actor::User(user) => Some(user),
        Actor::Key(_) | Actor::Operator | Actor::Agent | Actor::System => None,
    }
}

/// Writes a network as Postgres takes it: without bits beyond its mask.
fn text_of(net: &IpNet) -> String {
    net.trunc().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_by_whatever_of_it_is_at_hand() {
        let (api_key, public_id, _) = token::mint();

        assert_eq!(name_of(api_key.expose()), public_id);
        assert_eq!(name_of(&format!("{PREFIX}{public_id}")), public_id);
        assert_eq!(name_of(&public_id), public_id);
        let id = "019aa0f0-0000-7000-8000-000000000000";
        assert_eq!(name_of(id), id);
    }
}
