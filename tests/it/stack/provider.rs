//! A simulated provider of a test's own, with a log that nobody else writes.

use std::{
    fs,
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use super::{SYNAXIS, proxy::free_address};

/// One provider process; killed when dropped.
pub struct Provider {
    pub name: String,
    pub address: String,
    child: Child,
    folder: TempDir,
}

impl Provider {
    /// Starts a provider and waits until it listens.
    pub fn start(name: &str) -> Self {
        Self::start_with(name, &[])
    }

    /// Starts a provider with more flags of `synaxis simulate`.
    pub fn start_with(name: &str, flags: &[&str]) -> Self {
        Self::start_at(name, &free_address(), flags)
    }

    /// Starts a provider where another one was.
    pub fn start_at(name: &str, address: &str, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let child = spawn(name, address, flags, &folder);
        Self {
            name: name.to_owned(),
            address: address.to_owned(),
            child,
            folder,
        }
    }

    /// Its lines of a catalog file.
    pub fn entry(&self, terms: &str, manners: &str) -> String {
        let Self { name, address, .. } = self;
        format!(
            "[[providers]]\nname = \"{name}\"\ndialect = \"openai\"\nbase_url = \"http://{address}/v1\"\n\
             credential = \"sk-{name}-0123456789\"\n{manners}\n\n\
             [[offers]]\nprovider = \"{name}\"\nmodel = \"swift\"\nupstream_name = \"swift-{name}\"\n{terms}\n\n"
        )
    }

    /// Makes it misbehave from now on; nothing is good behaviour.
    pub async fn fault(&self, spec: &str) {
        let url = format!("http://{}/__fault", self.address);
        let sent = super::people::client()
            .put(url)
            .body(spec.to_owned())
            .send()
            .await;
        let answer = sent.expect("an answer");
        assert!(
            answer.status().is_success(),
            "{spec}: {:?}",
            answer.text().await
        );
    }

    /// Stops it for good.
    pub fn stop(&mut self) {
        let _dead = self.child.kill();
        let _reaped = self.child.wait();
    }

    /// Every call it has seen to its end.
    pub fn log(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.folder.path().join("calls.jsonl")).unwrap_or_default();
        text.lines()
            .map(|line| serde_json::from_str(line).expect("a line of JSON"))
            .collect()
    }

    /// How many calls it has seen to their end.
    pub fn calls(&self) -> usize {
        self.log().len()
    }

    /// Waits until it has seen so many calls to their end.
    pub async fn wait_for_end(&self, calls: usize) -> Vec<Value> {
        let began = Instant::now();
        while self.calls() < calls {
            assert!(
                began.elapsed() < Duration::from_secs(10),
                "{:?}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.log()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Starts a provider's process and waits until it listens.
fn spawn(name: &str, address: &str, flags: &[&str], folder: &TempDir) -> Child {
    let child = Command::new(SYNAXIS)
        .args(["simulate", "--listen", address, "--name", name, "--log"])
        .arg(folder.path().join("calls.jsonl"))
        .args(flags)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a provider");
    let began = Instant::now();
    while TcpStream::connect(address).is_err() {
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "the provider does not listen"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    child
}
