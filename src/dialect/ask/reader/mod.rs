//! The one pass over a body: each field is read as far as it is acted on.

mod fields;

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{
    Ask, Field, Span, Spans, StreamOptions,
    scalars::{tool_choice, within},
};
use crate::{
    catalog::{Abilities, Ability},
    dialect::{
        endpoint::Endpoint,
        fault::{self, Fault},
        json::{Broken, Cursor, Kind, Text},
        pieces::{Said, Stop},
    },
};

/// How many top-level fields a body may have; the largest official request has some forty.
const FIELDS: usize = 1_024;

/// What was read so far.
pub(super) struct Reader<'a> {
    endpoint: Endpoint,
    said: Said,
    spans: Spans,
    names: Vec<Text<'a>>,
    /// The field a fault in depth lies in.
    pub(super) field: Option<String>,
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
    pub(super) fn new(endpoint: Endpoint) -> Self {
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

    pub(super) fn whole(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stop> {
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
            self.field = key.read().map(Cow::into_owned);
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
            _ if self.endpoint.limits_output_by(name) => self.limit(cursor, name),
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

    /// Returns what was read, when nothing is missing and nothing said twice.
    pub(super) fn ask(self, body: &[u8]) -> Result<Ask, Fault> {
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
            user: user.map(Cow::into_owned),
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

fn raw_value(body: &[u8], span: Span) -> Option<Box<RawValue>> {
    let text = std::str::from_utf8(body.get(span.start..span.end)?).ok()?;
    RawValue::from_string(text.to_owned()).ok()
}
