//! What somebody is permitted: set, and taken away.

use std::collections::HashSet;

use chrono_tz::Tz;
use serde_json::json;

use super::store;
use crate::{
    audit::{self, By, Event},
    base::LimitId,
    quota::limit::{Enforcement, Meter, Mode, Subject, Window},
    store::{OrgTx, StoreError, postgres::OnConstraint},
};

/// The most a limit can permit: beyond it the counters are not exact.
pub const LARGEST: u64 = (1 << 53) - 1;

/// How much of what, per which window, and how strictly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Terms {
    /// What is counted.
    pub meter: Meter,
    /// Over which time.
    pub window: Window,
    /// How much: calls, tokens or nano-dollars.
    pub amount: u64,
    /// Whether the true use may pass the amount.
    pub enforcement: Enforcement,
    /// Whether it refuses.
    pub mode: Mode,
    /// Where its day begins.
    pub zone: Tz,
}

impl Terms {
    /// Makes the usual terms: enforced, in UTC, strict but for tokens per minute or hour.
    #[must_use]
    pub fn usual(meter: Meter, window: Window, amount: u64) -> Self {
        let is_tokens = matches!(
            meter,
            Meter::InputTokens | Meter::OutputTokens | Meter::TotalTokens
        );
        let is_short = matches!(window, Window::Minute | Window::Hour);
        let enforcement = if is_tokens && is_short {
            Enforcement::Soft
        } else {
            Enforcement::Hard
        };
        Self {
            meter,
            window,
            amount,
            enforcement,
            mode: Mode::Enforce,
            zone: Tz::UTC,
        }
    }
}

/// A limit to be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NewLimit {
    /// Whose use it counts.
    pub subject: Subject,
    /// How much of what.
    pub terms: Terms,
}

/// Why a limit cannot be set.
#[derive(Debug, thiserror::Error)]
pub enum LimitRefused {
    /// The organization has no such group, member, key, model or credential.
    #[error("there is nobody here to limit by that id")]
    NoSubject,
    /// Calls in flight have no window, everything else has one.
    #[error("calls in flight are limited at an instant, everything else over a window")]
    WrongWindow,
    /// More than the counters can count.
    #[error("a limit is at most {LARGEST}")]
    TooLarge,
    /// The books did not take it.
    #[error("the limit could not be written")]
    Store(#[from] StoreError),
}

/// Sets a limit of this transaction's organization. The same subject, meter and window again changes it.
///
/// # Errors
/// See [`LimitRefused`].
pub async fn set(tx: &mut OrgTx, new: NewLimit, by: By) -> Result<LimitId, LimitRefused> {
    let is_instant = new.terms.window == Window::Instant;
    if is_instant != (new.terms.meter == Meter::Concurrent) {
        return Err(LimitRefused::WrongWindow);
    }
    if new.terms.amount > LARGEST {
        return Err(LimitRefused::TooLarge);
    }
    let subject =
        store::SubjectColumns::of(new.subject, tx.scope()).ok_or(LimitRefused::NoSubject)?;
    let written = store::upsert_limit(tx, LimitId::new(by.now), &subject, &new.terms).await;
    let id = no_subject(written)?;
    let event = Event {
        action: "limit.set",
        target_kind: "limit",
        target_id: Some(id.uuid()),
        details: json!({
            "subject": new.subject, "meter": new.terms.meter, "window": new.terms.window,
            "amount": new.terms.amount, "enforcement": new.terms.enforcement, "mode": new.terms.mode,
        }),
    };
    audit::store::record(tx, by, &event).await?;
    Ok(id)
}

/// Takes a limit of this transaction's organization away; says whether it was there.
///
/// # Errors
/// When the books do not answer.
pub async fn remove(tx: &mut OrgTx, id: LimitId, by: By) -> Result<bool, StoreError> {
    if !store::delete_limit(tx, id).await? {
        return Ok(false);
    }
    let event = Event {
        action: "limit.remove",
        target_kind: "limit",
        target_id: Some(id.uuid()),
        details: json!({}),
    };
    audit::store::record(tx, by, &event).await?;
    Ok(true)
}

fn no_subject(written: Result<LimitId, StoreError>) -> Result<LimitId, LimitRefused> {
    let subjects: HashSet<&str> = HashSet::from([
        "limits_group_fk",
        "limits_user_fk",
        "limits_api_key_fk",
        "limits_model_fk",
        "limits_credential_fk",
        "limits_owner_ck",
    ]);
    match written {
        Err(StoreError::Constraint { name, .. }) if subjects.contains(name.as_str()) => {
            Err(LimitRefused::NoSubject)
        }
        other => other.on_constraint("limits_amount_ck", || LimitRefused::TooLarge),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_per_minute_may_be_passed_a_little_and_nothing_else() {
        for (meter, window, enforcement) in [
            (Meter::TotalTokens, Window::Minute, Enforcement::Soft),
            (Meter::TotalTokens, Window::Day, Enforcement::Hard),
            (Meter::Requests, Window::Minute, Enforcement::Hard),
            (Meter::NanoUsd, Window::Month, Enforcement::Hard),
            (Meter::Concurrent, Window::Instant, Enforcement::Hard),
        ] {
            assert_eq!(Terms::usual(meter, window, 1).enforcement, enforcement);
        }
    }
}
