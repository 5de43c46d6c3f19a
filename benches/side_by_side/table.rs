//! The tables: one line per target, ratios to bare Pingora.

use crate::{
    rounds::{Row, Turn, median, real},
    target::{BARE, DIRECT},
};

/// What stands over each column.
const HEAD: &str = "  target          requests/s   × bare   CPU µs/request   × bare     p50 ms     p99 ms    RSS MB   failed";
/// The same for the tables at half load.
const HALF_HEAD: &str = "  target          requests/s   CPU µs/request   × bare     p50 ms     p99 ms   added p50   added p99   × bare p50   × bare p99";

/// Prints what a scenario's rounds gave.
pub(crate) fn print(title: &str, rows: &[Row]) {
    println!("\n{title}\n{HEAD}");
    let bare = rows.iter().find(|row| row.name == BARE);
    for row in rows {
        let over_bare =
            |figure: fn(&Turn) -> Option<f64>| bare.and_then(|bare| ratio(row, bare, figure));
        let last = row.turns.last();
        println!(
            "  {:<14} {} {} {} {} {} {} {} {:>8}",
            row.name,
            cell(row.median(|turn| Some(turn.rate())), 11, 0),
            cell(over_bare(|turn| Some(turn.rate())), 8, 2),
            cell(row.median(|turn| turn.cpu_us), 16, 1),
            cell(over_bare(|turn| turn.cpu_us), 8, 2),
            cell(row.median(p50), 10, 2),
            cell(row.median(p99), 10, 2),
            cell(
                last.filter(|turn| turn.resident_kib != 0)
                    .map(|turn| real(turn.resident_kib) / 1024.0),
                9,
                0
            ),
            failed(row),
        );
    }
}

/// Prints half load: what the same work costs each target, and how long it takes more than going direct.
pub(crate) fn print_half(title: &str, rows: &[Row]) {
    println!("\n{title}, half load\n{HALF_HEAD}");
    let direct = rows.iter().find(|row| row.name == DIRECT);
    let bare = rows.iter().find(|row| row.name == BARE);
    for row in rows {
        let added = |row: &Row, figure: fn(&Turn) -> Option<f64>| {
            let own = row.median(figure)?;
            Some(own - direct?.median(figure)?)
        };
        // What is lost in the machine's noise has no ratio.
        let over_bare = |figure: fn(&Turn) -> Option<f64>| {
            let yardstick = added(bare?, figure).filter(|added| 0.0 < *added)?;
            Some(added(row, figure)? / yardstick)
        };
        let is_direct = row.name == DIRECT;
        println!(
            "  {:<14} {} {} {} {} {} {} {} {} {}",
            row.name,
            cell(row.median(|turn| Some(turn.rate())), 11, 0),
            cell(row.median(|turn| turn.cpu_us), 16, 1),
            cell(
                bare.and_then(|bare| ratio(row, bare, |turn| turn.cpu_us)),
                8,
                2
            ),
            cell(row.median(p50), 10, 3),
            cell(row.median(p99), 10, 3),
            cell(added(row, p50).filter(|_| !is_direct), 11, 3),
            cell(added(row, p99).filter(|_| !is_direct), 11, 3),
            cell(over_bare(p50).filter(|_| !is_direct), 12, 2),
            cell(over_bare(p99).filter(|_| !is_direct), 12, 2),
        );
    }
}

/// Returns the calls that were not answered with 2xx, and the connections that failed.
pub(crate) fn failed(row: &Row) -> u64 {
    row.turns
        .iter()
        .map(|turn| turn.seen.refused + turn.seen.cut)
        .sum()
}

fn p50(turn: &Turn) -> Option<f64> {
    Some(real(turn.seen.p50_us) / 1e3)
}

fn p99(turn: &Turn) -> Option<f64> {
    Some(real(turn.seen.p99_us) / 1e3)
}

/// Returns the median of the ratios round by round: what disturbs a round disturbs both.
fn ratio(row: &Row, bare: &Row, figure: fn(&Turn) -> Option<f64>) -> Option<f64> {
    let pairs = row.turns.iter().zip(&bare.turns);
    median(
        pairs
            .filter_map(|(own, bare)| Some(figure(own)? / figure(bare)?))
            .collect(),
    )
}

fn cell(figure: Option<f64>, width: usize, places: usize) -> String {
    figure.map_or_else(
        || format!("{:>width$}", "–"),
        |figure| format!("{figure:>width$.places$}"),
    )
}
