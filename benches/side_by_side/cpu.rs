//! What a process has used, by the kernel's own accounting.

use std::{fs, time::Duration};

use anyhow::Context;

/// What one tick of `/proc/<pid>/stat` is: the kernel shows hundredths of a second on every machine.
const TICK: Duration = Duration::from_millis(10);

/// Returns the processor time of all threads of `pid`, user and system.
pub(crate) fn time(pid: u32) -> anyhow::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))
        .with_context(|| format!("process {pid} has ended"))?;
    let used = ticks(&stat).context("/proc/<pid>/stat reads otherwise than expected")?;
    Ok(TICK * used)
}

/// Returns the resident memory of `pid` in KiB.
pub(crate) fn resident_kib(pid: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))
        .with_context(|| format!("process {pid} has ended"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    kib.context("/proc/<pid>/status reads otherwise than expected")
}

fn ticks(stat: &str) -> Option<u32> {
    // The name may hold blanks and brackets: fields are counted from its closing bracket.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some(user + system)
}
