//! Somebody new accepts an invitation: the letter proves their address, so account and membership are made at once.

use serde_json::json;

use super::{Door, Visit};
use crate::{
    audit::{self, Event},
    base::{Secret, UserId},
    control::{TenancyRefused, invitations},
    identity::{
        hasher::Busy,
        password::{self, PasswordRefused},
        store::person,
    },
    store::{OnConstraint, Scope, StoreError},
    tenancy::Offered,
};

/// Somebody new who accepts.
#[derive(Debug)]
pub struct Newcomer {
    /// The token from the letter.
    pub token: Secret,
    /// The password they want.
    pub password: Secret,
    /// The name people read.
    pub display_name: String,
}

/// Why an invitation was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum InvitedRefused {
    /// It cannot be.
    #[error(transparent)]
    Invitation(#[from] TenancyRefused),
    /// The password cannot be kept.
    #[error(transparent)]
    Password(#[from] PasswordRefused),
    /// Too many register at once.
    #[error(transparent)]
    Busy(#[from] Busy),
}

impl From<StoreError> for InvitedRefused {
    fn from(error: StoreError) -> Self {
        Self::Invitation(error.into())
    }
}

/// Makes an account with a proved address and a membership, in one transaction.
///
/// # Errors
/// [`TenancyRefused::HasAccount`] when somebody has the address; see there.
pub async fn register(
    door: &Door,
    newcomer: Newcomer,
    visit: &Visit,
) -> Result<(UserId, Offered), InvitedRefused> {
    let mut conn = door.postgres.acquire().await?;
    let offered = invitations::offered(&mut conn, &newcomer.token).await?;
    drop(conn);
    if offered.account.is_some() {
        return Err(TenancyRefused::HasAccount.into());
    }
    password::judge(&newcomer.password, password::SHORTEST, &offered.email)?;
    let hash = door.hasher.hash(newcomer.password).await?;
    let id = UserId::new(visit.now);
    let by = visit.by(id);
    let scope = Scope::of(offered.organization_id);
    let mut tx = door.postgres.begin_for(scope).await?;
    person::register(
        &mut tx,
        id,
        &offered.email,
        &newcomer.display_name,
        Some(&hash),
    )
    .await
    .on_constraint("users_email_unique", || TenancyRefused::HasAccount)?;
    person::prove_email(&mut tx, id, &offered.email, visit.now).await?;
    let own = Offered {
        account: Some(id),
        ..offered
    };
    invitations::accept(&mut tx, &own, id, by).await?;
    let event = Event {
        action: "user.register",
        target_kind: "user",
        target_id: Some(id.uuid()),
        details: json!({ "invitation_id": own.id }),
    };
    audit::store::record(&mut tx, by, &event).await?;
    tx.commit().await?;
    Ok((id, own))
}
