//! Keys: made, taken back, replaced, listed. A key's text leaves here once.

mod change;
mod make;
mod refused;

pub use change::{change, revoke};
pub use make::{create, rotate};
pub use refused::KeyRefused;

pub(super) use change::revoke_all;

use ipnet::IpNet;

use super::limits::Terms;
use crate::{
    base::{ApiKeyId, GroupId, Moment, Secret, UserId},
    keys::{self, ApiKey, KeyScope, token::PREFIX},
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
    use crate::keys::token;

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
