//! Reports out of the roll-ups.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Amounts, Cut, Dimension, Interval, Question, Report, Row, Whose};
use crate::{
    base::{Moment, NanoUsd, UserId},
    store::{Conn, OrgTx, StoreError},
};

/// A row as the functions return it.
struct Line {
    bucket: Option<DateTime<Utc>>,
    value: Option<Uuid>,
    tier: Option<String>,
    is_total: bool,
    requests: i64,
    failed_requests: i64,
    estimated_requests: i64,
    streamed_requests: i64,
    input_tokens: i64,
    cached_tokens: i64,
    cache_write_tokens: i64,
    output_tokens: i64,
    reasoning_tokens: i64,
    cost_nano_usd: i64,
    saved_nano_usd: i64,
    duration_ms: i64,
    first_byte_ms: i64,
    first_bytes: i64,
}

impl Line {
    fn amounts(&self) -> Amounts {
        // A replaced row may be subtracted a moment before it is counted again: never shown as less than nothing.
        let count = |column: i64| u64::try_from(column).unwrap_or_default();
        Amounts {
            requests: count(self.requests),
            failed_requests: count(self.failed_requests),
            estimated_requests: count(self.estimated_requests),
            streamed_requests: count(self.streamed_requests),
            input_tokens: count(self.input_tokens),
            cached_tokens: count(self.cached_tokens),
            cache_write_tokens: count(self.cache_write_tokens),
            output_tokens: count(self.output_tokens),
            reasoning_tokens: count(self.reasoning_tokens),
            cost: NanoUsd::from_column(self.cost_nano_usd),
            saved: NanoUsd::from_column(self.saved_nano_usd),
            duration_ms: count(self.duration_ms),
            first_byte_ms: count(self.first_byte_ms),
            first_bytes: count(self.first_bytes),
        }
    }
}

/// The page of one function's answer: the total first, then the steps in order, in each the dearest first.
macro_rules! page {
    ($function:literal, $conn:expr, $question:expr, $cut:expr) => {{
        let question: &Question = $question;
        let organization = match question.whose {
            Whose::Organization(organization) => Some(organization.uuid()),
            Whose::Everybody => None,
        };
        let filters = serde_json::to_value(question.filters).map_err(StoreError::Malformed)?;
        sqlx::query_as!(
            Line,
            "with report as materialized (select * from operations." + $function + "($1, $2, $3, $4, $5, $6, $7)),
            rows as (
                select r.* from report r
                where not r.is_total
                order by r.bucket, r.cost_nano_usd desc, r.requests desc, r.value, r.tier
                offset $8 limit $9
            )
            select bucket, value, tier, is_total as \"is_total!\", requests as \"requests!\",
                failed_requests as \"failed_requests!\", estimated_requests as \"estimated_requests!\",
                streamed_requests as \"streamed_requests!\", input_tokens as \"input_tokens!\",
                cached_tokens as \"cached_tokens!\", cache_write_tokens as \"cache_write_tokens!\",
                output_tokens as \"output_tokens!\", reasoning_tokens as \"reasoning_tokens!\",
                cost_nano_usd as \"cost_nano_usd!\", saved_nano_usd as \"saved_nano_usd!\",
                duration_ms as \"duration_ms!\", first_byte_ms as \"first_byte_ms!\", first_bytes as \"first_bytes!\"
            from (select * from report where is_total union all select * from rows) both_kinds
            order by both_kinds.is_total desc, both_kinds.bucket, both_kinds.cost_nano_usd desc, both_kinds.requests desc,
                both_kinds.value, both_kinds.tier",
            organization,
            word(question.by),
            step(question.interval),
            question.zone.name(),
            question.period.from.utc(),
            question.period.to.utc(),
            filters,
            i64::from($cut.skip),
            i64::from($cut.take) + 1,
        )
        .fetch_all(&mut *$conn)
        .await?
    }};
}

/// Answers a question that was checked. An organization's must be asked in its own transaction.
///
/// # Errors
/// When Postgres does not answer.
pub async fn report(conn: &mut Conn, question: &Question, cut: Cut) -> Result<Report, StoreError> {
    let lines = page!("usage_report", conn, question, cut);
    let names = names(conn, question.by, &ids(&lines)).await?;
    Ok(read(lines, &names, cut))
}

/// Answers a question across organizations, or about any one; whoever asks must run the platform.
///
/// # Errors
/// When Postgres does not answer.
pub async fn platform_report(
    conn: &mut Conn,
    question: &Question,
    cut: Cut,
) -> Result<Report, StoreError> {
    let lines = page!("platform_usage_report", conn, question, cut);
    let names = platform_names(conn, question.by, &ids(&lines)).await?;
    Ok(read(lines, &names, cut))
}

fn ids(lines: &[Line]) -> Vec<Uuid> {
    let mut ids: Vec<Uuid> = lines.iter().filter_map(|line| line.value).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

fn read(lines: Vec<Line>, names: &HashMap<Uuid, String>, cut: Cut) -> Report {
    let mut report = Report::default();
    for line in lines {
        let amounts = line.amounts();
        if line.is_total {
            report.total = amounts;
            continue;
        }
        let name = line.value.and_then(|id| names.get(&id).cloned());
        report.rows.push(Row {
            at: line.bucket.map(Moment::from),
            value: line.value,
            name: name.or(line.tier),
            amounts,
        });
    }
    let take = usize::try_from(cut.take).unwrap_or(usize::MAX);
    report.has_more = take < report.rows.len();
    report.rows.truncate(take);
    report
}

/// Returns what values of a dimension are called, as far as this transaction's organization may know.
///
/// # Errors
/// When Postgres does not answer.
pub async fn names(
    conn: &mut Conn,
    dimension: Dimension,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, String>, StoreError> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query!(
        r#"select id as "id!", name as "name!" from operations.usage_names($1, $2)"#,
        word(dimension),
        ids,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.name)).collect())
}

async fn platform_names(
    conn: &mut Conn,
    dimension: Dimension,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, String>, StoreError> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query!(
        r#"select id as "id!", name as "name!" from operations.platform_usage_names($1, $2)"#,
        word(dimension),
        ids,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.name)).collect())
}

fn word(dimension: Dimension) -> &'static str {
    match dimension {
        Dimension::None => "none",
        Dimension::Organization => "organization",
        Dimension::Group => "group",
        Dimension::User => "user",
        Dimension::Key => "key",
        Dimension::Model => "model",
        Dimension::Provider => "provider",
        Dimension::Offer => "offer",
        Dimension::Tier => "tier",
    }
}

fn step(interval: Interval) -> &'static str {
    match interval {
        Interval::None => "none",
        Interval::Hour => "hour",
        Interval::Day => "day",
        Interval::Month => "month",
    }
}

/// Says whether somebody is a member of this transaction's organization.
///
/// # Errors
/// When Postgres does not answer.
pub async fn is_member(tx: &mut OrgTx, user: UserId) -> Result<bool, StoreError> {
    let organization = tx.scope().organization().uuid();
    let is_member = sqlx::query_scalar!(
        r#"select exists (
            select from identity.organization_memberships
            where organization_id = $1 and user_id = $2 and deleted_at is null) as "is_member!""#,
        organization,
        user.uuid(),
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(is_member)
}

/// Returns what all sorts of things are called, as far as this transaction's organization may know.
///
/// # Errors
/// When Postgres does not answer.
pub async fn all_names(
    tx: &mut OrgTx,
    wanted: &BTreeSet<(Dimension, Uuid)>,
) -> Result<HashMap<Uuid, String>, StoreError> {
    let dimensions: Vec<_> = wanted.iter().map(|(by, _)| word(*by).to_owned()).collect();
    let ids: Vec<_> = wanted.iter().map(|(_, id)| *id).collect();
    let rows = sqlx::query!(
        r#"select n.id as "id!", n.name as "name!"
        from (
            select w.dimension, array_agg(w.id) as ids from unnest($1::text[], $2::uuid[]) w (dimension, id) group by 1
        ) w
        cross join lateral operations.usage_names(w.dimension, w.ids) n"#,
        &dimensions,
        &ids,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.name)).collect())
}
