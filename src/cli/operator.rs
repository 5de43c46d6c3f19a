//! What the operator's commands share: the door to the books, how they print, how they read times.

use std::{
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, bail};
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::Value;
use tokio::runtime::Builder;

use super::{audit_key, settings::ConfigArgs};
use crate::{
    audit::{Actor, By},
    base::{Clock, Moment},
    config::Config,
    store::{
        StoreError,
        postgres::{self, Postgres, Role},
    },
};

/// Reads where the books are, and gives this process the key of the audit log.
///
/// # Errors
/// The exit of a command whose configuration is faulty; the faults were told.
pub fn settings(config: &ConfigArgs) -> Result<postgres::Settings, ExitCode> {
    let config = config.load(&["database"])?;
    sign_with_key_of(&config);
    Ok(config.database)
}

/// Gives this process the key of the audit log. Must not be called inside a runtime.
pub fn sign_with_key_of(config: &Config) {
    let runtime = Builder::new_current_thread().enable_all().build();
    // Without a runtime the command itself says so.
    if let Ok(runtime) = runtime {
        runtime.block_on(audit_key::install(config));
    }
}

/// Opens the books as one role. Must be called inside a runtime.
///
/// # Errors
/// When the URL cannot be read.
pub fn open(settings: &postgres::Settings, role: Role) -> anyhow::Result<Postgres> {
    // A person waits longer than a request does.
    let patient = postgres::Settings {
        acquire_timeout_ms: 10_000,
        max_connections: 2,
        ..settings.clone()
    };
    Ok(Postgres::connect(&patient, role)?)
}

/// Says that an operator acts, now.
#[must_use]
pub fn by() -> By {
    By::new(Actor::Operator, Clock::default().now())
}

/// Prints one line.
///
/// # Errors
/// When nobody reads.
pub fn print(line: &str) -> anyhow::Result<()> {
    writeln!(io::stdout().lock(), "{line}").context("printing")
}

/// Prints a list: as JSON, or the named fields in columns.
///
/// # Errors
/// When nobody reads.
pub fn print_rows(rows: &[Value], columns: &[&str], is_json: bool) -> anyhow::Result<()> {
    if is_json {
        return print(&Value::from(rows.to_vec()).to_string());
    }
    let mut lines: Vec<Vec<String>> =
        vec![columns.iter().map(|name| name.to_uppercase()).collect()];
    lines.extend(
        rows.iter()
            .map(|row| columns.iter().map(|name| cell(row, name)).collect()),
    );
    let width = |place: usize| {
        let cells = lines.iter().filter_map(|line| line.get(place));
        cells
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    for line in &lines {
        let cells = line
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"));
        print(cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

fn cell(row: &Value, name: &str) -> String {
    match row.get(name) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// Writes a moment as people and programs read it.
#[must_use]
pub fn timestamp(at: Moment) -> String {
    at.utc().to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Reads a stretch of time such as `90d`, `24h`, `15m` or `30s`.
///
/// # Errors
/// When it is none.
pub fn duration(text: &str) -> anyhow::Result<Duration> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = text.strip_prefix(digits).unwrap_or_default();
    let seconds: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => bail!("write a number and one of s, m, h, d, such as 24h"),
    };
    let count: u64 = digits.parse().context("write a number before the unit")?;
    Ok(Duration::from_secs(count.saturating_mul(seconds)))
}

/// When something ends: a point in time, or a stretch from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// At that moment.
    At(Moment),
    /// That long from now.
    After(Duration),
}

impl Ending {
    /// Returns the moment.
    #[must_use]
    pub fn from(self, now: Moment) -> Moment {
        match self {
            Self::At(moment) => moment,
            Self::After(stretch) => now.plus(stretch),
        }
    }
}

/// Reads a whole list, batch after batch; `batch` is given the last row there is and answers what follows it.
///
/// # Errors
/// When a batch cannot be read.
pub async fn everything<T>(
    mut batch: impl AsyncFnMut(Option<&T>) -> Result<Vec<T>, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut all = Vec::new();
    loop {
        let next = batch(all.last()).await?;
        if next.is_empty() {
            return Ok(all);
        }
        all.extend(next);
    }
}

/// Reads `2027-01-31T00:00:00Z` or `90d`.
///
/// # Errors
/// When it is neither.
pub fn ending(text: &str) -> anyhow::Result<Ending> {
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Ok(Ending::At(at.with_timezone(&Utc).into()));
    }
    duration(text)
        .map(Ending::After)
        .context("write a time such as 2027-01-31T00:00:00Z, or a stretch such as 90d")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_and_times_are_read() {
        for (text, seconds) in [
            ("30s", 30),
            ("15m", 900),
            ("24h", 86_400),
            ("90d", 7_776_000),
        ] {
            assert_eq!(duration(text).ok(), Some(Duration::from_secs(seconds)));
        }
        for text in ["", "d", "5", "5w", "-5d", "1.5h"] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert_eq!(
            ending("1970-01-01T00:00:01Z").ok(),
            Some(Ending::At(Moment::from_millis(1_000)))
        );
    }
}
