//! Load, by wrk: closed loop, one thread, everything it saw in one line.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::Context;
use tokio::process::Command;

use crate::{cores::Cores, process::find_program, scenario::Scenario, target::Target};

/// Makes wrk send our body and tell its figures in one line.
const SCRIPT: &str = r#"
wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
wrk.headers["authorization"] = "Bearer " .. os.getenv("BENCH_KEY")
local file = assert(io.open(os.getenv("BENCH_BODY"), "rb"))
wrk.body = file:read("*a")
file:close()

local pause = tonumber(os.getenv("BENCH_PAUSE_MS"))
if pause > 0 then
  function delay() return math.random(0, 2 * pause) end
end

function done(summary, latency, requests)
  local errors = summary.errors
  local cut = errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format("figures %d %d %d %d %d %d %d\n", summary.requests, summary.duration,
    errors.status, cut, latency:percentile(50), latency:percentile(99), summary.bytes))
end
"#;

/// How the load is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) connections: usize,
    pub(crate) time: Duration,
    /// How long a connection rests between calls on average.
    pub(crate) pause_ms: u64,
}

/// What wrk saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) calls: u64,
    pub(crate) took_us: u64,
    /// Answers other than 2xx and 3xx.
    pub(crate) refused: u64,
    /// Connections that failed.
    pub(crate) cut: u64,
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) bytes: u64,
}

/// All that was sent to one target so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sent {
    /// Calls that were answered with 2xx.
    pub(crate) answered: i64,
    /// Calls that may have been in flight when wrk hung up.
    pub(crate) cut: i64,
}

/// wrk, ready to run.
#[derive(Debug)]
pub(crate) struct Load {
    program: PathBuf,
    folder: PathBuf,
    cores: Cores,
    sent: RefCell<BTreeMap<&'static str, Sent>>,
}

impl Load {
    /// Finds wrk; nothing when it is not installed.
    pub(crate) fn find(folder: &Path, cores: &Cores) -> anyhow::Result<Option<Self>> {
        let Some(program) = find_program("wrk") else {
            return Ok(None);
        };
        fs::write(folder.join("load.lua"), SCRIPT)?;
        Ok(Some(Self {
            program,
            folder: folder.to_owned(),
            cores: cores.clone(),
            sent: RefCell::default(),
        }))
    }

    /// Calls `target` as `pace` says.
    pub(crate) async fn run(
        &self,
        target: &Target,
        scenario: &Scenario,
        pace: Pace,
    ) -> anyhow::Result<Seen> {
        let body = self.folder.join(format!("{}.json", scenario.name));
        fs::write(&body, &scenario.body)?;
        let output = Command::new("taskset")
            .args(["-c", &self.cores.load])
            .arg(&self.program)
            .args(["-t", "1", "-c", &pace.connections.to_string()])
            .args(["-d", &format!("{}s", pace.time.as_secs())])
            .args(["--timeout", "10s", "-s"])
            .arg(self.folder.join("load.lua"))
            .arg(target.url())
            .env("BENCH_KEY", &target.api_key)
            .env("BENCH_BODY", &body)
            .env("BENCH_PAUSE_MS", pace.pause_ms.to_string())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await?;
        let said = String::from_utf8_lossy(&output.stdout);
        let seen = read(&said).with_context(|| {
            let faults = String::from_utf8_lossy(&output.stderr);
            format!("wrk told no figures: {said}{faults}")
        })?;
        let mut sent = self.sent.borrow_mut();
        let sent = sent.entry(target.name).or_default();
        sent.answered += i64::try_from(seen.calls.saturating_sub(seen.refused))?;
        sent.cut += i64::try_from(pace.connections)?;
        Ok(seen)
    }

    /// Returns all that was sent to the target called `name`.
    pub(crate) fn sent(&self, name: &str) -> Sent {
        self.sent.borrow().get(name).copied().unwrap_or_default()
    }
}

fn read(said: &str) -> Option<Seen> {
    let line = said
        .lines()
        .find_map(|line| line.strip_prefix("figures "))?;
    let mut figures = line.split(' ').map(|figure| figure.parse().ok());
    let mut next = || figures.next().flatten();
    Some(Seen {
        calls: next()?,
        took_us: next()?,
        refused: next()?,
        cut: next()?,
        p50_us: next()?,
        p99_us: next()?,
        bytes: next()?,
    })
}
