//! What a failed attempt means: for the next offer, for the breaker, for the caller when none is left.

use std::time::Duration;

use super::{
    refuse::Refusal,
    rest::{self, LIMITED},
    upstream::Failure,
};
use crate::{
    base::Moment,
    dialect::fault::Kind,
    routing::{self, Candidate, Cool, Health},
};

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
            401..=403 | 429 => rest::limited(health, candidate, *status, fault, told, now),
            404 if fault.kind == Kind::ModelMissing => {
                health.refused(offer, credential, routing::Refusal::Missing);
                health.cool(Cool::Offer(offer), now.plus(MODEL_MISSING));
            }
            300..=399 | 500..=599 => failed(routing::Failure::Server),
            _ => {}
        },
    }
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
