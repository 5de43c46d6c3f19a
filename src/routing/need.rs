//! What a call needs of an offer, and why an offer does not meet it.

use super::{route::Routes, strategy::Strategy};
use crate::{
    base::{Moment, OrganizationId, Tokens, Usage},
    catalog::{Abilities, Ability, Dialect, Offer},
};

/// What one call needs.
#[derive(Clone, Copy, Debug)]
pub struct Need<'a> {
    /// Whose call.
    pub organization: OrganizationId,
    /// The language the caller speaks.
    pub dialect: Dialect,
    /// What must be done.
    pub abilities: Abilities,
    /// Whether the answer is streamed.
    pub is_stream: bool,
    /// What will probably be read.
    pub input_expected: Tokens,
    /// The most that can be read.
    pub input_bound: Tokens,
    /// What will probably be written.
    pub output_expected: Tokens,
    /// The most that can be written.
    pub output_bound: Tokens,
    /// What the caller set as the most to be written.
    pub requested_output: Option<Tokens>,
    /// May providers that train on data serve it?
    pub allows_training: bool,
    /// The models the caller may use, by the name it writes or the canonical name; `None` allows all.
    pub allowed_models: Option<&'a [String]>,
    /// Whether nothing may be spent.
    pub is_free_only: bool,
    /// The offers its organization prefers.
    pub routes: Option<&'a Routes>,
    /// How offers are put in order, and what may not be passed.
    pub strategy: &'a Strategy,
    /// What lots are drawn by: the same for the same call.
    pub seed: u64,
    /// Whether the plan is only looked at: nothing is tried, so no trial of a sick offer is used up.
    pub is_rehearsal: bool,
}

/// Why an offer is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The caller may not use its model.
    NotAllowed,
    /// It speaks another language.
    OtherDialect,
    /// It cannot do this.
    Unable(Ability),
    /// What is read and written does not fit into its window.
    ContextTooSmall,
    /// Its provider trains on data.
    Trains,
    /// What it costs is not known.
    NoPrice,
    /// It costs money.
    NotFree,
    /// It costs more than the strategy lets it.
    TooDear,
    /// Its first byte usually takes longer than the strategy lets it.
    TooSlow,
    /// It failed more often lately than the strategy lets it.
    Unsteady,
    /// Its provider wants a key, and none is the caller's to use.
    NoCredential,
    /// Its provider permits no more before then.
    Limited(Moment),
    /// The provider asked for a pause, or something it needs is out until then.
    Cooling(Moment),
    /// It failed too often and is not tried before then.
    Failing(Moment),
}

impl Need<'_> {
    /// Says whether `offer` can do the job, whatever its health.
    ///
    /// # Errors
    /// Why it cannot.
    pub fn judge(&self, offer: &Offer) -> Result<(), Why> {
        if offer.provider.dialect != self.dialect {
            return Err(Why::OtherDialect);
        }
        if !offer.abilities.cover(self.wanted()) {
            let missing = offer.abilities.first_missing(self.wanted());
            return Err(missing.map_or(Why::OtherDialect, Why::Unable));
        }
        if offer
            .context_window()
            .is_some_and(|window| window < self.span())
        {
            return Err(Why::ContextTooSmall);
        }
        if offer.provider.trains_on_data && !self.allows_training {
            return Err(Why::Trains);
        }
        Ok(())
    }

    /// Returns what the call will probably read and write.
    #[must_use]
    pub fn expected(&self) -> Usage {
        Usage {
            input: self.input_expected,
            output: self.output_expected,
            ..Usage::default()
        }
    }

    fn wanted(&self) -> Abilities {
        if self.is_stream {
            self.abilities.with(Ability::Streaming)
        } else {
            self.abilities
        }
    }

    /// What must fit into a window: the probable input, since its bound is four times the truth in most languages.
    fn span(&self) -> Tokens {
        self.input_expected + self.requested_output.unwrap_or_default()
    }
}

impl Why {
    /// Returns the field of the request that rules the offer out, as an error names it.
    #[must_use]
    pub const fn param(self) -> &'static str {
        match self {
            Self::Unable(Ability::Streaming) => "stream",
            Self::Unable(Ability::Tools) => "tools",
            Self::Unable(Ability::Vision) => "messages",
            Self::Unable(Ability::JsonSchema) => "response_format",
            Self::Unable(Ability::Audio) => "modalities",
            Self::ContextTooSmall => "messages",
            Self::Unable(
                Ability::Chat
                | Ability::Completions
                | Ability::Embeddings
                | Ability::Responses
                | Ability::Other,
            )
            | Self::NotAllowed
            | Self::OtherDialect
            | Self::Trains
            | Self::NoPrice
            | Self::NotFree
            | Self::TooDear
            | Self::TooSlow
            | Self::Unsteady
            | Self::NoCredential
            | Self::Limited(_)
            | Self::Cooling(_)
            | Self::Failing(_) => "model",
        }
    }

    /// Returns the reason as one word, for explanations and metrics.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::NotAllowed => "not_allowed",
            Self::OtherDialect => "dialect",
            Self::Unable(_) => "ability",
            Self::ContextTooSmall => "context_window",
            Self::Trains => "trains_on_data",
            Self::NoPrice => "price_unknown",
            Self::NotFree => "not_free",
            Self::TooDear => "too_dear",
            Self::TooSlow => "too_slow",
            Self::Unsteady => "unsteady",
            Self::NoCredential => "no_credential",
            Self::Limited(_) => "rate_limited",
            Self::Cooling(_) => "cooling",
            Self::Failing(_) => "failing",
        }
    }
}
