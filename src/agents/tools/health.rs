//! Looks at providers without cost, reads what callers saw, and writes how offers stand and until when they rest.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream};
use serde_json::json;

use super::{alert, provider::Door};
use crate::{
    agents::{
        Fault, Mode, Waking,
        health::{
            Tally,
            judge::{self, Look, State, Verdict, is_told, judge},
            seen::{Lately, Seen},
            store::{self as books, Before, Check},
        },
        store,
    },
    alerts::{Alert, Severity},
    base::OfferId,
    catalog::probe::{Finding, Outcome, probe},
    egress::Guard,
    realtime::{Event, outbox},
    store::{Conn, StoreError, Whose},
    tenancy::Permission,
};

/// How far back callers' experience counts.
pub const LATELY: Duration = Duration::from_secs(10 * 60);
/// How many providers are looked at side by side.
const AT_ONCE: usize = 8;

/// A look at a provider under one key.
#[derive(Clone, Debug)]
pub struct Probed {
    finding: Finding,
    took_ms: u32,
}

/// Reads what callers saw lately of every offer, and whether some were told that a model is not there.
///
/// # Errors
/// When it is not permitted, or the books do not answer.
pub async fn lately(waking: &Waking) -> Result<(BTreeMap<OfferId, Lately>, bool), Fault> {
    waking.permit(Permission::UsageRead)?;
    let mut tx = waking.postgres.begin().await?;
    let window = (waking.now.minus(LATELY), waking.now);
    let lines = store::tries_of_offers(&mut tx, None, window).await?;
    let is_any_missing = lines.iter().any(|line| 0 < line.missing);
    let lately = lines.into_iter().map(|line| {
        let tries = judge::Lately {
            succeeded: line.succeeded,
            failed: line.failed,
            refused: line.refused,
        };
        let lately = Lately {
            tries,
            p50_ms: line.p50_ms,
            p95_ms: line.p95_ms,
            last_success: line.last_success,
            last_failure: line.last_failure,
        };
        (line.offer, lately)
    });
    Ok((lately.collect(), is_any_missing))
}

/// Asks each provider for the list of its models, which costs nothing; in the order of `doors`.
///
/// # Errors
/// When it is not permitted.
pub async fn probe_all(
    waking: &Waking,
    guard: &Guard,
    doors: &[Door],
) -> Result<Vec<Probed>, Fault> {
    waking.permit(Permission::CatalogRead)?;
    let looks: Vec<BoxFuture<'_, Probed>> = doors
        .iter()
        .map(|door| look_through(guard, door).boxed())
        .collect();
    Ok(stream::iter(looks).buffered(AT_ONCE).collect().await)
}

async fn look_through(guard: &Guard, door: &Door) -> Probed {
    let began = Instant::now();
    let finding = probe(guard, door.trial()).await;
    let took_ms = u32::try_from(began.elapsed().as_millis()).unwrap_or(u32::MAX);
    Probed { finding, took_ms }
}

/// Puts together what was seen of one offer behind a door.
#[must_use]
pub fn seen(
    door: &Door,
    offer: OfferId,
    probed: &Probed,
    lately: &BTreeMap<OfferId, Lately>,
) -> Seen {
    let look = look(&probed.finding);
    Seen {
        offer,
        provider: door.provider,
        provider_name: door.provider_name.clone(),
        credential: door.credential,
        look,
        status: probed.finding.status,
        fault: (look != Look::Succeeded).then(|| probed.finding.detail.clone()),
        took_ms: probed.took_ms,
        lately: lately.get(&offer).copied().unwrap_or_default(),
    }
}

fn look(finding: &Finding) -> Look {
    match (finding.outcome, finding.status) {
        (Outcome::Works, _) => Look::Succeeded,
        (Outcome::Refused, _) => Look::Refused,
        (Outcome::Unreachable, _) | (Outcome::Unclear, Some(500..)) => Look::Failed,
        (Outcome::Unclear, Some(429)) => Look::Limited,
        (Outcome::Unclear, _) => Look::Unclear,
    }
}

/// Writes how one owner's offers stand, with an event for each that changed and an alert for failures: one transaction.
///
/// # Errors
/// When it is not permitted, or the books do not answer.
pub async fn keep(
    waking: &Waking,
    owner: Whose,
    seen: &[Seen],
    tally: &mut Tally,
) -> Result<(), Fault> {
    let mode = waking.permit(Permission::CatalogWrite)?;
    let mut tx = waking.postgres.begin_as(owner).await?;
    let before = books::before(&mut tx, owner).await?;
    let mut checks = Vec::new();
    for one in seen {
        tally.looked_at += 1;
        let was = before
            .iter()
            .find(|was| was.offer == one.offer && was.credential == one.credential);
        checks.extend(check(one));
        let failures = was.map_or(0, |was| was.consecutive_failures);
        let Some(verdict) = judge(one.look, one.lately.tries, failures, waking.now) else {
            continue;
        };
        tally.healthy += usize::from(verdict.state == State::Healthy);
        tally.out += usize::from(verdict.state == State::Out);
        tally.changed += usize::from(has_changed(was, &verdict));
        if mode == Mode::Act {
            books::put(&mut tx, owner, one, &verdict, waking.now).await?;
            tell(waking, &mut tx, owner, one, was, &verdict).await?;
        }
    }
    if mode == Mode::Act {
        books::note(&mut tx, owner, &checks, waking.now).await?;
        tx.commit().await.map_err(StoreError::from)?;
    }
    Ok(())
}

fn check(seen: &Seen) -> Option<Check<'_>> {
    Some(Check {
        offer: seen.offer,
        credential: seen.credential,
        outcome: seen.look.word()?,
        status: seen.status,
        latency_ms: i32::try_from(seen.took_ms).ok(),
        fault: seen.fault.as_deref(),
    })
}

fn has_changed(was: Option<&Before>, verdict: &Verdict) -> bool {
    let was = was.map_or(State::Healthy.word(), |was| was.state.as_str());
    was != verdict.state.word()
}

/// Tells who watches that an offer changed, and people that it fails.
async fn tell(
    waking: &Waking,
    tx: &mut Conn,
    owner: Whose,
    seen: &Seen,
    was: Option<&Before>,
    verdict: &Verdict,
) -> Result<(), Fault> {
    let fingerprint = fingerprint(seen);
    if is_told(verdict.consecutive_failures) {
        alert::raise(waking, tx, &alert_of(owner, seen, verdict, fingerprint)).await?;
    } else if verdict.state == State::Healthy && was.is_some_and(|was| was.state != "healthy") {
        alert::resolve(waking, tx, owner, &fingerprint).await?;
    }
    if !has_changed(was, verdict) {
        return Ok(());
    }
    let event = Event::ProviderHealthChanged {
        provider_id: seen.provider,
        provider_name: seen.provider_name.clone(),
        offer_id: seen.offer,
        is_healthy: verdict.state != State::Out,
        health_score: verdict.score,
        average_latency_ms: seen.latency_ms().and_then(|ms| u32::try_from(ms).ok()),
        checked_at: waking.now,
    };
    outbox::emit(tx, owner.organization().map(Into::into), &event).await?;
    let details = json!({
        "is": verdict.state.word(), "was": was.map(|was| &was.state), "score": verdict.score,
        "reason": verdict.reason, "credential_id": seen.credential, "out_until": verdict.out_until,
    });
    let target = ("offer", Some(seen.offer.uuid()));
    super::audit::record(waking, tx, "offer.health", target, details).await?;
    Ok(())
}

fn fingerprint(seen: &Seen) -> String {
    let key = seen.credential.map(|key| key.to_string());
    format!("offer_unhealthy:{}:{}", seen.offer, key.unwrap_or_default())
}

fn alert_of(owner: Whose, seen: &Seen, verdict: &Verdict, fingerprint: String) -> Alert {
    let failures = verdict.consecutive_failures;
    let minutes = judge::pause(failures).as_secs() / 60;
    Alert {
        organization: owner.organization().map(Into::into),
        kind: "provider_unhealthy".to_owned(),
        severity: if failures < 5 {
            Severity::Warning
        } else {
            Severity::Critical
        },
        fingerprint,
        message: format!(
            "{}: {} ({failures} in a row; next in {minutes} min)",
            seen.provider_name, verdict.reason
        ),
        details: json!({ "offer_id": seen.offer, "credential_id": seen.credential, "score": verdict.score }),
    }
}
