//! Starts the logs of a process: one line an event, on standard error. Must never show what a caller sent.
//!
//! A thread of its own writes them, so that nobody who speaks waits for whoever reads.

use std::io;

use serde::{Deserialize, Serialize};
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::{ParseError, filter_fn},
    layer::SubscriberExt,
    util::{SubscriberInitExt, TryInitError},
};

use super::{
    lines::JsonLines,
    outbox::{Lines, Outbox},
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
    /// There is no thread to write them.
    #[error("the logs have no thread")]
    NoThread(#[source] io::Error),
}

/// Sends every event of this process, and of the crates that use `log`, to standard error.
///
/// What is returned must be kept until the process ends: dropped, it writes the last lines.
///
/// # Errors
/// When the level cannot be read, or the logs were started before.
pub fn start(settings: &Settings) -> Result<Lines, NoLogs> {
    let lines = Lines::start(io::stderr()).map_err(NoLogs::NoThread)?;
    subscriber(settings, lines.outbox())?
        .try_init()
        .map_err(NoLogs::AlreadyStarted)?;
    Ok(lines)
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

fn subscriber(
    settings: &Settings,
    outbox: Outbox,
) -> Result<impl Subscriber + Send + Sync + use<>, NoLogs> {
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match settings.format {
        Format::Json => Box::new(JsonLines(outbox)),
        Format::Pretty => Box::new(
            tracing_subscriber::fmt::layer()
                .with_writer(outbox)
                .compact(),
        ),
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
        let lines = Lines::start(page.clone()).unwrap();
        let subscriber = subscriber(settings, lines.outbox()).unwrap();
        tracing::subscriber::with_default(subscriber, speak);
        drop(lines);
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
        assert_eq!(line["target"], module_path!());
        let at = line["timestamp"].as_str().unwrap();
        assert!(chrono::DateTime::parse_from_rfc3339(at).is_ok(), "{at}");
    }

    #[test]
    fn every_kind_of_value_is_a_value_of_json() {
        let error = io::Error::other("the disk said \"no\"\n");

        let page = written(&Settings::default(), || {
            tracing::warn!(
                exchange.id = "a\tb",
                count = 3_u64,
                change = -3,
                share = 0.25,
                is_so = true,
                %error,
                list = ?[1, 2],
                "said {}",
                "so"
            );
        });

        let mut line: serde_json::Value = serde_json::from_str(page.trim()).unwrap();
        line.as_object_mut().unwrap().remove("timestamp");
        let expected = serde_json::json!({"level": "WARN", "exchange.id": "a\tb", "count": 3, "change": -3,
            "share": 0.25, "is_so": true, "error": "the disk said \"no\"\n", "list": "[1, 2]", "message": "said so",
            "target": module_path!()});
        assert_eq!(line, expected);
    }

    #[test]
    fn a_record_of_the_crate_log_has_its_own_target_and_none_of_its_places() {
        let page = written(&Settings::default(), || {
            tracing::event!(
                target: "log",
                Level::INFO,
                message = "hello",
                log.target = "elsewhere::deep",
                log.module_path = "elsewhere::deep",
                log.file = "src/deep.rs",
                log.line = 7_u64,
            );
        });

        let mut line: serde_json::Value = serde_json::from_str(page.trim()).unwrap();
        line.as_object_mut().unwrap().remove("timestamp");
        assert_eq!(
            line,
            serde_json::json!({"level": "INFO", "message": "hello", "target": "elsewhere::deep"})
        );
    }

    #[test]
    fn people_get_one_plain_line_for_each_event() {
        let settings = Settings {
            format: Format::Pretty,
            ..Settings::default()
        };

        let page = written(&settings, || {
            tracing::info!(provider = "alpha", "provider is back")
        });

        assert_eq!(page.lines().count(), 1, "{page}");
        assert!(page.contains("provider is back"), "{page}");
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
