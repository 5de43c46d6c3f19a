//! What an organization asks of its members' sign-in.

use serde_json::json;

use crate::{
    audit::{self, By, Event},
    base::{Moment, SessionId},
    identity::store::{
        policy::{self, PasswordPolicy},
        session,
    },
    store::{OrgTx, StoreError},
};

/// Why a policy was not set.
#[derive(Debug, thiserror::Error)]
pub enum PolicyRefused {
    /// A password below 15 characters needs a second factor.
    #[error("a password of fewer than 15 characters needs a second factor")]
    TooShort,
    /// Whoever sets it would be out themselves.
    #[error("sign in with a second factor yourself before you ask it of everybody")]
    LacksOwn,
    /// Somebody changed it meanwhile, or there is no such organization.
    #[error("it was changed since it was read")]
    NotExpected,
    /// The books did not take it.
    #[error("the policy could not be written")]
    Store(#[source] StoreError),
}

impl From<StoreError> for PolicyRefused {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Constraint { name, .. }
                if name == "organization_settings_short_password_ck" =>
            {
                Self::TooShort
            }
            other => Self::Store(other),
        }
    }
}

/// Sets what the organization of this transaction asks for; who sets it must be able to live with it.
///
/// # Errors
/// See [`PolicyRefused`].
pub async fn set(
    tx: &mut OrgTx,
    wanted: &PasswordPolicy,
    session: SessionId,
    expected: Option<Moment>,
    by: By,
) -> Result<PasswordPolicy, PolicyRefused> {
    if !policy::set(tx, wanted, expected).await? {
        return Err(PolicyRefused::NotExpected);
    }
    if let audit::Actor::User(person) = by.actor {
        let organization = Some(tx.scope().organization());
        let own = session::find_open(tx, session, person, organization, by.now).await?;
        if own.is_none_or(|own| own.lacks_second_factor) {
            return Err(PolicyRefused::LacksOwn);
        }
    }
    let event = Event {
        action: "password_policy.set",
        target_kind: "organization",
        target_id: Some(tx.scope().organization().uuid()),
        details: json!({
            "min_length": wanted.min_length,
            "history": wanted.history,
            "second_factor_required": wanted.is_second_factor_required,
        }),
    };
    audit::store::record(tx, by, &event).await?;
    policy::find(tx).await?.ok_or(PolicyRefused::NotExpected)
}
