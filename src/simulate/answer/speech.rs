//! What the model says to a question: words, JSON, or calls of the caller's tools.

use super::question::{Choice, Question, Tool};
use crate::simulate::text::{self, count};

/// A tool called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::simulate) struct Call {
    pub(super) name: String,
    /// Its arguments as JSON, in pieces of one token.
    pub(super) arguments: Vec<String>,
}

/// What the model says in one choice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::simulate) struct Speech {
    /// Text in pieces of one token.
    pub(super) pieces: Vec<String>,
    pub(super) calls: Vec<Call>,
    /// Whether the caller's limit cut it.
    pub(super) is_cut: bool,
}

impl Speech {
    pub(super) fn text(&self) -> String {
        self.pieces.concat()
    }

    /// Returns how many tokens it has: one for each piece, and one for each tool's name.
    pub(super) fn tokens(&self) -> u64 {
        let calls: usize = self.calls.iter().map(|call| 1 + call.arguments.len()).sum();
        count(self.pieces.len() + calls)
    }
}

/// Says something for each choice.
pub(super) fn speak(
    question: &Question,
    last: &str,
    last_role: &str,
    usual_tokens: u64,
) -> Vec<Speech> {
    let seed = text::seed(last) ^ text::seed(&question.model);
    let most = question.find_limit().unwrap_or(u64::MAX);
    let mut calls = calls(question, last, last_role, seed);
    let needed: usize = calls.iter().map(|call| 1 + call.arguments.len()).sum();
    if most < count(needed) {
        calls.clear();
    }
    (0..question.choices())
        .map(|choice| {
            if !calls.is_empty() {
                return Speech {
                    calls: calls.clone(),
                    ..Speech::default()
                };
            }
            let seed = seed ^ count(choice);
            let mut pieces = match question.find_schema() {
                Some(schema) if schema.is_null() => text::pieces(
                    &serde_json::json!({"answer": text::prose(seed, 3).concat()}).to_string(),
                ),
                Some(schema) => text::pieces(&text::of_schema(schema, seed).to_string()),
                None => text::prose(
                    seed,
                    text::tokens_asked(last)
                        .unwrap_or(usual_tokens)
                        .min(most)
                        .min(1_000_000),
                ),
            };
            let is_cut = most < count(pieces.len())
                || most < text::tokens_asked(last).unwrap_or(usual_tokens);
            pieces.truncate(usize::try_from(most).unwrap_or(usize::MAX));
            Speech {
                pieces,
                calls: Vec::new(),
                is_cut: is_cut && question.find_schema().is_none(),
            }
        })
        .collect()
}

/// Calls what is forced, or what a person just asked for by its name or by the word `tool`.
fn calls(question: &Question, last: &str, last_role: &str, seed: u64) -> Vec<Call> {
    let tools = question.tools();
    let last = last.to_lowercase();
    let is_person = !matches!(last_role, "tool" | "function_call_output" | "assistant")
        && !last.trim().is_empty();
    let is_named = |tool: &&Tool| {
        let name = tool.name.to_lowercase();
        last.contains(&name) || last.contains(&name.replace('_', " "))
    };
    let called: Vec<&Tool> = match question.choice() {
        Choice::Never => Vec::new(),
        Choice::This(name) => tools.iter().filter(|tool| tool.name == name).collect(),
        Choice::Any => tools
            .iter()
            .find(is_named)
            .or_else(|| tools.first())
            .into_iter()
            .collect(),
        Choice::IfAsked if !is_person => Vec::new(),
        Choice::IfAsked if last.contains("every tool") => tools.iter().collect(),
        Choice::IfAsked => {
            let named = tools.iter().find(is_named);
            let any = tools.first().filter(|_| last.contains("tool"));
            named.or(any).into_iter().collect()
        }
    };
    called
        .into_iter()
        .map(|tool| {
            let arguments = match text::of_schema(&tool.schema, seed) {
                object @ serde_json::Value::Object(_) => object.to_string(),
                _ => "{}".to_owned(),
            };
            Call {
                name: tool.name.clone(),
                arguments: text::pieces(&arguments),
            }
        })
        .collect()
}
