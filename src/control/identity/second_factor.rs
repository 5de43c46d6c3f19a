//! The second factor: set up, shown at sign-in, taken away. Each code counts once, also of two that come at once.

use serde_json::json;

use super::{
    Door, Visit,
    sign_in::{self, SignInRefused, Tokens, second_account},
    trail,
};
use crate::{
    audit::Event,
    base::{RequestId, Secret, SessionId, UserId},
    identity::{
        Person, Standing,
        opaque::hash_of,
        session::{Session, SignedInBy},
        store::{
            attempt::{self, Method, Outcome},
            factor::{self, Factor, place},
            one_time::{self, Purpose},
            person, session,
        },
        totp,
    },
    store::{
        PersonTx, StoreError,
        seal::{NotOpened, NotSealed},
    },
};

/// The source under which all guesses at a second factor are counted, wherever they come from.
const ANYWHERE: &str = "*";

/// Why a second factor was not set up, shown or taken away.
#[derive(Debug, thiserror::Error)]
pub enum FactorRefused {
    /// There is one, and it asks for codes.
    #[error("a second factor is set up already")]
    IsSetUp,
    /// There is none.
    #[error("no second factor is set up")]
    IsMissing,
    /// The code is wrong, or counted before.
    #[error("the code is wrong or was used before")]
    WrongCode,
    /// The shared secret cannot be sealed.
    #[error(transparent)]
    NotSealed(#[from] NotSealed),
    /// The shared secret cannot be opened.
    #[error("the second factor cannot be read")]
    NotOpened(#[from] NotOpened),
    /// Too many guesses, or the person may not sign in.
    #[error(transparent)]
    Refused(#[from] SignInRefused),
}

impl From<StoreError> for FactorRefused {
    fn from(error: StoreError) -> Self {
        Self::Refused(error.into())
    }
}

/// A second factor that waits for its first code.
#[derive(Clone, Debug)]
pub struct Enrolment {
    /// What the app must know, in base 32.
    pub seed: Secret,
    /// The same as an address, for a picture the app reads.
    pub url: Secret,
}

/// How a person's second factor stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FactorStanding {
    /// Is it asked for at sign-in?
    pub is_set_up: bool,
    /// How many recovery codes are left.
    pub recovery_codes_left: i64,
}

/// What is shown for the second step.
#[derive(Clone, Debug)]
pub enum Shown {
    /// Six digits from the app.
    Code(String),
    /// One of the recovery codes.
    Recovery(Secret),
}

/// Returns how a person's second factor stands.
///
/// # Errors
/// When the books do not answer.
pub async fn standing(door: &Door, person: UserId) -> Result<FactorStanding, StoreError> {
    let mut tx = door.postgres.begin_as_person(person).await?;
    let found = factor::find(&mut tx).await?;
    Ok(FactorStanding {
        is_set_up: found.is_some_and(|factor| factor.confirmed_at.is_some()),
        recovery_codes_left: factor::codes_left(&mut tx).await?,
    })
}

/// Begins to set up a second factor; one that waits for its first code is replaced.
///
/// # Errors
/// See [`FactorRefused`].
pub async fn enrol(door: &Door, id: UserId, visit: &Visit) -> Result<Enrolment, FactorRefused> {
    let mut tx = door.postgres.begin_as_person(id).await?;
    let known = person::find_by_id(&mut tx, id).await?;
    let known = known.ok_or(SignInRefused::Wrong)?;
    let found = factor::find(&mut tx).await?;
    if found.is_some_and(|factor| factor.confirmed_at.is_some()) {
        return Err(FactorRefused::IsSetUp);
    }
    factor::remove(&mut tx, visit.now).await?;
    let seed = totp::new_seed();
    let new = RequestId::new(visit.now).uuid();
    let sealed = door.vault.seal(&seed, place(new))?;
    factor::insert(&mut tx, new, &sealed, visit.now).await?;
    record(&mut tx, "second_factor.enrol", visit).await?;
    tx.commit().await?;
    Ok(Enrolment {
        url: Secret::new(totp::enrolment_url(&seed, &known.email)),
        seed,
    })
}

/// Ends setting up with the first code; from now on codes are asked for. Returns the recovery codes.
///
/// # Errors
/// See [`FactorRefused`].
pub async fn confirm(
    door: &Door,
    (id, carried): (UserId, SessionId),
    code: &str,
    visit: &Visit,
) -> Result<Vec<Secret>, FactorRefused> {
    let count = admit(door, id, visit).await?;
    let mut tx = door.postgres.begin_as_person(id).await?;
    let found = factor::find(&mut tx)
        .await?
        .ok_or(FactorRefused::IsMissing)?;
    if found.confirmed_at.is_some() {
        return Err(FactorRefused::IsSetUp);
    }
    if !takes(door, &mut tx, &found, code, visit).await? {
        return Err(wrong(door, tx, count, visit).await?);
    }
    let codes = new_codes(&mut tx, visit).await?;
    session::note_second_factor(&mut tx, carried).await?;
    record(&mut tx, "second_factor.confirm", visit).await?;
    forgive(&mut tx, visit).await?;
    tx.commit().await?;
    Ok(codes)
}

/// Takes the second factor away from somebody who shows it once more.
///
/// # Errors
/// See [`FactorRefused`].
pub async fn disable(
    door: &Door,
    id: UserId,
    shown: &Shown,
    visit: &Visit,
) -> Result<(), FactorRefused> {
    let mut tx = show(door, id, shown, visit).await?;
    factor::remove(&mut tx, visit.now).await?;
    record(&mut tx, "second_factor.disable", visit).await?;
    tx.commit().await?;
    Ok(())
}

/// Replaces the recovery codes of somebody who shows the second factor.
///
/// # Errors
/// See [`FactorRefused`].
pub async fn renew_codes(
    door: &Door,
    id: UserId,
    shown: &Shown,
    visit: &Visit,
) -> Result<Vec<Secret>, FactorRefused> {
    let mut tx = show(door, id, shown, visit).await?;
    let codes = new_codes(&mut tx, visit).await?;
    record(&mut tx, "second_factor.renew_codes", visit).await?;
    tx.commit().await?;
    Ok(codes)
}

/// Ends a sign-in with the second factor.
///
/// # Errors
/// See [`FactorRefused`].
pub async fn sign_in(
    door: &Door,
    token: &Secret,
    shown: &Shown,
    visit: &Visit,
) -> Result<Tokens, FactorRefused> {
    let hash = hash_of(token).ok_or(SignInRefused::Wrong)?;
    let tx = door.postgres.begin().await?;
    let found = one_time::find(tx, hash, visit.now).await?;
    let (tx, token) = found
        .filter(|(_, token)| token.purpose == Purpose::SecondFactor)
        .ok_or(SignInRefused::Wrong)?;
    let id = tx.person();
    drop(tx);
    let mut tx = show(door, id, shown, visit).await?;
    if !one_time::spend(&mut tx, &token, visit.now).await? {
        return Err(SignInRefused::Wrong.into());
    }
    let known = person::find_by_id(&mut tx, id).await?;
    let known = known
        .filter(|known| known.standing == Standing::Active)
        .ok_or(SignInRefused::Suspended)?;
    let opened = Session {
        has_second_factor: true,
        ..Session::begin(
            SignedInBy::Password,
            &visit.client,
            &door.settings,
            visit.now,
        )
    };
    Ok(sign_in::open(door, tx, &known, opened, visit).await?)
}

/// Judges what somebody shows and spends it; the transaction goes on from there.
async fn show(
    door: &Door,
    id: UserId,
    shown: &Shown,
    visit: &Visit,
) -> Result<PersonTx, FactorRefused> {
    let count = admit(door, id, visit).await?;
    let mut tx = door.postgres.begin_as_person(id).await?;
    let found = factor::find(&mut tx).await?;
    let found = found
        .filter(|factor| factor.confirmed_at.is_some())
        .ok_or(FactorRefused::IsMissing)?;
    let counts = match shown {
        Shown::Code(code) => takes(door, &mut tx, &found, code, visit).await?,
        Shown::Recovery(code) => match totp::recovery_hash(code) {
            Some(hash) => factor::spend_code(&mut tx, hash, visit.now).await?,
            None => false,
        },
    };
    if !counts {
        return Err(wrong(door, tx, count, visit).await?);
    }
    if matches!(shown, Shown::Recovery(_)) {
        record(&mut tx, "second_factor.use_recovery_code", visit).await?;
    }
    forgive(&mut tx, visit).await?;
    Ok(tx)
}

/// Says whether a code counts, and takes its step.
async fn takes(
    door: &Door,
    tx: &mut PersonTx,
    found: &Factor,
    code: &str,
    visit: &Visit,
) -> Result<bool, FactorRefused> {
    let seed = door.vault.open(&found.sealed, place(found.id))?;
    match totp::step_of(&seed, code, visit.now) {
        Some(step) => Ok(factor::take_step(tx, found.id, step, visit.now).await?),
        None => Ok(false),
    }
}

/// Counts a guess from its source and from anywhere: who has many addresses still has few guesses.
async fn admit(door: &Door, id: UserId, visit: &Visit) -> Result<u32, SignInRefused> {
    let account = second_account(id);
    let count = sign_in::admit(door, (account, Some(id)), Method::SecondFactor, visit).await?;
    let mut tx = door.postgres.begin().await?;
    let all = attempt::take_guard(&mut tx, account, ANYWHERE).await?;
    if let Err(locked) = all.judge(visit.now)
        && locked.is_stopped
    {
        return Err(locked.into());
    }
    attempt::count_guess(&mut tx, account, ANYWHERE, visit.now).await?;
    tx.commit().await.map_err(StoreError::from)?;
    Ok(count)
}

async fn forgive(tx: &mut PersonTx, visit: &Visit) -> Result<(), StoreError> {
    let account = second_account(tx.person());
    attempt::clear_guards(tx, account, Some(&visit.client.source())).await?;
    attempt::clear_guards(tx, account, Some(ANYWHERE)).await
}

/// Writes a wrong guess down and nothing else.
async fn wrong(
    door: &Door,
    tx: PersonTx,
    count: u32,
    visit: &Visit,
) -> Result<FactorRefused, FactorRefused> {
    let id = tx.person();
    drop(tx);
    let mut tx = door.postgres.begin_as_person(id).await?;
    let known: Option<Person> = person::find_by_id(&mut tx, id).await?;
    if let Some(known) = known {
        let (method, outcome) = (Method::SecondFactor, Outcome::Wrong);
        sign_in::note(&mut tx, second_account(id), &known, method, outcome, visit).await?;
    }
    sign_in::note_guessing(&mut tx, id, count, visit).await?;
    tx.commit().await?;
    Ok(FactorRefused::WrongCode)
}

async fn new_codes(tx: &mut PersonTx, visit: &Visit) -> Result<Vec<Secret>, StoreError> {
    let codes = totp::new_recovery_codes();
    factor::replace_codes(tx, &codes, visit.now).await?;
    Ok(codes.into_iter().map(|code| code.text).collect())
}

async fn record(tx: &mut PersonTx, action: &'static str, visit: &Visit) -> Result<(), StoreError> {
    let id = tx.person();
    let terms = person::terms(tx, id).await?;
    let event = Event {
        action,
        target_kind: "user",
        target_id: Some(id.uuid()),
        details: json!({}),
    };
    trail::record(tx, &terms.organizations, visit.by(id), &event).await
}
