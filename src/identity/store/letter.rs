//! Letters that wait in the books to be sent.

use std::time::Duration;

use sqlx::postgres::types::PgInterval;
use uuid::Uuid;

use crate::store::{
    Conn, StoreError,
    seal::{Place, Sealed},
};

/// A letter that somebody took to send it.
#[derive(Clone, Debug)]
pub struct Taken {
    /// Which one.
    pub id: Uuid,
    /// What it says.
    pub sealed: Sealed,
    /// The how manieth try this is; also says whose it is.
    pub tries: i32,
}

/// How the letters stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// How many wait.
    pub waiting: i64,
    /// How long the oldest of them has.
    pub oldest: Duration,
    /// How many were given up in the last days.
    pub given_up: i64,
}

/// Returns where a letter is sealed.
#[must_use]
pub const fn place(id: Uuid) -> Place<'static> {
    Place {
        table: "identity.letters",
        row: id,
        organization: None,
        column: "sealed_secret",
        audience: "",
    }
}

/// Writes a letter that counts for a while; it waits from the end of the transaction on.
///
/// # Errors
/// When Postgres does not answer.
pub async fn insert(
    conn: &mut Conn,
    id: Uuid,
    subject: &str,
    sealed: &Sealed,
    useful_for: Duration,
) -> Result<(), StoreError> {
    sqlx::query!(
        "select identity.post_letter($1, $2, $3, $4, $5, $6)",
        id,
        subject,
        sealed.sealing_key_id,
        sealed.sealed_key,
        sealed.sealed_secret,
        interval(useful_for),
    )
    .fetch_one(conn)
    .await?;
    Ok(())
}

/// Takes letters that are due; nobody else gets them for the time of the lease.
///
/// # Errors
/// When Postgres does not answer.
pub async fn take(conn: &mut Conn, batch: i32, lease: Duration) -> Result<Vec<Taken>, StoreError> {
    let rows = sqlx::query!(
        r#"select id as "id!", sealing_key_id as "sealing_key_id!", sealed_key as "sealed_key!",
               sealed_secret as "sealed_secret!", tries as "tries!"
           from identity.take_letters($1, $2)"#,
        batch,
        interval(lease),
    )
    .fetch_all(conn)
    .await?;
    let taken = rows.into_iter().map(|row| Taken {
        id: row.id,
        sealed: Sealed {
            sealing_key_id: row.sealing_key_id,
            sealed_key: row.sealed_key,
            sealed_secret: row.sealed_secret,
        },
        tries: row.tries,
    });
    Ok(taken.collect())
}

/// Forgets a letter that was sent.
///
/// # Errors
/// When Postgres does not answer.
pub async fn forget(conn: &mut Conn, letter: &Taken) -> Result<(), StoreError> {
    sqlx::query!(
        "select identity.forget_letter($1, $2)",
        letter.id,
        letter.tries
    )
    .fetch_one(conn)
    .await?;
    Ok(())
}

/// Lets a letter that was not sent wait for `pause`; with none, or when it would come too late, it is emptied and given
/// up. Says whether it was.
///
/// # Errors
/// When Postgres does not answer.
pub async fn put_back(
    conn: &mut Conn,
    letter: &Taken,
    fault: &str,
    pause: Option<Duration>,
) -> Result<bool, StoreError> {
    let is_given_up = sqlx::query_scalar!(
        "select identity.put_letter_back($1, $2, $3, $4)",
        letter.id,
        letter.tries,
        fault,
        pause.map(interval),
    )
    .fetch_one(conn)
    .await?;
    Ok(is_given_up.unwrap_or_default())
}

/// Returns how the letters stand.
///
/// # Errors
/// When Postgres does not answer.
pub async fn standing(conn: &mut Conn) -> Result<Standing, StoreError> {
    let row = sqlx::query!(
        r#"select waiting as "waiting!", oldest_s as "oldest_s!", given_up as "given_up!"
           from identity.letters_standing()"#
    )
    .fetch_one(conn)
    .await?;
    Ok(Standing {
        waiting: row.waiting,
        oldest: Duration::from_secs(u64::try_from(row.oldest_s).unwrap_or_default()),
        given_up: row.given_up,
    })
}

fn interval(time: Duration) -> PgInterval {
    PgInterval {
        months: 0,
        days: 0,
        microseconds: i64::try_from(time.as_micros()).unwrap_or(i64::MAX),
    }
}
