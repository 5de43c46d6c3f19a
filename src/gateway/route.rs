//! Caller and ask to plan: what the call needs, which models it may use, in which order they are tried.

use std::time::Duration;

use super::{authenticate::Caller, refuse::Refusal};
use crate::{
    base::{Moment, OrganizationId, Tokens, Usage},
    catalog::{Abilities, Ability, Dialect},
    dialect::{Ask, Endpoint},
    keys::Grant,
    quota::{Limit, estimate},
    routing::{self, Candidate, Health, Need, Plan, Unroutable},
    snapshot::Snapshot,
};

/// How much a call may read and write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) input_expected: Tokens,
    pub(super) input_bound: Tokens,
    pub(super) output_expected: Tokens,
    pub(super) output_bound: Tokens,
    /// What must be written into the body so that the bound holds.
    pub(super) injected_output: Option<u64>,
}

impl Size {
    /// Measures a call; a caller that sets no output limit is given one when a hard limit depends on it.
    ///
    /// `seen` is what 95 of 100 of the key's answers stayed under, when known.
    pub(super) fn of(ask: &Ask, endpoint: Endpoint, grant: &Grant, seen: Option<Tokens>) -> Self {
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
    pub(super) fn expected(&self) -> Usage {
        Usage {
            input: self.input_expected,
            output: self.output_expected,
            ..Usage::default()
        }
    }

    /// Measures a call whose body streams through unread: by its bytes, when it says how many.
    pub(super) fn of_unread(bytes: u64, grant: &Grant) -> Self {
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
pub(super) struct Demand<'a> {
    /// The model as the caller wrote it.
    pub(super) model: &'a str,
    pub(super) abilities: Abilities,
    pub(super) is_stream: bool,
    pub(super) requested_output: Option<Tokens>,
    /// It names an object that lives under somebody's own credential.
    pub(super) needs_own_credential: bool,
    pub(super) dialect: Dialect,
}

impl<'a> Demand<'a> {
    pub(super) fn of(ask: &'a Ask, endpoint: Endpoint) -> Self {
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

/// Makes the plan of a call.
pub(super) fn route(
    view: &Snapshot,
    caller: &Caller,
    demand: &Demand<'_>,
    size: &Size,
    health: &Health,
    now: Moment,
) -> Result<Plan, Refusal> {
    let grant = &caller.grant;
    let model = || demand.model.to_owned();
    let resolved = view
        .catalog
        .resolve(grant.organization_id, demand.model)
        .map_err(|unknown| Refusal::UnknownModel {
            model: model(),
            closest: unknown.closest,
        })?;
    let need = Need {
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
        routes: view.preferences.routes(grant.organization_id),
        is_rehearsal: false,
    };
    let mut plan = routing::plan(&resolved, &need, health, now)
        .map_err(|unroutable| refused(&unroutable, model()))?;
    if demand.needs_own_credential {
        plan.candidates
            .retain(|candidate| is_own(candidate, grant.organization_id));
        if plan.candidates.is_empty() {
            return Err(Refusal::StoredObject);
        }
    }
    Ok(plan)
}

/// Says whether a stored object made under the candidate's credential is this organization's alone.
fn is_own(candidate: &Candidate, organization: OrganizationId) -> bool {
    let credential = candidate.credential.as_ref();
    credential.is_some_and(|credential| credential.organization_id == Some(organization))
}

fn refused(unroutable: &Unroutable, model: String) -> Refusal {
    match unroutable {
        Unroutable::NotAllowed => Refusal::ModelDenied { model },
        Unroutable::NothingAble { param } => Refusal::NothingAble { model, param },
        Unroutable::ContextTooSmall => Refusal::ContextTooLong {
            message: format!("no offer of `{model}` has a context window that large"),
        },
        Unroutable::NoPrice => Refusal::NoCapacity {
            model,
            wait: Duration::from_secs(60),
        },
        Unroutable::AllLimited { retry_after } => Refusal::ProvidersLimited {
            model,
            wait: *retry_after,
        },
        Unroutable::AllCooling { retry_after } => Refusal::NoCapacity {
            model,
            wait: *retry_after,
        },
    }
}
