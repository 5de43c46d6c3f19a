//! Latency at half load: every target at the same rate, half of what the slowest one carries.

use std::time::Duration;

use crate::{
    RunArgs,
    load::{Load, Pace},
    rounds::{self, Row, real},
    scenario::Scenario,
    target::{DIRECT, Target},
};

/// How long a connection rests between two calls on average: many connections that seldom call, as people do.
const PAUSE: Duration = Duration::from_millis(8);
/// Most connections, should a target be very fast.
const MOST_CONNECTIONS: usize = 400;

/// Gives every target its turns at half the rate that `full` shows.
pub(crate) async fn run(
    load: &Load,
    scenario: &Scenario,
    targets: &[Target],
    args: &RunArgs,
    full: &[Row],
) -> anyhow::Result<Vec<Row>> {
    let through_proxies = full.iter().filter(|row| row.name != DIRECT);
    let rates = through_proxies.filter_map(|row| row.median(|turn| Some(turn.rate())));
    let half = rates.fold(f64::INFINITY, f64::min) / 2.0;
    let pace = Pace {
        connections: connections(half),
        time: Duration::from_secs(args.seconds),
        pause_ms: u64::try_from(PAUSE.as_millis())?,
    };
    rounds::run(load, scenario, targets, args, pace).await
}

/// Returns how many connections that rest between calls make `rate` calls a second.
fn connections(rate: f64) -> usize {
    let wanted = rate * PAUSE.as_secs_f64();
    (1..MOST_CONNECTIONS)
        .find(|count| wanted <= u64::try_from(*count).map_or(f64::MAX, real))
        .unwrap_or(MOST_CONNECTIONS)
}
