//! A stream on its way through: forwarded unchanged, while what the gateway must know is read off it.

use std::time::Duration;

use bytes::Bytes;

use super::{
    endpoint::Endpoint,
    fault::{self, Kind},
    reply::{Found, Language},
    sse::{self, Fate, Frames, Piece},
    usage::Counts,
};
use crate::{base::Usage, catalog::Dialect};

/// An error that came as an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamError {
    /// What it means.
    pub kind: Kind,
    /// The status it names, when it names one.
    pub status: Option<u16>,
    /// What the upstream said, fit for a caller.
    pub message: String,
    /// When it says to come again.
    pub retry_after: Option<Duration>,
}

pub(super) fn stream_error(data: &[u8]) -> StreamError {
    let (status, fault) = fault::of_event(data);
    StreamError {
        kind: fault.kind,
        status,
        message: fault.message,
        retry_after: fault.retry_after,
    }
}

/// What was seen of a stream so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Whether the model has begun to answer: text, a tool call, sound, or why it says nothing.
    pub has_content: bool,
    /// Whether the stream said why the model stopped.
    pub has_finish: bool,
    /// What the stream says was used; the last word counts.
    pub usage: Option<Usage>,
    /// Bytes of text and tool arguments, to estimate from.
    pub output_bytes: u64,
    /// Whether the stream said it is over: `[DONE]`, or its dialect's last event.
    pub is_done: bool,
    /// The error it brought.
    pub error: Option<StreamError>,
}

/// Reads a stream as it passes.
#[derive(Debug)]
pub struct StreamReader {
    frames: Frames,
    events: Events,
}

#[derive(Debug)]
struct Events {
    dialect: Dialect,
    endpoint: Endpoint,
    language: Language,
    strips_usage: bool,
    counts: Counts,
    seen: Seen,
}

impl StreamReader {
    /// Makes a reader for a stream of the upstream's dialect.
    ///
    /// `strip_usage` takes out the chunk that holds nothing but usage, for a caller who did not ask for it.
    #[must_use]
    pub fn new(dialect: Dialect, endpoint: Endpoint, strip_usage: bool) -> Self {
        Self {
            frames: Frames::default(),
            events: Events {
                dialect,
                endpoint,
                language: Language::of(dialect, endpoint),
                strips_usage: strip_usage,
                counts: Counts::default(),
                seen: Seen::default(),
            },
        }
    }

    /// Takes the next bytes from upstream; what the caller gets now is added to `out`.
    ///
    /// Whole frames only: the beginning of one waits for its end, so that an error event can always follow.
    /// A frame of more than 1 MiB passes as it comes. An error event is withheld with all that follows it: how it
    /// is told is the gateway's to say.
    pub fn feed(&mut self, chunk: Bytes, out: &mut Vec<Bytes>) {
        let events = &mut self.events;
        self.frames
            .feed(&chunk, out, &mut |piece| events.piece(&piece));
    }

    /// Takes the proper end of the stream; a frame without its blank line is the last. After a broken
    /// connection this is not called: what is held then is no event.
    pub fn finish(&mut self, out: &mut Vec<Bytes>) {
        let events = &mut self.events;
        self.frames.finish(out, &mut |piece| events.piece(&piece));
    }

    /// Returns what was seen so far.
    #[must_use]
    pub const fn seen(&self) -> &Seen {
        &self.events.seen
    }

    /// Says whether part of an unfinished frame went out: a blank line must go before an event of ours.
    #[must_use]
    pub const fn is_mid_frame(&self) -> bool {
        self.frames.is_mid_frame()
    }
}

impl Events {
    fn piece(&mut self, piece: &Piece<'_>) -> Fate {
        match piece {
            Piece::Frame(_) if self.is_withheld() => Fate::Strip,
            Piece::Frame(frame) => match sse::data(frame) {
                Some(data) => self.data(&data),
                None => Fate::Forward,
            },
            Piece::Passed(bytes) => {
                self.seen.has_content = true;
                self.seen.output_bytes += u64::try_from(*bytes).unwrap_or(u64::MAX);
                Fate::Forward
            }
        }
    }

    fn data(&mut self, data: &[u8]) -> Fate {
        if data.trim_ascii() == b"[DONE]" {
            self.seen.is_done = true;
            return Fate::Forward;
        }
        let Ok(found) = Found::in_event(self.language, data) else {
            // Not JSON: it goes on, and is billed as if it were text.
            self.seen.output_bytes += u64::try_from(data.len()).unwrap_or(u64::MAX);
            return Fate::Forward;
        };
        self.note(&found, data);
        self.fate(&found)
    }

    fn note(&mut self, found: &Found<'_>, data: &[u8]) {
        let seen = &mut self.seen;
        seen.output_bytes += found.text_bytes;
        seen.has_finish |= found.has_finish;
        seen.has_content |= found.has_content || (found.has_finish && !found.is_error);
        if found.has_usage {
            self.counts.update(found.counts);
            seen.usage = self
                .counts
                .usage(self.dialect, self.endpoint)
                .or(seen.usage);
        }
        let is_error =
            found.is_error || (found.event == b"error" && self.language != Language::Chat);
        if is_error && seen.error.is_none() {
            seen.error = Some(stream_error(data));
        }
        let is_last = matches!(
            found.event,
            b"message_stop"
                | b"response.completed"
                | b"response.incomplete"
                | b"response.failed"
                | b"response.cancelled"
        );
        if is_last {
            seen.is_done = true;
            seen.has_finish = true;
            seen.has_content |= !is_error;
        }
    }

    /// Says whether an error ended the stream in other words than its dialect's own last event.
    const fn is_withheld(&self) -> bool {
        self.seen.error.is_some() && !self.seen.is_done
    }

    fn fate(&self, found: &Found<'_>) -> Fate {
        if self.is_withheld() {
            return Fate::Strip;
        }
        let is_usage_only = self.language == Language::Chat
            && found.has_usage
            && found.choices == 0
            && !found.is_error;
        match self.strips_usage && is_usage_only {
            true => Fate::Strip,
            false => Fate::Forward,
        }
    }
}

#[cfg(test)]
mod tests;
