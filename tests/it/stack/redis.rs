//! A Redis of a test's own, to be emptied, stopped and killed.

use std::process::{Child, Command, Stdio};

use super::{proxy::free_address, within};

/// One Redis process; killed when dropped.
pub struct OwnRedis {
    child: Child,
    address: String,
}

impl OwnRedis {
    /// Starts a Redis that keeps nothing on disk.
    pub async fn start() -> Self {
        let address = free_address();
        let port = address.rsplit(':').next().expect("a port").to_owned();
        let child = Command::new("redis-server")
            .args([
                "--port",
                &port,
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .current_dir("/")
            .spawn()
            .expect("a redis-server");
        let redis = Self { child, address };
        within(std::time::Duration::from_secs(10), async || {
            tokio::net::TcpStream::connect(&redis.address).await.is_ok()
        })
        .await;
        redis
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// Makes it forget everything.
    pub fn empty(&self) {
        self.cli(&["flushall"]);
    }

    /// Changes one setting of it.
    pub fn set(&self, name: &str, value: &str) {
        self.cli(&["config", "set", name, value]);
    }

    /// Returns how many scripts were run so far.
    pub fn scripts(&self) -> u64 {
        let stats = self.cli(&["info", "commandstats"]);
        let line = stats
            .lines()
            .find_map(|line| line.strip_prefix("cmdstat_evalsha:calls="));
        let calls = line.and_then(|line| line.split(',').next());
        calls.map_or(0, |calls| calls.parse().expect("a number"))
    }

    /// Runs one command as `redis-cli` does.
    pub fn cli(&self, command: &[&str]) -> String {
        let port = self.address.rsplit(':').next().expect("a port");
        let done = Command::new("redis-cli")
            .args(["-p", port])
            .args(command)
            .output();
        let done = done.expect("redis-cli");
        assert!(done.status.success());
        String::from_utf8(done.stdout).expect("text")
    }
}

impl Drop for OwnRedis {
    fn drop(&mut self) {
        let _dead = self.child.kill();
        let _reaped = self.child.wait();
    }
}
