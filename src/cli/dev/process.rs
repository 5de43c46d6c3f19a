//! The processes `synaxis dev` starts, and how none of them is left behind.
//!
//! Each dies with this process even when it is killed (the kernel tells it), and whoever survives that is found
//! by the next start in the file of pids.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Seek, SeekFrom, Write, stderr},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tokio::{process::Command, time::Instant};

use super::machine::Account;

/// How long a process may take to end before it is killed: longer than a plane drains and says its last words.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often a process that was told to end is looked at.
const GLANCE: Duration = Duration::from_millis(10);
/// How often living processes are looked at.
const WATCH: Duration = Duration::from_millis(100);
/// How much of a dead process's log is shown.
const TAIL_BYTES: i64 = 2000;

/// A process to start.
#[derive(Debug)]
pub struct Order {
    /// What it is called in messages and `dev.json`.
    pub name: &'static str,
    pub program: PathBuf,
    pub args: Vec<String>,
    /// Set on top of this process's own environment.
    pub variables: Vec<(String, String)>,
    /// As whom it runs; as this user when absent.
    pub account: Option<Account>,
    /// What tells it to end.
    pub stop: Signal,
    /// Whether it is `synaxis`, which can be asked to die with its parent.
    pub is_ours: bool,
}

/// A process that was started.
#[derive(Debug)]
pub struct Process {
    name: &'static str,
    pid: Pid,
    stop: Signal,
    log: PathBuf,
    child: tokio::process::Child,
}

/// All processes of one `synaxis dev`, in the order they were started.
#[derive(Debug)]
pub struct Processes {
    started: Vec<Process>,
    log_folder: PathBuf,
    pids_file: PathBuf,
}

impl Processes {
    /// Prepares to start processes that log into `log_folder` and are noted in `pids_file`.
    #[must_use]
    pub fn new(log_folder: PathBuf, pids_file: PathBuf) -> Self {
        Self {
            started: Vec::new(),
            log_folder,
            pids_file,
        }
    }

    /// Starts a process; must be called on the main thread, whose end the kernel tells the process.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn start(&mut self, order: Order) -> anyhow::Result<()> {
        let log = self.log_folder.join(format!("{}.log", order.name));
        let output = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&log)?;
        let mut command = command_of(&order);
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        let child = command
            .spawn()
            .with_context(|| format!("{} cannot be started", order.program.display()))?;
        let pid = child
            .id()
            .and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        let pid = pid.with_context(|| format!("{} ended at once", order.name))?;
        self.started.push(Process {
            name: order.name,
            pid,
            stop: order.stop,
            log,
            child,
        });
        self.note_pids()
    }

    /// Returns the pid of the process called `name`.
    #[must_use]
    pub fn pid(&self, name: &str) -> Option<i32> {
        self.started
            .iter()
            .find(|process| process.name == name)
            .map(|process| process.pid.as_raw_nonzero().get())
    }

    /// Waits until one of the processes ends, and returns what there is to say about it.
    pub async fn first_death(&mut self) -> anyhow::Error {
        loop {
            for process in &mut self.started {
                if let Ok(Some(status)) = process.child.try_wait() {
                    let tail = tail_of(&process.log).unwrap_or_default();
                    return anyhow::anyhow!(
                        "{} ended ({status}); its log ends with:\n{tail}",
                        process.name
                    );
                }
            }
            tokio::time::sleep(WATCH).await;
        }
    }

    /// Ends all processes, the last started first: who uses others ends before them.
    pub async fn stop(mut self) {
        while let Some(mut process) = self.started.pop() {
            process.stop().await;
        }
        let _ = fs::remove_file(&self.pids_file);
    }

    fn note_pids(&self) -> anyhow::Result<()> {
        let lines = self.started.iter().filter_map(|process| {
            let pid = process.pid.as_raw_nonzero().get();
            Some(format!("{pid} {} {}\n", birth_of(pid)?, process.name))
        });
        fs::write(&self.pids_file, lines.collect::<String>())?;
        Ok(())
    }
}

impl Process {
    async fn stop(&mut self) {
        let _ = kill_process(self.pid, self.stop);
        if tokio::time::timeout(PATIENCE, self.child.wait())
            .await
            .is_err()
        {
            let _ = writeln!(
                stderr(),
                "synaxis: {} did not end in time and is killed",
                self.name
            );
            let _ = self.child.kill().await;
        }
    }
}

/// Makes the command of `order`, in a process group of its own: Ctrl-C is ours to pass on, in order.
fn command_of(order: &Order) -> Command {
    let mut command = match order.is_ours {
        true => Command::new(&order.program),
        false => dying_with_us(&order.program, order.stop),
    };
    command.args(&order.args);
    if order.is_ours {
        command
            .arg("--die-with-parent")
            .arg(std::process::id().to_string());
    }
    for (name, value) in &order.variables {
        // A secret given both ways is a fault.
        command.env(name, value).env_remove(format!("{name}_FILE"));
    }
    command.process_group(0).kill_on_drop(true);
    if let Some(account) = &order.account {
        account.apply(&mut command);
    }
    command
}

/// Makes a command of a stranger that the kernel signals when this process ends, where the machine can do so.
pub fn dying_with_us(program: &Path, stop: Signal) -> Command {
    const SETPRIV: &str = "/usr/bin/setpriv";
    if !Path::new(SETPRIV).exists() {
        return Command::new(program);
    }
    let mut command = Command::new(SETPRIV);
    let signal = if stop == Signal::INT { "INT" } else { "TERM" };
    command.args(["--pdeathsig", signal, "--"]).arg(program);
    command
}

/// Ends what an earlier `synaxis dev` left when it was killed.
///
/// # Errors
///
/// When a process cannot be ended.
pub async fn end_leftovers(pids_file: &Path) -> anyhow::Result<()> {
    let Ok(text) = fs::read_to_string(pids_file) else {
        return Ok(());
    };
    // The last started first, as in an orderly stop.
    for line in text.lines().rev() {
        let mut words = line.split(' ');
        let pid = words.next().and_then(|pid| pid.parse::<i32>().ok());
        let birth = words.next().and_then(|birth| birth.parse::<u64>().ok());
        let name = words.next().unwrap_or("process");
        if let (Some(pid), Some(birth)) = (pid, birth) {
            end_leftover(pid, birth, name).await?;
        }
    }
    let _ = fs::remove_file(pids_file);
    Ok(())
}

async fn end_leftover(pid: i32, birth: u64, name: &str) -> anyhow::Result<()> {
    let Some(process) = Pid::from_raw(pid) else {
        return Ok(());
    };
    let deadline = Instant::now() + PATIENCE;
    let _ = is_same(pid, birth) && kill_process(process, stop_signal(name)).is_ok();
    // A pid that was given to another process has another birth.
    while is_same(pid, birth) && test_kill_process(process).is_ok() {
        if deadline < Instant::now() {
            let _ = kill_process(process, Signal::KILL);
            if deadline + PATIENCE < Instant::now() {
                bail!("{name} of an earlier start (pid {pid}) does not end");
            }
        }
        tokio::time::sleep(GLANCE).await;
    }
    Ok(())
}

/// Returns what ends a process without waiting for its clients.
#[must_use]
pub fn stop_signal(name: &str) -> Signal {
    match name {
        "postgres" => Signal::INT,
        _ => Signal::TERM,
    }
}

fn is_same(pid: i32, birth: u64) -> bool {
    birth_of(pid) == Some(birth)
}

/// Returns when the process began, in ticks since the machine started: a pid alone may be somebody else's by now.
fn birth_of(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold blanks and brackets: fields are counted from its closing bracket.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let is_dead = fields.next() == Some("Z");
    let birth = fields.nth(18)?.parse().ok()?;
    (!is_dead).then_some(birth)
}

fn tail_of(log: &Path) -> std::io::Result<String> {
    let mut file = File::open(log)?;
    let length = i64::try_from(file.metadata()?.len()).unwrap_or(i64::MAX);
    file.seek(SeekFrom::End(-length.min(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
