//! Signing in: a guess is counted before it is judged, so that guesses made at once cannot slip past each other.

use std::time::Duration;

use serde_json::json;

use super::{Door, Visit, trail};
use crate::{
    audit::{Actor, By, Event},
    base::{Moment, Secret, SessionId, UserId},
    identity::{
        Person, Standing, Terms,
        hasher::Busy,
        lockout::Locked,
        opaque::{Hash, Opaque, account_hash},
        password,
        session::{Session, SignedInBy},
        store::{
            attempt::{self, Attempt, Method, Outcome},
            one_time::{self, Purpose},
            person, session,
        },
        token::{Grant, NotSigned},
    },
    store::{PersonTx, StoreError},
};

/// How long the second factor may take.
const SECOND_STEP: Duration = Duration::from_secs(300);
/// Wrong guesses in a row that the person's organizations should know of.
const NOTEWORTHY: [u32; 2] = [5, 100];

/// Why somebody was not let in.
#[derive(Debug, thiserror::Error)]
pub enum SignInRefused {
    /// The address or the password is wrong, or the token or code of a later step. Which, is not told.
    #[error("the credentials are wrong")]
    Wrong,
    /// Too many wrong guesses came before.
    #[error(transparent)]
    Locked(#[from] Locked),
    /// Too many sign in at once.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// All is right, but the address is not proved.
    #[error("the e-mail address is not verified")]
    NotVerified,
    /// All is right, but they may not.
    #[error("the account is suspended")]
    Suspended,
    /// No key signs yet.
    #[error("no token could be issued")]
    NotSigned(#[from] NotSigned),
    /// The books did not answer.
    #[error("the sign-in could not be written")]
    Store(#[from] StoreError),
}

/// How a right password is answered.
#[derive(Clone, Debug)]
pub enum Entry {
    /// They are in.
    SignedIn(Tokens),
    /// The second factor is missing.
    SecondFactorNeeded(SecondStep),
}

/// What the second step of a sign-in needs.
#[derive(Clone, Debug)]
pub struct SecondStep {
    /// Says that the password was right.
    pub token: Secret,
    /// How long it counts.
    pub lifetime: Duration,
}

/// What a signed-in person carries.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// Whose they are.
    pub person: UserId,
    /// The session they carry on.
    pub session: SessionId,
    /// Sent with every request.
    pub access_token: Secret,
    /// How long it counts.
    pub access_lifetime: Duration,
    /// Spent once, for the next two.
    pub refresh_token: Secret,
    /// Until when it counts.
    pub refresh_expires_at: Moment,
    /// Must they still set up the second factor that one of their organizations asks for?
    pub is_second_factor_missing: bool,
}

/// Signs somebody in with their password.
///
/// # Errors
/// See [`SignInRefused`].
pub async fn with_password(
    door: &Door,
    email: &str,
    password: Secret,
    visit: &Visit,
) -> Result<Entry, SignInRefused> {
    let account = account_hash(email);
    let found = find(door, email).await?;
    let known = found.as_ref().map(|person| person.id);
    let count = admit(door, (account, known), Method::Password, visit).await?;
    let kept = found
        .as_ref()
        .and_then(|person| person.password_hash.clone());
    let is_right = check(door, account, password.clone(), kept, visit).await?;
    let Some(person) = found.as_ref().filter(|_| is_right) else {
        note_wrong(door, account, found.as_ref(), count, visit).await?;
        return Err(SignInRefused::Wrong);
    };
    let mut tx = door.postgres.begin_as_person(person.id).await?;
    attempt::clear_guards(&mut tx, account, Some(&visit.client.source())).await?;
    if let Err(refused) = may_enter(person) {
        let outcome = match refused {
            SignInRefused::NotVerified => Outcome::NotVerified,
            _ => Outcome::Suspended,
        };
        note(&mut tx, account, person, Method::Password, outcome, visit).await?;
        tx.commit().await?;
        return Err(refused);
    }
    rehash_if_outdated(door, &mut tx, person, password).await?;
    if person.has_second_factor {
        return ask_for_second_factor(tx, account, person, visit).await;
    }
    let session = Session::begin(
        SignedInBy::Password,
        &visit.client,
        &door.settings,
        visit.now,
    );
    open(door, tx, person, session, visit)
        .await
        .map(Entry::SignedIn)
}

/// Checks a password; a guess that was never judged is not counted.
pub(super) async fn check(
    door: &Door,
    account: Hash,
    password: Secret,
    kept: Option<Secret>,
    visit: &Visit,
) -> Result<bool, SignInRefused> {
    let checked = door.hasher.verify(password, kept).await;
    if checked.is_err() {
        let mut conn = door.postgres.acquire().await?;
        attempt::uncount_guess(&mut conn, account, &visit.client.source()).await?;
    }
    Ok(checked?)
}

/// Returns what guesses at somebody's second factor are counted under.
pub(super) fn second_account(person: UserId) -> Hash {
    account_hash(&format!("second factor of {person}"))
}

async fn find(door: &Door, email: &str) -> Result<Option<Person>, StoreError> {
    let mut conn = door.postgres.acquire().await?;
    person::find_by_email(&mut conn, email.trim()).await
}

/// Counts a guess, unless it comes too early; returns how many there are now.
pub(super) async fn admit(
    door: &Door,
    (account, person): (Hash, Option<UserId>),
    method: Method,
    visit: &Visit,
) -> Result<u32, SignInRefused> {
    let source = visit.client.source();
    let mut tx = door.postgres.begin().await?;
    let guard = attempt::take_guard(&mut tx, account, &source).await?;
    let judged = guard.judge(visit.now);
    let count = match judged {
        Ok(()) => attempt::count_guess(&mut tx, account, &source, visit.now).await?,
        Err(_) => {
            let tried = Attempt {
                account,
                person,
                method,
                outcome: Outcome::Locked,
                client: &visit.client,
                only_for: None,
            };
            attempt::record(&mut tx, visit.now, &tried).await?;
            guard.failures
        }
    };
    tx.commit().await.map_err(StoreError::from)?;
    judged?;
    Ok(count)
}

fn may_enter(person: &Person) -> Result<(), SignInRefused> {
    match person.standing {
        Standing::Active => Ok(()),
        Standing::Pending => Err(SignInRefused::NotVerified),
        Standing::Suspended => Err(SignInRefused::Suspended),
    }
}

/// Writes a wrong guess down; the fifth and the hundredth in a row also in the logs of the person's organizations.
pub(super) async fn note_wrong(
    door: &Door,
    account: Hash,
    known: Option<&Person>,
    count: u32,
    visit: &Visit,
) -> Result<(), StoreError> {
    let Some(person) = known else {
        let mut conn = door.postgres.acquire().await?;
        let tried = Attempt {
            account,
            person: None,
            method: Method::Password,
            outcome: Outcome::Wrong,
            client: &visit.client,
            only_for: None,
        };
        return attempt::record(&mut conn, visit.now, &tried).await;
    };
    let mut tx = door.postgres.begin_as_person(person.id).await?;
    note(
        &mut tx,
        account,
        person,
        Method::Password,
        Outcome::Wrong,
        visit,
    )
    .await?;
    note_guessing(&mut tx, person.id, count, visit).await?;
    tx.commit().await
}

/// Tells the person's organizations when somebody seems to guess.
pub(super) async fn note_guessing(
    tx: &mut PersonTx,
    person: UserId,
    count: u32,
    visit: &Visit,
) -> Result<(), StoreError> {
    if !NOTEWORTHY.contains(&count) {
        return Ok(());
    }
    let terms = person::terms(tx, person).await?;
    let event = Event {
        action: "sign_in.guessed",
        target_kind: "user",
        target_id: Some(person.uuid()),
        details: json!({ "wrong_guesses": count }),
    };
    let by = By::new(Actor::System, visit.now).from(visit.source);
    trail::record(tx, &terms.organizations, by, &event).await
}

pub(super) async fn note(
    tx: &mut PersonTx,
    account: Hash,
    person: &Person,
    method: Method,
    outcome: Outcome,
    visit: &Visit,
) -> Result<(), StoreError> {
    let tried = Attempt {
        account,
        person: Some(person.id),
        method,
        outcome,
        client: &visit.client,
        only_for: None,
    };
    attempt::record(tx, visit.now, &tried).await
}

async fn rehash_if_outdated(
    door: &Door,
    tx: &mut PersonTx,
    person: &Person,
    password: Secret,
) -> Result<(), SignInRefused> {
    let kept = person.password_hash.as_ref();
    let Some(kept) = kept.filter(|kept| password::is_outdated(kept)) else {
        return Ok(());
    };
    let hash = door.hasher.hash(password).await?;
    Ok(person::rehash(tx, kept, &hash).await?)
}

async fn ask_for_second_factor(
    mut tx: PersonTx,
    account: Hash,
    person: &Person,
    visit: &Visit,
) -> Result<Entry, SignInRefused> {
    let token = Opaque::mint();
    let until = visit.now.plus(SECOND_STEP);
    let purpose = Purpose::SecondFactor;
    one_time::insert(
        &mut tx,
        purpose,
        token.hash,
        &person.email,
        until,
        visit.now,
    )
    .await?;
    let outcome = Outcome::SecondFactorNeeded;
    note(&mut tx, account, person, Method::Password, outcome, visit).await?;
    tx.commit().await?;
    Ok(Entry::SecondFactorNeeded(SecondStep {
        token: token.text,
        lifetime: SECOND_STEP,
    }))
}

/// Opens a session for somebody who has proved who they are, and commits.
pub(super) async fn open(
    door: &Door,
    mut tx: PersonTx,
    person: &Person,
    opened: Session,
    visit: &Visit,
) -> Result<Tokens, SignInRefused> {
    let terms = person::terms(&mut tx, person.id).await?;
    session::insert(&mut tx, &opened).await?;
    let tokens = issue(door, &mut tx, person, &terms, &opened, visit).await?;
    person::note_sign_in(&mut tx, visit.now).await?;
    let method = match (opened.by, opened.has_second_factor) {
        (SignedInBy::Provider(..), _) => Method::Oidc,
        (SignedInBy::Password, true) => Method::SecondFactor,
        (SignedInBy::Password, false) => Method::Password,
    };
    // What an organization's provider lets in reaches that organization only: nobody else need hear of it.
    let only_for = match opened.by {
        SignedInBy::Password => None,
        SignedInBy::Provider(organization, _) => Some(organization),
    };
    let tried = Attempt {
        account: account_hash(&person.email),
        person: Some(person.id),
        method,
        outcome: Outcome::SignedIn,
        client: &visit.client,
        only_for,
    };
    attempt::record(&mut tx, visit.now, &tried).await?;
    let event = Event {
        action: "session.begin",
        target_kind: "session",
        target_id: Some(opened.id.uuid()),
        details: json!({ "method": method.word() }),
    };
    let organizations = only_for.map_or(terms.organizations, |only| vec![only]);
    trail::record(&mut tx, &organizations, visit.by(person.id), &event).await?;
    tx.commit().await?;
    Ok(tokens)
}

/// Issues both tokens of a session.
pub(super) async fn issue(
    door: &Door,
    tx: &mut PersonTx,
    person: &Person,
    terms: &Terms,
    carried: &Session,
    visit: &Visit,
) -> Result<Tokens, SignInRefused> {
    let refresh = Opaque::mint();
    let idle = Duration::from_secs(door.settings.session_idle_s);
    let until = visit.now.plus(idle).min(carried.expires_at);
    session::insert_refresh_token(tx, carried.id, refresh.hash, until, visit.now).await?;
    let grant = Grant {
        person: person.id,
        session: carried.id,
        version: person.token_version,
        lifetime: terms.access_lifetime,
    };
    Ok(Tokens {
        person: person.id,
        session: carried.id,
        access_token: Secret::new(door.signer.sign(&grant)?),
        access_lifetime: terms.access_lifetime,
        refresh_token: refresh.text,
        refresh_expires_at: until,
        is_second_factor_missing: terms.is_second_factor_required && !person.has_second_factor,
    })
}
