//! The independent truth: one line of JSON for each request, whatever became of it.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::Instant,
};

use serde::Serialize;

use super::Provider;
use crate::base::Moment;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum End {
    /// The answer was written to its end.
    Complete,
    /// It was refused with a status.
    Refused,
    /// The caller left before the end.
    ClientGone,
    /// The connection was closed on purpose.
    Cut,
    /// The connection was reset on purpose.
    Reset,
    /// Nothing more was said on purpose, until the caller left.
    Hung,
}

/// One line of the log.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Entry {
    /// The `x-request-id` the caller sent.
    pub(super) request_id: String,
    /// The key it came with: its beginning and its end.
    pub(super) credential: String,
    pub(super) model: String,
    pub(super) input_tokens: u64,
    /// Tokens truly sent.
    pub(super) output_tokens: u64,
    pub(super) ms: u64,
    pub(super) end: End,
    pub(super) status: u16,
    pub(super) path: String,
    pub(super) is_stream: bool,
    pub(super) provider: String,
    /// When it came, in milliseconds since 1970.
    pub(super) at_ms: i64,
}

/// A request under way: its line is written when it is dropped, however that comes about.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) entry: Entry,
    provider: Arc<Provider>,
    begun: Instant,
}

impl Record {
    pub(super) fn open(provider: Arc<Provider>, entry: Entry) -> Self {
        provider.counts.opened();
        Self {
            entry,
            provider,
            begun: Instant::now(),
        }
    }

    /// Makes an entry of what is known when a request comes.
    pub(super) fn entry(
        name: &str,
        request_id: &str,
        credential: &str,
        path: &str,
        at: Moment,
    ) -> Entry {
        Entry {
            request_id: request_id.to_owned(),
            credential: masked(credential),
            model: String::new(),
            input_tokens: 0,
            output_tokens: 0,
            ms: 0,
            end: End::ClientGone,
            status: 0,
            path: path.to_owned(),
            is_stream: false,
            provider: name.to_owned(),
            at_ms: at.millis(),
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.entry.ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let counts = &self.provider.counts;
        counts.open.fetch_sub(1, Ordering::Relaxed);
        counts
            .input_tokens
            .fetch_add(self.entry.input_tokens, Ordering::Relaxed);
        counts
            .output_tokens
            .fetch_add(self.entry.output_tokens, Ordering::Relaxed);
        let count = match self.entry.end {
            End::Complete => &counts.complete,
            End::Refused => &counts.refused,
            End::ClientGone => &counts.client_gone,
            End::Cut | End::Reset | End::Hung => &counts.broken,
        };
        count.fetch_add(1, Ordering::Relaxed);
        self.provider.log.write(&self.entry);
    }
}

/// Where the lines go.
#[derive(Debug, Default)]
pub(super) struct Log(Option<Mutex<File>>);

impl Log {
    /// Opens the file to append to it.
    pub(super) fn open(path: Option<&Path>) -> io::Result<Self> {
        let Some(path) = path else {
            return Ok(Self(None));
        };
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self(Some(Mutex::new(file))))
    }

    fn write(&self, entry: &Entry) {
        let Some(file) = &self.0 else {
            return;
        };
        let mut line = serde_json::to_vec(entry).unwrap_or_default();
        line.push(b'\n');
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = file.write_all(&line) {
            tracing::error!(%error, "a line of the log is lost");
        }
    }
}

/// Shows the beginning and the end of a key, when it is long enough to hide the rest.
fn masked(credential: &str) -> String {
    let letters: Vec<char> = credential.chars().collect();
    match (letters.first_chunk::<4>(), letters.last_chunk::<4>()) {
        (Some(first), Some(last)) if 12 <= letters.len() => {
            first.iter().chain(&['…']).chain(last).collect()
        }
        _ if letters.is_empty() => String::new(),
        _ => "…".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_shows_only_its_ends() {
        assert_eq!(masked("sk-free-0123456789"), "sk-f…6789");
        assert_eq!(masked("short"), "…");
        assert_eq!(masked(""), "");
    }
}
