//! Keys: made, taken back, replaced, listed. A key's text leaves here once.

use std::time::Duration;

use ipnet::IpNet;
use serde_json::json;

use super::{
    limits::{self, LimitRefused, NewLimit, Terms},
    note::note,
    settings::set,
};
use crate::{
    audit::By,
    base::{ApiKeyId, GroupId, Moment, Secret, UserId},
    keys::{
        self, ApiKey, KeyScope, KeyState,
        store::{KeyIdentity, KeyRights, KeysOf},
        token::{self, PREFIX},
    },
    quota::limit::Subject,
    store::{OrgTx, StoreError},
    tenancy::store::{groups, members},
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
    /// What it may be used for; empty is everything.
    pub scopes: Vec<KeyScope>,
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

/// What shall be other; `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct KeyChange {
    /// What it is for.
    pub name: Option<String>,
    /// The team it counts for; the inner `None` is the user's primary one.
    pub group_id: Option<Option<GroupId>>,
    /// The models it may ask for; the inner `None` allows all.
    pub allowed_models: Option<Option<Vec<String>>>,
    /// Where it may come from; the inner `None` allows everywhere.
    pub allowed_cidrs: Option<Option<Vec<IpNet>>>,
    /// What it may be used for; empty is everything.
    pub scopes: Option<Vec<KeyScope>>,
    /// When it stops; the inner `None` is never.
    pub expires_at: Option<Option<Moment>>,
}

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

/// Makes a key of this transaction's organization.
///
/// # Errors
/// See [`KeyRefused`].
pub async fn create(tx: &mut OrgTx, new: NewKey, by: By) -> Result<CreatedKey, KeyRefused> {
    if new.expires_at.is_some_and(|at| at <= by.now) {
        return Err(KeyRefused::ExpiresInThePast);
    }
    must_be_there(tx, new.user_id, new.group_id).await?;
    let cidrs = new.allowed_cidrs.map(texts_of);
    let scopes = words_of(new.scopes);
    let rights = KeyRights {
        name: &new.name,
        group_id: new.group_id,
        user_id: new.user_id,
        allowed_models: new.allowed_models.as_deref(),
        allowed_cidrs: cidrs.as_deref(),
        scopes: &scopes,
        expires_at: new.expires_at,
        ..KeyRights::default()
    };
    let created = write(tx, rights, by.person(), by).await?;
    for terms in new.limits {
        let subject = Subject::Key(created.id);
        limits::set(tx, NewLimit { subject, terms }, by).await?;
    }
    let details = json!({
        "name": new.name, "public_id": created.public_id, "user_id": new.user_id, "group_id": new.group_id,
    });
    note(
        tx,
        by,
        "api_key.create",
        ("api_key", created.id.uuid()),
        details,
    )
    .await?;
    Ok(created)
}

/// A key counts for a member and a group that are there: the books would also take one that was deleted.
async fn must_be_there(
    tx: &mut OrgTx,
    user: Option<UserId>,
    group: Option<GroupId>,
) -> Result<(), KeyRefused> {
    if let Some(user) = user {
        let member = members::find_member(tx, user).await?;
        member.ok_or(KeyRefused::NoUser)?;
    }
    if let Some(group) = group {
        let group = groups::find_group(tx, group).await?;
        group.ok_or(KeyRefused::NoGroup)?;
    }
    Ok(())
}

/// Returns a key, found by whatever of it is at hand.
///
/// # Errors
/// [`KeyRefused::NoKey`].
pub async fn find(tx: &mut OrgTx, wanted: &str) -> Result<ApiKey, KeyRefused> {
    let key = keys::store::find_key(tx, name_of(wanted)).await?;
    key.ok_or(KeyRefused::NoKey)
}

/// Returns a key that nobody else changes until the transaction ends.
async fn lock(tx: &mut OrgTx, wanted: &str) -> Result<ApiKey, KeyRefused> {
    let key = find(tx, wanted).await?;
    keys::store::lock_key(tx, key.id).await?;
    find(tx, wanted).await
}

/// Changes a key and returns it.
///
/// # Errors
/// See [`KeyRefused`].
pub async fn change(
    tx: &mut OrgTx,
    wanted: &str,
    change: KeyChange,
    expected: Option<Moment>,
    by: By,
) -> Result<ApiKey, KeyRefused> {
    let before = lock(tx, wanted).await?;
    if expected.is_some_and(|expected| expected != before.updated_at) {
        return Err(KeyRefused::NotExpected);
    }
    if before.state(by.now) == KeyState::Revoked {
        return Err(KeyRefused::NotActive);
    }
    if matches!(change.expires_at, Some(Some(at)) if at <= by.now) {
        return Err(KeyRefused::ExpiresInThePast);
    }
    let mut after = before.clone();
    set(&mut after.name, change.name);
    set(&mut after.allowed_models, change.allowed_models);
    let cidrs = change.allowed_cidrs.map(|nets| nets.map(texts_of));
    set(&mut after.allowed_cidrs, cidrs);
    set(&mut after.scopes, change.scopes.map(words_of));
    set(&mut after.expires_at, change.expires_at);
    if let Some(group) = change.group_id {
        must_be_there(tx, None, group).await?;
        after.group_id = group;
    }
    after.updated_at = keys::store::update_key(tx, &after).await?;
    let details = json!({ "before": told(&before), "after": told(&after) });
    note(
        tx,
        by,
        "api_key.change",
        ("api_key", after.id.uuid()),
        details,
    )
    .await?;
    Ok(after)
}

fn told(key: &ApiKey) -> serde_json::Value {
    json!({
        "name": key.name, "group_id": key.group_id, "allowed_models": key.allowed_models,
        "allowed_cidrs": key.allowed_cidrs, "scopes": key.scopes, "expires_at": key.expires_at,
    })
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
    if keys::store::revoke_key(tx, key.id, by.person(), reason).await? {
        let details = json!({ "public_id": key.public_id, "reason": reason });
        note(
            tx,
            by,
            "api_key.revoke",
            ("api_key", key.id.uuid()),
            details,
        )
        .await?;
    }
    find(tx, &key.public_id).await
}

/// Takes back every key of a group or member, with one line of the audit log each.
///
/// # Errors
/// When the books do not answer.
pub(super) async fn revoke_all(
    tx: &mut OrgTx,
    whose: KeysOf,
    reason: &'static str,
    by: By,
) -> Result<(), StoreError> {
    for key in keys::store::revoke_keys(tx, whose, by.person(), reason).await? {
        let details = json!({ "reason": reason });
        note(tx, by, "api_key.revoke", ("api_key", key.uuid()), details).await?;
    }
    Ok(())
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
    let old = lock(tx, wanted).await?;
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
    // Whoever rotates a key has not made it: it stays as narrow for them as it was.
    let created = write(tx, rights, old.created_by, by).await?;
    keys::store::expire_key(tx, old.id, by.now.plus(grace)).await?;
    let details = json!({ "public_id": created.public_id, "from": old.public_id, "grace_s": grace.as_secs() });
    note(
        tx,
        by,
        "api_key.rotate",
        ("api_key", created.id.uuid()),
        details,
    )
    .await?;
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

/// Mints a key and writes it.
async fn write(
    tx: &mut OrgTx,
    rights: KeyRights<'_>,
    created_by: Option<UserId>,
    by: By,
) -> Result<CreatedKey, KeyRefused> {
    let (api_key, public_id, secret_hash) = token::mint();
    let id = ApiKeyId::new(by.now);
    let key = KeyIdentity {
        id,
        public_id: &public_id,
        secret_hash: &secret_hash,
        created_by,
    };
    keys::store::insert_key(tx, key, rights).await?;
    Ok(CreatedKey {
        id,
        public_id,
        api_key,
    })
}

/// Writes networks as Postgres takes them: without bits beyond their mask.
fn texts_of(nets: Vec<IpNet>) -> Vec<String> {
    nets.iter().map(|net| net.trunc().to_string()).collect()
}

/// Writes scopes as the books keep them, each once.
fn words_of(mut scopes: Vec<KeyScope>) -> Vec<String> {
    scopes.sort_unstable();
    scopes.dedup();
    scopes
        .iter()
        .map(|scope| scope.as_str().to_owned())
        .collect()
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
