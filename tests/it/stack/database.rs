//! A database of its own for each test, cloned from one migrated template.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use synaxis::{
    audit::AuditKeys,
    base::{Clock, Secret},
    store::{
        migrate,
        postgres::{Postgres, Role, Settings},
    },
};
use url::Url;

use super::SEALING_KEY;

/// Where Postgres is, when `SYNAXIS_TEST_DATABASE_URL` (a superuser's) does not say.
const DEFAULT_URL: &str = "postgres://postgres@127.0.0.1:5499/postgres";
/// What every clone's name begins with; the seconds of its making follow.
const CLONE: &str = "synaxis_test_clone_";
/// A clone this old belongs to a run that was killed.
const LEFT_BEHIND_S: i64 = 3_600;

/// A migrated database; dropped with this value.
#[derive(Debug)]
pub struct TestDatabase {
    url: Url,
    name: String,
    is_ours: bool,
}

impl TestDatabase {
    /// Clones the template, which the first to come here makes.
    pub async fn start() -> Self {
        audit_keys().install();
        Self::clone_of(Some(&template().await)).await
    }

    /// Makes a database without any schema.
    pub async fn empty() -> Self {
        Self::clone_of(None).await
    }

    async fn clone_of(template: Option<&str>) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let seconds = Clock::System.now().millis() / 1_000;
        let name = format!("{CLONE}{seconds}_{}_{number}", std::process::id());
        let mut server = connect(&server_url()).await;
        let create = match template {
            Some(template) => format!("create database {name} template {template}"),
            None => format!("create database {name}"),
        };
        run(&mut server, create).await;
        let mut url = server_url();
        url.set_path(&name);
        Self {
            url,
            name,
            is_ours: true,
        }
    }

    /// The same database, for somebody who may not drop it.
    pub fn shared(&self) -> Self {
        Self {
            url: self.url.clone(),
            name: self.name.clone(),
            is_ours: false,
        }
    }

    /// Returns its URL, as a superuser.
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// Returns settings that lead to it.
    pub fn settings(&self) -> Settings {
        Settings {
            url: Secret::new(self.url().to_owned()),
            acquire_timeout_ms: 5_000,
            max_connections: 4,
            ..Settings::default()
        }
    }

    /// Returns where its server listens.
    pub async fn server(&self) -> SocketAddr {
        let host = self.url.host_str().unwrap_or("127.0.0.1").to_owned();
        let mut found = tokio::net::lookup_host((host, self.url.port().unwrap_or(5_432)))
            .await
            .expect("the server has an address");
        found.next().expect("the server has an address")
    }

    /// Returns settings that lead to it over another address, such as a relay's.
    pub fn settings_over(&self, address: SocketAddr) -> Settings {
        let mut url = self.url.clone();
        url.set_ip_host(address.ip()).expect("a URL with a host");
        url.set_port(Some(address.port()))
            .expect("a URL with a host");
        Settings {
            url: Secret::new(url.to_string()),
            acquire_timeout_ms: 1_000,
            ..self.settings()
        }
    }

    /// Opens it as one role.
    pub fn open(&self, role: Role) -> Postgres {
        Postgres::connect(&self.settings(), role).expect("the URL is one")
    }

    /// Opens it as the superuser, whom no policy holds.
    pub async fn connect(&self) -> PgConnection {
        connect(&self.url).await
    }

    /// Breaks every connection to it and refuses new ones, as if Postgres were away.
    pub async fn cut_off(&self) {
        let mut server = connect(&server_url()).await;
        run(
            &mut server,
            format!("alter database {} allow_connections false", self.name),
        )
        .await;
        // Until nobody is left: a connection may have been under way, and a process takes its time to end.
        let ending =
            "select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = $1";
        while 0 < sqlx::query_scalar::<_, i64>(ending)
            .bind(&self.name)
            .fetch_one(&mut server)
            .await
            .expect("a termination")
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Lets connections in again.
    pub async fn let_in(&self) {
        let mut server = connect(&server_url()).await;
        run(
            &mut server,
            format!("alter database {} allow_connections true", self.name),
        )
        .await;
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if !self.is_ours {
            return;
        }
        let drop = format!("drop database if exists {} with (force)", self.name);
        // A thread of its own: the test's runtime may be ending, and a drop cannot wait.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async { run(&mut connect(&server_url()).await, drop).await });
        });
        // A failure here must not hide the test's own.
        let _ = dropping.join();
    }
}

/// The keys that the tests' own changes are linked into the audit log with: those of every process they start.
pub fn audit_keys() -> AuditKeys {
    AuditKeys::new(&Secret::new(SEALING_KEY.to_owned())).expect("a key that is long enough")
}

/// Returns the name of the template for the migrations as they are, making it when it is not there.
async fn template() -> String {
    let name = format!("synaxis_test_template_{:08x}_calm", fingerprint());
    let mut server = connect(&server_url()).await;
    // Held until the connection ends: whoever comes second finds the template made.
    run(
        &mut server,
        "select pg_advisory_lock(hashtext('synaxis test template'))".to_owned(),
    )
    .await;
    let is_made = sqlx::query_scalar::<_, bool>(
        "select exists (select from pg_database where datname = $1 and datistemplate)",
    )
    .bind(&name)
    .fetch_one(&mut server)
    .await
    .expect("the catalogue answers");
    if !is_made {
        sweep(&mut server).await;
        make_template(&mut server, &name).await;
    }
    name
}

async fn make_template(server: &mut PgConnection, name: &str) {
    run(
        server,
        format!("drop database if exists {name} with (force)"),
    )
    .await;
    run(server, format!("create database {name}")).await;
    let mut url = server_url();
    url.set_path(name);
    let settings = Settings {
        url: Secret::new(url.to_string()),
        ..Settings::default()
    };
    migrate::migrate(&settings)
        .await
        .expect("the migrations apply");
    calm(&url).await;
    wait_until_left(server, name).await;
    run(server, format!("alter database {name} is_template true")).await;
}

/// Lets agents wake when a test says so, and not because a minute has come.
async fn calm(url: &Url) {
    let mut books = connect(url).await;
    let pause = "update platform.agent_schedules set is_paused = true";
    run(&mut books, pause.to_owned()).await;
    books.close().await.expect("closed");
}

/// A database cannot be cloned while the connection that migrated it is still ending.
async fn wait_until_left(server: &mut PgConnection, name: &str) {
    for _ in 0..500 {
        let left: i64 =
            sqlx::query_scalar("select count(*) from pg_stat_activity where datname = $1")
                .bind(name)
                .fetch_one(&mut *server)
                .await
                .expect("the catalogue answers");
        if left == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("somebody stays connected to {name}");
}

/// Drops what killed runs left behind.
async fn sweep(server: &mut PgConnection) {
    let names: Vec<String> =
        sqlx::query_scalar("select datname from pg_database where starts_with(datname, $1)")
            .bind(CLONE)
            .fetch_all(&mut *server)
            .await
            .expect("the catalogue answers");
    let oldest = Clock::System.now().millis() / 1_000 - LEFT_BEHIND_S;
    for name in names {
        let made_at = name[CLONE.len()..]
            .split('_')
            .next()
            .and_then(|text| text.parse::<i64>().ok());
        if made_at.is_some_and(|made_at| made_at < oldest) {
            run(
                server,
                format!("drop database if exists {name} with (force)"),
            )
            .await;
        }
    }
}

fn fingerprint() -> u32 {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("migrations are there")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    let mut hasher = crc32fast::Hasher::new();
    for file in files {
        hasher.update(&fs::read(file).expect("a migration can be read"));
    }
    hasher.finalize()
}

#[expect(
    clippy::disallowed_methods,
    reason = "tests have no configuration file"
)]
fn server_url() -> Url {
    let text =
        std::env::var("SYNAXIS_TEST_DATABASE_URL").unwrap_or_else(|_| DEFAULT_URL.to_owned());
    Url::parse(&text).expect("SYNAXIS_TEST_DATABASE_URL is a URL")
}

async fn connect(url: &Url) -> PgConnection {
    let connecting = PgConnection::connect(url.as_str()).await;
    connecting.unwrap_or_else(|error| {
        panic!(
            "no Postgres for the tests at {}: {error}",
            url.host_str().unwrap_or("?")
        )
    })
}

/// Runs what cannot be bound: names of databases, all made here.
async fn run(conn: &mut PgConnection, statement: String) {
    let done = sqlx::raw_sql(AssertSqlSafe(statement)).execute(conn).await;
    done.expect("the statement runs");
}
