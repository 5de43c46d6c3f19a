//! Making an account. Whether an address is known shows in its mail only.

use serde_json::json;

use super::{Door, Visit, proof, trail};
use crate::{
    audit::Event,
    base::{OrganizationId, Secret, UserId},
    control::organizations::{self, NewOrganization, OrganizationRefused},
    identity::{
        Person, Standing,
        hasher::Busy,
        mail::letters,
        password::{self, PasswordRefused},
        settings::Registration,
        store::person,
    },
    store::{OnConstraint, Scope, StoreError},
    tenancy::slug_of,
};

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
        Some(person) => remind(door, &person, &hash, visit).await,
        None => enter(door, &applicant, &hash, visit).await,
    }
}

/// Writes to somebody who registers although they are known.
async fn remind(
    door: &Door,
    person: &Person,
    hash: &Secret,
    visit: &Visit,
) -> Result<(), RegisterRefused> {
    match person.standing {
        Standing::Pending => Ok(proof::ask_again(door, person, Some(hash), visit).await?),
        Standing::Active | Standing::Suspended => {
            let letter = letters::already_registered(&person.email, &door.settings.public_url);
            let mut tx = door.postgres.begin().await?;
            door.mailer.post(&mut tx, letter, visit.now).await?;
            tx.commit().await.map_err(StoreError::from)?;
            door.mailer.hurry();
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
    proof::ask(door, &mut tx, email, visit).await?;
    let event = Event {
        action: "user.register",
        target_kind: "user",
        target_id: Some(id.uuid()),
        details: json!({}),
    };
    trail::record(&mut tx, &organizations, visit.by(id), &event).await?;
    tx.commit().await?;
    door.mailer.hurry();
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
