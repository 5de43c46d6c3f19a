//! Proving an address: a code is mailed there and comes back.
//!
//! A stranger may register with somebody's address before its owner does, or after, and hope that the owner's code
//! opens the account to the stranger's password. So no registration wins by being first or last. While there is only
//! one, its code is enough. As soon as there are several, the account has no password at all, and the code counts only
//! together with the password of one of them: the owner alone reads the letter, and gives the password they chose. A
//! stranger who registers over and over pushes the owner's password out; the owner then asks for another by mail, which
//! proves the address too. What remains is an owner who confirms what they never asked for: the letter says to do
//! nothing, and a client that gives the password every time is safe from that as well.

use std::time::Duration;

use serde_json::json;

use super::{Door, Visit, trail};
use crate::{
    audit::Event,
    base::Secret,
    identity::{
        Person, Standing,
        hasher::Busy,
        mail::letters,
        opaque::{Opaque, hash_of},
        store::{
            one_time::{self, OneTimeToken, Purpose},
            person, registration,
        },
    },
    store::{OnConstraint, PersonTx, StoreError},
};

/// How long a code that proves an address counts.
pub(super) const LIFETIME: Duration = Duration::from_secs(86_400);
/// Registrations of one address that are remembered: each costs a check when the code comes back.
const MOST: i32 = 5;

/// Why an address is not proved.
#[derive(Debug, thiserror::Error)]
pub enum NotProved {
    /// The code is unknown, used, or too old.
    #[error("the code does not count")]
    WrongCode,
    /// Several registered with the address: the password says who of them reads the letter.
    #[error(
        "several people registered with this address: the code counts with the password chosen then"
    )]
    PasswordNeeded,
    /// Nobody registered with that password.
    #[error("nobody registered with this address and that password")]
    WrongPassword,
    /// Somebody else has the address by now.
    #[error("the e-mail address is taken")]
    EmailTaken,
    /// Too many prove theirs at once.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// The books did not take it.
    #[error("the proof could not be written")]
    Store(#[from] StoreError),
}

/// Makes a code that proves an address; those of the same purpose before it no longer count.
pub(super) async fn code(
    tx: &mut PersonTx,
    purpose: Purpose,
    email: &str,
    visit: &Visit,
) -> Result<Secret, StoreError> {
    let code = Opaque::mint();
    let until = visit.now.plus(LIFETIME);
    one_time::cancel(tx, purpose, visit.now).await?;
    one_time::insert(tx, purpose, code.hash, email, until, visit.now).await?;
    Ok(code.text)
}

/// Mails a code to somebody new, with the transaction.
pub(super) async fn ask(
    door: &Door,
    tx: &mut PersonTx,
    email: &str,
    visit: &Visit,
) -> Result<(), StoreError> {
    let code = code(tx, Purpose::VerifyEmail, email, visit).await?;
    let letter = letters::verify_email(email, &code, LIFETIME, &door.settings.public_url);
    door.mailer.post(tx, letter, visit.now).await
}

/// Mails a code to an account that waits for one; with `hash`, because somebody registers with its address again.
pub(super) async fn ask_again(
    door: &Door,
    person: &Person,
    hash: Option<&Secret>,
    visit: &Visit,
) -> Result<(), StoreError> {
    let mut tx = door.postgres.begin_as_person(person.id).await?;
    if let Some(hash) = hash {
        registration::add(&mut tx, hash, MOST, visit.now).await?;
    }
    ask(door, &mut tx, &person.email, visit).await?;
    tx.commit().await?;
    door.mailer.hurry();
    Ok(())
}

/// Sends the code again to an account that waits for it; to others, nothing.
///
/// # Errors
/// When the books do not answer.
pub async fn resend(door: &Door, email: &str, visit: &Visit) -> Result<(), StoreError> {
    let mut conn = door.postgres.acquire().await?;
    let known = person::find_by_email(&mut conn, email.trim()).await?;
    drop(conn);
    match known {
        Some(person) if person.standing == Standing::Pending => {
            ask_again(door, &person, None, visit).await
        }
        _ => Ok(()),
    }
}

/// Takes an address as proved: that of a new account, or the new one of an old account.
///
/// # Errors
/// See [`NotProved`].
pub async fn verify(
    door: &Door,
    code: &Secret,
    password: Option<Secret>,
    visit: &Visit,
) -> Result<(), NotProved> {
    let hash = hash_of(code).ok_or(NotProved::WrongCode)?;
    let tx = door.postgres.begin().await?;
    let found = one_time::find(tx, hash, visit.now).await?;
    let (mut tx, token) = found.ok_or(NotProved::WrongCode)?;
    let id = tx.person();
    let before = person::find_by_id(&mut tx, id).await?;
    let before = before.ok_or(NotProved::WrongCode)?;
    let action = match token.purpose {
        Purpose::VerifyEmail => {
            choose(door, &mut tx, &before, password).await?;
            "user.verify_email"
        }
        Purpose::ChangeEmail => "user.change_email",
        Purpose::ResetPassword | Purpose::SecondFactor => return Err(NotProved::WrongCode),
    };
    if !one_time::spend(&mut tx, &token, visit.now).await? {
        return Err(NotProved::WrongCode);
    }
    person::prove_email(&mut tx, id, &token.email, visit.now)
        .await
        .on_constraint("users_email_unique", || NotProved::EmailTaken)?;
    let terms = person::terms(&mut tx, id).await?;
    let event = Event {
        action,
        target_kind: "user",
        target_id: Some(id.uuid()),
        details: json!({}),
    };
    trail::record(&mut tx, &terms.organizations, visit.by(id), &event).await?;
    tell_the_old_address(door, &mut tx, &before, &token, visit).await?;
    tx.commit().await?;
    door.mailer.hurry();
    Ok(())
}

/// Says which registration's password the account gets; asks for it when there were several.
async fn choose(
    door: &Door,
    tx: &mut PersonTx,
    person: &Person,
    password: Option<Secret>,
) -> Result<(), NotProved> {
    if person.standing != Standing::Pending {
        return Ok(());
    }
    let registered = registration::passwords(tx).await?;
    let Some(password) = password else {
        return match registered.as_slice() {
            [] => Ok(()),
            [_, ..] => Err(NotProved::PasswordNeeded),
        };
    };
    for kept in registered.iter().chain(&person.password_hash) {
        let kept_too = Some(kept.clone());
        if door.hasher.verify(password.clone(), kept_too).await? {
            return Ok(registration::settle(tx, kept).await?);
        }
    }
    Err(NotProved::WrongPassword)
}

async fn tell_the_old_address(
    door: &Door,
    tx: &mut PersonTx,
    before: &Person,
    token: &OneTimeToken,
    visit: &Visit,
) -> Result<(), StoreError> {
    if before.email == token.email {
        return Ok(());
    }
    let letter = letters::email_changed(&before.email, &door.settings.public_url);
    door.mailer.post(tx, letter, visit.now).await
}
