//! A Redis of a test's own, to be frozen, killed and started again at the same place.

use std::{
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::stack::{proxy::free_address, within};

/// One Redis process; killed when dropped, frozen or not.
pub struct Server {
    child: Child,
    address: String,
    flags: Vec<String>,
}

impl Server {
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts one with more flags of `redis-server`.
    pub async fn start_with(flags: &[&str]) -> Self {
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let address = free_address();
        let child = spawn(&address, &flags);
        let server = Self {
            child,
            address,
            flags,
        };
        server.answers().await;
        server
    }

    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    pub fn address(&self) -> SocketAddr {
        self.address.parse().expect("an address")
    }

    /// Runs one command in it.
    pub async fn tell(&self, words: &[&str]) {
        let client = redis::Client::open(self.url()).expect("an address");
        let mut connection = client
            .get_multiplexed_async_connection()
            .await
            .expect("a connection");
        let mut command = redis::Cmd::new();
        for word in words {
            command.arg(*word);
        }
        let done: redis::RedisResult<redis::Value> = command.query_async(&mut connection).await;
        done.expect("done as told");
    }

    /// Runs one command in it and returns what it says.
    pub async fn ask(&self, words: &[&str]) -> String {
        let client = redis::Client::open(self.url()).expect("an address");
        let mut connection = client
            .get_multiplexed_async_connection()
            .await
            .expect("a connection");
        let mut command = redis::Cmd::new();
        for word in words {
            command.arg(*word);
        }
        let said: redis::RedisResult<redis::Value> = command.query_async(&mut connection).await;
        match said.expect("an answer") {
            redis::Value::BulkString(text) => String::from_utf8_lossy(&text).into_owned(),
            redis::Value::VerbatimString { text, .. } | redis::Value::SimpleString(text) => text,
            other => format!("{other:?}"),
        }
    }

    /// Stops it where it stands; connections stay open and get no answer.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    /// Kills it and starts an empty one at the same place.
    pub async fn replace(&mut self) {
        self.kill();
        self.child = spawn(&self.address, &self.flags);
        self.answers().await;
    }

    pub fn kill(&mut self) {
        let _dead = self.child.kill();
        let _reaped = self.child.wait();
    }

    fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status();
        assert!(sent.expect("kill").success());
    }

    async fn answers(&self) {
        within(Duration::from_secs(10), async || {
            tokio::net::TcpStream::connect(&self.address).await.is_ok()
        })
        .await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(address: &str, flags: &[String]) -> Child {
    let (_, port) = address.rsplit_once(':').expect("a port");
    Command::new("redis-server")
        .args(["--port", port, "--bind", "127.0.0.1"])
        .args(["--save", "", "--appendonly", "no"])
        .args(flags)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .current_dir("/")
        .spawn()
        .expect("a redis-server")
}
