//! A Postgres of a test's own, to be killed as a power cut would.

use std::{
    fs,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use sqlx::{Connection, PgConnection};
use synaxis::{
    base::Secret,
    store::{
        migrate,
        postgres::{Postgres, Role, Settings},
    },
};

use super::{proxy::free_address, within};

/// One server with the schema in it; gone when dropped.
pub struct OwnPostgres {
    server: Child,
    folder: PathBuf,
    port: String,
}

impl OwnPostgres {
    /// Makes a server and brings its database to the schema.
    pub async fn start() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("synaxis-test-")
            .tempdir_in("/var/tmp")
            .expect("a folder")
            .keep();
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(&folder));
        }
        run(as_postgres("initdb")
            .args([
                "--username",
                "postgres",
                "--auth",
                "trust",
                "--encoding",
                "UTF8",
            ])
            .args(["--no-sync", "--no-instructions", "--pgdata"])
            .arg(folder.join("data")));
        let port = free_address()
            .rsplit(':')
            .next()
            .expect("a port")
            .to_owned();
        let mut own = Self {
            server: spawn(&folder, &port),
            folder,
            port,
        };
        own.answers().await;
        migrate::migrate(&own.settings()).await.expect("migrated");
        own
    }

    /// Kills every process of the server at once.
    pub fn kill(&mut self) {
        let group = Pid::from_child(&self.server);
        kill_process_group(group, Signal::KILL).expect("a living server");
        let _reaped = self.server.wait();
    }

    /// Starts it again on what it left.
    pub async fn restart(&mut self) {
        self.server = spawn(&self.folder, &self.port);
        self.answers().await;
    }

    /// Opens its database as one role.
    pub fn open(&self, role: Role) -> Postgres {
        Postgres::connect(&self.settings(), role).expect("the URL is one")
    }

    /// Opens it as the superuser.
    pub async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.url())
            .await
            .expect("a connection")
    }

    fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    fn settings(&self) -> Settings {
        Settings {
            url: Secret::new(self.url()),
            acquire_timeout_ms: 1_000,
            max_connections: 4,
            ..Settings::default()
        }
    }

    async fn answers(&mut self) {
        within(Duration::from_secs(30), async || {
            // While a process of the one before is still dying, it does not start.
            if let Ok(Some(_)) = self.server.try_wait() {
                self.server = spawn(&self.folder, &self.port);
            }
            PgConnection::connect(&self.url()).await.is_ok()
        })
        .await;
    }
}

impl Drop for OwnPostgres {
    fn drop(&mut self) {
        let _dead = kill_process_group(Pid::from_child(&self.server), Signal::KILL);
        let _reaped = self.server.wait();
        let _removed = fs::remove_dir_all(&self.folder);
    }
}

/// What was acknowledged is with the system, as it is after the death of all its processes.
fn spawn(folder: &std::path::Path, port: &str) -> Child {
    as_postgres("postgres")
        .arg("-D")
        .arg(folder.join("data"))
        .args(["-p", port, "-c", "listen_addresses=127.0.0.1"])
        .args(["-c", "unix_socket_directories=", "-c", "fsync=off"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .expect("a server")
}

/// A command of Postgres: root cannot run it.
fn as_postgres(name: &str) -> Command {
    let binary = binaries().join(name);
    let mut command = if is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]);
        command.arg(binary);
        command
    } else {
        Command::new(binary)
    };
    command.current_dir("/");
    command
}

/// The newest installed version, or whatever the path leads to.
fn binaries() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut found: Vec<PathBuf> = versions
        .flatten()
        .map(|version| version.path().join("bin"))
        .filter(|folder| folder.join("initdb").exists())
        .collect();
    found.sort();
    found.pop().unwrap_or_default()
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn run(command: &mut Command) {
    let done = command.output().expect("to run");
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
}
