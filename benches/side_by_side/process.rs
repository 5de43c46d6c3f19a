//! The processes a run starts: each on its cores, and none of them left behind.

use std::{
    fs::File,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

/// How long a process may take to be ready, and to end.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often it is looked at meanwhile.
const GLANCE: Duration = Duration::from_millis(20);

/// A process to start.
#[derive(Debug)]
pub(crate) struct Order<'a> {
    /// What its log is called.
    pub(crate) name: &'a str,
    /// Where it may run, as `taskset -c` reads it.
    pub(crate) cores: &'a str,
    pub(crate) program: &'a Path,
    pub(crate) args: Vec<String>,
    pub(crate) variables: Vec<(String, String)>,
}

/// A process that runs, and is stopped when this is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Starts a process that logs into `folder`; its pid is the program's own.
    pub(crate) fn start(order: Order<'_>, folder: &Path) -> anyhow::Result<Self> {
        let log = folder.join(format!("{}.log", order.name));
        let output = File::create(&log)?;
        let mut command = Command::new("taskset");
        command
            .args(["-c", order.cores])
            // Ends it even when this process is killed.
            .args(["setpriv", "--pdeathsig", "TERM", "--"])
            .arg(order.program)
            .args(&order.args)
            .envs(order.variables)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            // Ctrl-C is ours to pass on.
            .process_group(0);
        let child = command
            .spawn()
            .with_context(|| format!("{} cannot be started", order.name))?;
        Ok(Self {
            name: order.name.to_owned(),
            child,
            log,
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Fails when the process has ended, with what it said last.
    pub(crate) fn still_runs(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            let said = std::fs::read_to_string(&self.log).unwrap_or_default();
            let last: Vec<&str> = said.lines().rev().take(10).collect();
            let last: Vec<&str> = last.into_iter().rev().collect();
            bail!("{} ended ({status}):\n{}", self.name, last.join("\n"));
        }
        Ok(())
    }

    /// Waits until `is_ready`.
    pub(crate) async fn until(
        &mut self,
        patience: Duration,
        is_ready: impl Fn() -> bool,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + patience;
        while !is_ready() {
            self.still_runs()?;
            if deadline < Instant::now() {
                bail!("{} is not ready after {patience:?}", self.name);
            }
            tokio::time::sleep(GLANCE).await;
        }
        Ok(())
    }

    /// Waits until somebody listens at `address`.
    pub(crate) async fn until_listening(&mut self, address: SocketAddr) -> anyhow::Result<()> {
        self.until(PATIENCE, || TcpStream::connect(address).is_ok())
            .await
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid
            && matches!(self.child.try_wait(), Ok(None))
        {
            let _ = kill_process(pid, Signal::TERM);
        }
        let deadline = Instant::now() + PATIENCE;
        while matches!(self.child.try_wait(), Ok(None)) {
            if deadline < Instant::now() {
                let _ = self.child.kill();
            }
            thread::sleep(GLANCE);
        }
    }
}

/// Returns an address on loopback that nobody listens at.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?)
}

/// Finds a program where a shell would, and where Debian keeps servers.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin"), PathBuf::from("/usr/local/sbin")])
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
}
