//! Pool, transaction, LISTEN, `on_constraint`.

use std::{str::FromStr, sync::Arc, time::Duration};

use serde::Deserialize;
use sqlx::{
    ConnectOptions, PgPool,
    postgres::{PgConnectOptions, PgListener, PgPoolOptions},
};

use super::lease::Lease;
use crate::base::Secret;

/// A connection, as queries borrow it.
pub type Conn = sqlx::PgConnection;
/// A connection on loan from the pool.
pub type PoolConnection = sqlx::pool::PoolConnection<sqlx::Postgres>;
/// A transaction across tenants, for the definer's functions; dropped, it is rolled back.
pub type Tx = sqlx::Transaction<'static, sqlx::Postgres>;

/// Where Postgres is, and how much of it one process uses.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// `postgres://user:password@host:port/database`; may go through a pooler in transaction mode.
    pub url: Secret,
    /// The same database past any pooler, for LISTEN and migrations; `url` when absent.
    pub direct_url: Option<Secret>,
    /// Connections one process keeps at most.
    pub max_connections: u32,
    /// How long a query waits for a connection, in milliseconds.
    pub acquire_timeout_ms: u64,
    /// The password of `synaxis_proxy`; with it the proxy logs in as that role instead of the URL's user.
    pub proxy_password: Option<Secret>,
    /// The password of `synaxis_admin`.
    pub admin_password: Option<Secret>,
    /// The password of `synaxis_agent`.
    pub agent_password: Option<Secret>,
    /// The password of `synaxis_auditor`; `synaxis migrate` sets it, no process of ours uses it.
    pub auditor_password: Option<Secret>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            url: Secret::default(),
            direct_url: None,
            max_connections: 16,
            acquire_timeout_ms: 1_000,
            proxy_password: None,
            admin_password: None,
            agent_password: None,
            auditor_password: None,
        }
    }
}

impl Settings {
    /// Returns the URL that leads past any pooler.
    #[must_use]
    pub fn direct(&self) -> &Secret {
        self.direct_url.as_ref().unwrap_or(&self.url)
    }

    fn password(&self, role: Role) -> Option<&Secret> {
        match role {
            Role::Proxy => self.proxy_password.as_ref(),
            Role::Admin => self.admin_password.as_ref(),
            Role::Agent => self.agent_password.as_ref(),
            Role::Owner => None,
        }
    }
}

/// As whom a process works in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The data plane.
    Proxy,
    /// The sidecar, and what operators change for a tenant.
    Admin,
    /// Background work.
    Agent,
    /// Whoever the URL logs in as: migrations, and what only an operator may do.
    Owner,
}

impl Role {
    fn login(self) -> Option<&'static str> {
        match self {
            Self::Proxy => Some("synaxis_proxy"),
            Self::Admin => Some("synaxis_admin"),
            Self::Agent => Some("synaxis_agent"),
            Self::Owner => None,
        }
    }

    /// Becomes the role after another's login. A role's own settings hold from its login only, so they are repeated.
    fn assume(self) -> &'static str {
        match self {
            Self::Proxy => "set role synaxis_proxy; set statement_timeout = '2s'",
            Self::Admin => "set role synaxis_admin; set statement_timeout = '5s'",
            Self::Agent => "set role synaxis_agent",
            Self::Owner => "",
        }
    }
}

/// What went wrong between us and Postgres.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The URL is none.
    #[error("the database URL cannot be read")]
    BadUrl(#[source] sqlx::Error),
    /// Postgres is away, starting, full, or slower than we wait.
    #[error("Postgres cannot be reached")]
    Unreachable(#[source] sqlx::Error),
    /// A named constraint refused a row.
    #[error("constraint `{name}` does not hold")]
    Constraint {
        /// The constraint's name in the schema.
        name: String,
        /// What Postgres said.
        #[source]
        source: sqlx::Error,
    },
    /// Postgres refused or broke off a statement.
    #[error("a query failed")]
    Query(#[source] sqlx::Error),
    /// A row does not hold what it should.
    #[error("a row cannot be read")]
    Malformed(#[source] serde_json::Error),
    /// A change cannot be linked into the audit log, so it is not made.
    #[error("security.sealing_key is not set, and the audit log is chained with it")]
    NoAuditKey,
    /// A secret cannot be sealed, so nothing that holds it is written.
    #[error(transparent)]
    NotSealed(#[from] super::seal::NotSealed),
    /// A migration failed, or the database holds one we do not know.
    #[error("the migrations do not apply")]
    Migration(#[source] sqlx::migrate::MigrateError),
    /// Whoever writes does not lead any more, so nothing is written.
    #[error("the lease is another's now")]
    NotLeader,
}

/// SQLSTATEs that say the server is not there for us now, whole or by class.
const AWAY: [&str; 5] = ["08", "57P01", "57P02", "57P03", "53300"];

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if let Some(name) = error
            .as_database_error()
            .and_then(|refused| refused.constraint())
        {
            let name = name.to_owned();
            return Self::Constraint {
                name,
                source: error,
            };
        }
        if is_away(&error) {
            Self::Unreachable(error)
        } else {
            Self::Query(error)
        }
    }
}

fn is_away(error: &sqlx::Error) -> bool {
    if let Some(code) = error.as_database_error().and_then(|refused| refused.code()) {
        return AWAY.iter().any(|away| code.starts_with(away));
    }
    matches!(
        error,
        sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::Protocol(_)
    )
}

impl StoreError {
    /// Says whether trying again later may help.
    #[must_use]
    pub const fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable(_))
    }
}

/// Names what a broken constraint means to the caller, right under the query.
pub trait OnConstraint<T> {
    /// Replaces a violation of the constraint `name` by `meaning`; other errors pass.
    ///
    /// # Errors
    /// The meaning, or whatever else went wrong.
    fn on_constraint<E: From<StoreError>>(
        self,
        name: &str,
        meaning: impl FnOnce() -> E,
    ) -> Result<T, E>;
}

impl<T, F: Into<StoreError>> OnConstraint<T> for Result<T, F> {
    fn on_constraint<E: From<StoreError>>(
        self,
        name: &str,
        meaning: impl FnOnce() -> E,
    ) -> Result<T, E> {
        self.map_err(|error| match error.into() {
            StoreError::Constraint { name: broken, .. } if broken == name => meaning(),
            other => E::from(other),
        })
    }
}

/// The pool of one process. Connections are made when they are first needed.
#[derive(Clone, Debug)]
pub struct Postgres {
    pool: PgPool,
    /// LISTEN takes a connection for good, past any pooler.
    direct: PgPool,
    /// What every transaction must still hold.
    lease: Option<Arc<Lease>>,
}

impl Postgres {
    /// Opens the pool without connecting, so it works while Postgres is away. Must be called inside a runtime.
    ///
    /// # Errors
    /// When a URL cannot be read.
    pub fn connect(settings: &Settings, role: Role) -> Result<Self, StoreError> {
        let patience = Duration::from_millis(settings.acquire_timeout_ms);
        let open = |url, connections| -> Result<PgPool, StoreError> {
            let options = login(url, role, settings.password(role))?;
            let is_other = role
                .login()
                .is_some_and(|name| name != options.get_username());
            let assume = if is_other { role.assume() } else { "" };
            Ok(pool(connections, patience, assume).connect_lazy_with(options))
        };
        Ok(Self {
            pool: open(&settings.url, settings.max_connections)?,
            direct: open(settings.direct(), 2)?,
            lease: None,
        })
    }

    /// Borrows a connection that sees no tenant: for the definer's functions.
    ///
    /// # Errors
    /// When Postgres cannot be reached in time.
    pub async fn acquire(&self) -> Result<PoolConnection, StoreError> {
        // Whatever keeps us from a connection, trying again later may help.
        self.pool.acquire().await.map_err(StoreError::Unreachable)
    }

    /// Returns the same pool for whoever leads: each transaction begins only while the lease is held, and nobody else
    /// comes to lead before it has ended. What is borrowed with [`Postgres::acquire`] is not held to it.
    #[must_use]
    pub fn fenced(&self, lease: Lease) -> Self {
        Self {
            lease: Some(Arc::new(lease)),
            ..self.clone()
        }
    }

    /// Begins a transaction that sees no tenant: for the definer's functions.
    ///
    /// # Errors
    /// When Postgres cannot be reached in time; [`StoreError::NotLeader`] when the lease is lost.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        let mut tx = self.pool.begin().await.map_err(StoreError::Unreachable)?;
        if let Some(lease) = &self.lease {
            lease.hold(&mut tx).await?;
        }
        Ok(tx)
    }

    /// Begins a transaction that only holds a lock while others work: no lease is asked for, and it may be silent.
    ///
    /// # Errors
    /// When Postgres cannot be reached in time.
    pub async fn begin_waiting(&self) -> Result<Tx, StoreError> {
        self.pool.begin().await.map_err(StoreError::Unreachable)
    }

    /// Begins a transaction that writes nothing and sees one instant of the books, however long it reads.
    pub(super) async fn begin_reading(&self) -> Result<Tx, StoreError> {
        let begin = "begin isolation level repeatable read read only";
        Ok(self.pool.begin_with(begin).await?)
    }

    /// Listens on one channel over a connection of its own.
    ///
    /// # Errors
    /// When Postgres cannot be reached in time.
    pub async fn listen(&self, channel: &str) -> Result<Listener, StoreError> {
        let mut listener = PgListener::connect_with(&self.direct).await?;
        listener.listen(channel).await?;
        Ok(Listener(listener))
    }

    /// Closes every connection, waiting for those on loan.
    pub async fn close(&self) {
        self.direct.close().await;
        self.pool.close().await;
    }
}

fn login(
    url: &Secret,
    role: Role,
    password: Option<&Secret>,
) -> Result<PgConnectOptions, StoreError> {
    let options = PgConnectOptions::from_str(url.expose()).map_err(StoreError::BadUrl)?;
    let options = match (role.login(), password) {
        (Some(name), Some(password)) => options.username(name).password(password.expose()),
        _ => options,
    };
    Ok(options
        .application_name(role.login().unwrap_or("synaxis"))
        .disable_statement_logging())
}

fn pool(connections: u32, patience: Duration, assume: &'static str) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(patience)
        .after_connect(move |conn, _| {
            Box::pin(async move {
                if !assume.is_empty() {
                    sqlx::raw_sql(assume).execute(conn).await?;
                }
                Ok(())
            })
        })
}

/// A connection that hears what is announced.
#[derive(Debug)]
pub struct Listener(PgListener);

impl Listener {
    /// Waits for the next announcement; those already here are taken with it.
    ///
    /// # Errors
    /// When the connection is lost. Announcements may be missed then: make a new listener and catch up.
    pub async fn heard(&mut self) -> Result<(), StoreError> {
        match self.0.try_recv().await? {
            Some(_) => {
                while self.0.next_buffered().is_some() {}
                Ok(())
            }
            None => Err(StoreError::Unreachable(sqlx::Error::WorkerCrashed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_that_timed_out_means_postgres_is_away() {
        assert!(StoreError::from(sqlx::Error::PoolTimedOut).is_unreachable());
        assert!(!StoreError::from(sqlx::Error::RowNotFound).is_unreachable());
    }

    #[test]
    fn unknown_settings_are_refused() {
        let settings = toml::from_str::<Settings>("urll = \"postgres://x\"");

        assert!(settings.is_err());
    }

    #[test]
    fn printed_settings_show_no_password() {
        let settings = Settings {
            url: Secret::new("postgres://u:hunter2@h/d".to_owned()),
            ..Settings::default()
        };

        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}
