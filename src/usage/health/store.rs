//! How offers did lately, out of the books.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::OfferHealth;
use crate::{
    base::{Moment, Page, Paging},
    store::{Conn, StoreError},
    usage::report::{Period, Whose},
};

/// How far back callers' experience counts.
const LATELY: std::time::Duration = std::time::Duration::from_secs(60 * 60);

struct Line {
    offer_id: Uuid,
    name: String,
    provider_id: Uuid,
    model_id: Uuid,
    is_enabled: bool,
    state: Option<String>,
    reason: Option<String>,
    out_until: Option<DateTime<Utc>>,
    latency_ms: Option<i32>,
    succeeded_at: Option<DateTime<Utc>>,
    failed_at: Option<DateTime<Utc>>,
    requests: i64,
    failed_requests: i64,
    created_at: DateTime<Utc>,
}

/// The offers this transaction may see, the worst thing known of each, and what one function says callers saw.
macro_rules! page {
    ($function:literal, $conn:expr, $whose:expr, $period:expr, $paging:expr) => {
        sqlx::query_as!(
            Line,
            r#"select o.id as offer_id, p.name || '/' || o.upstream_name as "name!", o.provider_id, o.model_id,
                o.is_enabled and p.is_enabled as "is_enabled!", h.state as "state?", h.reason as "reason?", h.out_until,
                h.latency_ms, h.succeeded_at, h.failed_at, coalesce(u.requests, 0) as "requests!",
                coalesce(u.failed_requests, 0) as "failed_requests!", o.created_at
            from platform.offers o
            join platform.providers p on p.id = o.provider_id and p.deleted_at is null
            left join lateral (
                select h.* from operations.offer_health h
                where h.offer_id = o.id
                order by array_position(array['out', 'degraded', 'healthy'], h.state), h.updated_at desc
                limit 1) h on true
            left join operations."#
                + $function
                + r#"($1, 'offer', 'none', 'UTC', $2, $3, '{}') u on u.value = o.id
            where o.deleted_at is null
                and ($6::uuid is null
                    or case when $4 then (o.created_at, o.id) < ($5, $6) else (o.created_at, o.id) > ($5, $6) end)
            order by case when $4 then o.created_at end desc, case when $4 then o.id end desc, o.created_at, o.id
            limit $7"#,
            $whose,
            $period.from.utc(),
            $period.to.utc(),
            $paging.is_descending(),
            $paging.after_at(),
            $paging.after_id(),
            $paging.fetched(),
        )
        .fetch_all(&mut *$conn)
        .await?
    };
}

/// Returns a page of the offers this connection may see: in an organization's transaction its own and the platform's
/// with its own calls, else the platform's with everybody's.
///
/// # Errors
/// When Postgres does not answer.
pub async fn offers(
    conn: &mut Conn,
    whose: Whose,
    now: Moment,
    paging: &Paging,
) -> Result<Page<OfferHealth>, StoreError> {
    let period = Period::until(now, LATELY);
    let lines = match whose {
        Whose::Organization(organization) => {
            page!("usage_report", conn, organization.uuid(), period, paging)
        }
        Whose::Everybody => {
            page!("platform_usage_report", conn, None::<Uuid>, period, paging)
        }
    };
    let offers = lines.into_iter().map(OfferHealth::from).collect();
    Ok(paging.page(offers, |offer: &OfferHealth| {
        (offer.created_at, offer.offer_id.uuid())
    }))
}

impl From<Line> for OfferHealth {
    fn from(line: Line) -> Self {
        let count = |column: i64| u64::try_from(column).unwrap_or_default();
        Self {
            offer_id: line.offer_id.into(),
            name: line.name,
            provider_id: line.provider_id.into(),
            model_id: line.model_id.into(),
            is_enabled: line.is_enabled,
            state: line.state,
            reason: line.reason.unwrap_or_default(),
            out_until: line.out_until.map(Moment::from),
            latency_ms: line.latency_ms.and_then(|ms| u32::try_from(ms).ok()),
            succeeded_at: line.succeeded_at.map(Moment::from),
            failed_at: line.failed_at.map(Moment::from),
            requests: count(line.requests),
            failed_requests: count(line.failed_requests),
            created_at: line.created_at.into(),
        }
    }
}
