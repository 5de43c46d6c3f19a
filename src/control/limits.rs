//! What somebody is permitted: set, changed, and taken away.

use chrono_tz::Tz;
use serde_json::json;

use super::{
    note::note,
    settings::set as set_field,
    store::{self, KeptLimit, LimitFilter},
};
use crate::{
    audit::By,
    base::{ApiKeyId, LimitId, Moment, Paging},
    keys,
    quota::limit::{Enforcement, Meter, Mode, Subject, Window},
    store::{OrgTx, StoreError},
    tenancy::store::{groups, members},
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
    /// There is no such limit.
    #[error("there is no such limit")]
    NoLimit,
    /// There is one with the same subject, meter and window.
    #[error("there is a limit of the same subject, meter and window")]
    Exists,
    /// Somebody changed it since the caller read it.
    #[error("it was changed since it was read")]
    NotExpected,
    /// The books did not take it.
    #[error("the limit could not be written")]
    Store(#[from] StoreError),
}

/// Sets a limit of this transaction's organization. The same subject, meter and window again changes it.
///
/// # Errors
/// See [`LimitRefused`].
pub async fn set(tx: &mut OrgTx, new: NewLimit, by: By) -> Result<LimitId, LimitRefused> {
    let subject = judge(tx, &new)?;
    let written = store::upsert_limit(tx, LimitId::new(by.now), &subject, &new.terms).await;
    let id = meant(written)?;
    note(tx, by, "limit.set", ("limit", id.uuid()), told(&new)).await?;
    Ok(id)
}

/// Makes a limit of this transaction's organization. A key's hangs on the first of its lineage.
///
/// # Errors
/// [`LimitRefused::Exists`] when there is one with the same subject, meter and window; see there.
pub async fn create(tx: &mut OrgTx, new: NewLimit, by: By) -> Result<KeptLimit, LimitRefused> {
    let subject = settle(tx, new.subject).await?;
    let new = NewLimit { subject, ..new };
    let columns = judge(tx, &new)?;
    let id = LimitId::new(by.now);
    meant(store::insert_limit(tx, id, &columns, &new.terms).await)?;
    note(tx, by, "limit.create", ("limit", id.uuid()), told(&new)).await?;
    find(tx, id).await
}

fn judge(tx: &OrgTx, new: &NewLimit) -> Result<store::SubjectColumns, LimitRefused> {
    let is_instant = new.terms.window == Window::Instant;
    if is_instant != (new.terms.meter == Meter::Concurrent) {
        return Err(LimitRefused::WrongWindow);
    }
    if new.terms.amount > LARGEST {
        return Err(LimitRefused::TooLarge);
    }
    store::SubjectColumns::of(new.subject, tx.scope()).ok_or(LimitRefused::NoSubject)
}

/// Looks whether a subject is there: the books would also take one that was deleted.
async fn settle(tx: &mut OrgTx, subject: Subject) -> Result<Subject, LimitRefused> {
    let is_there = match subject {
        Subject::Group(id) => groups::find_group(tx, id).await?.is_some(),
        Subject::User(id) => members::find_member(tx, id).await?.is_some(),
        Subject::Key(id) => return Ok(Subject::Key(lineage(tx, id).await?)),
        Subject::KeyModel(id, model) => {
            return Ok(Subject::KeyModel(lineage(tx, id).await?, model));
        }
        Subject::Organization(_)
        | Subject::Credential(_)
        | Subject::CredentialOffer(..)
        | Subject::Share(..) => true,
    };
    if is_there {
        Ok(subject)
    } else {
        Err(LimitRefused::NoSubject)
    }
}

/// Returns the key that the limits of a key hang on.
///
/// # Errors
/// [`LimitRefused::NoSubject`].
pub async fn lineage(tx: &mut OrgTx, id: ApiKeyId) -> Result<ApiKeyId, LimitRefused> {
    let key = keys::store::find_key(tx, &id.to_string()).await?;
    Ok(key.ok_or(LimitRefused::NoSubject)?.lineage())
}

fn told(new: &NewLimit) -> serde_json::Value {
    json!({
        "subject": new.subject, "meter": new.terms.meter, "window": new.terms.window,
        "amount": new.terms.amount, "enforcement": new.terms.enforcement, "mode": new.terms.mode,
    })
}

/// Returns a limit.
///
/// # Errors
/// [`LimitRefused::NoLimit`].
pub async fn find(tx: &mut OrgTx, id: LimitId) -> Result<KeptLimit, LimitRefused> {
    let wanted = LimitFilter {
        id: Some(id),
        ..LimitFilter::default()
    };
    let found = store::find_limits(tx, wanted, Paging::default()).await?;
    found.rows.into_iter().next().ok_or(LimitRefused::NoLimit)
}

/// What shall be other; `None` stays as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct LimitChange {
    /// How much.
    pub amount: Option<u64>,
    /// Whether the true use may pass the amount.
    pub enforcement: Option<Enforcement>,
    /// Whether it refuses.
    pub mode: Option<Mode>,
    /// Where its day begins.
    pub zone: Option<Tz>,
}

/// Changes a limit and returns it; what was used of it stays used.
///
/// # Errors
/// See [`LimitRefused`].
pub async fn change(
    tx: &mut OrgTx,
    id: LimitId,
    change: LimitChange,
    expected: Option<Moment>,
    by: By,
) -> Result<KeptLimit, LimitRefused> {
    store::lock_limit(tx, id).await?;
    let mut kept = find(tx, id).await?;
    if expected.is_some_and(|expected| expected != kept.updated_at) {
        return Err(LimitRefused::NotExpected);
    }
    let limit = &mut kept.limit;
    let before = json!({
        "amount": limit.amount, "enforcement": limit.enforcement, "mode": limit.mode, "zone": limit.zone,
    });
    set_field(&mut limit.amount, change.amount);
    set_field(&mut limit.enforcement, change.enforcement);
    set_field(&mut limit.mode, change.mode);
    set_field(&mut limit.zone, change.zone);
    if limit.amount > LARGEST {
        return Err(LimitRefused::TooLarge);
    }
    let terms = Terms {
        meter: limit.meter,
        window: limit.window,
        amount: limit.amount,
        enforcement: limit.enforcement,
        mode: limit.mode,
        zone: limit.zone,
    };
    kept.updated_at = store::update_limit(tx, id, &terms).await?;
    let after = json!({
        "amount": terms.amount, "enforcement": terms.enforcement, "mode": terms.mode, "zone": terms.zone,
    });
    let details = json!({ "before": before, "after": after });
    note(tx, by, "limit.change", ("limit", id.uuid()), details).await?;
    Ok(kept)
}

/// Takes a limit of this transaction's organization away; says whether it was there.
///
/// # Errors
/// When the books do not answer.
pub async fn remove(tx: &mut OrgTx, id: LimitId, by: By) -> Result<bool, StoreError> {
    if !store::delete_limit(tx, id).await? {
        return Ok(false);
    }
    note(tx, by, "limit.remove", ("limit", id.uuid()), json!({})).await?;
    Ok(true)
}

/// Says what a refusal of the books means.
fn meant<T>(written: Result<T, StoreError>) -> Result<T, LimitRefused> {
    written.map_err(|error| {
        let StoreError::Constraint { name, .. } = &error else {
            return LimitRefused::Store(error);
        };
        match name.as_str() {
            "limits_group_fk"
            | "limits_user_fk"
            | "limits_api_key_fk"
            | "limits_model_fk"
            | "limits_credential_fk"
            | "limits_owner_ck" => LimitRefused::NoSubject,
            "limits_amount_ck" => LimitRefused::TooLarge,
            "limits_uq" => LimitRefused::Exists,
            _ => LimitRefused::Store(error),
        }
    })
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
