//! Another password: for who forgot it, and for who knows it. Either way everybody else with the account is out.

use std::time::Duration;

use serde_json::json;

use super::{
    Door, Visit,
    sign_in::{self, SignInRefused, Tokens},
    trail,
};
use crate::{
    audit::{Actor, By, Event},
    base::{Secret, SessionId, UserId},
    identity::{
        Person, Standing, Terms,
        hasher::Busy,
        mail::letters,
        opaque::{Opaque, account_hash, hash_of},
        password::{self, PasswordRefused},
        session::{EndReason, Session, SignedInBy},
        store::{
            attempt::{self, Method},
            one_time::{self, Purpose},
            person, session,
        },
    },
    store::{PersonTx, StoreError},
};

/// How long a code that lets choose another password counts.
const RESET_LIFETIME: Duration = Duration::from_secs(3_600);
/// Codes that may count at a time: more letters are not sent, however often somebody asks.
const MOST_RESETS: i64 = 5;

/// Why the password is as it was.
#[derive(Debug, thiserror::Error)]
pub enum PasswordNotSet {
    /// The code is unknown, used, or too old.
    #[error("the code does not count")]
    WrongCode,
    /// The new password cannot be kept.
    #[error(transparent)]
    Password(#[from] PasswordRefused),
    /// The old password is wrong, was guessed too often, or the person may not sign in.
    #[error(transparent)]
    Refused(#[from] SignInRefused),
}

impl From<StoreError> for PasswordNotSet {
    fn from(error: StoreError) -> Self {
        Self::Refused(error.into())
    }
}

impl From<Busy> for PasswordNotSet {
    fn from(error: Busy) -> Self {
        Self::Refused(error.into())
    }
}

/// Mails a code that lets choose another password, if somebody has the address.
///
/// Codes sent before count on: a stranger who asks cannot take the owner's away.
///
/// # Errors
/// When the books do not answer.
pub async fn forgot(door: &Door, email: &str, visit: &Visit) -> Result<(), StoreError> {
    let mut conn = door.postgres.acquire().await?;
    let known = person::find_by_email(&mut conn, email.trim()).await?;
    drop(conn);
    let Some(known) = known.filter(|known| known.standing != Standing::Suspended) else {
        return Ok(());
    };
    let mut tx = door.postgres.begin_as_person(known.id).await?;
    if MOST_RESETS <= one_time::count_live(&mut tx, Purpose::ResetPassword, visit.now).await? {
        return Ok(());
    }
    let code = Opaque::mint();
    let until = visit.now.plus(RESET_LIFETIME);
    let purpose = Purpose::ResetPassword;
    one_time::insert(&mut tx, purpose, code.hash, &known.email, until, visit.now).await?;
    let terms = person::terms(&mut tx, known.id).await?;
    // Whoever asks has proved nothing yet.
    let by = By::new(Actor::System, visit.now).from(visit.source);
    record(&mut tx, &terms, "user.forgot_password", by).await?;
    let url = &door.settings.public_url;
    let letter = letters::reset_password(&known.email, &code.text, RESET_LIFETIME, url);
    door.mailer.post(&mut tx, letter, visit.now).await?;
    tx.commit().await?;
    door.mailer.hurry();
    Ok(())
}

/// Sets another password for whoever has the code, ends every session and forgets every wrong guess.
///
/// # Errors
/// See [`PasswordNotSet`].
pub async fn reset(
    door: &Door,
    code: &Secret,
    new: Secret,
    visit: &Visit,
) -> Result<(), PasswordNotSet> {
    let hash = hash_of(code).ok_or(PasswordNotSet::WrongCode)?;
    let tx = door.postgres.begin().await?;
    let found = one_time::find(tx, hash, visit.now).await?;
    let (mut tx, token) = found
        .filter(|(_, token)| token.purpose == Purpose::ResetPassword)
        .ok_or(PasswordNotSet::WrongCode)?;
    let id = tx.person();
    let known = person::find_by_id(&mut tx, id).await?;
    let known = known.ok_or(PasswordNotSet::WrongCode)?;
    let terms = person::terms(&mut tx, id).await?;
    let hash = acceptable(door, &mut tx, &known, &terms, new).await?;
    if !one_time::spend(&mut tx, &token, visit.now).await? {
        return Err(PasswordNotSet::WrongCode);
    }
    one_time::cancel(&mut tx, Purpose::ResetPassword, visit.now).await?;
    person::set_password(&mut tx, &hash, visit.now).await?;
    if known.email == token.email {
        person::prove_email(&mut tx, id, &token.email, visit.now).await?;
    }
    session::end_all(&mut tx, None, EndReason::PasswordChanged, visit.now).await?;
    for account in [account_hash(&known.email), sign_in::second_account(id)] {
        attempt::clear_guards(&mut tx, account, None).await?;
    }
    record(&mut tx, &terms, "user.reset_password", visit.by(id)).await?;
    tell(door, tx, &known, visit).await?;
    Ok(())
}

/// Sets another password for a signed-in person who knows the present one, and ends every other session.
///
/// # Errors
/// See [`PasswordNotSet`].
pub async fn change(
    door: &Door,
    (id, carried): (UserId, SessionId),
    present: Secret,
    new: Secret,
    visit: &Visit,
) -> Result<Tokens, PasswordNotSet> {
    let known = prove(door, id, present, visit).await?;
    let mut tx = door.postgres.begin_as_person(id).await?;
    let terms = person::terms(&mut tx, id).await?;
    let hash = acceptable(door, &mut tx, &known, &terms, new).await?;
    let version = person::set_password(&mut tx, &hash, visit.now).await?;
    session::end_all(
        &mut tx,
        Some(carried),
        EndReason::PasswordChanged,
        visit.now,
    )
    .await?;
    let known = Person {
        token_version: version,
        ..known
    };
    let carried = Session {
        id: carried,
        ..Session::begin(
            SignedInBy::Password,
            &visit.client,
            &door.settings,
            visit.now,
        )
    };
    session::end_refresh_tokens(&mut tx, carried.id, visit.now).await?;
    let tokens = sign_in::issue(door, &mut tx, &known, &terms, &carried, visit).await?;
    record(&mut tx, &terms, "user.change_password", visit.by(id)).await?;
    tell(door, tx, &known, visit).await?;
    Ok(tokens)
}

/// Ends the transaction in which somebody's password became another, and writes to them.
async fn tell(
    door: &Door,
    mut tx: PersonTx,
    known: &Person,
    visit: &Visit,
) -> Result<(), StoreError> {
    let letter = letters::password_changed(&known.email, &door.settings.public_url);
    door.mailer.post(&mut tx, letter, visit.now).await?;
    tx.commit().await?;
    door.mailer.hurry();
    Ok(())
}

/// Lets a signed-in person prove by their password that it is them; guesses count like those of strangers.
///
/// # Errors
/// See [`SignInRefused`].
pub async fn prove(
    door: &Door,
    id: UserId,
    password: Secret,
    visit: &Visit,
) -> Result<Person, SignInRefused> {
    let mut conn = door.postgres.acquire().await?;
    let known = person::find_by_id(&mut conn, id).await?;
    drop(conn);
    let known = known.ok_or(SignInRefused::Wrong)?;
    let account = account_hash(&known.email);
    let count = sign_in::admit(door, (account, Some(id)), Method::Password, visit).await?;
    let kept = known.password_hash.clone();
    let is_right = sign_in::check(door, account, password, kept, visit).await?;
    if !is_right {
        sign_in::note_wrong(door, account, Some(&known), count, visit).await?;
        return Err(SignInRefused::Wrong);
    }
    let mut conn = door.postgres.acquire().await?;
    attempt::clear_guards(&mut conn, account, Some(&visit.client.source())).await?;
    Ok(known)
}

/// Judges a password by what the person's organizations ask, and returns its hash.
async fn acceptable(
    door: &Door,
    tx: &mut PersonTx,
    known: &Person,
    terms: &Terms,
    new: Secret,
) -> Result<Secret, PasswordNotSet> {
    password::judge(&new, terms.password_shortest, &known.email)?;
    if 0 < terms.password_history {
        let earlier = person::earlier_passwords(tx, known.id, terms.password_history).await?;
        for kept in known.password_hash.iter().cloned().chain(earlier) {
            if door.hasher.verify(new.clone(), Some(kept)).await? {
                return Err(PasswordRefused::Used.into());
            }
        }
    }
    Ok(door.hasher.hash(new).await?)
}

async fn record(
    tx: &mut PersonTx,
    terms: &Terms,
    action: &'static str,
    by: By,
) -> Result<(), StoreError> {
    let id = tx.person();
    let event = Event {
        action,
        target_kind: "user",
        target_id: Some(id.uuid()),
        details: json!({}),
    };
    trail::record(tx, &terms.organizations, by, &event).await
}
