//! What is asked of every target.

use crate::body;

/// One kind of call.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    /// What it is called on the command line.
    pub(crate) name: &'static str,
    /// What stands over its table.
    pub(crate) title: &'static str,
    pub(crate) body: String,
    /// How many `data:` events an answer has; none for a whole reply.
    pub(crate) events: Option<usize>,
}

/// Returns all scenarios, or those that were asked for.
pub(crate) fn chosen(names: &[String]) -> Vec<Scenario> {
    let whole = |name, title, bytes| Scenario {
        name,
        title,
        body: body::request(body::MODEL, bytes, false),
        events: None,
    };
    let stream = |name, title, model, events| Scenario {
        name,
        title,
        body: body::request(model, 600, true),
        events: Some(events),
    };
    let all = [
        whole("small", "whole replies, 600-byte request", 600),
        whole("10k", "whole replies, 10 KB request", 10 << 10),
        whole("1m", "whole replies, 1 MiB request", 1 << 20),
        stream("stream", "streams of 20 events", body::MODEL, body::EVENTS),
        stream(
            "long-stream",
            "streams of 200 events",
            body::LONG_MODEL,
            body::LONG_EVENTS,
        ),
    ];
    let is_wanted =
        |scenario: &Scenario| names.is_empty() || names.iter().any(|name| name == scenario.name);
    all.into_iter().filter(is_wanted).collect()
}
