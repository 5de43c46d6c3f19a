//! What each field that is acted on may hold, and what it says.

use super::Reader;
use crate::dialect::{
    ask::{
        OutputLimit, Span, StreamOptions,
        scalars::{optional_bool, whole_number},
    },
    endpoint::Endpoint,
    fault,
    json::{Cursor, Kind},
    pieces::{List, Stop},
};

/// The longest model name read.
const MODEL_BYTES: usize = 256;

/// The longest `user` and `metadata` kept for attribution; longer ones only pass through.
const USER_BYTES: usize = 512;
const METADATA_BYTES: usize = 4_096;

/// The most choices a call may ask for.
const CHOICES: u64 = 128;

const CHAT: List = List {
    field: "messages",
    roles: &[
        "system",
        "developer",
        "user",
        "assistant",
        "tool",
        "function",
    ],
    needs_role: true,
};
const MESSAGES: List = List {
    field: "messages",
    roles: &["user", "assistant", "system"],
    needs_role: true,
};
const INPUT: List = List {
    field: "input",
    roles: &["system", "developer", "user", "assistant"],
    needs_role: false,
};

impl<'a> Reader<'a> {
    pub(super) fn model(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stop> {
        if cursor.kind()? != Kind::String {
            return Err(fault::wrong_type("model", "a string").into());
        }
        let model = cursor.string()?;
        if model.len == 0 || MODEL_BYTES < model.len {
            return Err(fault::invalid("model", "it must have 1 to 256 bytes").into());
        }
        self.spans.model = self.spans.fields.len() - 1;
        self.model = Some(model);
        Ok(())
    }

    pub(super) fn stream(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stop> {
        self.is_stream = optional_bool(cursor, "stream")?.unwrap_or_default();
        Ok(())
    }

    pub(super) fn stream_options(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stop> {
        let field = self.spans.fields.len() - 1;
        match cursor.kind()? {
            Kind::Object => {}
            Kind::Null => {
                self.spans.stream_options = StreamOptions::Null { field };
                return Ok(cursor.skip()?);
            }
            Kind::Array | Kind::String | Kind::Number | Kind::Bool => {
                return Err(fault::wrong_type("stream_options", "an object").into());
            }
        }
        let mut options = StreamOptions::Silent {
            inside: cursor.place() + 1,
            is_empty: true,
        };
        cursor.object(|cursor, key| {
            if let StreamOptions::Silent { is_empty, .. } = &mut options {
                *is_empty = false;
            }
            if !key.is("include_usage") {
                return Ok(cursor.skip()?);
            }
            if matches!(options, StreamOptions::Said { .. }) {
                return Err(Stop::from(fault::duplicate("stream_options.include_usage")));
            }
            let start = cursor.place();
            let is_true =
                optional_bool(cursor, "stream_options.include_usage")?.unwrap_or_default();
            options = StreamOptions::Said {
                value: Span {
                    start,
                    end: cursor.at(),
                },
                is_true,
            };
            Ok(())
        })?;
        self.spans.stream_options = options;
        Ok(())
    }

    pub(super) fn user(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stop> {
        match cursor.kind()? {
            Kind::String => {
                let user = cursor.string()?;
                self.user = (user.len <= USER_BYTES).then_some(user);
                Ok(())
            }
            Kind::Null => Ok(cursor.skip()?),
            Kind::Object | Kind::Array | Kind::Number | Kind::Bool => {
                Err(fault::wrong_type("user", "a string").into())
            }
        }
    }

    pub(super) fn metadata(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stop> {
        let kind = cursor.kind()?;
        let start = cursor.place();
        cursor.skip()?;
        let end = cursor.at();
        match kind {
            Kind::Object => {
                self.metadata = (end - start <= METADATA_BYTES).then_some(Span { start, end });
                Ok(())
            }
            Kind::Null => Ok(()),
            Kind::Array | Kind::String | Kind::Number | Kind::Bool => {
                Err(fault::wrong_type("metadata", "an object").into())
            }
        }
    }

    pub(super) fn messages(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stop> {
        self.has_input = true;
        match self.endpoint {
            Endpoint::Messages => self.said.list(cursor, MESSAGES),
            Endpoint::ChatCompletions => self.said.list(cursor, CHAT),
            Endpoint::Completions
            | Endpoint::Embeddings
            | Endpoint::Responses
            | Endpoint::Other => self.said.raw(cursor),
        }
    }

    pub(super) fn prompt(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stop> {
        match (self.endpoint, cursor.kind()?) {
            (_, Kind::Null) => Ok(cursor.skip()?),
            (Endpoint::Completions, _) => self.said.prompts(cursor, "prompt"),
            // A prompt of the Responses API is an object that names a stored template.
            (Endpoint::Responses, Kind::Object) => {
                self.has_input = true;
                self.said.has_stored = true;
                self.said.raw(cursor)
            }
            _ => self.said.raw(cursor),
        }
    }

    pub(super) fn input(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stop> {
        self.has_input = true;
        match (self.endpoint, cursor.kind()?) {
            (Endpoint::Embeddings, _) => self.said.prompts(cursor, "input"),
            (Endpoint::Responses, Kind::Array) => self.said.list(cursor, INPUT),
            (Endpoint::Responses, Kind::String) => {
                self.said.messages += 1;
                self.said.raw(cursor)
            }
            (Endpoint::Responses, Kind::Null) => Ok(cursor.skip()?),
            (Endpoint::Responses, _) => {
                Err(fault::wrong_type("input", "a string or an array").into())
            }
            _ => self.said.raw(cursor),
        }
    }

    pub(super) fn limit(&mut self, cursor: &mut Cursor<'a>, name: &str) -> Result<(), Stop> {
        let tokens = whole_number(cursor, name)?;
        if tokens == Some(0) {
            return Err(fault::invalid(name, "it must be at least 1").into());
        }
        let field = self.spans.fields.len() - 1;
        self.spans.limits.push(OutputLimit { field, tokens });
        Ok(())
    }

    pub(super) fn several(&mut self, cursor: &mut Cursor<'a>, name: &str) -> Result<(), Stop> {
        match whole_number(cursor, name)? {
            None => Ok(()),
            Some(number @ 1..=CHOICES) => {
                self.choices = self.choices.max(number);
                Ok(())
            }
            Some(_) => Err(fault::invalid(name, "it must be between 1 and 128").into()),
        }
    }

    pub(super) fn tools(
        &mut self,
        cursor: &mut Cursor<'a>,
        name: &'static str,
    ) -> Result<(), Stop> {
        match cursor.kind()? {
            Kind::Array => {}
            Kind::Null => return Ok(cursor.skip()?),
            Kind::Object | Kind::String | Kind::Number | Kind::Bool => {
                return Err(fault::wrong_type(name, "an array").into());
            }
        }
        let start = cursor.place();
        cursor.array(|cursor, position| {
            self.has_tools = true;
            self.tool(cursor, name, position)
        })?;
        self.said.text_bytes += length(start, cursor.at());
        Ok(())
    }

    fn tool(
        &mut self,
        cursor: &mut Cursor<'a>,
        list: &'static str,
        position: usize,
    ) -> Result<(), Stop> {
        if cursor.kind()? != Kind::Object {
            return Err(fault::wrong_type(&format!("{list}[{position}]"), "an object").into());
        }
        let is_chat_tool = self.endpoint == Endpoint::ChatCompletions && list == "tools";
        let (mut is_function, mut has_function) = (false, false);
        cursor.object(|cursor, key| {
            match (key.plain(), cursor.kind()?) {
                (b"type", Kind::String) => {
                    is_function = cursor.string()?.is("function");
                    return Ok(());
                }
                (b"type", _) => {
                    let param = format!("{list}[{position}].type");
                    return Err(Stop::from(fault::wrong_type(&param, "a string")));
                }
                (b"function", Kind::Object) => has_function = true,
                (b"vector_store_ids" | b"container", Kind::Array | Kind::String) => {
                    self.said.has_stored = true;
                }
                _ => {}
            }
            Ok(cursor.skip()?)
        })?;
        match is_chat_tool && is_function && !has_function {
            true => Err(fault::missing(&format!("{list}[{position}].function")).into()),
            false => Ok(()),
        }
    }

    /// Reads how the answer must look: whatever the field is called, a schema in it says `json_schema`.
    pub(super) fn format(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stop> {
        if cursor.kind()? != Kind::Object {
            return self.said.raw(cursor);
        }
        let start = cursor.place();
        cursor.object(|cursor, key| match (key.plain(), cursor.kind()?) {
            (b"type", Kind::String) => {
                self.has_schema |= cursor.string()?.is("json_schema");
                Ok(())
            }
            (b"format", Kind::Object) => cursor.object(|cursor, key| {
                if key.is("type") && cursor.kind()? == Kind::String {
                    self.has_schema |= cursor.string()?.is("json_schema");
                    return Ok::<_, Stop>(());
                }
                Ok(cursor.skip()?)
            }),
            _ => Ok(cursor.skip()?),
        })?;
        self.said.text_bytes += length(start, cursor.at());
        Ok(())
    }

    pub(super) fn modalities(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stop> {
        if cursor.kind()? != Kind::Array {
            return Ok(cursor.skip()?);
        }
        cursor.array(|cursor, _| {
            if cursor.kind()? == Kind::String {
                self.said.has_sound |= cursor.string()?.is("audio");
                return Ok(());
            }
            Ok(cursor.skip()?)
        })
    }

    pub(super) fn stored(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stop> {
        let is_said = cursor.kind()? != Kind::Null;
        self.has_input |= is_said;
        self.said.has_stored |= is_said;
        Ok(cursor.skip()?)
    }

    /// An answer made in the background is fetched later, from the account that stores it.
    pub(super) fn background(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stop> {
        self.said.has_stored |= optional_bool(cursor, "background")?.unwrap_or_default();
        Ok(())
    }
}

fn length(start: usize, end: usize) -> u64 {
    u64::try_from(end - start).unwrap_or(u64::MAX)
}
