//! What a failed attempt means: for the next offer, for the breaker, for the caller when none is left.

use std::time::Duration;

use chrono_tz::Tz;

use super::{admit::as_limit, refuse::Refusal, upstream::Failure};
use crate::{
    base::Moment,
    catalog::{Allowance, AllowanceMeter, AllowanceWindow, Offer},
    dialect::{
        allowance_headers::{Counted, Learned, Per},
        fault::{Kind, UpstreamFault},
    },
    quota::{self, Window},
    routing::{self, Candidate, Cool, Health},
};

/// How long a rate-limited offer rests when its provider does not say.
const LIMITED: Duration = Duration::from_secs(60);

/// How long a refused credential rests: somebody must look at it.
const UNAUTHORIZED: Duration = Duration::from_secs(3_600);

/// How long an offer whose model its provider does not know rests.
const MODEL_MISSING: Duration = Duration::from_secs(600);

impl Failure {
    /// The word for it in entries and metrics.
    pub(super) fn outcome(&self) -> &'static str {
        match self {
            Self::Forbidden => "forbidden_address",
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Broken => "broken",
            Self::Garbage => "garbage",
            Self::Status { status, .. } => match status {
                300..=399 => "redirect",
                401 | 403 => "unauthorized",
                402 => "unpaid",
                404 => "not_found",
                408 | 409 => "conflict",
                429 => "rate_limited",
                500..=599 => "server_error",
                _ => "refused",
            },
        }
    }

    /// The provider's status, when it gave one.
    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Says whether the provider may have read the request and charge for it.
    pub(super) fn may_be_billed(&self) -> bool {
        matches!(self, Self::Timeout | Self::Broken | Self::Garbage)
    }
}

/// Says whether another offer may answer instead.
pub(super) fn may_move_on(failure: &Failure, is_stream: bool) -> bool {
    match failure {
        Failure::Forbidden | Failure::Connect | Failure::Broken | Failure::Garbage => true,
        // A whole reply may be ten minutes of work that somebody is billed for.
        Failure::Timeout => is_stream,
        Failure::Status { fault, .. } if fault.kind == Kind::ContextLength => true,
        Failure::Status { status, .. } => {
            matches!(status, 300..=399 | 401..=404 | 408 | 409 | 429 | 500..=599)
        }
    }
}

/// Says whether `other` may do better where `failed` did not: nobody is asked again who must fail alike.
pub(super) fn may_follow(failed: &Candidate, failure: &Failure, other: &Candidate) -> bool {
    let id = |candidate: &Candidate| Some(candidate.credential.as_ref()?.id);
    let is_same_provider = failed.offer.provider.id == other.offer.provider.id;
    match failure {
        Failure::Forbidden | Failure::Connect => !is_same_provider,
        Failure::Status { fault, .. } if fault.kind == Kind::ContextLength => {
            failed.offer.context_window() < other.offer.context_window()
        }
        Failure::Status {
            status: 401..=403, ..
        } => !is_same_provider || id(failed) != id(other),
        Failure::Timeout | Failure::Broken | Failure::Garbage | Failure::Status { .. } => true,
    }
}

/// Lets everybody who would try next know.
pub(super) fn teach(health: &Health, candidate: &Candidate, failure: &Failure, now: Moment) {
    let offer = candidate.offer.id;
    let credential = candidate
        .credential
        .as_ref()
        .map(|credential| credential.id);
    let failed = |kind| health.failed(offer, credential, kind, now);
    match failure {
        Failure::Forbidden | Failure::Connect => failed(routing::Failure::Connect),
        Failure::Timeout => failed(routing::Failure::Timeout),
        Failure::Broken | Failure::Garbage => failed(routing::Failure::Broken),
        Failure::Status {
            status,
            fault,
            told,
        } => match status {
            429 if told.allowed.iter().any(|one| one.limit == Some(0)) => {
                // No allowance at all: asking again would be no retry.
                cool_credential(health, candidate, *status, now.plus(UNAUTHORIZED));
            }
            429 => {
                let named = exhausted(&candidate.offer, fault, told);
                let all_shared = |all: &[Allowance]| {
                    !all.is_empty() && all.iter().all(|allowance| allowance.is_shared)
                };
                let is_shared = match named {
                    Some(allowance) => allowance.is_shared,
                    None => all_shared(&candidate.offer.allowances),
                };
                let what = match credential {
                    Some(credential) if is_shared => Cool::CredentialLimit(credential),
                    credential => Cool::OfferCredential(offer, credential),
                };
                health.cool(what, limited_until(candidate, named, fault, now));
            }
            402 => {
                let mut allowances = candidate.offer.allowances.iter();
                let credits = allowances.find(|one| one.meter == AllowanceMeter::Credits);
                let reset = credits.and_then(|one| reset_of(one, candidate, now));
                let until = reset.unwrap_or(now.plus(UNAUTHORIZED));
                cool_credential(health, candidate, *status, until);
            }
            401 | 403 => cool_credential(health, candidate, *status, now.plus(UNAUTHORIZED)),
            404 if fault.kind == Kind::ModelMissing => {
                health.cool(Cool::Offer(offer), now.plus(MODEL_MISSING));
            }
            300..=399 | 500..=599 => failed(routing::Failure::Server),
            _ => {}
        },
    }
}

/// Leaves a credential alone that is refused, has no money, or has no allowance.
fn cool_credential(health: &Health, candidate: &Candidate, status: u16, until: Moment) {
    let what = match &candidate.credential {
        Some(credential) => Cool::Credential(credential.id),
        // A key that is given later is another matter.
        None => Cool::OfferCredential(candidate.offer.id, None),
    };
    let provider = &candidate.offer.provider.name;
    tracing::warn!(provider, status, "a provider refuses our credential");
    health.cool(what, until);
}

/// Finds the allowance a 429 says is used up: its body's word counts more than its headers'.
pub(super) fn exhausted<'a>(
    offer: &'a Offer,
    fault: &UpstreamFault,
    told: &Learned,
) -> Option<&'a Allowance> {
    let named = |per: Per, counted: Option<Counted>| {
        offer.allowances.iter().find(|allowance| {
            per_of(allowance.window) == per
                && counted.is_none_or(|counted| counted_by(allowance.meter) == Some(counted))
        })
    };
    if let Some(per) = fault.cap.per {
        return named(per, fault.cap.counted);
    }
    let mut used_up = told.allowed.iter().filter(|one| one.remaining == Some(0));
    used_up.find_map(|one| named(one.per, Some(one.counted)))
}

/// The window of an allowance, as headers tell of it.
pub(super) const fn per_of(window: AllowanceWindow) -> Per {
    match window {
        AllowanceWindow::Minute => Per::Minute,
        AllowanceWindow::Hour => Per::Hour,
        AllowanceWindow::Day => Per::Day,
        AllowanceWindow::Month => Per::Month,
    }
}

/// What an allowance counts, as headers tell of it; they tell nothing of credits.
pub(super) const fn counted_by(meter: AllowanceMeter) -> Option<Counted> {
    match meter {
        AllowanceMeter::Requests => Some(Counted::Requests),
        AllowanceMeter::Tokens => Some(Counted::Tokens),
        AllowanceMeter::Credits => None,
    }
}

/// Returns until when what a 429 says is used up stays so.
fn limited_until(
    candidate: &Candidate,
    named: Option<&Allowance>,
    fault: &UpstreamFault,
    now: Moment,
) -> Moment {
    let told = fault.retry_after.map(|wait| now.plus(wait));
    let is_long =
        fault.kind == Kind::DailyCap || matches!(fault.cap.per, Some(Per::Day | Per::Month));
    if !is_long {
        return told.unwrap_or(now.plus(LIMITED));
    }
    // A provider whose day is over at midnight still tells callers to come again in half a minute.
    let reset = named.and_then(|allowance| reset_of(allowance, candidate, now));
    reset
        .or(told.filter(|_| named.is_some()))
        .unwrap_or_else(|| {
            let mut allowances = candidate.offer.allowances.iter();
            let day = allowances.find(|one| one.window == AllowanceWindow::Day);
            end_of_day(day.map_or(Tz::UTC, |one| one.zone), now)
        })
}

/// Returns when all of an allowance is back at once; nothing of one that comes back piece by piece.
fn reset_of(allowance: &Allowance, candidate: &Candidate, now: Moment) -> Option<Moment> {
    let key = candidate.credential.as_ref().map(|key| key.id);
    let limit = as_limit(allowance, key, candidate.offer.id);
    quota::now_of(&limit, now)?.1
}

/// Returns when the day is over in a zone.
fn end_of_day(zone: Tz, now: Moment) -> Moment {
    quota::window_end(Window::Day, zone, now)
}

/// Returns what the caller hears when the plan is spent; it names no internal host and no secret.
pub(super) fn refusal(failure: &Failure, model: &str) -> Refusal {
    let failed = |message: &str| Refusal::UpstreamFailed {
        message: message.to_owned(),
    };
    match failure {
        Failure::Forbidden | Failure::Connect => failed("no connection came about"),
        Failure::Broken => failed("it broke off before its first word"),
        Failure::Garbage => failed("what it sent is no answer"),
        Failure::Timeout => Refusal::UpstreamTimeout,
        Failure::Status { fault, .. } if fault.kind == Kind::ContextLength => {
            Refusal::ContextTooLong {
                message: fault.message.clone(),
            }
        }
        Failure::Status {
            status: 429, fault, ..
        } => Refusal::ProvidersLimited {
            model: model.to_owned(),
            wait: fault.retry_after.unwrap_or(LIMITED),
        },
        Failure::Status { status, fault, .. } => match status {
            400 | 405..=407 | 410..=428 | 430..=499 => Refusal::RefusedUpstream {
                status: *status,
                code: fault
                    .code
                    .clone()
                    .unwrap_or_else(|| "invalid_value".to_owned()),
                message: fault.message.clone(),
                param: fault.param.clone(),
            },
            _ => Refusal::UpstreamFailed {
                message: format!("it answered with status {status}"),
            },
        },
    }
}
