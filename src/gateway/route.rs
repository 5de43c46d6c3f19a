//! Caller and ask to plan: what the call needs, which models it may use, in which order they are tried.

use std::time::Duration;

use super::{authenticate::Caller, refuse::Refusal};
use crate::{
    base::{Moment, RequestId},
    routing::{self, Health, Plan, Unroutable},
    snapshot::{Demand, Size, Snapshot, keep_own},
};

/// Makes the plan of a call.
pub(super) fn route(
    view: &Snapshot,
    caller: &Caller,
    demand: &Demand<'_>,
    size: &Size,
    health: &Health,
    (id, now): (RequestId, Moment),
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
    let need = view.need(grant, &resolved, demand, size, id);
    let mut plan = routing::plan(&resolved, &need, health, now)
        .map_err(|unroutable| refused(&unroutable, model()))?;
    if demand.needs_own_credential {
        keep_own(&mut plan, grant.organization_id);
        if plan.candidates.is_empty() {
            return Err(Refusal::StoredObject);
        }
    }
    Ok(plan)
}

fn refused(unroutable: &Unroutable, model: String) -> Refusal {
    match unroutable {
        Unroutable::NotAllowed => Refusal::ModelDenied { model },
        Unroutable::NothingAble { param } => Refusal::NothingAble { model, param },
        Unroutable::ContextTooSmall => Refusal::ContextTooLong {
            message: format!("no offer of `{model}` has a context window that large"),
        },
        Unroutable::OutOfBounds { may_pass: false } => Refusal::OutOfBounds { model },
        Unroutable::OutOfBounds { may_pass: true } | Unroutable::NoPrice => Refusal::NoCapacity {
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
