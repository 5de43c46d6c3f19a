//! Events to lines of JSON, each formatted once and in place.

use std::{cell::Cell, fmt::Debug};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context};

use super::outbox::{Haste, Outbox};
use crate::base::{Clock, json::Object};

thread_local! {
    /// What the last line of this thread was written in.
    static LINE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Writes each event as one JSON object: `timestamp`, `level`, `message` beside the fields, `target`.
#[derive(Debug)]
pub(super) struct JsonLines(pub(super) Outbox);

impl<S: Subscriber> Layer<S> for JsonLines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        // A value that logs while it shows itself finds an empty buffer.
        let mut line = LINE.take();
        line.clear();
        write(event, &mut line);
        self.0.put(&line, Haste::of(event.metadata()));
        LINE.set(line);
    }
}

fn write(event: &Event<'_>, line: &mut Vec<u8>) {
    let metadata = event.metadata();
    let mut object = Object::open(line);
    object.moment("timestamp", Clock::System.now());
    object.word("level", word(*metadata.level()));
    let mut fields = Fields {
        object,
        has_target: false,
    };
    event.record(&mut fields);
    let Fields {
        mut object,
        has_target,
    } = fields;
    if !has_target {
        object.text("target", metadata.target());
    }
    object.close();
    line.push(b'\n');
}

fn word(level: Level) -> &'static str {
    match level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARN",
        Level::INFO => "INFO",
        Level::DEBUG => "DEBUG",
        Level::TRACE => "TRACE",
    }
}

/// Writes the fields of one event.
struct Fields<'a> {
    object: Object<'a>,
    has_target: bool,
}

/// What the crate `log` says of a record: its target is the line's, the rest is left out.
const FOREIGN: &str = "log.";

impl Fields<'_> {
    fn is_foreign(field: &Field) -> bool {
        field.name().starts_with(FOREIGN)
    }
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if !Self::is_foreign(field) {
            self.object.text(field.name(), value);
        } else if field.name() == "log.target" {
            self.object.text("target", value);
            self.has_target = true;
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if !Self::is_foreign(field) {
            self.object.shown(field.name(), value);
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if !Self::is_foreign(field) {
            self.object.number(field.name(), value);
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.object.number(field.name(), value);
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.object.number(field.name(), value);
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.object.number(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.object.flag(field.name(), value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.object.fraction(field.name(), value);
    }
}
