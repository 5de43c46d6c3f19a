//! `Ask`: what one request body asks for, and where in it the few things stand that may be changed on the way.
//!
//! One pass over the body. What is not acted on passes unread; what is acted on and wrong is refused by its name.

use serde_json::value::RawValue;

use super::{
    endpoint::Endpoint,
    fault::{self, Fault},
    json::{Broken, Cursor, DEPTH, Kind, Text},
    pieces::{List, Said, Stop},
};
use crate::catalog::{Abilities, Ability};

/// How many top-level fields a body may have; the largest official request has some forty.
const FIELDS: usize = 1_024;

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

/// What one request body asks for.
#[derive(Debug)]
pub struct Ask {
    /// Where it came in.
    pub endpoint: Endpoint,
    /// The model as the caller wrote it.
    pub model: String,
    /// Whether the answer is to be streamed.
    pub is_stream: bool,
    /// Whether the caller asked for usage at the end of a stream.
    pub wants_usage: bool,
    /// The most tokens one choice may have, when the caller said so.
    pub requested_output: Option<u64>,
    /// How many answers are written: `n` or `best_of`, times the prompts of a completion.
    pub choices: u64,
    /// Bytes of text the model is to read, tool and answer schemas included.
    pub text_bytes: u64,
    /// Messages, items or prompts.
    pub messages: u64,
    /// Tokens of pictures, sound, documents, and of prompts given as tokens.
    pub media_tokens: u64,
    /// What an offer must be able to do.
    pub abilities: Abilities,
    /// The caller's `user`, when short enough to keep.
    pub user: Option<String>,
    /// The caller's `metadata`, when small enough to keep.
    pub metadata: Option<Box<RawValue>>,
    /// Whether it builds on something one provider's account stores: an earlier response, a conversation, a file.
    pub has_previous_response: bool,
    /// Where the things stand that may be changed.
    pub(super) spans: Spans,
}

/// Where something stands in the body: its first byte, and the one after its last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
}

/// A top-level field: its quoted key and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) key: Span,
    pub(super) value: Span,
}

/// Where the things stand that may be changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Spans {
    /// All top-level fields, in their order.
    pub(super) fields: Vec<Field>,
    /// Which of them is `model`.
    pub(super) model: usize,
    /// Which of them limit the output, and to what.
    pub(super) limits: Vec<OutputLimit>,
    /// What is said about `stream_options`.
    pub(super) stream_options: StreamOptions,
}

/// One of the fields that limit the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OutputLimit {
    pub(super) field: usize,
    /// `None` is an explicit `null`.
    pub(super) tokens: Option<u64>,
}

/// What is said about `stream_options`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum StreamOptions {
    #[default]
    Absent,
    /// An explicit `null`.
    Null { field: usize },
    /// An object without `include_usage`: where its inside begins, and whether anything is in it.
    Silent { inside: usize, is_empty: bool },
    /// An object with `include_usage`, which stands here.
    Said { value: Span, is_true: bool },
}

/// Reads a request body.
///
/// # Errors
/// The caller's fault, with the field it lies in.
pub fn read(endpoint: Endpoint, body: &[u8]) -> Result<Ask, Fault> {
    if let Err(error) = std::str::from_utf8(body) {
        return Err(fault::invalid_json(error.valid_up_to(), None));
    }
    let mut reader = Reader::new(endpoint);
    let mut cursor = Cursor::new(body);
    match reader.whole(&mut cursor) {
        Ok(()) => reader.ask(body),
        Err(Stop::Fault(fault)) => Err(fault),
        Err(Stop::Broken(Broken::Syntax(at))) => Err(fault::invalid_json(at, None)),
        Err(Stop::Broken(Broken::TooDeep(_))) => {
            Err(fault::too_deep(reader.field.as_deref(), DEPTH))
        }
    }
}

/// What was read so far.
struct Reader<'a> {
    endpoint: Endpoint,
    said: Said,
    spans: Spans,
    names: Vec<Text<'a>>,
    /// The field a fault in depth lies in.
    field: Option<String>,
    model: Option<Text<'a>>,
    is_stream: bool,
    choices: u64,
    has_tools: bool,
    has_schema: bool,
    has_input: bool,
    user: Option<Text<'a>>,
    metadata: Option<Span>,
}

impl<'a> Reader<'a> {
    fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            said: Said::default(),
            spans: Spans {
                fields: Vec::with_capacity(16),
                ..Spans::default()
            },
            names: Vec::with_capacity(16),
            field: None,
            model: None,
            is_stream: false,
            choices: 1,
            has_tools: false,
            has_schema: false,
            has_input: false,
            user: None,
            metadata: None,
        }
    }

    fn whole(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stop> {
        if cursor.kind()? != Kind::Object {
            return Err(fault::not_an_object().into());
        }
        cursor.object(|cursor, key| self.member(cursor, key))?;
        cursor.end()?;
        Ok(())
    }

    fn member(&mut self, cursor: &mut Cursor<'a>, key: Text<'a>) -> Result<(), Stop> {
        if self.spans.fields.len() == FIELDS {
            return Err(fault::too_many_fields(FIELDS).into());
        }
        let key_span = Span {
            start: key.start,
            end: key.end(),
        };
        let start = cursor.place();
        self.names.push(key);
        let field = Field {
            key: key_span,
            value: Span { start, end: start },
        };
        self.spans.fields.push(field);
        let read = self.value(cursor, key);
        if let Err(Stop::Broken(Broken::TooDeep(_))) = read {
            self.field = key.read().map(std::borrow::Cow::into_owned);
        }
        read?;
        if let Some(field) = self.spans.fields.last_mut() {
            field.value.end = cursor.at();
        }
        Ok(())
    }

    fn value(&mut self, cursor: &mut Cursor<'a>, key: Text<'a>) -> Result<(), Stop> {
        let name = key.read().unwrap_or_default();
        match &*name {
            "model" => self.model(cursor),
            "stream" => self.stream(cursor),
            "user" => self.user(cursor),
            "metadata" => self.metadata(cursor),
            "input" => self.input(cursor),
            _ if self.endpoint.writes() => self.value_of_writing(cursor, &name),
            _ => self.said.raw(cursor),
        }
    }

    fn value_of_writing(&mut self, cursor: &mut Cursor<'a>, name: &str) -> Result<(), Stop> {
        match name {
            "messages" => self.messages(cursor),
            "prompt" => self.prompt(cursor),
            "system" => self.said.text_or_parts(cursor, "system"),
            "instructions" => self.said.text_or_parts(cursor, "instructions"),
            "max_tokens" => self.limit(cursor, "max_tokens"),
            "max_completion_tokens" => self.limit(cursor, "max_completion_tokens"),
            "max_output_tokens" => self.limit(cursor, "max_output_tokens"),
            "stream_options" if self.endpoint.has_stream_options() => self.stream_options(cursor),
            "n" => self.several(cursor, "n"),
            "best_of" => self.several(cursor, "best_of"),
            "temperature" => within(cursor, "temperature", 2.0),
            "top_p" => within(cursor, "top_p", 1.0),
            "tools" => self.tools(cursor, "tools"),
            "functions" => self.tools(cursor, "functions"),
            "tool_choice" => tool_choice(cursor),
            "response_format" | "text" | "output_format" | "output_config" => self.format(cursor),
            "modalities" => self.modalities(cursor),
            "previous_response_id" | "conversation" | "container" => self.stored(cursor),
            "background" => self.background(cursor),
            _ => self.said.raw(cursor),
        }
    }

    fn model(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stop> {
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

    fn stream(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stop> {
        self.is_stream = optional_bool(cursor, "stream")?.unwrap_or_default();
        Ok(())
    }

    fn stream_options(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stop> {
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

    fn user(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stop> {
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

    fn metadata(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stop> {
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

    fn messages(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stop> {
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

    fn prompt(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stop> {
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

    fn input(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stop> {
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

    fn limit(&mut self, cursor: &mut Cursor<'a>, name: &'static str) -> Result<(), Stop> {
        let tokens = whole_number(cursor, name)?;
        if tokens == Some(0) {
            return Err(fault::invalid(name, "it must be at least 1").into());
        }
        let field = self.spans.fields.len() - 1;
        self.spans.limits.push(OutputLimit { field, tokens });
        Ok(())
    }

    fn several(&mut self, cursor: &mut Cursor<'a>, name: &'static str) -> Result<(), Stop> {
        match whole_number(cursor, name)? {
            None => Ok(()),
            Some(number @ 1..=CHOICES) => {
                self.choices = self.choices.max(number);
                Ok(())
            }
            Some(_) => Err(fault::invalid(name, "it must be between 1 and 128").into()),
        }
    }

    fn tools(&mut self, cursor: &mut Cursor<'a>, name: &'static str) -> Result<(), Stop> {
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
    fn format(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stop> {
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

    fn modalities(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stop> {
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

    fn stored(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stop> {
        let is_said = cursor.kind()? != Kind::Null;
        self.has_input |= is_said;
        self.said.has_stored |= is_said;
        Ok(cursor.skip()?)
    }

    /// An answer made in the background is fetched later, from the account that stores it.
    fn background(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stop> {
        self.said.has_stored |= optional_bool(cursor, "background")?.unwrap_or_default();
        Ok(())
    }

    fn ask(self, body: &[u8]) -> Result<Ask, Fault> {
        no_name_twice(&self.names)?;
        let Some(model) = self.model else {
            return Err(fault::missing("model"));
        };
        let model = model
            .read()
            .ok_or_else(|| fault::invalid("model", "it is no text"))?;
        self.has_what_it_must()?;
        let metadata = self.metadata.and_then(|span| raw_value(body, span));
        let user = self.user.and_then(|user| user.read());
        Ok(Ask {
            endpoint: self.endpoint,
            model: model.into_owned(),
            is_stream: self.is_stream,
            wants_usage: matches!(
                self.spans.stream_options,
                StreamOptions::Said { is_true: true, .. }
            ),
            requested_output: self
                .spans
                .limits
                .iter()
                .filter_map(|limit| limit.tokens)
                .max(),
            choices: self.all_choices(),
            text_bytes: self.said.text_bytes,
            messages: self.said.messages,
            media_tokens: self.said.media_tokens,
            abilities: self.abilities(),
            user: user.map(std::borrow::Cow::into_owned),
            metadata,
            has_previous_response: self.said.has_stored,
            spans: self.spans,
        })
    }

    fn has_what_it_must(&self) -> Result<(), Fault> {
        match self.endpoint {
            Endpoint::ChatCompletions | Endpoint::Messages if !self.has_input => {
                Err(fault::missing("messages"))
            }
            Endpoint::Embeddings if !self.has_input => Err(fault::missing("input")),
            Endpoint::ChatCompletions
            | Endpoint::Messages
            | Endpoint::Embeddings
            | Endpoint::Completions
            | Endpoint::Responses
            | Endpoint::Other => Ok(()),
        }
    }

    /// Every prompt of a completion is answered `n` times.
    fn all_choices(&self) -> u64 {
        match self.endpoint {
            Endpoint::Completions => self.choices.saturating_mul(self.said.messages.max(1)),
            Endpoint::ChatCompletions
            | Endpoint::Embeddings
            | Endpoint::Responses
            | Endpoint::Messages
            | Endpoint::Other => self.choices,
        }
    }

    fn abilities(&self) -> Abilities {
        [
            (true, self.endpoint.ability()),
            (self.is_stream, Ability::Streaming),
            (self.has_tools, Ability::Tools),
            (self.said.has_image, Ability::Vision),
            (self.has_schema, Ability::JsonSchema),
            (self.said.has_sound, Ability::Audio),
        ]
        .into_iter()
        .filter_map(|(is_needed, ability)| is_needed.then_some(ability))
        .collect()
    }
}

/// How many names are compared pair by pair before a table is cheaper.
const FEW: usize = 32;

fn no_name_twice(names: &[Text<'_>]) -> Result<(), Fault> {
    let mut seen = Vec::with_capacity(names.len());
    for name in names {
        let text = name
            .read()
            .ok_or_else(|| fault::invalid_json(name.start, None))?;
        if names.len() <= FEW && seen.contains(&text) {
            return Err(fault::duplicate(&text));
        }
        seen.push(text);
    }
    if FEW < names.len() {
        seen.sort_unstable();
        if let Some([twice, _]) = seen.array_windows().find(|[one, next]| one == next) {
            return Err(fault::duplicate(twice));
        }
    }
    Ok(())
}

fn optional_bool(cursor: &mut Cursor<'_>, param: &str) -> Result<Option<bool>, Stop> {
    match cursor.kind()? {
        Kind::Bool => Ok(Some(cursor.bool()?)),
        Kind::Null => {
            cursor.skip()?;
            Ok(None)
        }
        Kind::Object | Kind::Array | Kind::String | Kind::Number => {
            Err(fault::wrong_type(param, "a boolean").into())
        }
    }
}

/// Reads a whole number; one too large for 64 bits is as large as they go.
fn whole_number(cursor: &mut Cursor<'_>, param: &str) -> Result<Option<u64>, Stop> {
    match cursor.kind()? {
        Kind::Number => {}
        Kind::Null => {
            cursor.skip()?;
            return Ok(None);
        }
        Kind::Object | Kind::Array | Kind::String | Kind::Bool => {
            return Err(fault::wrong_type(param, "a whole number").into());
        }
    }
    let written = cursor.number()?;
    if written.starts_with('-') {
        return Err(fault::invalid(param, "it must not be negative").into());
    }
    if !written.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(fault::wrong_type(param, "a whole number").into());
    }
    Ok(Some(written.parse().unwrap_or(u64::MAX)))
}

fn within(cursor: &mut Cursor<'_>, param: &'static str, most: f64) -> Result<(), Stop> {
    match cursor.kind()? {
        Kind::Number => {}
        Kind::Null => return Ok(cursor.skip()?),
        Kind::Object | Kind::Array | Kind::String | Kind::Bool => {
            return Err(fault::wrong_type(param, "a number").into());
        }
    }
    let number: f64 = cursor.number()?.parse().unwrap_or(f64::INFINITY);
    match (0.0..=most).contains(&number) {
        true => Ok(()),
        false => Err(fault::invalid(param, &format!("it must be between 0 and {most}")).into()),
    }
}

fn tool_choice(cursor: &mut Cursor<'_>) -> Result<(), Stop> {
    match cursor.kind()? {
        Kind::String | Kind::Object | Kind::Null => Ok(cursor.skip()?),
        Kind::Array | Kind::Number | Kind::Bool => {
            Err(fault::wrong_type("tool_choice", "a string or an object").into())
        }
    }
}

fn raw_value(body: &[u8], span: Span) -> Option<Box<RawValue>> {
    let text = std::str::from_utf8(body.get(span.start..span.end)?).ok()?;
    RawValue::from_string(text.to_owned()).ok()
}

fn length(start: usize, end: usize) -> u64 {
    u64::try_from(end - start).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
