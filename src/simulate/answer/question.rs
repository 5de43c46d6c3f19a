//! What a call asks, read leniently: a provider's own checks are not what is simulated.

use serde_json::Value;

use super::{
    refusal::Refusal,
    speech::{Speech, speak},
};
use crate::{
    dialect::Endpoint,
    simulate::text::{self, count},
};

/// What a picture is read as.
const IMAGE_TOKENS: u64 = 85;

/// A tool the caller offers.
#[derive(Clone, Debug)]
pub(super) struct Tool {
    pub(super) name: String,
    pub(super) schema: Value,
}

/// Whether a tool is to be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    Never,
    IfAsked,
    Any,
    This(String),
}

/// What a call asks.
#[derive(Debug)]
pub(crate) struct Question {
    pub(in crate::simulate) endpoint: Endpoint,
    pub(in crate::simulate) body: Value,
    pub(in crate::simulate) model: String,
    pub(in crate::simulate) is_stream: bool,
    pub(in crate::simulate) input_tokens: u64,
    /// What the model says, for each choice (and each prompt of a completion).
    pub(in crate::simulate) speeches: Vec<Speech>,
}

/// Everything that is read, and who spoke last.
#[derive(Default)]
struct Read {
    bytes: usize,
    messages: u64,
    images: u64,
    tokens: u64,
    last: String,
    last_role: String,
}

impl Question {
    /// Reads a body; `usual_tokens` are written when nobody says how many.
    pub(in crate::simulate) fn read(
        endpoint: Endpoint,
        body: &[u8],
        usual_tokens: u64,
    ) -> Result<Self, Refusal> {
        let Ok(body @ Value::Object(_)) = serde_json::from_slice::<Value>(body) else {
            return Err(Refusal::invalid(
                "We could not parse the JSON body of your request.",
            ));
        };
        let Some(model) = body.get("model").and_then(Value::as_str).map(str::to_owned) else {
            return Err(Refusal::invalid("you must provide a model parameter"));
        };
        let mut read = Read::default();
        for name in [
            "system",
            "instructions",
            "messages",
            "input",
            "prompt",
            "query",
            "documents",
        ] {
            read.top(body.get(name).unwrap_or(&Value::Null));
        }
        let tools = body.get("tools").filter(|tools| !tools.is_null());
        read.bytes += tools.map_or(0, |tools| tools.to_string().len());
        let mut question = Self {
            endpoint,
            is_stream: body
                .get("stream")
                .and_then(Value::as_bool)
                .unwrap_or_default(),
            input_tokens: text::tokens_read(read.bytes, read.messages.max(1))
                + read.images * IMAGE_TOKENS
                + read.tokens,
            model,
            body,
            speeches: Vec::new(),
        };
        if endpoint.writes() {
            question.speeches = speak(&question, &read.last, &read.last_role, usual_tokens);
        }
        Ok(question)
    }

    /// Returns how many tokens all choices have together.
    pub(in crate::simulate) fn output_tokens(&self) -> u64 {
        self.speeches.iter().map(Speech::tokens).sum()
    }

    /// Says whether usage belongs at the end of a stream.
    pub(super) fn wants_usage(&self) -> bool {
        self.body
            .pointer("/stream_options/include_usage")
            .and_then(Value::as_bool)
            .unwrap_or_default()
    }

    /// Finds the caller's limit of output tokens.
    pub(super) fn find_limit(&self) -> Option<u64> {
        ["max_completion_tokens", "max_output_tokens", "max_tokens"]
            .iter()
            .find_map(|name| self.body.get(name)?.as_u64())
    }

    /// Returns how many answers are to be written.
    pub(super) fn choices(&self) -> usize {
        let several = self
            .body
            .get("n")
            .and_then(Value::as_u64)
            .unwrap_or(1)
            .clamp(1, 128);
        let prompts = match (self.endpoint, self.body.get("prompt")) {
            (Endpoint::Completions, Some(Value::Array(list)))
                if !list.iter().all(Value::is_number) =>
            {
                list.len()
            }
            _ => 1,
        };
        usize::try_from(several).unwrap_or(1) * prompts.max(1)
    }

    /// Returns the tools in any dialect's form.
    pub(super) fn tools(&self) -> Vec<Tool> {
        let tools = self.body.get("tools").and_then(Value::as_array);
        tools
            .into_iter()
            .flatten()
            .filter_map(|tool| {
                let function = tool.get("function").unwrap_or(tool);
                let schema = function
                    .get("parameters")
                    .or_else(|| function.get("input_schema"));
                Some(Tool {
                    name: function.get("name")?.as_str()?.to_owned(),
                    schema: schema.cloned().unwrap_or_default(),
                })
            })
            .collect()
    }

    /// Reads the choice of tools in any dialect's form.
    pub(super) fn choice(&self) -> Choice {
        let choice = self.body.get("tool_choice").unwrap_or(&Value::Null);
        let word = choice
            .as_str()
            .or_else(|| choice.get("type")?.as_str())
            .unwrap_or("auto");
        let name = choice
            .pointer("/function/name")
            .or_else(|| choice.get("name"))
            .and_then(Value::as_str);
        match (word, name) {
            ("none", _) => Choice::Never,
            (_, Some(name)) => Choice::This(name.to_owned()),
            ("required" | "any", None) => Choice::Any,
            _ => Choice::IfAsked,
        }
    }

    /// Finds the schema the answer must have: `Null` where any JSON will do.
    pub(super) fn find_schema(&self) -> Option<&Value> {
        let format = self
            .body
            .get("response_format")
            .or_else(|| self.body.pointer("/text/format"))
            .or_else(|| self.body.pointer("/output_config/format"))
            .or_else(|| self.body.get("output_format"))?;
        match format.get("type")?.as_str()? {
            "json_schema" => format
                .pointer("/json_schema/schema")
                .or_else(|| format.get("schema")),
            "json_object" => Some(&Value::Null),
            _ => None,
        }
    }
}

impl Read {
    /// Reads a field of the body: one text, or a list of messages, items, prompts or tokens.
    fn top(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.message("user", value, text.len()),
            Value::Array(list) => {
                for entry in list {
                    let role = entry.get("role").and_then(Value::as_str);
                    match (entry, role) {
                        (Value::Number(_), _) => self.tokens += 1,
                        (Value::Array(tokens), _) => self.tokens += count(tokens.len()),
                        (_, role) => {
                            let bytes = self.bytes_in(entry);
                            let kind = entry.get("type").and_then(Value::as_str).unwrap_or("user");
                            self.message(role.unwrap_or(kind), entry, bytes);
                        }
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {}
        }
    }

    fn message(&mut self, role: &str, value: &Value, bytes: usize) {
        self.messages += 1;
        self.bytes += bytes;
        role.clone_into(&mut self.last_role);
        self.last.clear();
        words_of(value, &mut self.last);
    }

    /// Measures the strings in a message; pictures count by themselves.
    fn bytes_in(&mut self, value: &Value) -> usize {
        match value {
            Value::String(text) if text.starts_with("data:") => {
                self.images += 1;
                0
            }
            Value::String(text) => text.len(),
            Value::Array(list) => list.iter().map(|inner| self.bytes_in(inner)).sum(),
            Value::Object(members) => members
                .iter()
                .filter(|(name, _)| !matches!(name.as_str(), "role" | "type" | "id"))
                .map(|(_, inner)| self.bytes_in(inner))
                .sum(),
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        }
    }
}

fn words_of(value: &Value, words: &mut String) {
    match value {
        Value::String(text) => {
            words.push_str(text);
            words.push(' ');
        }
        Value::Array(list) => list.iter().for_each(|inner| words_of(inner, words)),
        Value::Object(members) => {
            for name in ["content", "text", "output"] {
                words_of(members.get(name).unwrap_or(&Value::Null), words);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
