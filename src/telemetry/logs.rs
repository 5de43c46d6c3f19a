//! Starts the logs of a process: one line an event, on standard error. Must never show what a caller sent.

use std::io;

use serde::{Deserialize, Serialize};
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::{ParseError, filter_fn},
    fmt::MakeWriter,
    layer::SubscriberExt,
    util::{SubscriberInitExt, TryInitError},
};

/// How the process logs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// What a line looks like.
    pub format: Format,
    /// The least level that is written, `info` by default; also `info,synaxis::routing=debug`.
    pub level: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            format: Format::Json,
            level: "info".to_owned(),
        }
    }
}

/// What a line of the log looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// One JSON object, for machines.
    Json,
    /// One coloured line, for people.
    Pretty,
}

/// Why the logs did not start.
#[derive(Debug, thiserror::Error)]
pub enum NoLogs {
    /// The level is none.
    #[error("`telemetry.level` cannot be read")]
    BadLevel(#[source] ParseError),
    /// Something else in this process logs already.
    #[error("the logs were started before")]
    AlreadyStarted(#[source] TryInitError),
}

/// Sends every event of this process, and of the crates that use `log`, to standard error.
///
/// # Errors
/// When the level cannot be read, or the logs were started before.
pub fn start(settings: &Settings) -> Result<(), NoLogs> {
    subscriber(settings, io::stderr)?
        .try_init()
        .map_err(NoLogs::AlreadyStarted)
}

/// Says what is wrong with a level, if anything.
///
/// # Errors
/// When it cannot be read.
pub fn check_level(level: &str) -> Result<(), NoLogs> {
    filter(level).map(|_| ())
}

fn filter(level: &str) -> Result<EnvFilter, NoLogs> {
    EnvFilter::builder().parse(level).map_err(NoLogs::BadLevel)
}

fn subscriber<W>(settings: &Settings, writer: W) -> Result<impl Subscriber + Send + Sync, NoLogs>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match settings.format {
        Format::Json => Box::new(lines.json().flatten_event(true)),
        Format::Pretty => Box::new(lines.compact()),
    };
    Ok(tracing_subscriber::registry()
        .with(lines)
        .with(filter(&settings.level)?)
        .with(filter_fn(is_ours_or_a_warning)))
}

/// Below a warning pingora writes lines per connection, with addresses and paths of callers.
fn is_ours_or_a_warning(event: &Metadata<'_>) -> bool {
    !event.target().starts_with("pingora") || *event.level() <= Level::WARN
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(settings: &Settings, speak: impl FnOnce()) -> String {
        let page = Page::default();
        let writer = page.clone();
        let subscriber = subscriber(settings, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, speak);
        let bytes = page.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_line_is_one_json_object_with_its_fields_beside_the_message() {
        let page = written(&Settings::default(), || {
            tracing::info!(provider = "alpha", "provider is back");
            tracing::debug!("too fine");
        });

        let line: serde_json::Value = serde_json::from_str(page.trim()).unwrap();
        assert_eq!(line["message"], "provider is back");
        assert_eq!(line["provider"], "alpha");
        assert_eq!(line["level"], "INFO");
    }

    #[test]
    fn pingora_is_heard_from_warnings_on_whatever_level_was_asked_for() {
        let settings = Settings {
            level: "trace,pingora_proxy=trace".to_owned(),
            ..Settings::default()
        };

        let page = written(&settings, || {
            tracing::debug!(target: "pingora_proxy", "GET /v1/secret");
            tracing::warn!(target: "pingora_core::server", "no certificate");
        });

        assert!(!page.contains("secret"));
        assert!(page.contains("no certificate"));
    }

    #[test]
    fn a_level_that_cannot_be_read_is_refused() {
        assert!(check_level("info,synaxis=debug").is_ok());
        assert!(check_level("synaxis=loud").is_err());
    }
}
