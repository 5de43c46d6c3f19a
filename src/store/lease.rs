//! Leadership with an epoch: one process leads at a time, and what a stopped one still writes is refused.
//!
//! The clock is the books'. A transaction of the leader holds the lease's row against whoever wants to take it over,
//! and Postgres ends it when its owner falls silent in the middle, so that a stopped process delays nobody for long.

use std::time::Duration;

use sqlx::postgres::types::PgInterval;

use super::postgres::{Conn, Postgres, StoreError};

/// How long a leader's transaction may be silent before Postgres ends it, in milliseconds.
const SILENCE_MS: &str = "3000";
/// How often Postgres looks whether the leader behind a statement is still connected, in milliseconds.
const LOOK_MS: &str = "1000";

/// The right to lead, as it was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// What is led.
    pub name: &'static str,
    /// Who leads.
    pub holder: String,
    /// Grows with every change of leader.
    pub epoch: i64,
}

impl Lease {
    /// Takes the lease when nobody holds it; waits for the last transactions of whoever did.
    ///
    /// # Errors
    /// When Postgres does not answer.
    pub async fn take(
        postgres: &Postgres,
        name: &'static str,
        holder: &str,
        term: Duration,
    ) -> Result<Option<Self>, StoreError> {
        let mut tx = postgres.begin().await?;
        if !is_free(&mut tx, name, holder).await? {
            return Ok(None);
        }
        let free = sqlx::query_scalar!(
            "select epoch from platform.leases where name = $1 and expires_at <= clock_timestamp() for update",
            name
        );
        let Some(epoch) = free.fetch_optional(&mut *tx).await? else {
            return Ok(None);
        };
        let epoch = epoch + 1;
        sqlx::query!(
            "update platform.leases set holder = $2, epoch = $3, expires_at = clock_timestamp() + $4 where name = $1",
            name,
            holder,
            epoch,
            interval(term),
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        let holder = holder.to_owned();
        Ok(Some(Self {
            name,
            holder,
            epoch,
        }))
    }

    /// Keeps the lease for another term; says whether it was still held.
    ///
    /// # Errors
    /// When Postgres does not answer.
    pub async fn renew(&self, postgres: &Postgres, term: Duration) -> Result<bool, StoreError> {
        let mut conn = postgres.acquire().await?;
        let renewed = sqlx::query!(
            "update platform.leases
             set expires_at = clock_timestamp() + $4
             where name = $1 and holder = $2 and epoch = $3 and clock_timestamp() < expires_at",
            self.name,
            self.holder,
            self.epoch,
            interval(term),
        )
        .execute(&mut *conn)
        .await?;
        Ok(renewed.rows_affected() == 1)
    }

    /// Lets somebody else lead at once.
    ///
    /// # Errors
    /// When Postgres does not answer; the lease then ends with its term.
    pub async fn release(&self, postgres: &Postgres) -> Result<(), StoreError> {
        let mut conn = postgres.acquire().await?;
        sqlx::query!(
            "update platform.leases
             set expires_at = clock_timestamp()
             where name = $1 and holder = $2 and epoch = $3 and clock_timestamp() < expires_at",
            self.name,
            self.holder,
            self.epoch,
        )
        .execute(&mut *conn)
        .await?;
        Ok(())
    }

    /// Holds the lease until the transaction ends: whoever takes it over waits for that.
    ///
    /// # Errors
    /// [`StoreError::NotLeader`] when it is lost.
    pub(super) async fn hold(&self, tx: &mut Conn) -> Result<(), StoreError> {
        // A renewal leaves the key alone and so passes this lock; `for update` of a taker does not.
        let held = sqlx::query!(
            "select set_config('idle_in_transaction_session_timeout', $4, true) as silence,
                 set_config('client_connection_check_interval', $5, true) as look
             from platform.leases
             where name = $1 and holder = $2 and epoch = $3 and clock_timestamp() < expires_at
             for key share",
            self.name,
            self.holder,
            self.epoch,
            SILENCE_MS,
            LOOK_MS,
        );
        let is_held = held.fetch_optional(tx).await?.is_some();
        is_held.then_some(()).ok_or(StoreError::NotLeader)
    }
}

/// Says whether nobody holds the lease, without waiting for anybody. Makes its row when it has none.
async fn is_free(tx: &mut Conn, name: &str, holder: &str) -> Result<bool, StoreError> {
    sqlx::query!(
        "insert into platform.leases (name, holder, epoch, expires_at)
         values ($1, $2, 1, '-infinity')
         on conflict (name) do nothing",
        name,
        holder,
    )
    .execute(&mut *tx)
    .await?;
    let is_free = sqlx::query_scalar!(
        r#"select expires_at <= clock_timestamp() as "is_free!" from platform.leases where name = $1"#,
        name
    )
    .fetch_one(tx)
    .await?;
    Ok(is_free)
}

/// Who leads, as the books have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    /// Who.
    pub holder: String,
    /// Grows with every change of leader.
    pub epoch: i64,
    /// When the lease ends unless it is renewed.
    pub expires_at: crate::base::Moment,
}

/// Finds who leads now.
///
/// # Errors
/// When Postgres does not answer.
pub async fn find_leader(conn: &mut Conn, name: &str) -> Result<Option<Leader>, StoreError> {
    let row = sqlx::query!(
        "select holder, epoch, expires_at
         from platform.leases
         where name = $1 and clock_timestamp() < expires_at",
        name
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| Leader {
        holder: row.holder,
        epoch: row.epoch,
        expires_at: row.expires_at.into(),
    }))
}

fn interval(duration: Duration) -> PgInterval {
    PgInterval {
        months: 0,
        days: 0,
        microseconds: i64::try_from(duration.as_micros()).unwrap_or(i64::MAX),
    }
}
