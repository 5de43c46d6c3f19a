//! Which of the paths under `/v1/` a call came to, as far as its body is understood.

use crate::catalog::{Ability, Dialect};

/// What a call's path asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `chat/completions`.
    ChatCompletions,
    /// `completions`.
    Completions,
    /// `embeddings`.
    Embeddings,
    /// `responses`.
    Responses,
    /// Anthropic's `messages`.
    Messages,
    /// Every other `POST` with a model: passed through, counted as text.
    Other,
}

impl Endpoint {
    /// Reads what follows `/v1/` in a path, without its query.
    #[must_use]
    pub fn of(path: &str) -> Self {
        match path.trim_end_matches('/') {
            "chat/completions" => Self::ChatCompletions,
            "completions" => Self::Completions,
            "embeddings" => Self::Embeddings,
            "responses" => Self::Responses,
            "messages" => Self::Messages,
            _ => Self::Other,
        }
    }

    /// Returns the word for the endpoint in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ChatCompletions => "chat_completions",
            Self::Completions => "completions",
            Self::Embeddings => "embeddings",
            Self::Responses => "responses",
            Self::Messages => "messages",
            Self::Other => "other",
        }
    }

    /// Returns the language a caller of this endpoint speaks.
    #[must_use]
    pub const fn dialect(self) -> Dialect {
        match self {
            Self::Messages => Dialect::Anthropic,
            Self::ChatCompletions
            | Self::Completions
            | Self::Embeddings
            | Self::Responses
            | Self::Other => Dialect::Openai,
        }
    }

    /// Returns what an offer must be able to do to answer here at all.
    #[must_use]
    pub const fn ability(self) -> Ability {
        match self {
            Self::ChatCompletions | Self::Messages => Ability::Chat,
            Self::Completions => Ability::Completions,
            Self::Embeddings => Ability::Embeddings,
            Self::Responses => Ability::Responses,
            Self::Other => Ability::Other,
        }
    }

    /// Says whether a model writes text here, so that its output can be limited.
    #[must_use]
    pub const fn writes(self) -> bool {
        match self {
            Self::ChatCompletions | Self::Completions | Self::Responses | Self::Messages => true,
            Self::Embeddings | Self::Other => false,
        }
    }

    /// Says whether `stream_options.include_usage` means something here.
    #[must_use]
    pub const fn has_stream_options(self) -> bool {
        matches!(self, Self::ChatCompletions | Self::Completions)
    }

    /// Returns what the endpoint itself calls the limit of output tokens.
    #[must_use]
    pub const fn output_limit_field(self) -> Option<&'static str> {
        match self {
            Self::ChatCompletions | Self::Completions | Self::Messages => Some("max_tokens"),
            Self::Responses => Some("max_output_tokens"),
            Self::Embeddings | Self::Other => None,
        }
    }

    /// Says whether `field` limits the output here.
    ///
    /// A field that means nothing at an endpoint must not be believed there: its upstream passes it over.
    #[must_use]
    pub fn limits_output_by(self, field: &str) -> bool {
        self.output_limit_field() == Some(field)
            || (self == Self::ChatCompletions && field == "max_completion_tokens")
    }
}
