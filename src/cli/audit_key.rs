//! Which key an operator's changes are linked into the audit log with.
//!
//! The configured sealing key; or, when none is configured and the database belongs to a `synaxis dev` of this user,
//! the one in its state folder, which the database names. Without either, changes are refused.

use std::path::Path;

use sqlx::Connection;

use super::dev::state;
use crate::{
    audit::AuditKeys,
    base::Secret,
    config::Config,
    store::postgres::{Conn, Settings},
};

/// Where a database of `synaxis dev` names the state folder.
const FOLDER_SETTING: &str = "synaxis.state_folder";

/// Gives this process its key, when there is one. Must be called inside a runtime.
pub async fn install(config: &Config) {
    let security = &config.security;
    if !security.sealing_key.is_empty() {
        install_key(&security.sealing_key, &security.previous_sealing_keys);
    } else if let Some(key) = find_dev_key(&config.database).await {
        install_key(&key, &[]);
    }
}

/// A key too short to stand is none: `record` refuses then, and `check` says why.
fn install_key(sealing_key: &Secret, earlier: &[Secret]) {
    let keys = AuditKeys::new(sealing_key);
    let believing = |keys: AuditKeys, key| keys.also_believing(key);
    if let Ok(keys) = keys.and_then(|keys| earlier.iter().try_fold(keys, believing)) {
        keys.install();
    }
}

async fn find_dev_key(database: &Settings) -> Option<Secret> {
    let mut conn = Conn::connect(database.direct().expose()).await.ok()?;
    let folder = sqlx::query_scalar!("select current_setting($1, true)", FOLDER_SETTING)
        .fetch_one(&mut conn)
        .await
        .ok()??;
    state::find_sealing_key(Path::new(&folder))
}

/// Lets the database name the folder. A database whose owner we are not goes without.
///
/// # Errors
/// When Postgres does not answer.
pub async fn name_folder(conn: &mut Conn, folder: &Path) -> Result<(), sqlx::Error> {
    let mut tx = conn.begin().await?;
    sqlx::query!(
        "select set_config('synaxis.folder', $1, true)",
        folder.to_string_lossy().into_owned()
    )
    .fetch_one(&mut *tx)
    .await?;
    sqlx::raw_sql(
        "do $$ begin execute format('alter database %I set synaxis.state_folder = %L',
            current_database(), current_setting('synaxis.folder'));
        exception when insufficient_privilege then null; end $$",
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await
}
