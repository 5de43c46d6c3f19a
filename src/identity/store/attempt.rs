//! Attempts to sign in, and the guards that slow down guessing, in the books.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    base::{Moment, OrganizationId, RequestId, UserId},
    identity::{Client, lockout::Guard, opaque::Hash},
    store::{Conn, StoreError},
};

/// How somebody tried to sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = SignInMethod)]
pub enum Method {
    /// With a password.
    Password,
    /// With a code of their second factor, or a recovery code.
    SecondFactor,
    /// Through an organization's provider.
    Oidc,
}

impl Method {
    /// Returns the word the books keep.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::SecondFactor => "second_factor",
            Self::Oidc => "oidc",
        }
    }

    pub(super) fn of(word: &str) -> Self {
        let others = [Self::SecondFactor, Self::Oidc];
        let found = others.into_iter().find(|method| method.word() == word);
        found.unwrap_or(Self::Password)
    }
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = SignInOutcome)]
pub enum Outcome {
    /// They are in.
    SignedIn,
    /// The password was right; the second factor is asked for.
    SecondFactorNeeded,
    /// Something they gave is wrong.
    Wrong,
    /// Too many wrong guesses came before: this one was not judged.
    Locked,
    /// Right, but the address is not proved.
    NotVerified,
    /// Right, but they may not.
    Suspended,
}

impl Outcome {
    const ALL: [Self; 6] = [
        Self::SignedIn,
        Self::SecondFactorNeeded,
        Self::Wrong,
        Self::Locked,
        Self::NotVerified,
        Self::Suspended,
    ];

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::SignedIn => "signed_in",
            Self::SecondFactorNeeded => "second_factor_needed",
            Self::Wrong => "wrong",
            Self::Locked => "locked",
            Self::NotVerified => "not_verified",
            Self::Suspended => "suspended",
        }
    }

    pub(super) fn of(word: &str) -> Self {
        let found = Self::ALL.into_iter().find(|outcome| outcome.word() == word);
        found.unwrap_or(Self::Wrong)
    }
}

/// Who tried what, and how it ended.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// Which account, whether or not it exists.
    pub account: Hash,
    /// Whose it is.
    pub person: Option<UserId>,
    /// How they tried.
    pub method: Method,
    /// How it ended.
    pub outcome: Outcome,
    /// From where.
    pub client: &'a Client,
    /// The one organization that hears of it; `None`: all of the person's.
    pub only_for: Option<OrganizationId>,
}

/// Writes an attempt down, for the person and for their organizations.
///
/// # Errors
/// When Postgres does not answer.
pub async fn record(conn: &mut Conn, now: Moment, attempt: &Attempt<'_>) -> Result<(), StoreError> {
    sqlx::query!(
        "select audit.record_sign_in($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        RequestId::new(now).uuid(),
        now.utc(),
        attempt.account.as_slice(),
        attempt.person.map(UserId::uuid),
        attempt.method.word(),
        attempt.outcome.word(),
        attempt.client.address.to_string(),
        attempt.client.user_agent,
        attempt.only_for.map(OrganizationId::uuid),
    )
    .fetch_one(conn)
    .await?;
    Ok(())
}

/// Takes the guard of an account and a source until the transaction ends.
///
/// # Errors
/// When Postgres does not answer.
pub async fn take_guard(conn: &mut Conn, account: Hash, source: &str) -> Result<Guard, StoreError> {
    let row = sqlx::query!(
        r#"select failures as "failures!", last_failed_at as "last_failed_at!" from identity.take_guard($1, $2)"#,
        account.as_slice(),
        source,
    )
    .fetch_one(conn)
    .await?;
    Ok(Guard {
        failures: u32::try_from(row.failures).unwrap_or(u32::MAX),
        last_failed_at: row.last_failed_at.into(),
    })
}

/// Counts a guess before it is judged; returns how many there are now.
///
/// # Errors
/// When Postgres does not answer.
pub async fn count_guess(
    conn: &mut Conn,
    account: Hash,
    source: &str,
    now: Moment,
) -> Result<u32, StoreError> {
    let failures = sqlx::query_scalar!(
        "select identity.count_guess($1, $2, $3)",
        account.as_slice(),
        source,
        now.utc(),
    )
    .fetch_one(conn)
    .await?;
    Ok(failures
        .and_then(|count| u32::try_from(count).ok())
        .unwrap_or_default())
}

/// Takes back a guess that was never judged.
///
/// # Errors
/// When Postgres does not answer.
pub async fn uncount_guess(conn: &mut Conn, account: Hash, source: &str) -> Result<(), StoreError> {
    sqlx::query!(
        "select identity.uncount_guess($1, $2)",
        account.as_slice(),
        source
    )
    .fetch_one(conn)
    .await?;
    Ok(())
}

/// Forgets the wrong guesses about an account: from one source, or from all.
///
/// # Errors
/// When Postgres does not answer.
pub async fn clear_guards(
    conn: &mut Conn,
    account: Hash,
    source: Option<&str>,
) -> Result<(), StoreError> {
    sqlx::query!(
        "select identity.clear_guards($1, $2)",
        account.as_slice(),
        source
    )
    .fetch_one(conn)
    .await?;
    Ok(())
}
