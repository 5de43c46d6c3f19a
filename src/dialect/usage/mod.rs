//! What a reply says it used, in one form for all dialects; what cannot be believed is as good as unsaid.

use super::{
    endpoint::Endpoint,
    json::{Broken, Cursor, Kind},
    reply::{Found, Language},
};
use crate::{
    base::{Tokens, Usage},
    catalog::Dialect,
};

/// More tokens than any call can have: a number above it is no count.
const MOST: u64 = 1_000_000_000;

/// Returns what a whole reply says it used; `None` when it does not say so in a way that adds up.
#[must_use]
pub fn usage_of(dialect: Dialect, endpoint: Endpoint, body: &[u8]) -> Option<Usage> {
    memchr::memmem::find(body, b"\"usage\"")?;
    let language = Language::of(dialect, endpoint);
    Found::in_whole(language, body)
        .counts
        .usage(dialect, endpoint)
}

/// The counts of a usage object, as far as they were given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    input: Option<u64>,
    output: Option<u64>,
    total: Option<u64>,
    cached: Option<u64>,
    cache_write: Option<u64>,
    cache_read: Option<u64>,
    reasoning: Option<u64>,
}

impl Counts {
    /// Reads a usage object of any dialect; anything else is passed.
    pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<Self, Broken> {
        let mut counts = Self::default();
        if cursor.kind()? != Kind::Object {
            cursor.skip()?;
            return Ok(counts);
        }
        cursor.object(|cursor, key| counts.member(cursor, key.plain()))?;
        Ok(counts)
    }

    fn member(&mut self, cursor: &mut Cursor<'_>, key: &[u8]) -> Result<(), Broken> {
        let place = match key {
            b"prompt_tokens" | b"input_tokens" => &mut self.input,
            b"completion_tokens" | b"output_tokens" => &mut self.output,
            b"total_tokens" => &mut self.total,
            b"cached_tokens" | b"prompt_cache_hit_tokens" => &mut self.cached,
            b"cache_creation_input_tokens" | b"cache_write_tokens" | b"cache_creation_tokens" => {
                &mut self.cache_write
            }
            b"cache_read_input_tokens" => &mut self.cache_read,
            b"reasoning_tokens" => &mut self.reasoning,
            b"prompt_tokens_details"
            | b"input_tokens_details"
            | b"completion_tokens_details"
            | b"output_tokens_details" => return self.details(cursor),
            _ => return cursor.skip(),
        };
        *place = count(cursor)?.or(*place);
        Ok(())
    }

    /// Details repeat the outer names for parts (audio, text): only cache and reasoning are read.
    fn details(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Broken> {
        if cursor.kind()? != Kind::Object {
            return cursor.skip();
        }
        cursor.object(|cursor, key| match key.plain() {
            name @ (b"cached_tokens"
            | b"cache_write_tokens"
            | b"cache_creation_tokens"
            | b"reasoning_tokens") => self.member(cursor, name),
            _ => cursor.skip(),
        })
    }

    /// Lets what was said later replace what was said before.
    pub(super) fn update(&mut self, later: Self) {
        *self = Self {
            input: later.input.or(self.input),
            output: later.output.or(self.output),
            total: later.total.or(self.total),
            cached: later.cached.or(self.cached),
            cache_write: later.cache_write.or(self.cache_write),
            cache_read: later.cache_read.or(self.cache_read),
            reasoning: later.reasoning.or(self.reasoning),
        };
    }

    /// Adds the counts up; `None` when input or output is neither given nor follows from the total.
    pub(super) fn usage(&self, dialect: Dialect, endpoint: Endpoint) -> Option<Usage> {
        match dialect {
            Dialect::Openai => self.openai(endpoint),
            Dialect::Anthropic => self.anthropic(),
        }
    }

    /// Cached is part of the prompt; reasoning is part of the completion, though some providers put it beside.
    fn openai(&self, endpoint: Endpoint) -> Option<Usage> {
        let rest_of_total = |part: Option<u64>| self.total?.checked_sub(part?);
        let input = self.input.or_else(|| rest_of_total(self.output))?;
        let output = match endpoint.writes() {
            true => self.output.or_else(|| rest_of_total(Some(input)))?,
            false => self
                .output
                .or_else(|| rest_of_total(Some(input)))
                .unwrap_or_default(),
        };
        let reasoning = self.reasoning.unwrap_or_default();
        let is_beside =
            output < reasoning || (0 < reasoning && self.total == Some(input + output + reasoning));
        let cached = self
            .cached
            .or(self.cache_read)
            .unwrap_or_default()
            .min(input);
        Some(Usage {
            input: Tokens(input),
            cached: Tokens(cached),
            cache_write: Tokens(self.cache_write.unwrap_or_default().min(input - cached)),
            output: Tokens(if is_beside {
                output + reasoning
            } else {
                output
            }),
            reasoning: Tokens(reasoning),
        })
    }

    /// Anthropic counts what was read from and written to its cache beside the input.
    fn anthropic(&self) -> Option<Usage> {
        let cached = self.cache_read.unwrap_or_default();
        let cache_write = self.cache_write.unwrap_or_default();
        let output = self.output?;
        Some(Usage {
            input: Tokens(self.input? + cached + cache_write),
            cached: Tokens(cached),
            cache_write: Tokens(cache_write),
            output: Tokens(output),
            reasoning: Tokens(self.reasoning.unwrap_or_default().min(output)),
        })
    }
}

/// Reads a count: a whole number, as such or as text. Negative, fractional beyond a zero, absurd: none.
fn count(cursor: &mut Cursor<'_>) -> Result<Option<u64>, Broken> {
    let written = match cursor.kind()? {
        Kind::Number => cursor.number()?.as_bytes(),
        Kind::String => cursor.string()?.plain(),
        Kind::Object | Kind::Array | Kind::Bool | Kind::Null => {
            cursor.skip()?;
            return Ok(None);
        }
    };
    let written = std::str::from_utf8(written).unwrap_or_default().trim();
    let whole = match written.split_once('.') {
        Some((whole, zeros)) if zeros.bytes().all(|digit| digit == b'0') => whole,
        _ => written,
    };
    Ok(whole.parse().ok().filter(|count| *count <= MOST))
}

#[cfg(test)]
mod tests;
