//! The body as one offer must get it: the caller's own bytes, with the few edits spliced in between.

use bytes::Bytes;
use serde_json::Value;

use super::{
    ask::{Ask, Field, Span, StreamOptions},
    endpoint::Endpoint,
};
use crate::catalog::Quirks;

/// What must differ in the body for one offer.
#[derive(Clone, Copy, Debug)]
pub struct Changes<'a> {
    /// What the provider calls the model.
    pub model: &'a str,
    /// Whether to ask for usage at the end of a stream, where the provider knows the question.
    pub include_usage: bool,
    /// The most output tokens per choice: put in when the caller gave none, lowered to when it gave more.
    pub output_limit: Option<u64>,
    /// How the provider departs from its dialect.
    pub quirks: &'a Quirks,
}

/// One piece of the body replaced by other text.
#[derive(Debug)]
struct Edit {
    span: Span,
    text: Bytes,
}

/// Returns the body with the changes made, as slices of the original and the small texts between them.
///
/// `body` is the one `ask` was read from. Every byte outside the edits is the caller's.
#[must_use]
pub fn splice(body: &Bytes, ask: &Ask, changes: &Changes<'_>) -> Vec<Bytes> {
    let mut editor = Editor {
        body,
        ask,
        changes,
        edits: Vec::with_capacity(4),
    };
    editor.edit();
    cut(body, editor.edits)
}

fn cut(body: &Bytes, mut edits: Vec<Edit>) -> Vec<Bytes> {
    edits.sort_by_key(|edit| (edit.span.start, edit.span.end));
    let mut pieces = Vec::with_capacity(2 * edits.len() + 1);
    let mut at = 0;
    for edit in edits {
        if at < edit.span.start {
            pieces.push(body.slice(at..edit.span.start));
        }
        if !edit.text.is_empty() {
            pieces.push(edit.text);
        }
        at = edit.span.end;
    }
    if at < body.len() {
        pieces.push(body.slice(at..));
    }
    pieces
}

struct Editor<'a> {
    body: &'a Bytes,
    ask: &'a Ask,
    changes: &'a Changes<'a>,
    edits: Vec<Edit>,
}

impl Editor<'_> {
    fn edit(&mut self) {
        self.name_the_model();
        self.limit_the_output();
        self.ask_for_usage();
        self.drop_fields();
    }

    fn name_the_model(&mut self) {
        let Some(field) = self.field(self.ask.spans.model) else {
            return;
        };
        if self.ask.model != self.changes.model {
            self.replace(field.value, quoted(self.changes.model));
        }
    }

    /// Renames the fields that limit the output, lowers what is more than the limit, puts one in where there is none.
    fn limit_the_output(&mut self) {
        let Some(own_name) = self.ask.endpoint.output_limit_field() else {
            return;
        };
        let mut is_limited = false;
        for limit in &self.ask.spans.limits {
            let Some(field) = self.field(limit.field) else {
                continue;
            };
            if self.is_dropped(field) {
                continue;
            }
            is_limited = true;
            if let Some(name) = self.new_name(field) {
                self.replace(field.key, quoted(name));
            }
            if let Some(most) = self.changes.output_limit
                && limit.tokens.is_none_or(|tokens| most < tokens)
            {
                self.replace(field.value, Bytes::from(most.to_string()));
            }
        }
        let name = self.limit_name().unwrap_or(own_name);
        if let Some(most) = self.changes.output_limit
            && !is_limited
            && !self.refuses(name)
        {
            self.put_first(format!("{}:{most},", Value::from(name)));
        }
    }

    /// Returns the provider's own name for the limit of output tokens, where it has one.
    fn limit_name(&self) -> Option<&str> {
        let is_chat = self.ask.endpoint == Endpoint::ChatCompletions;
        let name = self.changes.quirks.max_tokens_field.as_deref();
        name.filter(|_| is_chat)
    }

    /// Returns what a field that limits the output must be called instead; nothing when it stays as it is.
    fn new_name(&self, field: Field) -> Option<&str> {
        let is_only_limit = match *self.ask.spans.limits {
            [limit] => self.field(limit.field) == Some(field),
            _ => false,
        };
        let name = self.limit_name().filter(|_| is_only_limit)?;
        let fields = &self.ask.spans.fields;
        let is_taken = fields.iter().any(|field| self.is_named(*field, name));
        (!is_taken).then_some(name)
    }

    fn ask_for_usage(&mut self) {
        let is_wanted = self.changes.include_usage && self.changes.quirks.inject_usage;
        if !is_wanted
            || !self.ask.is_stream
            || !self.ask.endpoint.has_stream_options()
            || self.refuses("stream_options")
        {
            return;
        }
        match self.ask.spans.stream_options {
            StreamOptions::Absent => {
                self.put_first("\"stream_options\":{\"include_usage\":true},".to_owned())
            }
            StreamOptions::Null { field } => {
                if let Some(field) = self.field(field) {
                    self.replace(field.value, Bytes::from_static(b"{\"include_usage\":true}"));
                }
            }
            StreamOptions::Silent { inside, is_empty } => {
                let text: &'static [u8] = match is_empty {
                    true => b"\"include_usage\":true",
                    false => b"\"include_usage\":true,",
                };
                self.replace(
                    Span {
                        start: inside,
                        end: inside,
                    },
                    Bytes::from_static(text),
                );
            }
            StreamOptions::Said { is_true: true, .. } => {}
            StreamOptions::Said {
                value,
                is_true: false,
            } => {
                self.replace(value, Bytes::from_static(b"true"));
            }
        }
    }

    /// Takes out what the provider refuses, each field with one of its commas.
    fn drop_fields(&mut self) {
        if self.changes.quirks.drop_fields.is_empty() {
            return;
        }
        let fields = &self.ask.spans.fields;
        let dropped: Vec<bool> = fields.iter().map(|field| self.is_dropped(*field)).collect();
        let mut has_kept = false;
        for (position, field) in fields.iter().enumerate() {
            if !dropped.get(position).copied().unwrap_or_default() {
                has_kept = true;
                continue;
            }
            let span = match has_kept {
                true => Span {
                    start: position
                        .checked_sub(1)
                        .and_then(|before| fields.get(before))
                        .map_or(field.key.start, |before| before.value.end),
                    end: field.value.end,
                },
                false => Span {
                    start: field.key.start,
                    end: fields
                        .get(position + 1)
                        .map_or(field.value.end, |next| next.key.start),
                },
            };
            self.edits.retain(|edit| {
                edit.span.end <= field.key.start || field.value.end <= edit.span.start
            });
            self.edits.push(Edit {
                span,
                text: Bytes::new(),
            });
        }
    }

    /// Says whether the provider refuses the field: by the name it will have, and never the model.
    fn is_dropped(&self, field: Field) -> bool {
        if self.field(self.ask.spans.model) == Some(field) {
            return false;
        }
        match self.new_name(field) {
            Some(name) => self.refuses(name),
            None => {
                let refused = &self.changes.quirks.drop_fields;
                refused.iter().any(|name| self.is_named(field, name))
            }
        }
    }

    fn refuses(&self, name: &str) -> bool {
        self.changes
            .quirks
            .drop_fields
            .iter()
            .any(|refused| refused == name)
    }

    fn is_named(&self, field: Field, name: &str) -> bool {
        let Some(quoted) = self.body.get(field.key.start..field.key.end) else {
            return false;
        };
        let raw = quoted
            .get(1..quoted.len().saturating_sub(1))
            .unwrap_or_default();
        if !raw.contains(&b'\\') {
            return raw == name.as_bytes();
        }
        serde_json::from_slice::<String>(quoted).is_ok_and(|read| read == name)
    }

    fn field(&self, position: usize) -> Option<Field> {
        self.ask.spans.fields.get(position).copied()
    }

    fn replace(&mut self, span: Span, text: Bytes) {
        self.edits.push(Edit { span, text });
    }

    /// Puts a field before the first one. There always is one: the model.
    fn put_first(&mut self, text: String) {
        let Some(first) = self.field(0) else {
            return;
        };
        let at = first.key.start;
        self.edits.push(Edit {
            span: Span { start: at, end: at },
            text: Bytes::from(text),
        });
    }
}

fn quoted(text: &str) -> Bytes {
    Bytes::from(Value::from(text).to_string())
}

#[cfg(test)]
mod tests;
