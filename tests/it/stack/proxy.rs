//! A proxy process: started as an operator would, killed as fate would.

use std::{
    fs::File,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use super::{SYNAXIS, people::client};

/// One running proxy; killed when dropped.
pub struct Proxy {
    child: Child,
    pub address: String,
    pub operations: String,
    variables: Vec<(String, String)>,
    folder: PathBuf,
}

impl Proxy {
    /// Starts a proxy and waits until it is ready.
    pub async fn start(variables: &[(String, String)], folder: &Path, arguments: &[&str]) -> Self {
        let proxy = Self::spawn(variables, folder, arguments);
        proxy.ready().await;
        proxy
    }

    /// Starts a proxy without waiting.
    pub fn spawn(variables: &[(String, String)], folder: &Path, arguments: &[&str]) -> Self {
        std::fs::create_dir_all(folder).expect("a folder");
        let (address, operations) = (free_address(), free_address());
        Self::spawn_at(variables, folder, arguments, address, operations)
    }

    fn spawn_at(
        variables: &[(String, String)],
        folder: &Path,
        arguments: &[&str],
        address: String,
        operations: String,
    ) -> Self {
        let log = File::options()
            .create(true)
            .append(true)
            .open(folder.join("proxy.log"))
            .expect("a log");
        let place = |name: &str| folder.join(name).display().to_string();
        let child = Command::new(SYNAXIS)
            .arg("proxy")
            .args(arguments)
            .env_clear()
            .env("SYNAXIS__PROXY__LISTEN", &address)
            .env("SYNAXIS__PROXY__OPERATIONS_LISTEN", &operations)
            .env("SYNAXIS__PROXY__STATE_DIR", place("state"))
            .env("SYNAXIS__PROXY__UPGRADE_SOCKET", place("upgrade.sock"))
            .env("SYNAXIS__USAGE__SPOOL_DIR", place("spool"))
            .envs(variables.iter().cloned())
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("a proxy");
        Self {
            child,
            address,
            operations,
            variables: variables.to_vec(),
            folder: folder.to_owned(),
        }
    }

    /// Starts it again, on the same addresses and the same folder.
    pub async fn restart(&mut self) {
        let _dead = self.child.kill();
        let _reaped = self.child.wait();
        *self = Self::spawn_at(
            &self.variables,
            &self.folder,
            &[],
            self.address.clone(),
            self.operations.clone(),
        );
        self.ready().await;
    }

    /// Starts its successor, which takes its listeners.
    pub fn successor(&self) -> Self {
        Self::spawn_at(
            &self.variables,
            &self.folder,
            &["--upgrade"],
            self.address.clone(),
            self.operations.clone(),
        )
    }

    /// Waits until it says it is ready.
    pub async fn ready(&self) {
        let began = Instant::now();
        loop {
            if self
                .get("/readyz")
                .await
                .is_some_and(|(status, _)| status == 200)
            {
                return;
            }
            let said = std::fs::read_to_string(self.folder.join("proxy.log")).unwrap_or_default();
            assert!(
                began.elapsed() < Duration::from_secs(30),
                "the proxy is not ready:\n{said}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Asks its operations listener.
    pub async fn get(&self, path: &str) -> Option<(u16, String)> {
        let url = format!("http://{}{path}", self.operations);
        let answer = client().get(url).send().await.ok()?;
        Some((answer.status().as_u16(), answer.text().await.ok()?))
    }

    /// The value of one line of its metrics, whatever the labels; zero when it is not there.
    pub async fn metric(&self, name: &str) -> f64 {
        let (_, text) = self.get("/metrics").await.expect("metrics");
        let lines = text.lines().filter(|line| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with([' ', '{']))
        });
        lines
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// Where clients point their base URL.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("a living proxy");
    }

    /// Kills it as a power cut would, and reaps it.
    pub fn kill(&mut self) {
        let _dead = self.child.kill();
        let _reaped = self.child.wait();
    }

    /// Waits for its end and says whether it ended well.
    pub async fn ended(&mut self, patience: Duration) -> Option<bool> {
        let began = Instant::now();
        while began.elapsed() < patience {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status.success());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        None
    }

    /// Its memory, in kilobytes.
    pub fn resident_kb(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).unwrap_or_default();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .unwrap_or_default();
        line.split_whitespace()
            .nth(1)
            .and_then(|number| number.parse().ok())
            .unwrap_or_default()
    }

    /// What it logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("proxy.log")).unwrap_or_default()
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.kill();
    }
}

/// An address of this machine nobody listens on.
pub fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").to_string()
}
