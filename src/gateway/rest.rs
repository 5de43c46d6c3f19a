//! What rests after a provider said "not now" or "not you": exactly what was limited, for as long as it is.

use std::time::Duration;

use chrono_tz::Tz;

use super::admit::as_limit;
use crate::{
    base::Moment,
    catalog::{Allowance, AllowanceMeter, AllowanceWindow, Offer},
    dialect::{
        allowance_headers::{Counted, Learned, Per},
        fault::{Kind, UpstreamFault},
    },
    quota::{self, Window},
    routing::{Candidate, Cool, Health, Refusal},
};

/// How long a rate-limited offer rests when its provider does not say.
pub(super) const LIMITED: Duration = Duration::from_secs(60);

/// How long a refused credential rests: somebody must look at it.
const UNAUTHORIZED: Duration = Duration::from_secs(3_600);

/// Lets what a 401, 402, 403 or 429 speaks of rest.
pub fn limited(
    health: &Health,
    candidate: &Candidate,
    status: u16,
    fault: &UpstreamFault,
    told: &Learned,
    now: Moment,
) {
    let later = now.plus(UNAUTHORIZED);
    let key = candidate.credential.as_ref().map(|key| key.id);
    let refusal = match status {
        429 => Refusal::Limited,
        _ => Refusal::Credential,
    };
    health.refused(candidate.offer.id, key, refusal);
    match status {
        // No allowance at all: asking again would be no retry.
        429 if told.allowed.iter().any(|one| one.limit == Some(0)) => {
            cool_credential(health, candidate, status, later);
        }
        429 => {
            let named = exhausted(&candidate.offer, fault, told);
            let what = what_is_limited(candidate, named);
            health.cool(what, limited_until(candidate, named, fault, now));
        }
        402 => {
            let mut allowances = candidate.offer.allowances.iter();
            let credits = allowances.find(|one| one.meter == AllowanceMeter::Credits);
            let reset = credits.and_then(|one| reset_of(one, candidate, now));
            cool_credential(health, candidate, status, reset.unwrap_or(later));
        }
        _ => cool_credential(health, candidate, status, later),
    }
}

/// Returns whose count is used up: the account's where all its offers share it, else this offer's with this key.
fn what_is_limited(candidate: &Candidate, named: Option<&Allowance>) -> Cool {
    let all = &candidate.offer.allowances;
    let is_shared = match named {
        Some(allowance) => allowance.is_shared,
        None => !all.is_empty() && all.iter().all(|allowance| allowance.is_shared),
    };
    match candidate.credential.as_ref().map(|key| key.id) {
        Some(credential) if is_shared => Cool::CredentialLimit(credential),
        credential => Cool::OfferCredential(candidate.offer.id, credential),
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        base::{AllowanceId, NanoUsd},
        catalog::sample,
        dialect::fault,
        routing::{Availability, Settings, miser::Rank},
    };

    /// Noon of a day in June, UTC.
    const NOON: Moment = Moment::from_millis(1_780_315_200_000);

    fn candidate(allowances: Vec<Allowance>) -> Candidate {
        let model = sample::model("m");
        let key = sample::credential(1, None);
        let offer = Offer {
            allowances,
            ..sample::free(sample::provider("p"), &model)
        };
        Candidate {
            rank: Rank {
                is_elsewhere: false,
                score: 0,
                is_doubtful: false,
                is_paid: false,
                link: 0,
                cost: NanoUsd::ZERO,
                latency_ms: 0,
                preference: 0,
                offer: offer.id,
                credential: 0,
            },
            offer: Arc::new(offer),
            credential: Some(key),
            expected_cost: NanoUsd::ZERO,
            bound_cost: NanoUsd::ZERO,
            why: "free",
        }
    }

    fn allowance(window: AllowanceWindow, is_shared: bool, is_rolling: bool) -> Allowance {
        Allowance {
            id: AllowanceId::new(NOON),
            meter: AllowanceMeter::Requests,
            amount: 100,
            window,
            zone: Tz::America__Los_Angeles,
            is_shared,
            is_rolling,
        }
    }

    /// For how many seconds the offer rests, and whether another offer of the key does.
    fn rest(
        candidate: &Candidate,
        status: u16,
        body: &str,
        headers: &[(&str, &str)],
    ) -> (u64, bool) {
        let health = Health::new(Settings::default());
        let told =
            crate::dialect::allowance_headers::read("suffix-window", headers.iter().copied(), NOON);
        let mut fault = fault::upstream(status, body.as_bytes());
        fault.retry_after = told.retry_after.or(fault.retry_after);
        limited(&health, candidate, status, &fault, &told, NOON);
        let key = candidate.credential.as_ref().map(|key| key.id);
        let until = match health.availability(candidate.offer.id, key, NOON) {
            Availability::Limited(until) | Availability::Cooling(until) => until,
            other => panic!("{other:?}"),
        };
        let other = crate::base::OfferId(uuid::Uuid::from_u128(99));
        (
            until.since(NOON).as_secs(),
            health.is_open(other, key, NOON),
        )
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "one table")]
    fn exactly_what_was_limited_rests_for_exactly_as_long() {
        const DAILY: &str =
            r#"{"error":{"message":"Rate limit reached on requests per day (RPD)"}}"#;
        const PLAIN: &str = r#"{"error":{"message":"slow down"}}"#;
        let minute = || allowance(AllowanceWindow::Minute, false, false);
        let day = |is_shared, is_rolling| allowance(AllowanceWindow::Day, is_shared, is_rolling);
        // Noon UTC in June is five in the morning in Los Angeles.
        let to_midnight = 19 * 3_600;
        for (allowances, status, body, headers, expected) in [
            (vec![], 429, PLAIN, &[][..], (60, false)),
            (vec![], 429, PLAIN, &[("retry-after", "7")][..], (7, false)),
            (
                vec![minute()],
                429,
                PLAIN,
                &[("retry-after", "7")],
                (7, false),
            ),
            (
                vec![minute(), day(true, false)],
                429,
                DAILY,
                &[("retry-after", "7")],
                (to_midnight, true),
            ),
            (
                vec![day(false, false)],
                429,
                DAILY,
                &[],
                (to_midnight, false),
            ),
            (
                vec![day(false, true)],
                429,
                DAILY,
                &[("retry-after", "900")],
                (900, false),
            ),
            // Nobody knows its zone.
            (
                vec![],
                429,
                DAILY,
                &[("retry-after", "34")],
                (12 * 3_600, false),
            ),
            (
                vec![day(true, false)],
                429,
                PLAIN,
                &[("retry-after", "9")],
                (9, true),
            ),
            (
                vec![],
                429,
                PLAIN,
                &[("x-ratelimit-limit-requests-minute", "0")],
                (3_600, true),
            ),
            (vec![], 401, PLAIN, &[], (3_600, true)),
            (vec![], 402, PLAIN, &[], (3_600, true)),
        ] {
            let said = rest(&candidate(allowances), status, body, headers);
            assert_eq!(said, expected, "{status} {body} {headers:?}");
        }
    }

    #[test]
    fn spent_credits_rest_until_they_come_back() {
        let credits = Allowance {
            meter: AllowanceMeter::Credits,
            zone: Tz::UTC,
            ..allowance(AllowanceWindow::Month, true, false)
        };
        let (seconds, _) = rest(&candidate(vec![credits]), 402, "{}", &[]);
        // The first of June at noon.
        assert_eq!(seconds, 30 * 86_400 - 12 * 3_600);
    }
}
