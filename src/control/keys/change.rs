//! Keys that are there: changed, or taken back.

use serde_json::json;

use super::{KeyChange, KeyRefused, find, lock, make::must_be_there, texts_of, words_of};
use crate::{
    audit::By,
    base::Moment,
    control::{note::note, settings::set},
    keys::{self, ApiKey, KeyState, store::KeysOf},
    store::{OrgTx, StoreError},
};

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
pub(in crate::control) async fn revoke_all(
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
