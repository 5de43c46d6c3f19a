//! Keys within somebody's reach: everybody's, or only those that count for oneself.

use std::time::Duration;

use super::keys::{self, CreatedKey, KeyChange, KeyRefused, NewKey};
use crate::{
    audit::By,
    base::{GroupId, Moment, UserId},
    keys::ApiKey,
    store::OrgTx,
    tenancy::store::groups,
};

/// Whose keys somebody may make and change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Everybody's.
    Everybody,
    /// Those that count for this person.
    Own(UserId),
}

impl Reach {
    /// Returns whose keys a list is narrowed to, when `asked` is what the caller wants; `None` is everybody's.
    ///
    /// # Errors
    /// [`KeyRefused::NoUser`] for somebody beyond reach.
    pub fn narrow(self, asked: Option<UserId>) -> Result<Option<UserId>, KeyRefused> {
        match self {
            Self::Everybody => Ok(asked),
            Self::Own(own) if asked.is_none_or(|asked| asked == own) => Ok(Some(own)),
            Self::Own(_) => Err(KeyRefused::NoUser),
        }
    }
}

/// Makes a key as [`keys::create`] does: within one's own reach for oneself, and for a group one is in.
///
/// # Errors
/// [`KeyRefused::BeyondOwn`]; see there.
pub async fn create(
    tx: &mut OrgTx,
    new: NewKey,
    (reach, by): (Reach, By),
) -> Result<CreatedKey, KeyRefused> {
    let user_id = match reach {
        Reach::Everybody => new.user_id,
        Reach::Own(own) if new.user_id.is_some_and(|user| user != own) => {
            return Err(KeyRefused::BeyondOwn);
        }
        Reach::Own(own) => Some(own),
    };
    must_be_in(tx, reach, new.group_id).await?;
    keys::create(tx, NewKey { user_id, ..new }, by).await
}

async fn must_be_in(
    tx: &mut OrgTx,
    reach: Reach,
    group: Option<GroupId>,
) -> Result<(), KeyRefused> {
    match (reach, group) {
        (Reach::Own(own), Some(group)) if !groups::is_in_group(tx, group, own).await? => {
            Err(KeyRefused::BeyondOwn)
        }
        _ => Ok(()),
    }
}

/// Returns a key. What lies beyond one's reach is not there.
///
/// # Errors
/// [`KeyRefused::NoKey`].
pub async fn find(tx: &mut OrgTx, wanted: &str, reach: Reach) -> Result<ApiKey, KeyRefused> {
    let key = keys::find(tx, wanted).await?;
    match reach {
        Reach::Own(own) if key.user_id != Some(own) => Err(KeyRefused::NoKey),
        Reach::Own(_) | Reach::Everybody => Ok(key),
    }
}

/// Changes a key as [`keys::change`] does. A key somebody else made for one is not one's own to widen.
///
/// # Errors
/// [`KeyRefused::BeyondOwn`]; see there.
pub async fn change(
    tx: &mut OrgTx,
    wanted: &str,
    change: KeyChange,
    expected: Option<Moment>,
    (reach, by): (Reach, By),
) -> Result<ApiKey, KeyRefused> {
    let key = find(tx, wanted, reach).await?;
    if matches!(reach, Reach::Own(own) if key.created_by != Some(own)) {
        return Err(KeyRefused::BeyondOwn);
    }
    must_be_in(tx, reach, change.group_id.flatten()).await?;
    keys::change(tx, wanted, change, expected, by).await
}

/// Takes a key back as [`keys::revoke`] does.
///
/// # Errors
/// See there.
pub async fn revoke(
    tx: &mut OrgTx,
    wanted: &str,
    reason: Option<&str>,
    (reach, by): (Reach, By),
) -> Result<ApiKey, KeyRefused> {
    find(tx, wanted, reach).await?;
    keys::revoke(tx, wanted, reason, by).await
}

/// Replaces a key as [`keys::rotate`] does.
///
/// # Errors
/// See there.
pub async fn rotate(
    tx: &mut OrgTx,
    wanted: &str,
    grace: Duration,
    (reach, by): (Reach, By),
) -> Result<CreatedKey, KeyRefused> {
    find(tx, wanted, reach).await?;
    keys::rotate(tx, wanted, grace, by).await
}
