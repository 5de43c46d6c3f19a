//! The private Postgres: made once, started each time, reached over loopback with a password.
//!
//! It has no unix socket, so no path of the state folder can be too long for one.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, chown, symlink},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use rustix::process::Signal;
use sqlx::{ConnectOptions, Connection, PgConnection, postgres::PgConnectOptions};

use super::{
    Servers,
    machine::{Account, free_port, postgres_folder},
    process::{Order, Processes, dying_with_us, stop_signal},
    state::{Kept, StateFolder, random_text},
};
use crate::{
    base::Secret,
    store::{migrate::migrate, postgres::Settings},
};

/// The superuser of the private server, and its database.
const NAME: &str = "synaxis";
/// How long the server may take to accept connections.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is asked.
const GLANCE: Duration = Duration::from_millis(15);
/// Where data lies when the state folder is out of reach for the user that runs Postgres.
const REACHABLE: &str = "/var/tmp";

/// Settings of a server that one person uses: small, quiet, nothing waits for the disk.
const SETTINGS: &str = "
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
password_encryption = 'scram-sha-256'
max_connections = 200
shared_buffers = '64MB'
synchronous_commit = off
max_wal_size = '256MB'
logging_collector = off
log_min_messages = warning
log_min_error_statement = panic
timezone = 'UTC'
";

/// Brings up the private server with its schema; each plane comes to it as its own role.
///
/// # Errors
///
/// When the server does not come up or a migration fails.
pub async fn private(
    folder: &StateFolder,
    kept: &mut Kept,
    processes: &mut Processes,
    redis_url: String,
) -> anyhow::Result<Servers> {
    let database_url = bring_up(folder, kept, processes).await?;
    let secret = |text: &String| Some(Secret::new(text.clone()));
    migrate(&Settings {
        url: Secret::new(database_url.clone()),
        proxy_password: secret(&kept.proxy_password),
        admin_password: secret(&kept.admin_password),
        agent_password: secret(&kept.agent_password),
        ..Settings::default()
    })
    .await
    .context("the kept database does not fit this binary: start once with --fresh")?;
    let port = kept.postgres_port;
    let as_role = |role: &str, password: &str| {
        format!("postgres://synaxis_{role}:{password}@127.0.0.1:{port}/{NAME}")
    };
    Ok(Servers {
        proxy_database_url: as_role("proxy", &kept.proxy_password),
        admin_database_url: as_role("admin", &kept.admin_password),
        agent_password: Some(kept.agent_password.clone()),
        database_url,
        redis_url,
    })
}

/// Brings the database at `url` to this binary's schema.
///
/// Roles belong to the whole server, so their passwords are left as they are: the planes come as `url` says and
/// take their role then.
///
/// # Errors
///
/// When the server cannot be reached or a migration fails.
pub async fn given(url: &str, redis_url: String) -> anyhow::Result<Servers> {
    let settings = Settings {
        url: Secret::new(url.to_owned()),
        ..Settings::default()
    };
    migrate(&settings)
        .await
        .context("the database of --database-url cannot be migrated")?;
    Ok(Servers {
        database_url: url.to_owned(),
        proxy_database_url: url.to_owned(),
        admin_database_url: url.to_owned(),
        agent_password: None,
        redis_url,
    })
}

/// Makes the cluster when there is none, starts it, and returns its URL once it answers.
async fn bring_up(
    folder: &StateFolder,
    kept: &mut Kept,
    processes: &mut Processes,
) -> anyhow::Result<String> {
    let account = Account::for_postgres()?;
    let place = own_folder(folder, account.as_ref())?;
    let data = place.join("data");
    let version = version_of(&data);
    let binaries = postgres_folder(version)?;
    if version.is_none() {
        make_cluster(&binaries, &place, kept, account.as_ref()).await?;
    }
    kept.postgres_port = free_port(kept.postgres_port)?;
    fs::write(
        data.join("postgresql.conf"),
        format!("port = {}{SETTINGS}", kept.postgres_port),
    )?;
    processes.start(Order {
        name: "postgres",
        program: binaries.join("postgres"),
        args: vec!["-D".to_owned(), data.display().to_string()],
        variables: Vec::new(),
        account,
        stop: stop_signal("postgres"),
        is_ours: false,
    })?;
    tokio::select! {
        ready = ready_database(kept) => ready,
        death = processes.first_death() => Err(death),
    }
}

/// Returns the major version of a cluster; none when there is no cluster.
fn version_of(data: &Path) -> Option<u32> {
    fs::read_to_string(data.join("PG_VERSION"))
        .ok()?
        .trim()
        .parse()
        .ok()
}

/// Returns a folder Postgres can reach: in the state folder, or linked from it.
fn own_folder(folder: &StateFolder, account: Option<&Account>) -> anyhow::Result<PathBuf> {
    let place = folder.path("postgres");
    if let Ok(there) = place.canonicalize() {
        return Ok(there);
    }
    // A link whose target was cleaned away.
    folder.remove("postgres")?;
    let is_within_reach = account.is_none_or(|account| account.reaches(folder.root()));
    let own = match is_within_reach {
        true => place.clone(),
        false => Path::new(REACHABLE).join(format!("synaxis-{}", random_text())),
    };
    // Fails when it exists: where everyone may write, nobody has prepared a folder for us.
    let made = DirBuilder::new().mode(0o700).create(&own);
    made.with_context(|| format!("{} cannot be made", own.display()))?;
    if let Some(account) = account {
        chown(&own, Some(account.uid), Some(account.gid))?;
    }
    if own != place {
        symlink(&own, &place)?;
    }
    Ok(own)
}

/// Deletes the cluster, wherever it lies, and nothing beside it.
///
/// # Errors
///
/// When it cannot be deleted.
pub fn wipe(folder: &StateFolder) -> anyhow::Result<()> {
    let place = folder.path("postgres");
    let Ok(own) = place.canonicalize() else {
        return folder.remove("postgres");
    };
    for name in ["data", "data.new"] {
        if own.join(name).exists() {
            fs::remove_dir_all(own.join(name))?;
        }
    }
    let _ = fs::remove_file(own.join("password"));
    fs::remove_dir(&own).with_context(|| format!("{} holds what is not ours", own.display()))?;
    if own == place {
        Ok(())
    } else {
        folder.remove("postgres")
    }
}

/// Makes a cluster beside its place and moves it there, so that a killed start leaves no half of one.
async fn make_cluster(
    binaries: &Path,
    place: &Path,
    kept: &Kept,
    account: Option<&Account>,
) -> anyhow::Result<()> {
    let draft = place.join("data.new");
    if draft.exists() {
        fs::remove_dir_all(&draft)?;
    }
    let password = password_file(place, kept, account)?;
    let mut command = dying_with_us(&binaries.join("initdb"), Signal::TERM);
    command
        .args([
            "--username",
            NAME,
            "--auth",
            "scram-sha-256",
            "--encoding",
            "UTF8",
        ])
        .args([
            "--locale",
            "C.UTF-8",
            "--no-sync",
            "--no-instructions",
            "--pwfile",
        ])
        .arg(&password)
        .arg("--pgdata")
        .arg(&draft)
        .kill_on_drop(true);
    if let Some(account) = account {
        account.apply(&mut command);
    }
    let made = command.output().await.context("initdb cannot be started")?;
    fs::remove_file(&password)?;
    if !made.status.success() {
        bail!(
            "initdb failed: {}",
            String::from_utf8_lossy(&made.stderr).trim()
        );
    }
    fs::rename(&draft, place.join("data"))?;
    Ok(())
}

/// Writes the superuser's password where only `account` can read it.
fn password_file(place: &Path, kept: &Kept, account: Option<&Account>) -> anyhow::Result<PathBuf> {
    let path = place.join("password");
    let mut file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)?;
    file.write_all(kept.postgres_password.as_bytes())?;
    if let Some(account) = account {
        chown(&path, Some(account.uid), Some(account.gid))?;
    }
    Ok(path)
}

/// Waits until the server answers, makes the database when it is missing, and returns its URL.
async fn ready_database(kept: &Kept) -> anyhow::Result<String> {
    let options = PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(kept.postgres_port)
        .username(NAME)
        .password(&kept.postgres_password)
        .database("postgres");
    let mut connection = tokio::time::timeout(PATIENCE, connected(&options))
        .await
        .context("the private Postgres does not answer")??;
    let is_there: Option<i32> =
        sqlx::query_scalar("select 1 from pg_database where datname = 'synaxis'")
            .fetch_optional(&mut connection)
            .await?;
    if is_there.is_none() {
        sqlx::query("create database synaxis")
            .execute(&mut connection)
            .await?;
    }
    connection.close().await?;
    Ok(format!(
        "postgres://{NAME}:{}@127.0.0.1:{}/synaxis",
        kept.postgres_password, kept.postgres_port
    ))
}

/// Asks until the server answers; a refused password is no reason to ask again.
async fn connected(options: &PgConnectOptions) -> anyhow::Result<PgConnection> {
    loop {
        match options.connect().await {
            Ok(connection) => return Ok(connection),
            Err(error) if is_refused_password(&error) => {
                return Err(error)
                    .context("the private Postgres has another password: start once with --fresh");
            }
            Err(_) => tokio::time::sleep(GLANCE).await,
        }
    }
}

fn is_refused_password(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(|error| error.code())
        .is_some_and(|code| code == "28P01")
}
