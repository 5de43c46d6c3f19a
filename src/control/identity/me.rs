//! A person's own account: read, renamed, given another address, taken along, erased.

use serde_json::{Value, json};

use super::{Door, Visit, passwords, proof, sign_in::SignInRefused, trail};
use crate::{
    audit::Event,
    base::{Moment, OrganizationId, Secret, UserId},
    identity::{
        Terms,
        mail::letters,
        store::{
            one_time::Purpose,
            person::{self, Profile},
        },
    },
    store::{PersonTx, StoreError},
};

/// Why an account is as it was.
#[derive(Debug, thiserror::Error)]
pub enum AccountRefused {
    /// It is gone.
    #[error("there is no such account")]
    IsGone,
    /// Somebody changed it meanwhile.
    #[error("it was changed since it was read")]
    NotExpected,
    /// Organizations would be left without an owner.
    #[error("somebody else must own your organizations first")]
    SoleOwner(Vec<OrganizationId>),
    /// The password is wrong.
    #[error(transparent)]
    Refused(#[from] SignInRefused),
}

impl From<StoreError> for AccountRefused {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Constraint { name, .. } if name == "organization_memberships_one_owner" => {
                Self::SoleOwner(Vec::new())
            }
            other => Self::Refused(other.into()),
        }
    }
}

/// Returns a person's account.
///
/// # Errors
/// See [`AccountRefused`].
pub async fn show(door: &Door, id: UserId) -> Result<Profile, AccountRefused> {
    let mut tx = door.postgres.begin_as_person(id).await?;
    person::profile(&mut tx)
        .await?
        .ok_or(AccountRefused::IsGone)
}

/// Gives a person another name.
///
/// # Errors
/// See [`AccountRefused`].
pub async fn rename(
    door: &Door,
    id: UserId,
    display_name: &str,
    expected: Option<Moment>,
    visit: &Visit,
) -> Result<Profile, AccountRefused> {
    let mut tx = door.postgres.begin_as_person(id).await?;
    if !person::rename(&mut tx, display_name, expected).await? {
        return Err(AccountRefused::NotExpected);
    }
    let profile = person::profile(&mut tx)
        .await?
        .ok_or(AccountRefused::IsGone)?;
    record(&mut tx, "user.rename", visit).await?;
    tx.commit().await?;
    Ok(profile)
}

/// Mails a code to the address a person wants to have; it becomes theirs when the code comes back.
///
/// # Errors
/// See [`AccountRefused`]; none of them tells whether somebody else has the address.
pub async fn ask_for_email(
    door: &Door,
    id: UserId,
    email: &str,
    password: Secret,
    visit: &Visit,
) -> Result<(), AccountRefused> {
    passwords::prove(door, id, password, visit).await?;
    let (email, url) = (email.trim(), &door.settings.public_url);
    let mut tx = door.postgres.begin_as_person(id).await?;
    let holder = person::find_by_email(&mut tx, email).await?;
    if holder.is_some_and(|holder| holder.id != id) {
        let letter = letters::already_registered(email, url);
        door.mailer.post(&mut tx, letter, visit.now).await?;
    } else {
        let code = proof::code(&mut tx, Purpose::ChangeEmail, email, visit).await?;
        record(&mut tx, "user.ask_for_email", visit).await?;
        let letter = letters::change_email(email, &code, proof::LIFETIME, url);
        door.mailer.post(&mut tx, letter, visit.now).await?;
    }
    tx.commit().await?;
    door.mailer.hurry();
    Ok(())
}

/// Returns all that is held about a person.
///
/// # Errors
/// See [`AccountRefused`].
pub async fn export(door: &Door, id: UserId, visit: &Visit) -> Result<Value, AccountRefused> {
    let mut tx = door.postgres.begin_as_person(id).await?;
    let export = person::export(&mut tx)
        .await?
        .ok_or(AccountRefused::IsGone)?;
    record(&mut tx, "user.export", visit).await?;
    tx.commit().await?;
    Ok(export)
}

/// Erases a person who proves that it is them: what they did stays, who they were does not.
///
/// # Errors
/// See [`AccountRefused`].
pub async fn erase(
    door: &Door,
    id: UserId,
    password: Secret,
    visit: &Visit,
) -> Result<(), AccountRefused> {
    passwords::prove(door, id, password, visit).await?;
    let mut tx = door.postgres.begin_as_person(id).await?;
    let left_alone = person::solely_owned(&mut tx).await?;
    if !left_alone.is_empty() {
        return Err(AccountRefused::SoleOwner(left_alone));
    }
    record(&mut tx, "user.erase", visit).await?;
    person::erase(&mut tx, visit.now).await?;
    tx.commit().await?;
    Ok(())
}

async fn record(tx: &mut PersonTx, action: &'static str, visit: &Visit) -> Result<(), StoreError> {
    let id = tx.person();
    let Terms { organizations, .. } = person::terms(tx, id).await?;
    let event = Event {
        action,
        target_kind: "user",
        target_id: Some(id.uuid()),
        details: json!({}),
    };
    trail::record(tx, &organizations, visit.by(id), &event).await
}
