//! Brings a database to the schema this binary knows, and gives the service roles their passwords.

use std::{collections::HashSet, error::Error, str::FromStr, time::Duration};

use sqlx::{
    ConnectOptions, Connection,
    migrate::{Migrate, MigrateError, Migrator},
    postgres::{PgConnectOptions, PgDatabaseError},
};

use super::postgres::{Conn, Settings, StoreError};
use crate::base::Secret;

/// Every migration, embedded when the binary was built.
static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// Where sqlx keeps what it applied.
const APPLIED_TABLE: &str = "_sqlx_migrations";

/// Tries to get through, when another database of the cluster is migrated at the same moment.
const ATTEMPTS: u32 = 20;
/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(100);

/// Applies what is missing and returns the names of what was applied, in order.
///
/// Safe to run twice and from several machines at once.
///
/// # Errors
/// When Postgres cannot be reached, a migration fails (nothing of it is kept), or the database holds a
/// migration this binary does not know.
pub async fn migrate(settings: &Settings) -> Result<Vec<String>, StoreError> {
    let mut applied = Vec::new();
    for _ in 1..ATTEMPTS {
        match migrate_once(settings, &mut applied).await {
            Err(error) if is_collision(&error) => tokio::time::sleep(PAUSE).await,
            Err(error) => return Err(error),
            Ok(()) => return Ok(applied),
        }
    }
    migrate_once(settings, &mut applied).await?;
    Ok(applied)
}

/// Notes in `applied` what was missing at the first try.
async fn migrate_once(settings: &Settings, applied: &mut Vec<String>) -> Result<(), StoreError> {
    let mut conn = connect(settings.direct()).await?;
    let missing = missing_in(&mut conn).await?;
    if applied.is_empty() {
        *applied = missing;
    }
    MIGRATIONS.run_direct(None, &mut conn, false).await?;
    set_passwords(&mut conn, settings).await?;
    Ok(conn.close().await?)
}

/// Says whether two databases changed the cluster's roles at once.
///
/// Roles belong to the cluster, but an advisory lock holds in one database only: so the second tries again.
fn is_collision(error: &StoreError) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        let refused = error
            .downcast_ref::<sqlx::Error>()
            .and_then(sqlx::Error::as_database_error)
            .and_then(|refused| refused.try_downcast_ref::<PgDatabaseError>());
        if let Some(refused) = refused {
            return is_about_roles(refused);
        }
        cause = error.source();
    }
    false
}

fn is_about_roles(refused: &PgDatabaseError) -> bool {
    match refused.code() {
        // "tuple concurrently updated": somebody else altered the same role.
        "XX000" => refused.message().starts_with("tuple concurrently"),
        "23505" => refused
            .constraint()
            .is_some_and(|name| name.starts_with("pg_auth")),
        code => code == "42710" && refused.message().starts_with("role "),
    }
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
