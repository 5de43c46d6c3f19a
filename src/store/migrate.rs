//! Brings a database to the schema this binary knows, and gives the service roles their passwords.

use std::{collections::HashSet, str::FromStr};

use sqlx::{
    ConnectOptions, Connection,
    migrate::{Migrate, MigrateError, Migrator},
    postgres::PgConnectOptions,
};

use super::postgres::{Conn, Settings, StoreError};
use crate::base::Secret;

/// Every migration, embedded when the binary was built.
static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// Where sqlx keeps what it applied.
const APPLIED_TABLE: &str = "_sqlx_migrations";

/// Applies what is missing and returns the names of what was applied, in order.
///
/// Safe to run twice and from several machines at once.
///
/// # Errors
/// When Postgres cannot be reached, a migration fails (nothing of it is kept), or the database holds a
/// migration this binary does not know.
pub async fn migrate(settings: &Settings) -> Result<Vec<String>, StoreError> {
    let mut conn = connect(settings.direct()).await?;
    let missing = missing_in(&mut conn).await?;
    MIGRATIONS
        .run_direct(None, &mut conn, false)
        .await
        .map_err(StoreError::Migration)?;
    set_passwords(&mut conn, settings).await?;
    conn.close().await?;
    Ok(missing)
}

/// Returns the names of the migrations that would be applied, in order. Writes nothing.
///
/// # Errors
/// When Postgres cannot be reached.
pub async fn pending(settings: &Settings) -> Result<Vec<String>, StoreError> {
    let mut conn = connect(settings.direct()).await?;
    let missing = missing_in(&mut conn).await?;
    conn.close().await?;
    Ok(missing)
}

async fn connect(url: &Secret) -> Result<Conn, StoreError> {
    let options = PgConnectOptions::from_str(url.expose()).map_err(StoreError::BadUrl)?;
    Ok(options.disable_statement_logging().connect().await?)
}

async fn missing_in(conn: &mut Conn) -> Result<Vec<String>, StoreError> {
    let was_migrated = sqlx::query_scalar!(
        r#"select to_regclass($1) is not null as "was_migrated!""#,
        APPLIED_TABLE
    )
    .fetch_one(&mut *conn)
    .await?;
    let applied: HashSet<i64> = if was_migrated {
        let rows = conn.list_applied_migrations(APPLIED_TABLE).await;
        rows.map_err(StoreError::Migration)?
            .iter()
            .map(|row| row.version)
            .collect()
    } else {
        HashSet::new()
    };
    Ok(MIGRATIONS
        .iter()
        .filter(|migration| !applied.contains(&migration.version))
        .map(|migration| format!("{:04}_{}", migration.version, migration.description))
        .collect())
}

/// Lets each service role log in with its configured password.
///
/// The password rides in a setting: a statement of its own would stand in the server's log.
async fn set_passwords(conn: &mut Conn, settings: &Settings) -> Result<(), StoreError> {
    let passwords = [
        ("synaxis_proxy", &settings.proxy_password),
        ("synaxis_admin", &settings.admin_password),
        ("synaxis_agent", &settings.agent_password),
        ("synaxis_auditor", &settings.auditor_password),
    ];
    let mut tx = conn.begin().await?;
    // Roles belong to the whole cluster: another database may be migrated at this moment.
    sqlx::query!("select pg_advisory_xact_lock(hashtext('synaxis roles'))")
        .fetch_one(&mut *tx)
        .await?;
    for (role, password) in passwords {
        let Some(password) = password else { continue };
        sqlx::query!(
            "select set_config('synaxis.role', $1, true) as role, set_config('synaxis.password', $2, true) as password",
            role,
            password.expose()
        )
        .fetch_one(&mut *tx)
        .await?;
        sqlx::raw_sql(
            "do $$ begin execute format('alter role %I login password %L',
                current_setting('synaxis.role'), current_setting('synaxis.password')); end $$",
        )
        .execute(&mut *tx)
        .await?;
    }
    Ok(tx.commit().await?)
}

impl From<MigrateError> for StoreError {
    fn from(error: MigrateError) -> Self {
        Self::Migration(error)
    }
}
