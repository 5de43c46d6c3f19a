//! One-time tokens in the books: what is sent by mail, or handed out between two steps of a sign-in.

use crate::{
    base::{Moment, RequestId, UserId},
    identity::opaque::Hash,
    store::{PersonTx, StoreError, Tx},
};

/// What a token is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Proves the address of a new account.
    VerifyEmail,
    /// Proves the address an account is to have.
    ChangeEmail,
    /// Lets choose another password.
    ResetPassword,
    /// Says that the password was right; the second factor is missing.
    SecondFactor,
}

impl Purpose {
    const ALL: [Self; 4] = [
        Self::VerifyEmail,
        Self::ChangeEmail,
        Self::ResetPassword,
        Self::SecondFactor,
    ];

    const fn word(self) -> &'static str {
        match self {
            Self::VerifyEmail => "verify_email",
            Self::ChangeEmail => "change_email",
            Self::ResetPassword => "reset_password",
            Self::SecondFactor => "second_factor",
        }
    }
}

/// A token that still counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneTimeToken {
    /// Which one.
    pub id: uuid::Uuid,
    /// What it is good for.
    pub purpose: Purpose,
    /// The address it was sent to, or is about.
    pub email: String,
}

/// Writes a token; those of the same person and purpose before it count on.
///
/// # Errors
/// When Postgres does not answer.
pub async fn insert(
    tx: &mut PersonTx,
    purpose: Purpose,
    token: Hash,
    email: &str,
    expires_at: Moment,
    now: Moment,
) -> Result<(), StoreError> {
    let person = tx.person().uuid();
    sqlx::query!(
        "insert into identity.one_time_tokens (id, user_id, purpose, token_hash, email, expires_at, created_at)
         values ($1, $2, $3, $4, $5, $6, $7)",
        RequestId::new(now).uuid(),
        person,
        purpose.word(),
        token.as_slice(),
        email,
        expires_at.utc(),
        now.utc(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Counts the tokens of the person for a purpose that still count.
///
/// # Errors
/// When Postgres does not answer.
pub async fn count_live(
    tx: &mut PersonTx,
    purpose: Purpose,
    now: Moment,
) -> Result<i64, StoreError> {
    let person = tx.person().uuid();
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!"
           from identity.one_time_tokens
           where user_id = $1 and purpose = $2 and used_at is null and $3 < expires_at"#,
        person,
        purpose.word(),
        now.utc(),
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(count)
}

/// Takes the worth of every token of the person for a purpose.
///
/// # Errors
/// When Postgres does not answer.
pub async fn cancel(tx: &mut PersonTx, purpose: Purpose, now: Moment) -> Result<(), StoreError> {
    let person = tx.person().uuid();
    sqlx::query!(
        "update identity.one_time_tokens
         set used_at = $3
         where user_id = $1 and purpose = $2 and used_at is null",
        person,
        purpose.word(),
        now.utc(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Finds a token that still counts, and narrows the transaction to its person.
///
/// # Errors
/// When Postgres does not answer.
pub async fn find(
    mut tx: Tx,
    token: Hash,
    now: Moment,
) -> Result<Option<(PersonTx, OneTimeToken)>, StoreError> {
    let row = sqlx::query!(
        r#"select id as "id!", user_id as "user_id!", purpose as "purpose!", email as "email!"
           from identity.find_one_time_token($1, $2)"#,
        token.as_slice(),
        now.utc(),
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let purpose = Purpose::ALL
        .into_iter()
        .find(|purpose| purpose.word() == row.purpose);
    let Some(purpose) = purpose else {
        return Ok(None);
    };
    let tx = PersonTx::of(tx, UserId(row.user_id)).await?;
    let token = OneTimeToken {
        id: row.id,
        purpose,
        email: row.email,
    };
    Ok(Some((tx, token)))
}

/// Spends a token; says whether this was the one time.
///
/// # Errors
/// When Postgres does not answer.
pub async fn spend(
    tx: &mut PersonTx,
    token: &OneTimeToken,
    now: Moment,
) -> Result<bool, StoreError> {
    let person = tx.person().uuid();
    let done = sqlx::query!(
        "update identity.one_time_tokens
         set used_at = $3
         where user_id = $1 and id = $2 and used_at is null",
        person,
        token.id,
        now.utc(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() > 0)
}
