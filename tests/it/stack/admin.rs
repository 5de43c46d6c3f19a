//! A running sidecar on a migrated database of its own, and people at its API.

use std::{
    fs::File,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use reqwest::{Client, Method, RequestBuilder, Response};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::{
    SYNAXIS, TestStack,
    database::TestDatabase,
    people::client,
    proxy::{Proxy, free_address},
    test_redis_url, variables,
};

/// One running sidecar; killed when dropped.
pub struct TestAdmin {
    child: Child,
    pub address: String,
    pub operations: String,
    pub database: TestDatabase,
    pub folder: TempDir,
    client: Client,
    variables: Vec<(String, String)>,
}

/// What the API answered.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

/// A request that is being put together.
pub struct Request(RequestBuilder);

impl TestAdmin {
    /// Starts it as an operator would and waits until it is ready.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts it with settings of its own, as variables without their prefix (`ADMIN__DRAIN_S`).
    pub async fn start_with(settings: &[(&str, &str)]) -> Self {
        let database = TestDatabase::start().await;
        let mut variables = variables(&database, &test_redis_url());
        for (name, value) in settings {
            variables.push((format!("SYNAXIS__{name}"), (*value).to_owned()));
        }
        Self::start_on(database, &variables).await
    }

    /// Starts it beside the proxies of a stack, on the same books.
    pub async fn beside(stack: &TestStack) -> Self {
        Self::start_on(stack.database.shared(), &stack.variables).await
    }

    /// Starts another one on the same books, with settings of its own.
    pub async fn another(&self, settings: &[(&str, &str)]) -> Self {
        let mut variables = self.variables.clone();
        for (name, value) in settings {
            variables.push((format!("SYNAXIS__{name}"), (*value).to_owned()));
        }
        Self::start_on(self.database.shared(), &variables).await
    }

    /// Ends it at once, as a machine that loses its power does.
    pub fn kill(&mut self) {
        let _dead = self.child.kill();
        let _reaped = self.child.wait();
    }

    /// Sends its process a signal.
    pub fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).expect("a process id");
        let id = Pid::from_raw(id).expect("a process id");
        kill_process(id, signal).expect("signalled");
    }

    async fn start_on(database: TestDatabase, variables: &[(String, String)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (address, operations) = (free_address(), free_address());
        let child = spawn(variables, &address, &operations, folder.path());
        let admin = Self {
            child,
            address,
            operations,
            database,
            folder,
            client: client(),
            variables: variables.to_vec(),
        };
        admin.ready().await;
        admin
    }

    async fn ready(&self) {
        let began = Instant::now();
        while self.operations_status("/readyz").await != Some(200) {
            assert!(
                began.elapsed() < Duration::from_secs(30),
                "the sidecar is not ready:\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The status its operations listener answers with.
    pub async fn operations_status(&self, path: &str) -> Option<u16> {
        let url = format!("http://{}{path}", self.operations);
        let answer = self.client.get(url).send().await.ok()?;
        Some(answer.status().as_u16())
    }

    /// Starts a proxy on the same books.
    pub async fn proxy(&self) -> Proxy {
        Proxy::start(&self.variables, &self.folder.path().join("proxy"), &[]).await
    }

    /// What its metrics say.
    pub async fn metrics(&self) -> String {
        let url = format!("http://{}/metrics", self.operations);
        let answer = self.client.get(url).send().await.expect("an answer");
        answer.text().await.expect("text")
    }

    /// What it logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("admin.log")).unwrap_or_default()
    }

    /// Begins a request to its API.
    pub fn request(&self, method: Method, path: &str) -> Request {
        let url = format!("http://{}{path}", self.address);
        Request(self.client.request(method, url))
    }

    /// Gets a path as nobody.
    pub async fn get(&self, path: &str) -> Reply {
        self.request(Method::GET, path).send().await
    }

    /// Posts a body as nobody.
    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        self.request(Method::POST, path).json(body).send().await
    }
}

impl Drop for TestAdmin {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Request {
    /// Adds a header.
    pub fn header(self, name: &str, value: &str) -> Self {
        Self(self.0.header(name, value))
    }

    /// Acts as whoever holds this access token.
    pub fn token(self, token: &str) -> Self {
        Self(self.0.bearer_auth(token))
    }

    /// Sends JSON.
    pub fn json(self, body: &Value) -> Self {
        Self(self.0.json(body))
    }

    /// Sends bytes of a kind.
    pub fn body(self, kind: &str, body: impl Into<reqwest::Body>) -> Self {
        Self(self.0.header("content-type", kind).body(body))
    }

    /// Sends it and reads the whole answer.
    pub async fn send(self) -> Reply {
        Reply::of(self.0.send().await.expect("an answer")).await
    }
}

impl Reply {
    /// Reads the whole answer.
    pub async fn of(answer: Response) -> Self {
        Self {
            status: answer.status().as_u16(),
            headers: answer.headers().clone(),
            text: answer.text().await.expect("text"),
        }
    }

    /// The answer as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    /// The stable word of a refusal.
    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    /// A header's text.
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// The answer, which must have this status.
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }
}

fn spawn(variables: &[(String, String)], address: &str, operations: &str, folder: &Path) -> Child {
    let log = File::create(folder.join("admin.log")).expect("a log");
    Command::new(SYNAXIS)
        .arg("admin")
        .env_clear()
        .env("SYNAXIS__ADMIN__LISTEN", address)
        .env("SYNAXIS__ADMIN__OPERATIONS_LISTEN", operations)
        .envs(variables.iter().cloned())
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a second handle"))
        .stderr(log)
        .spawn()
        .expect("a sidecar")
}
