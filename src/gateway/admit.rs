//! Plan to admission: one script holds every limit of the call and says which candidate goes first.
//!
//! When Redis cannot answer, a call that has limits is refused as our fault (503), never as the caller's.

use std::{borrow::Cow, time::Duration};

use super::{authenticate::Caller, exchange::Exchange, refuse::Refusal, route::Size};
use crate::{
    base::{CredentialId, Moment, NanoUsd, Tokens},
    catalog::{Allowance, AllowanceMeter, AllowanceWindow},
    quota::{
        Actual, Adjusted, Ask, Bid, Charge, Decision, Enforcement, Hold, Ledger, Limit, Meter,
        Mode, Standing, Subject, Window,
    },
    routing::{Candidate, Plan},
};

/// A call that may go upstream.
#[derive(Debug)]
pub(super) struct Admission<'a> {
    /// Which of the caller's limits hold for it.
    pub(super) limits: Cow<'a, [Limit]>,
    pub(super) hold: Hold,
    /// Which of the plan's candidates goes first.
    pub(super) candidate: usize,
    /// What the plan's candidates would each take, for moving on.
    pub(super) bids: Vec<Bid>,
    /// What is left of each of the limits, in their order.
    pub(super) standings: Vec<Standing>,
}

/// A call that may not go upstream.
#[derive(Debug)]
pub(super) struct NotAdmitted {
    pub(super) refusal: Refusal,
    pub(super) left: Left,
}

/// What is left of the limits a call was held to.
#[derive(Debug, Default)]
pub(super) struct Left {
    pub(super) limits: Vec<Limit>,
    /// In the order of the limits; empty where nobody knows.
    pub(super) standings: Vec<Standing>,
}

impl From<Refusal> for NotAdmitted {
    fn from(refusal: Refusal) -> Self {
        Self {
            refusal,
            left: Left::default(),
        }
    }
}

/// Holds what the call may use.
pub(super) async fn admit<'a>(
    ledger: &Ledger,
    exchange: &Exchange,
    caller: &'a Caller,
    plan: &Plan,
    size: &Size,
) -> Result<Admission<'a>, NotAdmitted> {
    let mut applying = applying(&caller.grant.limits, plan);
    if let Some(once) = &exchange.once {
        applying.to_mut().push(once.clone());
    }
    let limits = &*applying;
    let bids: Vec<Bid> = plan
        .candidates
        .iter()
        .map(|candidate| bid(candidate, limits, size))
        .collect();
    let organization = caller.grant.organization_id;
    let id = exchange.id;
    let ask = Ask {
        id,
        organization,
        limits,
        bids: &bids,
        now: exchange.began,
    };
    let decision = ledger.admit(ask).await.map_err(|unavailable| {
        // The ledger has said it once; a line for each call would flood the log of an outage.
        tracing::debug!(error = %unavailable, exchange.id = %id, "limits cannot be checked");
        NotAdmitted::from(Refusal::QuotaUnavailable)
    })?;
    let (refusal, standings) = match decision {
        Decision::Held {
            hold,
            bid,
            standings,
        } => {
            return Ok(Admission {
                limits: applying,
                hold,
                candidate: bid,
                bids,
                standings,
            });
        }
        Decision::Denied {
            limit,
            wait,
            standings,
        } => (
            denied(limits.get(limit), exchange.once.as_ref(), wait),
            standings,
        ),
        Decision::Full { wait } => {
            let model = requested_model(plan);
            (Refusal::ProvidersLimited { model, wait }, Vec::new())
        }
        Decision::TooLarge { limit } => (too_large(limits.get(limit)), Vec::new()),
    };
    Err(NotAdmitted {
        refusal,
        left: Left {
            limits: limits.to_vec(),
            standings,
        },
    })
}

/// Returns the limits that hold for a plan: a key's limit of one model, when that model may answer.
fn applying<'a>(limits: &'a [Limit], plan: &Plan) -> Cow<'a, [Limit]> {
    let applies = |limit: &Limit| {
        let Subject::KeyModel(_, model) = limit.subject else {
            return true;
        };
        let mut candidates = plan.candidates.iter();
        candidates.any(|candidate| candidate.offer.model.id == model)
    };
    if limits.iter().all(applies) {
        return Cow::Borrowed(limits);
    }
    Cow::Owned(
        limits
            .iter()
            .filter(|limit| applies(limit))
            .cloned()
            .collect(),
    )
}

/// Moves a hold to the first of `bids` that fits and returns its place.
pub(super) async fn move_on(
    ledger: &Ledger,
    hold: &mut Hold,
    limits: &[Limit],
    spent: &Actual,
    bids: &[Bid],
    now: Moment,
) -> Result<usize, Refusal> {
    match ledger.adjust(hold, limits, spent, bids, now).await {
        Ok(Adjusted::Held { bid }) => Ok(bid),
        Ok(Adjusted::Denied { limit, wait }) => Err(reached(limits.get(limit), wait)),
        Ok(Adjusted::Full { wait }) => Err(Refusal::ProvidersLimited {
            model: String::new(),
            wait,
        }),
        Err(_) => Err(Refusal::QuotaUnavailable),
    }
}

fn requested_model(plan: &Plan) -> String {
    plan.candidates
        .first()
        .map(|first| first.offer.model.name.clone())
        .unwrap_or_default()
}

fn denied(limit: Option<&Limit>, once: Option<&Limit>, wait: Duration) -> Refusal {
    match (limit, once) {
        (Some(limit), Some(once)) if limit.id == once.id => Refusal::Duplicate,
        (limit, _) => reached(limit, wait),
    }
}

fn reached(limit: Option<&Limit>, wait: Duration) -> Refusal {
    let (meter, amount) = limit.map_or((Meter::Requests, 0), |limit| (limit.meter, limit.amount));
    Refusal::LimitReached {
        meter,
        amount,
        wait,
    }
}

fn too_large(limit: Option<&Limit>) -> Refusal {
    let (meter, amount) =
        limit.map_or((Meter::TotalTokens, 0), |limit| (limit.meter, limit.amount));
    Refusal::RequestExceedsLimit {
        meter: super::refuse::meter_words(meter),
        amount,
    }
}

fn bid(candidate: &Candidate, limits: &[Limit], size: &Size) -> Bid {
    let used = |input: Tokens, output: Tokens, cost: NanoUsd| Actual {
        requests: 1,
        input: input.0,
        output: output.0,
        cost_nano_usd: cost.0,
    };
    let expected = used(
        size.input_expected,
        size.output_expected,
        candidate.expected_cost,
    );
    let bound = used(size.input_bound, size.output_bound, candidate.bound_cost);
    let credential = candidate
        .credential
        .as_ref()
        .map(|credential| credential.id);
    let charge = |allowance: &Allowance| {
        let limit = as_limit(allowance, credential, candidate);
        let amount = limit.hold(&expected, &bound);
        Charge { limit, amount }
    };
    Bid {
        tenant: limits
            .iter()
            .map(|limit| limit.hold(&expected, &bound))
            .collect(),
        own: candidate.offer.allowances.iter().map(charge).collect(),
    }
}

/// A provider's allowance, held like a tenant's hard limit.
fn as_limit(
    allowance: &Allowance,
    credential: Option<CredentialId>,
    candidate: &Candidate,
) -> Limit {
    let subject = match credential {
        Some(credential) if allowance.is_shared => Subject::Credential(credential),
        credential => Subject::CredentialOffer(credential, candidate.offer.id),
    };
    let meter = match allowance.meter {
        AllowanceMeter::Requests => Meter::Requests,
        AllowanceMeter::Tokens => Meter::TotalTokens,
    };
    let window = match allowance.window {
        AllowanceWindow::Minute => Window::Minute,
        AllowanceWindow::Hour => Window::Hour,
        AllowanceWindow::Day => Window::Day,
        AllowanceWindow::Month => Window::Month,
    };
    Limit {
        id: allowance.id.uuid(),
        subject,
        meter,
        window,
        amount: allowance.amount,
        enforcement: Enforcement::Hard,
        mode: Mode::Enforce,
        zone: allowance.zone,
    }
}
