//! Plan to admission: one script holds every limit of the call and says which candidate goes first.
//!
//! When Redis cannot answer, a call that has limits is refused as our fault (503), never as the caller's.

use std::time::Duration;

use super::{authenticate::Caller, refuse::Refusal, route::Size};
use crate::{
    base::{CredentialId, Moment, RequestId},
    catalog::{Allowance, AllowanceMeter, AllowanceWindow},
    quota::{
        Actual, Adjusted, Ask, Bid, Charge, Decision, Enforcement, Hold, Ledger, Limit, Meter,
        Mode, Standing, Subject, Window,
    },
    routing::{Candidate, Plan},
};

/// A call that may go upstream.
#[derive(Debug)]
pub(super) struct Admission {
    pub(super) hold: Hold,
    /// Which of the plan's candidates goes first.
    pub(super) candidate: usize,
    /// What the plan's candidates would each take, for moving on.
    pub(super) bids: Vec<Bid>,
    /// What is left of each of the caller's limits, in their order.
    pub(super) standings: Vec<Standing>,
}

/// Holds what the call may use.
pub(super) async fn admit(
    ledger: &Ledger,
    id: RequestId,
    caller: &Caller,
    plan: &Plan,
    size: &Size,
    now: Moment,
) -> Result<Admission, Refusal> {
    let limits = caller.grant.limits.as_slice();
    let bids: Vec<Bid> = plan
        .candidates
        .iter()
        .map(|candidate| bid(candidate, limits, size))
        .collect();
    let organization = caller.grant.organization_id;
    let ask = Ask {
        id,
        organization,
        limits,
        bids: &bids,
        now,
    };
    let decision = ledger.admit(ask).await.map_err(|unavailable| {
        tracing::warn!(error = %unavailable, exchange.id = %id, "limits cannot be checked");
        Refusal::QuotaUnavailable
    })?;
    match decision {
        Decision::Held {
            hold,
            bid,
            standings,
        } => Ok(Admission {
            hold,
            candidate: bid,
            bids,
            standings,
        }),
        Decision::Denied { limit, wait, .. } => Err(reached(limits.get(limit), wait)),
        Decision::Full { wait } => Err(Refusal::ProvidersLimited {
            model: requested_model(plan),
            wait,
        }),
        Decision::TooLarge { limit } => Err(too_large(limits.get(limit))),
    }
}

/// Moves a hold to the first of `bids` that fits and returns its place.
pub(super) async fn move_on(
    ledger: &Ledger,
    hold: &mut Hold,
    spent: &Actual,
    bids: &[Bid],
) -> Result<usize, Refusal> {
    match ledger.adjust(hold, spent, bids).await {
        Ok(Adjusted::Held { bid }) => Ok(bid),
        Ok(Adjusted::Denied { wait, .. }) => Err(reached(None, wait)),
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
    let tenant = limits
        .iter()
        .map(|limit| amount(limit, candidate, size))
        .collect();
    let credential = candidate
        .credential
        .as_ref()
        .map(|credential| credential.id);
    let own = candidate
        .offer
        .allowances
        .iter()
        .map(|allowance| {
            let limit = as_limit(allowance, credential, candidate);
            let amount = amount(&limit, candidate, size);
            Charge { limit, amount }
        })
        .collect();
    Bid { tenant, own }
}

/// Returns what a call takes of a limit: the most it can use when the limit is hard, else what it is expected to.
fn amount(limit: &Limit, candidate: &Candidate, size: &Size) -> u64 {
    let (input, output, cost) = match limit.enforcement {
        Enforcement::Hard => (size.input_bound, size.output_bound, candidate.bound_cost),
        Enforcement::Soft => (
            size.input_expected,
            size.output_expected,
            candidate.expected_cost,
        ),
    };
    match limit.meter {
        Meter::Requests | Meter::Concurrent => 1,
        Meter::InputTokens => input.0,
        Meter::OutputTokens => output.0,
        Meter::TotalTokens => (input + output).0,
        Meter::NanoUsd => cost.0,
    }
}

/// A provider's allowance, held like a tenant's limit.
///
/// Tokens are held as expected, not as bounded: a free tier's few thousand tokens a minute would otherwise admit
/// almost nothing; the provider's own refusal is what bounds it.
fn as_limit(
    allowance: &Allowance,
    credential: Option<CredentialId>,
    candidate: &Candidate,
) -> Limit {
    let subject = match credential {
        Some(credential) if allowance.is_shared => Subject::Credential(credential),
        credential => Subject::CredentialOffer(credential, candidate.offer.id),
    };
    let (meter, enforcement) = match allowance.meter {
        AllowanceMeter::Requests => (Meter::Requests, Enforcement::Hard),
        AllowanceMeter::Tokens => (Meter::TotalTokens, Enforcement::Soft),
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
        enforcement,
        mode: Mode::Enforce,
        zone: allowance.zone,
    }
}
