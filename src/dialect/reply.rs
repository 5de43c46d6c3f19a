//! What is in a reply, whole or one event of it: usage, text, an end, an error. Nothing is copied.

use super::{
    endpoint::Endpoint,
    json::{Broken, Cursor, Kind, Text},
    usage::Counts,
};
use crate::catalog::Dialect;

/// How replies of one kind are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    /// OpenAI's chat, completions and embeddings.
    Chat,
    /// OpenAI's responses.
    Responses,
    /// Anthropic's messages.
    Messages,
}

impl Language {
    pub(super) const fn of(dialect: Dialect, endpoint: Endpoint) -> Self {
        match (dialect, endpoint) {
            (Dialect::Anthropic, _) => Self::Messages,
            (Dialect::Openai, Endpoint::Responses) => Self::Responses,
            (Dialect::Openai, _) => Self::Chat,
        }
    }
}

/// What was found in a reply or an event.
#[derive(Debug, Default)]
pub(super) struct Found<'a> {
    /// What it says was used.
    pub(super) counts: Counts,
    /// Whether it says so at all.
    pub(super) has_usage: bool,
    /// Bytes of text and tool arguments.
    pub(super) text_bytes: u64,
    /// Whether the model said anything, be it no text.
    pub(super) has_content: bool,
    /// Whether a choice says why it ended.
    pub(super) has_finish: bool,
    /// How many choices it has.
    pub(super) choices: usize,
    /// The kind of event, where events say so.
    pub(super) event: &'a [u8],
    /// Whether it is an error.
    pub(super) is_error: bool,
}

impl<'a> Found<'a> {
    /// Reads a whole reply as far as it is one.
    pub(super) fn in_whole(language: Language, body: &'a [u8]) -> Self {
        let mut found = Self::default();
        // What was found before the text breaks counts.
        let _ = found.read(language, &mut Cursor::new(body));
        found
    }

    /// Reads the data of one event.
    pub(super) fn in_event(language: Language, data: &'a [u8]) -> Result<Self, Broken> {
        let mut found = Self::default();
        found.read(language, &mut Cursor::new(data))?;
        Ok(found)
    }

    pub(super) fn read(
        &mut self,
        language: Language,
        cursor: &mut Cursor<'a>,
    ) -> Result<(), Broken> {
        if cursor.kind()? != Kind::Object {
            return cursor.skip();
        }
        cursor.object(|cursor, key| match language {
            Language::Chat => self.chat(cursor, key),
            Language::Responses => self.responses(cursor, key),
            Language::Messages => self.messages(cursor, key),
        })
    }

    fn chat(&mut self, cursor: &mut Cursor<'a>, key: Text<'a>) -> Result<(), Broken> {
        match (key.plain(), cursor.kind()?) {
            (b"choices", Kind::Array) => cursor.array(|cursor, _| self.choice(cursor)),
            (b"usage", Kind::Object) => self.usage(cursor),
            // Groq puts the usage of a stream here as well.
            (b"x_groq", Kind::Object) => {
                cursor.object(|cursor, key| match (key.plain(), cursor.kind()?) {
                    (b"usage", Kind::Object) => self.usage(cursor),
                    _ => cursor.skip(),
                })
            }
            (b"error", Kind::Object | Kind::String) => self.error(cursor),
            _ => cursor.skip(),
        }
    }

    fn choice(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Broken> {
        self.choices += 1;
        if cursor.kind()? != Kind::Object {
            return cursor.skip();
        }
        cursor.object(|cursor, key| match (key.plain(), cursor.kind()?) {
            (b"delta" | b"message", Kind::Object) => self.delta(cursor),
            (b"text", Kind::String) => self.text(cursor),
            (b"finish_reason", Kind::String) => {
                self.has_finish = true;
                cursor.skip()
            }
            _ => cursor.skip(),
        })
    }

    fn delta(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Broken> {
        // Some providers send the same reasoning under two names.
        let mut reasoning = 0;
        cursor.object(|cursor, key| match (key.plain(), cursor.kind()?) {
            (b"content" | b"refusal", Kind::String) => self.text(cursor),
            (b"reasoning_content" | b"reasoning", Kind::String) => {
                reasoning = reasoning.max(cursor.string()?.len);
                Ok(())
            }
            (b"content" | b"tool_calls", Kind::Array) | (b"function_call", Kind::Object) => {
                self.said(cursor)
            }
            (b"audio", Kind::Object) => {
                self.has_content = true;
                cursor.object(|cursor, key| match (key.plain(), cursor.kind()?) {
                    (b"transcript", Kind::String) => self.text(cursor),
                    _ => cursor.skip(),
                })
            }
            _ => cursor.skip(),
        })?;
        self.count(reasoning);
        Ok(())
    }

    fn responses(&mut self, cursor: &mut Cursor<'a>, key: Text<'a>) -> Result<(), Broken> {
        match (key.plain(), cursor.kind()?) {
            (b"type", Kind::String) => self.event_kind(cursor),
            (b"delta", Kind::String) => self.text(cursor),
            (b"output", Kind::Array) => self.said(cursor),
            (b"usage", Kind::Object) => self.usage(cursor),
            (b"error", Kind::Object | Kind::String) => self.error(cursor),
            // The last event repeats the whole response: its text was counted as it came.
            (b"response", Kind::Object) => {
                cursor.object(|cursor, key| match (key.plain(), cursor.kind()?) {
                    (b"usage", Kind::Object) => self.usage(cursor),
                    (b"error", Kind::Object) => self.error(cursor),
                    _ => cursor.skip(),
                })
            }
            _ => cursor.skip(),
        }
    }

    fn messages(&mut self, cursor: &mut Cursor<'a>, key: Text<'a>) -> Result<(), Broken> {
        match (key.plain(), cursor.kind()?) {
            (b"type", Kind::String) => self.event_kind(cursor),
            (b"usage", Kind::Object) => self.usage(cursor),
            (b"message", Kind::Object) => {
                cursor.object(|cursor, key| match (key.plain(), cursor.kind()?) {
                    (b"usage", Kind::Object) => self.usage(cursor),
                    _ => cursor.skip(),
                })
            }
            (b"content", Kind::Array) => cursor.array(|cursor, _| self.block(cursor)),
            (b"delta" | b"content_block", Kind::Object) => self.block(cursor),
            (b"error", Kind::Object | Kind::String) => self.error(cursor),
            _ => cursor.skip(),
        }
    }

    /// Reads a block of a message, or a piece of one.
    fn block(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Broken> {
        if cursor.kind()? != Kind::Object {
            return cursor.skip();
        }
        cursor.object(|cursor, key| match (key.plain(), cursor.kind()?) {
            (b"text" | b"partial_json" | b"thinking", Kind::String) => self.text(cursor),
            // A block that begins with a tool's name is the model speaking; its empty input is not text.
            (b"name", Kind::String) => self.text(cursor),
            (b"input", Kind::Object) => {
                let start = cursor.place();
                cursor.skip()?;
                self.count(cursor.at() - start);
                Ok(())
            }
            (b"stop_reason", Kind::String) => {
                self.has_finish = true;
                cursor.skip()
            }
            _ => cursor.skip(),
        })
    }

    /// Counts a structure the model wrote: the strings that are text, not the words that hold them together.
    fn said(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Broken> {
        match cursor.kind()? {
            Kind::Array => cursor.array(|cursor, _| self.said(cursor)),
            Kind::Object => cursor.object(|cursor, key| match (key.plain(), cursor.kind()?) {
                (
                    b"text" | b"name" | b"arguments" | b"thinking" | b"refusal" | b"input",
                    Kind::String,
                ) => self.text(cursor),
                (_, Kind::Object | Kind::Array) => self.said(cursor),
                _ => cursor.skip(),
            }),
            Kind::String | Kind::Number | Kind::Bool | Kind::Null => cursor.skip(),
        }
    }

    fn usage(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Broken> {
        self.has_usage = true;
        self.counts.update(Counts::read(cursor)?);
        Ok(())
    }

    fn text(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Broken> {
        let length = cursor.string()?.len;
        self.count(length);
        Ok(())
    }

    fn count(&mut self, bytes: usize) {
        self.has_content |= 0 < bytes;
        self.text_bytes += u64::try_from(bytes).unwrap_or(u64::MAX);
    }

    fn error(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Broken> {
        self.is_error = true;
        cursor.skip()
    }

    fn event_kind(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Broken> {
        self.event = cursor.string()?.plain();
        Ok(())
    }
}
