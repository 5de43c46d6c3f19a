//! Making an account, and proving its address. Whether an address is known shows in its mail only.

use std::time::Duration;

use serde_json::json;

use super::{Door, Visit, trail};
use crate::{
    audit::Event,
    base::{OrganizationId, Secret, UserId},
    control::organizations::{self, NewOrganization, OrganizationRefused},
    identity::{
        Person, Standing,
        hasher::Busy,
        mail::letters,
        opaque::{Opaque, hash_of},
        password::{self, PasswordRefused},
        settings::Registration,
        store::{
            one_time::{self, Purpose},
            person,
        },
    },
    store::{OnConstraint, PersonTx, Scope, StoreError},
    tenancy::slug_of,
};

/// How long a code that proves an address counts.
pub(super) const PROOF_LIFETIME: Duration = Duration::from_secs(86_400);

/// Somebody who wants an account.
#[derive(Clone, Debug)]
pub struct Applicant {
    /// Where mail reaches them.
    pub email: String,
    /// What they choose to sign in with.
    pub password: Secret,
    /// The name people read.
    pub display_name: String,
    /// The organization to make, which they own; `None` for those who are invited into one.
    pub organization: Option<String>,
}

/// Why nobody registered.
#[derive(Debug, thiserror::Error)]
pub enum RegisterRefused {
    /// This installation makes no accounts for strangers.
    #[error("registration is closed")]
    Closed,
    /// It is no address.
    #[error("that is no e-mail address")]
    WrongEmail,
    /// The password cannot be kept.
    #[error(transparent)]
    Password(#[from] PasswordRefused),
    /// The organization cannot be made.
    #[error(transparent)]
    Organization(OrganizationRefused),
    /// The code is unknown, used, or too old.
    #[error("the code does not count")]
    WrongCode,
    /// Somebody else has the address by now.
    #[error("the e-mail address is taken")]
    EmailTaken,
    /// Too many register at once.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// The books did not take it.
    #[error("the registration could not be written")]
    Store(#[from] StoreError),
}

impl From<OrganizationRefused> for RegisterRefused {
    fn from(refused: OrganizationRefused) -> Self {
        match refused {
            OrganizationRefused::Store(error) => Self::Store(error),
            other => Self::Organization(other),
        }
    }
}

/// Makes an account that waits for its address to be proved, or writes to the one that has the address.
///
/// # Errors
/// See [`RegisterRefused`]; none of them tells whether the address is known.
pub async fn register(
    door: &Door,
    applicant: Applicant,
    visit: &Visit,
) -> Result<(), RegisterRefused> {
    if door.settings.registration == Registration::Closed {
        return Err(RegisterRefused::Closed);
    }
    password::judge(&applicant.password, password::SHORTEST, &applicant.email)?;
    // Hashed also where it is not needed: that takes time that could be measured.
    let hash = door.hasher.hash(applicant.password.clone()).await?;
    let email = applicant.email.trim();
    let mut conn = door.postgres.acquire().await?;
    let known = person::find_by_email(&mut conn, email).await?;
    drop(conn);
    match known {
        Some(person) => remind(door, &person, visit).await,
        None => enter(door, &applicant, &hash, visit).await,
    }
}

/// Writes to somebody who registers although they are known.
async fn remind(door: &Door, person: &Person, visit: &Visit) -> Result<(), RegisterRefused> {
    match person.standing {
        Standing::Pending => Ok(send_proof(door, person, visit).await?),
        Standing::Active | Standing::Suspended => {
            let url = &door.settings.public_url;
            door.mailer
                .post(letters::already_registered(&person.email, url));
            Ok(())
        }
    }
}

/// Makes the account; when its organization's short name is taken, under another.
async fn enter(
    door: &Door,
    applicant: &Applicant,
    hash: &Secret,
    visit: &Visit,
) -> Result<(), RegisterRefused> {
    let slug = applicant.organization.as_deref().map(slug_of);
    let plain = slug.clone().filter(|slug| !slug.is_empty());
    let own = slug.map(|slug| distinct(&slug));
    let first = write(door, applicant, hash, plain.or_else(|| own.clone()), visit).await;
    let is_taken = matches!(
        first,
        Err(RegisterRefused::Organization(
            OrganizationRefused::SlugTaken
        ))
    );
    match first {
        Err(_) if is_taken => write(door, applicant, hash, own, visit).await,
        // Somebody registered with the address in this very moment: they get the mail.
        Err(RegisterRefused::EmailTaken) => Ok(()),
        written => written,
    }
}

/// Returns a short name nobody else has.
fn distinct(slug: &str) -> String {
    let short: String = slug.chars().take(50).collect();
    let short = if short.is_empty() {
        "org"
    } else {
        short.trim_end_matches('-')
    };
    format!("{short}-{:08x}", rand::random::<u32>())
}

/// Writes the person, their organization, and the code that is mailed, in one transaction.
async fn write(
    door: &Door,
    applicant: &Applicant,
    hash: &Secret,
    slug: Option<String>,
    visit: &Visit,
) -> Result<(), RegisterRefused> {
    let id = UserId::new(visit.now);
    let email = applicant.email.trim();
    let scope = Scope::of(OrganizationId::new(visit.now));
    let mut tx = door.postgres.begin_for(scope).await?;
    person::register(&mut tx, id, email, &applicant.display_name, Some(hash))
        .await
        .on_constraint("users_email_unique", || RegisterRefused::EmailTaken)
        .or_else(wrong_email)?;
    let mut organizations = Vec::new();
    if let Some(name) = &applicant.organization {
        let new = NewOrganization {
            name: name.clone(),
            slug,
            owner: Some(id),
            ..NewOrganization::default()
        };
        organizations.push(
            organizations::create_in(&mut tx, new, visit.by(id))
                .await?
                .id,
        );
    }
    let mut tx = tx.go_on_as(id).await?;
    let code = proof(&mut tx, Purpose::VerifyEmail, email, visit).await?;
    let event = Event {
        action: "user.register",
        target_kind: "user",
        target_id: Some(id.uuid()),
        details: json!({}),
    };
    trail::record(&mut tx, &organizations, visit.by(id), &event).await?;
    tx.commit().await?;
    door.mailer.post(letters::verify_email(
        email,
        &code,
        &door.settings.public_url,
    ));
    Ok(())
}

fn wrong_email(refused: RegisterRefused) -> Result<(), RegisterRefused> {
    match refused {
        RegisterRefused::Store(StoreError::Constraint { name, .. })
            if name == "users_email_form" =>
        {
            Err(RegisterRefused::WrongEmail)
        }
        other => Err(other),
    }
}

/// Makes a code that proves an address.
pub(super) async fn proof(
    tx: &mut PersonTx,
    purpose: Purpose,
    email: &str,
    visit: &Visit,
) -> Result<Secret, StoreError> {
    let code = Opaque::mint();
    let until = visit.now.plus(PROOF_LIFETIME);
    one_time::cancel(tx, purpose, visit.now).await?;
    one_time::insert(tx, purpose, code.hash, email, until, visit.now).await?;
    Ok(code.text)
}

async fn send_proof(door: &Door, person: &Person, visit: &Visit) -> Result<(), StoreError> {
    let mut tx = door.postgres.begin_as_person(person.id).await?;
    let code = proof(&mut tx, Purpose::VerifyEmail, &person.email, visit).await?;
    tx.commit().await?;
    let url = &door.settings.public_url;
    door.mailer
        .post(letters::verify_email(&person.email, &code, url));
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
            send_proof(door, &person, visit).await
        }
        _ => Ok(()),
    }
}

/// Takes an address as proved: that of a new account, or the new one of an old account.
///
/// # Errors
/// See [`RegisterRefused`].
pub async fn verify_email(
    door: &Door,
    code: &Secret,
    visit: &Visit,
) -> Result<(), RegisterRefused> {
    let hash = hash_of(code).ok_or(RegisterRefused::WrongCode)?;
    let tx = door.postgres.begin().await?;
    let found = one_time::find(tx, hash, visit.now).await?;
    let (mut tx, token) = found.ok_or(RegisterRefused::WrongCode)?;
    let action = match token.purpose {
        Purpose::VerifyEmail => "user.verify_email",
        Purpose::ChangeEmail => "user.change_email",
        Purpose::ResetPassword | Purpose::SecondFactor => return Err(RegisterRefused::WrongCode),
    };
    if !one_time::spend(&mut tx, &token, visit.now).await? {
        return Err(RegisterRefused::WrongCode);
    }
    let id = tx.person();
    let before = person::find_by_id(&mut tx, id).await?;
    let before = before.ok_or(RegisterRefused::WrongCode)?;
    person::prove_email(&mut tx, id, &token.email, visit.now)
        .await
        .on_constraint("users_email_unique", || RegisterRefused::EmailTaken)?;
    let terms = person::terms(&mut tx, id).await?;
    let event = Event {
        action,
        target_kind: "user",
        target_id: Some(id.uuid()),
        details: json!({}),
    };
    trail::record(&mut tx, &terms.organizations, visit.by(id), &event).await?;
    tx.commit().await?;
    if before.email != token.email {
        let url = &door.settings.public_url;
        door.mailer.post(letters::email_changed(&before.email, url));
    }
    Ok(())
}
