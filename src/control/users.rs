//! People: made by operators until they can register themselves.

use serde_json::json;

use crate::{
    audit::{self, By, Event},
    base::{Secret, UserId},
    identity::{
        self,
        password::{self, PasswordRefused},
    },
    store::{Postgres, StoreError, postgres::OnConstraint},
    tenancy::{self, NewUser},
};

/// What a person may do to the platform itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// Nothing.
    #[default]
    Tenant,
    /// Everything. Only the schema's owner can give it.
    Platform,
}

/// Why a person was not made.
#[derive(Debug, thiserror::Error)]
pub enum UserRefused {
    /// Somebody has that address.
    #[error("the e-mail address is taken")]
    EmailTaken,
    /// It is no address.
    #[error("that is no e-mail address")]
    WrongEmail,
    /// The password cannot be kept.
    #[error(transparent)]
    Password(#[from] PasswordRefused),
    /// Hashing was broken off.
    #[error("the password could not be hashed")]
    Interrupted,
    /// The books did not take them.
    #[error("the user could not be written")]
    Store(#[from] StoreError),
}

/// Makes a person with a password.
///
/// # Errors
/// See [`UserRefused`]; nobody was made then.
pub async fn create(
    postgres: &Postgres,
    email: &str,
    password: Secret,
    reach: Reach,
    by: By,
) -> Result<UserId, UserRefused> {
    let hashing = tokio::task::spawn_blocking(move || password::hash(&password));
    let password_hash = hashing.await.map_err(|_| UserRefused::Interrupted)??;
    let new = NewUser {
        email: email.to_owned(),
        display_name: String::new(),
        password_hash: Some(password_hash),
    };
    let id = UserId::new(by.now);
    let mut tx = postgres.begin().await?;
    tenancy::store::insert_user(&mut tx, id, &new)
        .await
        .on_constraint("users_email_unique", || UserRefused::EmailTaken)
        .or_else(wrong_email)?;
    // Whoever makes people by hand knows them: their address needs no proof.
    identity::store::person::prove_email(&mut tx, id, email, by.now).await?;
    if reach == Reach::Platform {
        tenancy::store::make_platform_admin(&mut tx, id).await?;
    }
    let event = Event {
        action: "user.create",
        target_kind: "user",
        target_id: Some(id.uuid()),
        details: json!({ "is_platform_admin": reach == Reach::Platform }),
    };
    audit::store::record(&mut tx, by, &event).await?;
    tx.commit().await.map_err(StoreError::from)?;
    Ok(id)
}

fn wrong_email(refused: UserRefused) -> Result<(), UserRefused> {
    match refused {
        UserRefused::Store(StoreError::Constraint { name, .. }) if name == "users_email_form" => {
            Err(UserRefused::WrongEmail)
        }
        other => Err(other),
    }
}
