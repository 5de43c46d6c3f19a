//! What a call asks for, measured and weighed against one snapshot: the same for callers and for who only wants to know.

use std::sync::Arc;

use super::Snapshot;
use crate::{
    base::{OrganizationId, RequestId, Tokens, Usage},
    catalog::{Abilities, Ability, Dialect, Resolved},
    dialect::{Ask, Endpoint},
    keys::Grant,
    quota::{Limit, estimate},
    routing::{self, Candidate, Need, Plan},
};

/// How much a call may read and write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// What will probably be read.
    pub input_expected: Tokens,
    /// The most that can be read.
    pub input_bound: Tokens,
    /// What will probably be written.
    pub output_expected: Tokens,
    /// The most that can be written.
    pub output_bound: Tokens,
    /// What must be written into the body so that the bound holds.
    pub injected_output: Option<u64>,
}

impl Size {
    /// Measures a call; a caller that sets no output limit is given one when a hard limit depends on it.
    ///
    /// `seen` is what 95 of 100 of the key's answers stayed under, when known.
    #[must_use]
    pub fn of(ask: &Ask, endpoint: Endpoint, grant: &Grant, seen: Option<Tokens>) -> Self {
        let needs_bound =
            grant.limits_enforced && grant.limits.iter().any(Limit::needs_bounded_output);
        let injected_output = (endpoint.writes() && needs_bound && ask.requested_output.is_none())
            .then_some(grant.default_max_output_tokens);
        let per_choice = ask
            .requested_output
            .or(injected_output)
            .unwrap_or(grant.default_max_output_tokens);
        let is_silent = endpoint == Endpoint::Embeddings;
        let bound = if is_silent {
            0
        } else {
            per_choice.saturating_mul(ask.choices.max(1))
        };
        let usual = estimate::expected_output(ask.choices.max(1), seen, Some(Tokens(bound)));
        Self {
            input_expected: estimate::expected_input(ask.text_bytes, Tokens(ask.media_tokens)),
            input_bound: estimate::bound_input(
                ask.text_bytes,
                ask.messages,
                Tokens(ask.media_tokens),
            ),
            output_expected: usual,
            output_bound: Tokens(bound),
            injected_output,
        }
    }

    /// Returns what the call will probably use.
    #[must_use]
    pub fn expected(&self) -> Usage {
        Usage {
            input: self.input_expected,
            output: self.output_expected,
            ..Usage::default()
        }
    }

    /// Measures a call whose body streams through unread: by its bytes, when it says how many.
    #[must_use]
    pub fn of_unread(bytes: u64, grant: &Grant) -> Self {
        Self {
            input_expected: estimate::expected_input(bytes, Tokens(0)),
            input_bound: estimate::bound_input(bytes, 1, Tokens(0)),
            output_expected: estimate::USUAL_OUTPUT,
            output_bound: Tokens(grant.default_max_output_tokens),
            injected_output: None,
        }
    }
}

/// What a call asks of an offer.
#[derive(Clone, Copy, Debug)]
pub struct Demand<'a> {
    /// The model as the caller wrote it.
    pub model: &'a str,
    /// What must be done.
    pub abilities: Abilities,
    /// Whether the answer is streamed.
    pub is_stream: bool,
    /// What the caller set as the most to be written.
    pub requested_output: Option<Tokens>,
    /// It names an object that lives under somebody's own credential.
    pub needs_own_credential: bool,
    /// The language the caller speaks.
    pub dialect: Dialect,
}

impl<'a> Demand<'a> {
    /// Reads what a call asks for off its body.
    #[must_use]
    pub fn of(ask: &'a Ask, endpoint: Endpoint) -> Self {
        let mut abilities = ask.abilities.with(endpoint.ability());
        if ask.is_stream {
            abilities = abilities.with(Ability::Streaming);
        }
        Self {
            model: &ask.model,
            abilities,
            is_stream: ask.is_stream,
            requested_output: ask.requested_output.map(Tokens),
            needs_own_credential: ask.has_previous_response,
            dialect: endpoint.dialect(),
        }
    }
}

impl Snapshot {
    /// Puts together what a call needs of an offer.
    #[must_use]
    pub fn need<'a>(
        &'a self,
        grant: &'a Grant,
        resolved: &Resolved,
        demand: &Demand<'_>,
        size: &Size,
        id: RequestId,
    ) -> Need<'a> {
        let caller = routing::Caller {
            organization: grant.organization_id,
            group: grant.group_id,
            key: Some(grant.api_key_id),
            alias: resolved.alias(),
        };
        Need {
            abilities: demand.abilities,
            is_stream: demand.is_stream,
            input_expected: size.input_expected,
            input_bound: size.input_bound,
            output_expected: size.output_expected,
            output_bound: size.output_bound,
            requested_output: demand.requested_output,
            dialect: demand.dialect,
            organization: grant.organization_id,
            allows_training: grant.allows_training,
            allowed_models: grant.allowed_models.as_deref(),
            is_free_only: false,
            routes: self.preferences.routes(grant.organization_id),
            strategy: self.preferences.strategy(&caller),
            seed: seed_of(id),
            is_rehearsal: false,
        }
    }
}

/// Leaves only what goes out with the organization's own credential: what is stored under another's is not its own.
pub fn keep_own(plan: &mut Plan, organization: OrganizationId) {
    let is_own = |candidate: &Candidate| {
        let credential = candidate.credential.as_ref().map(Arc::as_ref);
        credential.is_some_and(|credential| credential.organization_id == Some(organization))
    };
    plan.candidates.retain(is_own);
}

/// What lots of a call are drawn by.
fn seed_of(id: RequestId) -> u64 {
    let (high, low) = id.uuid().as_u64_pair();
    high ^ low
}
