//! Keys that are new: made, or made to take over from another.

use std::time::Duration;

use serde_json::json;

use super::{CreatedKey, KeyRefused, NewKey, lock, texts_of, words_of};
use crate::{
    audit::By,
    base::{ApiKeyId, GroupId, UserId},
    control::{
        limits::{self, NewLimit},
        note::note,
    },
    keys::{
        self, KeyState,
        store::{KeyIdentity, KeyRights},
        token,
    },
    quota::limit::Subject,
    store::OrgTx,
    tenancy::store::{groups, members},
};

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
pub(super) async fn must_be_there(
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
