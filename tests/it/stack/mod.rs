//! The harness: real proxies on ports of their own, a database and a Redis prefix of their own, simulated providers.
//!
//! Everything is set up as an operator would, through the binary's own commands.

pub mod admin;
pub mod database;
pub mod people;
pub mod postgres;
pub mod provider;
pub mod proxy;
pub mod redis;
pub mod relay;

use std::{
    process::{Command, Output},
    time::{Duration, Instant},
};

use database::TestDatabase;
use people::KeyOrder;
use provider::Provider;
use proxy::Proxy;
use serde_json::Value;
use sqlx::{Connection, PgConnection, Row};
use tempfile::TempDir;

/// The binary under test.
pub const SYNAXIS: &str = env!("CARGO_BIN_EXE_synaxis");

/// Long enough to seal with, and nobody's.
pub const SEALING_KEY: &str = "q7Zk2vX9pLw4Rt8Yb3Nc6Md1Hf5Gj0Sa";

/// What a test wants to stand.
pub struct Setup {
    providers: Vec<(Provider, String)>,
    aliases: String,
    proxies: usize,
    variables: Vec<(String, String)>,
    redis_url: Option<String>,
}

/// One installation, alone in the world.
pub struct TestStack {
    pub database: TestDatabase,
    pub organization: String,
    pub providers: Vec<Provider>,
    pub proxies: Vec<Proxy>,
    variables: Vec<(String, String)>,
    pub folder: TempDir,
}

impl Setup {
    /// Nothing but one proxy.
    pub fn new() -> Self {
        Self {
            providers: Vec::new(),
            aliases: String::new(),
            proxies: 1,
            variables: Vec::new(),
            redis_url: None,
        }
    }

    /// A provider whose offers cost nothing.
    pub fn free(self, name: &str) -> Self {
        self.offer(name, "tier = \"free\"", "")
    }

    /// A provider whose offers cost so many dollars per million tokens read and written.
    pub fn paid(self, name: &str, input: &str, output: &str) -> Self {
        let price = format!("price = {{ input = \"{input}\", output = \"{output}\" }}");
        let terms = format!("tier = \"paid\"\n{price}");
        self.offer(name, &terms, "")
    }

    /// A provider with its own terms (lines of its offer) and manners (lines of the provider).
    pub fn offer(mut self, name: &str, terms: &str, manners: &str) -> Self {
        let provider = Provider::start(name);
        let entry = provider.entry(terms, manners);
        self.providers.push((provider, entry));
        self
    }

    /// A provider that was started already, with its own terms and manners.
    pub fn with(mut self, provider: Provider, terms: &str, manners: &str) -> Self {
        let entry = provider.entry(terms, manners);
        self.providers.push((provider, entry));
        self
    }

    /// More than one proxy on the same Postgres and Redis.
    pub fn proxies(mut self, count: usize) -> Self {
        self.proxies = count;
        self
    }

    /// A setting of every proxy, as an environment variable without its prefix (`PROXY__DRAIN_S`).
    pub fn setting(mut self, name: &str, value: impl ToString) -> Self {
        self.variables
            .push((format!("SYNAXIS__{name}"), value.to_string()));
        self
    }

    /// A Redis of the test's own.
    pub fn redis(mut self, url: &str) -> Self {
        self.redis_url = Some(url.to_owned());
        self
    }

    /// Lines of aliases for the catalog file.
    pub fn aliases(mut self, lines: &str) -> Self {
        self.aliases.push_str(lines);
        self
    }

    /// Starts it all and waits until it is ready.
    pub async fn start(self) -> TestStack {
        let database = TestDatabase::start().await;
        let folder = tempfile::tempdir().expect("a folder");
        let redis_url = self.redis_url.clone().unwrap_or_else(test_redis_url);
        let mut variables = variables(&database, &redis_url);
        variables.extend(self.variables.clone());
        let mut stack = TestStack {
            database,
            organization: String::new(),
            providers: Vec::new(),
            proxies: Vec::new(),
            variables,
            folder,
        };
        stack.fill(self.providers, &self.aliases);
        for number in 0..self.proxies {
            stack.add_proxy(number, &[]).await;
        }
        stack
    }
}

impl TestStack {
    /// One proxy, one free provider.
    pub async fn start() -> Self {
        Setup::new().free("gratis").start().await
    }

    fn fill(&mut self, providers: Vec<(Provider, String)>, aliases: &str) {
        let mut file = MODEL.to_owned();
        for (provider, entry) in providers {
            file.push_str(&entry);
            self.providers.push(provider);
        }
        file.push_str(aliases);
        self.import(&file);
        let created = self.json(&["orgs", "create", "--name", "Acme", "--unlimited", "--json"]);
        self.organization = created["id"].as_str().expect("an id").to_owned();
    }

    /// Imports a catalog file.
    pub fn import(&self, catalog: &str) {
        let path = self.folder.path().join("catalog.toml");
        std::fs::write(&path, catalog).expect("a catalog file");
        self.run(&["catalog", "import", path.to_str().expect("a path")]);
    }

    /// Starts one more proxy.
    pub async fn add_proxy(&mut self, number: usize, more: &[(&str, &str)]) {
        let mut variables = self.variables.clone();
        variables.extend(
            more.iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        let folder = self.folder.path().join(format!("proxy-{number}"));
        self.proxies
            .push(Proxy::start(&variables, &folder, &[]).await);
    }

    /// The first proxy.
    pub fn proxy(&self) -> &Proxy {
        &self.proxies[0]
    }

    /// The provider of this name.
    pub fn provider(&self, name: &str) -> &Provider {
        self.providers
            .iter()
            .find(|provider| provider.name == name)
            .expect("a provider")
    }

    /// Orders a key; `mint` makes it.
    pub fn key(&self) -> KeyOrder<'_> {
        KeyOrder::new(self)
    }

    /// Runs a command of the binary against this installation; it must succeed.
    pub fn run(&self, arguments: &[&str]) -> String {
        let Output {
            status,
            stdout,
            stderr,
        } = self.command(arguments).output().expect("to run");
        let complaint = String::from_utf8_lossy(&stderr);
        assert!(status.success(), "{arguments:?}: {complaint}");
        String::from_utf8(stdout).expect("text")
    }

    /// Runs a command that answers in JSON.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let answer = self.run(arguments);
        serde_json::from_str(&answer).unwrap_or_else(|_| panic!("no JSON: {answer}"))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(SYNAXIS);
        command
            .args(arguments)
            .env_clear()
            .envs(self.variables.iter().cloned());
        command
            .env("PATH", "/usr/bin:/bin")
            .current_dir(self.folder.path());
        command
    }

    /// A connection that sees every row.
    pub async fn books(&self) -> PgConnection {
        PgConnection::connect(self.database.url())
            .await
            .expect("the books")
    }

    /// The one value of a query.
    pub async fn number(&self, query: &'static str) -> i64 {
        let mut books = self.books().await;
        let row = sqlx::query(query)
            .fetch_one(&mut books)
            .await
            .expect("a row");
        row.try_get::<i64, _>(0).expect("a bigint")
    }

    /// Waits until so many calls are booked, and returns how each of them ended.
    pub async fn booked(&self, calls: usize) -> Vec<Booked> {
        let began = Instant::now();
        loop {
            let rows = self.entries().await;
            if calls <= rows.len() || Duration::from_secs(15) < began.elapsed() {
                assert_eq!(rows.len(), calls, "{rows:#?}");
                return rows;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Every booked call, oldest first.
    pub async fn entries(&self) -> Vec<Booked> {
        let mut books = self.books().await;
        let rows = sqlx::query(
            "select request_id::text as id, finish::text as finish, status::int8 as status, is_estimated, is_stream,
                    input_tokens::int8 as input, output_tokens::int8 as output, cost_nano_usd::int8 as cost,
                    saved_nano_usd::int8 as saved, attempts
             from operations.usage_entries order by request_id",
        )
        .fetch_all(&mut books)
        .await
        .expect("the entries");
        rows.iter().map(Booked::of).collect()
    }
}

/// One row of the books.
#[derive(Clone, Debug)]
pub struct Booked {
    pub id: String,
    pub finish: String,
    pub status: i64,
    pub is_estimated: bool,
    pub is_stream: bool,
    pub input: i64,
    pub output: i64,
    pub cost: i64,
    pub saved: i64,
    pub attempts: Value,
}

impl Booked {
    fn of(row: &sqlx::postgres::PgRow) -> Self {
        Self {
            id: row.get("id"),
            finish: row.get("finish"),
            status: row.get("status"),
            is_estimated: row.get("is_estimated"),
            is_stream: row.get("is_stream"),
            input: row.get("input"),
            output: row.get("output"),
            cost: row.get("cost"),
            saved: row.get("saved"),
            attempts: row.get("attempts"),
        }
    }

    /// How each attempt ended, in order.
    pub fn outcomes(&self) -> Vec<&str> {
        let attempts = self.attempts.as_array().expect("a list");
        attempts
            .iter()
            .map(|attempt| attempt["outcome"].as_str().expect("a word"))
            .collect()
    }
}

/// The one model every provider of a test sells.
const MODEL: &str = "[[models]]\nname = \"swift\"\ncontext_window = 100000000\n\n";

pub fn variables(database: &TestDatabase, redis_url: &str) -> Vec<(String, String)> {
    [
        ("ENVIRONMENT", "development"),
        ("DATABASE__URL", database.url()),
        ("REDIS__URL", redis_url),
        ("REDIS__KEY_PREFIX", &format!("{}:", name_of(database))),
        // Two cores and many tests: a slow answer is not a dead Redis.
        ("REDIS__DEADLINE_MS", "2000"),
        ("SECURITY__SEALING_KEY", SEALING_KEY),
        ("EGRESS__ALLOW", "127.0.0.0/8"),
        ("QUOTA__REBUILD_GRACE_MS", "300"),
    ]
    .into_iter()
    .map(|(name, value)| (format!("SYNAXIS__{name}"), value.to_owned()))
    .collect()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the harness is told where the servers are"
)]
pub fn test_redis_url() -> String {
    std::env::var("SYNAXIS_TEST_REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1:6379".to_owned())
}

/// What no other test has: the name of the test's database.
fn name_of(database: &TestDatabase) -> &str {
    database.url().rsplit('/').next().expect("a name")
}

/// Waits until `condition` holds, for ten seconds at most.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let began = Instant::now();
    while !condition().await {
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "it never came to be that {what}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until `holds`, at most `limit`; returns how long it took.
pub async fn within(limit: Duration, mut holds: impl AsyncFnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < limit, "not within {limit:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    began.elapsed()
}
