//! Plan to admission: one script holds every limit of the call and says which candidate goes first.
//!
//! When Redis cannot answer, a call that has limits is refused as our fault (503), never as the caller's.

use std::{borrow::Cow, time::Duration};

use super::{authenticate::Caller, exchange::Exchange, refuse::Refusal, settle::price_of};
use crate::{
    base::{CredentialId, Moment, NanoUsd, OfferId, OrganizationId, Tokens, Usage},
    catalog::{Allowance, AllowanceMeter, AllowanceWindow},
    keys::Grant,
    quota::{
        Actual, Adjusted, Ask, Bid, Charge, Decision, Enforcement, Hold, Ledger, Limit, Meter,
        Mode, Policy, Remark, Standing, Subject, Window,
    },
    routing::{Candidate, Plan},
    snapshot::Size,
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
    /// What the caller should know of how it was let in.
    pub(super) remark: Option<Remark>,
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
    let grant = &caller.grant;
    let mut applying = applying(&grant.limits, plan);
    if let Some(once) = &exchange.once {
        applying.to_mut().push(once.clone());
    }
    let limits = &*applying;
    let bids = bids(plan, limits, grant, size);
    let id = exchange.id;
    let ask = Ask {
        id,
        organization: grant.organization_id,
        limits,
        bids: &bids,
        now: exchange.began,
        policy: policy(grant),
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
            remark,
        } => {
            return Ok(Admission {
                limits: applying,
                hold,
                candidate: bid,
                bids,
                standings,
                remark,
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

/// Returns what each of the plan's candidates would take.
fn bids(plan: &Plan, limits: &[Limit], grant: &Grant, size: &Size) -> Vec<Bid> {
    let candidates = plan.candidates.iter();
    let bid = |candidate| {
        let asked = Asked {
            candidate,
            limits,
            all: &grant.limits,
            organization: grant.organization_id,
        };
        asked.bid(&Cost::of(candidate, size), size)
    };
    candidates.map(bid).collect()
}

fn policy(grant: &Grant) -> Policy {
    Policy {
        is_enforced: grant.limits_enforced,
        shares_when_away: grant.shares_when_away,
    }
}

/// Returns the limits that hold for a plan whichever candidate answers: a key's limit of one model, when that model
/// may; those of providers' keys are their candidates' own.
fn applying<'a>(limits: &'a [Limit], plan: &Plan) -> Cow<'a, [Limit]> {
    let applies = |limit: &Limit| match limit.subject {
        Subject::KeyModel(_, model) => {
            let mut candidates = plan.candidates.iter();
            candidates.any(|candidate| candidate.offer.model.id == model)
        }
        Subject::Credential(_) => false,
        _ => true,
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

/// What a call costs at one candidate.
struct Cost {
    expected: NanoUsd,
    bound: NanoUsd,
    /// By the provider's own price, whoever pays.
    list: NanoUsd,
}

impl Cost {
    fn of(candidate: &Candidate, size: &Size) -> Self {
        Self {
            expected: candidate.expected_cost,
            bound: candidate.bound_cost,
            list: list_bound(candidate, size.input_bound, size),
        }
    }

    /// What it costs once the candidate said what it read.
    fn after_reading(candidate: &Candidate, told: &Usage, size: &Size) -> Self {
        let price = price_of(&candidate.offer);
        let with = |output: Tokens| Usage {
            output,
            reasoning: Tokens(0),
            ..*told
        };
        Self {
            expected: price.of(&with(size.output_expected)),
            bound: price.of(&with(Tokens(0))) + price.bound(Tokens(0), size.output_bound),
            list: list_bound(candidate, told.input, size),
        }
    }
}

/// Returns the most a call comes to by the provider's own price.
fn list_bound(candidate: &Candidate, input: Tokens, size: &Size) -> NanoUsd {
    let price = candidate.offer.price.as_ref();
    price.map_or(NanoUsd::ZERO, |price| price.bound(input, size.output_bound))
}

/// What part of what is left of a limit must come free, for a hold to be made smaller before its call ends.
const WORTH: u64 = 16;

/// A call under way: what it was admitted to, and what of it was held.
pub(super) struct Underway<'a> {
    pub(super) candidate: &'a Candidate,
    pub(super) limits: &'a [Limit],
    /// The limits of the grant, those of providers' keys among them.
    pub(super) all: &'a [Limit],
    pub(super) organization: OrganizationId,
    pub(super) standings: &'a [Standing],
    pub(super) held: &'a Bid,
    pub(super) size: &'a Size,
}

impl Underway<'_> {
    /// Returns what the call takes at most now that its candidate said what it read; nothing when it comes to little
    /// beside what is left.
    pub(super) fn after_reading(&self, told: &Usage) -> Option<Bid> {
        let size = Size {
            input_expected: told.input,
            input_bound: told.input,
            ..*self.size
        };
        let cost = Cost::after_reading(self.candidate, told, self.size);
        let asked = Asked {
            candidate: self.candidate,
            limits: self.limits,
            all: self.all,
            organization: self.organization,
        };
        let needed = asked.bid(&cost, &size);
        let freed = self.held.tenant.iter().zip(&needed.tenant);
        let mut lines = self.limits.iter().zip(self.standings).zip(freed);
        let is_worth_it = lines.any(|((limit, standing), (held, needed))| {
            let freed = held.saturating_sub(*needed);
            limit.mode == Mode::Enforce && 0 < freed && standing.remaining / WORTH <= freed
        });
        let is_smaller = needed
            .tenant
            .iter()
            .zip(&self.held.tenant)
            .all(|(new, old)| new <= old);
        (is_worth_it && is_smaller).then_some(needed)
    }
}

/// What a candidate is asked to take on, and by whom.
struct Asked<'a> {
    candidate: &'a Candidate,
    limits: &'a [Limit],
    /// The limits of the grant, those of providers' keys among them.
    all: &'a [Limit],
    organization: OrganizationId,
}

impl Asked<'_> {
    /// Returns what the candidate would take of the limits, and of its own: its allowances, the organization's part of
    /// each that others draw on too, and those of `all` that are its key's.
    fn bid(&self, cost: &Cost, size: &Size) -> Bid {
        let used = |input: Tokens, output: Tokens, paid: NanoUsd| Actual {
            requests: 1,
            input: input.0,
            output: output.0,
            cost_nano_usd: paid.0,
            list_nano_usd: cost.list.0,
        };
        let expected = used(size.input_expected, size.output_expected, cost.expected);
        let bound = used(size.input_bound, size.output_bound, cost.bound);
        let held = self
            .limits
            .iter()
            .map(|limit| limit.hold(&expected, &bound));
        Bid {
            tenant: held.collect(),
            own: own_charges(
                self.candidate,
                self.organization,
                self.all,
                &expected,
                &bound,
            ),
        }
    }
}

/// Returns what a candidate's own counts would be charged by a call of `organization`.
///
/// That is its allowances, the organization's part of each that others draw on too, and those of `all` limits that are
/// its key's.
#[must_use]
pub fn own_charges(
    candidate: &Candidate,
    organization: OrganizationId,
    all: &[Limit],
    expected: &Actual,
    bound: &Actual,
) -> Vec<Charge> {
    let key = candidate.credential.as_ref();
    let charge = |limit: Limit| Charge {
        amount: limit.hold(expected, bound),
        limit,
    };
    // Whoever brings a key of its own shares what it gives with nobody.
    let owner = key.map_or(candidate.offer.organization_id, |key| key.organization_id);
    let sharer = owner.is_none().then_some(organization);
    let allowances = candidate.offer.allowances.iter();
    let allowances = allowances.flat_map(|allowance| {
        let whole = as_limit(allowance, key.map(|key| key.id), candidate.offer.id);
        let part = sharer.and_then(|sharer| whole.share_of(sharer));
        [Some(whole), part].into_iter().flatten()
    });
    let is_of_key = |limit: &&Limit| match limit.subject {
        Subject::Credential(id) => key.is_some_and(|key| key.id == id),
        _ => false,
    };
    let of_key = all.iter().filter(is_of_key).cloned();
    allowances.chain(of_key).map(charge).collect()
}

/// A provider's allowance, held like a tenant's hard limit.
pub(super) fn as_limit(
    allowance: &Allowance,
    credential: Option<CredentialId>,
    offer: OfferId,
) -> Limit {
    let subject = match credential {
        Some(credential) if allowance.is_shared => Subject::Credential(credential),
        credential => Subject::CredentialOffer(credential, offer),
    };
    Limit {
        id: allowance.id.uuid(),
        subject,
        meter: match allowance.meter {
            AllowanceMeter::Requests => Meter::Requests,
            AllowanceMeter::Tokens => Meter::TotalTokens,
            AllowanceMeter::Credits => Meter::Credits,
        },
        window: match (allowance.window, allowance.is_rolling) {
            (AllowanceWindow::Minute, _) => Window::Minute,
            (AllowanceWindow::Hour, _) => Window::Hour,
            (AllowanceWindow::Day, false) => Window::Day,
            (AllowanceWindow::Day, true) => Window::RollingDay,
            (AllowanceWindow::Month, false) => Window::Month,
            (AllowanceWindow::Month, true) => Window::RollingMonth,
        },
        amount: allowance.amount,
        enforcement: Enforcement::Hard,
        mode: Mode::Enforce,
        zone: allowance.zone,
    }
}
