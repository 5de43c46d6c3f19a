//! How offers stand, in the books.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{judge::Verdict, seen::Seen};
use crate::{
    base::{CredentialId, Moment, OfferId, RequestId},
    store::{Conn, StoreError, Whose},
};

/// How an offer stood before.
pub(in crate::agents) struct Before {
    pub(in crate::agents) offer: OfferId,
    pub(in crate::agents) credential: Option<CredentialId>,
    pub(in crate::agents) state: String,
    pub(in crate::agents) consecutive_failures: u32,
}

/// Reads how one owner's offers stood, and keeps others from changing that until the transaction ends.
pub(in crate::agents) async fn before(
    tx: &mut Conn,
    whose: Whose,
) -> Result<Vec<Before>, StoreError> {
    let rows = sqlx::query!(
        "select offer_id, credential_id, state, consecutive_failures
         from operations.offer_health
         where organization_id is not distinct from $1
         for update",
        whose.organization()
    )
    .fetch_all(tx)
    .await?;
    let before = rows.into_iter().map(|row| Before {
        offer: row.offer_id.into(),
        credential: row.credential_id.map(CredentialId::from),
        state: row.state,
        consecutive_failures: u32::try_from(row.consecutive_failures).unwrap_or_default(),
    });
    Ok(before.collect())
}

/// Writes how an offer stands now.
pub(in crate::agents) async fn put(
    tx: &mut Conn,
    whose: Whose,
    seen: &Seen,
    verdict: &Verdict,
    now: Moment,
) -> Result<(), StoreError> {
    let lately = &seen.lately;
    sqlx::query!(
        "insert into operations.offer_health as h (id, organization_id, offer_id, credential_id, state, reason,
             out_until, latency_ms, succeeded_at, failed_at, score, success_percent, p50_ms, p95_ms,
             consecutive_failures, checked_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
         on conflict (organization_id, offer_id, credential_id)
         do update set state = excluded.state, reason = excluded.reason, out_until = excluded.out_until,
             latency_ms = coalesce(excluded.latency_ms, h.latency_ms),
             succeeded_at = coalesce(excluded.succeeded_at, h.succeeded_at),
             failed_at = coalesce(excluded.failed_at, h.failed_at), score = excluded.score,
             success_percent = excluded.success_percent, p50_ms = coalesce(excluded.p50_ms, h.p50_ms),
             p95_ms = coalesce(excluded.p95_ms, h.p95_ms), consecutive_failures = excluded.consecutive_failures,
             checked_at = excluded.checked_at",
        RequestId::new(now).uuid(),
        whose.organization(),
        seen.offer.uuid(),
        seen.credential.map(CredentialId::uuid),
        verdict.state.word(),
        verdict.reason,
        verdict.out_until.map(Moment::utc),
        seen.latency_ms(),
        lately.last_success,
        lately.last_failure,
        i16::from(verdict.score),
        verdict.success_percent.map(i16::from),
        lately.p50_ms,
        lately.p95_ms,
        i32::try_from(verdict.consecutive_failures).unwrap_or(i32::MAX),
        now.utc(),
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// A look that is kept.
pub(in crate::agents) struct Check<'a> {
    pub(in crate::agents) offer: OfferId,
    pub(in crate::agents) credential: Option<CredentialId>,
    pub(in crate::agents) outcome: &'a str,
    pub(in crate::agents) status: Option<u16>,
    pub(in crate::agents) latency_ms: Option<i32>,
    pub(in crate::agents) fault: Option<&'a str>,
}

/// Writes down looks of one owner's offers.
pub(in crate::agents) async fn note(
    tx: &mut Conn,
    whose: Whose,
    checks: &[Check<'_>],
    now: Moment,
) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = checks.iter().map(|_| RequestId::new(now).uuid()).collect();
    let offers: Vec<Uuid> = checks.iter().map(|check| check.offer.uuid()).collect();
    let credentials: Vec<Option<Uuid>> = checks
        .iter()
        .map(|check| check.credential.map(CredentialId::uuid))
        .collect();
    let outcomes: Vec<String> = checks
        .iter()
        .map(|check| check.outcome.to_owned())
        .collect();
    let statuses: Vec<Option<i16>> = checks
        .iter()
        .map(|check| check.status.and_then(|status| i16::try_from(status).ok()))
        .collect();
    let latencies: Vec<Option<i32>> = checks.iter().map(|check| check.latency_ms).collect();
    let faults: Vec<Option<String>> = checks
        .iter()
        .map(|check| check.fault.map(str::to_owned))
        .collect();
    let at: DateTime<Utc> = now.utc();
    sqlx::query!(
        "insert into operations.health_checks (id, at, organization_id, offer_id, credential_id, outcome, status,
             latency_ms, fault)
         select c.id, $9, $2, c.offer_id, c.credential_id, c.outcome, c.status, c.latency_ms, left(c.fault, 500)
         from unnest($1::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::int2[], $7::int4[], $8::text[])
             as c (id, offer_id, credential_id, outcome, status, latency_ms, fault)",
        &ids,
        whose.organization(),
        &offers,
        &credentials as &[Option<Uuid>],
        &outcomes,
        &statuses as &[Option<i16>],
        &latencies as &[Option<i32>],
        &faults as &[Option<String>],
        at,
    )
    .execute(tx)
    .await?;
    Ok(())
}
