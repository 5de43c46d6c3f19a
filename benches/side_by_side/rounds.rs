//! Turn by turn: every target gets its turn in every round, so that what else the machine does hits all alike.

use std::time::Duration;

use crate::{
    RunArgs, check, cpu,
    load::{Load, Pace, Seen},
    scenario::Scenario,
    target::Target,
};

/// What each target gets before anything counts.
const WARM_UP: Duration = Duration::from_secs(1);
/// How long a target may finish what it does after a call (booking, settling) before its time is read.
const REST: Duration = Duration::from_secs(1);

/// One target's turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    pub(crate) seen: Seen,
    /// Processor time per call in µs; none when calls go direct.
    pub(crate) cpu_us: Option<f64>,
    pub(crate) resident_kib: u64,
}

/// One target's turns.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) turns: Vec<Turn>,
}

impl Turn {
    /// Returns calls per second.
    pub(crate) fn rate(&self) -> f64 {
        let seconds = Duration::from_micros(self.seen.took_us).as_secs_f64();
        real(self.seen.calls) / seconds.max(f64::MIN_POSITIVE)
    }
}

impl Row {
    /// Returns the median of `figure` over the turns that have it.
    pub(crate) fn median(&self, figure: impl Fn(&Turn) -> Option<f64>) -> Option<f64> {
        median(self.turns.iter().filter_map(figure).collect())
    }
}

/// Returns the figure in the middle.
pub(crate) fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied()
}

/// Returns a count as something to calculate ratios with.
pub(crate) fn real(count: u64) -> f64 {
    // Counts of calls and bytes stay far below 2^53, where this is exact.
    u32::try_from(count).map_or_else(|_| count as f64, f64::from)
}

/// Gives every target its turns at `scenario`.
pub(crate) async fn run(
    load: &Load,
    scenario: &Scenario,
    targets: &[Target],
    args: &RunArgs,
    pace: Pace,
) -> anyhow::Result<Vec<Row>> {
    let mut rows: Vec<Row> = Vec::new();
    for target in targets {
        check::answers(target, scenario)?;
        let warm_up = Pace {
            time: WARM_UP,
            ..pace
        };
        load.run(target, scenario, warm_up).await?;
        rows.push(Row {
            name: target.name,
            turns: Vec::new(),
        });
    }
    for round in 0..args.rounds {
        // Nobody always follows the same neighbour.
        for at in (0..targets.len()).map(|at| (at + round) % targets.len()) {
            if let (Some(target), Some(row)) = (targets.get(at), rows.get_mut(at)) {
                row.turns.push(turn(load, scenario, target, pace).await?);
            }
        }
    }
    Ok(rows)
}

async fn turn(
    load: &Load,
    scenario: &Scenario,
    target: &Target,
    pace: Pace,
) -> anyhow::Result<Turn> {
    let before = used(target)?;
    let seen = load.run(target, scenario, pace).await?;
    tokio::time::sleep(REST).await;
    let spent = used(target)?.saturating_sub(before);
    let resident = target
        .pids
        .iter()
        .map(|pid| cpu::resident_kib(*pid))
        .sum::<anyhow::Result<u64>>()?;
    let has_figure = !target.pids.is_empty() && seen.calls != 0;
    Ok(Turn {
        seen,
        cpu_us: has_figure.then(|| spent.as_secs_f64() * 1e6 / real(seen.calls)),
        resident_kib: resident,
    })
}

fn used(target: &Target) -> anyhow::Result<Duration> {
    target.pids.iter().map(|pid| cpu::time(*pid)).sum()
}
