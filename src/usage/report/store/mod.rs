//! Reports out of the roll-ups.

mod names;

pub use names::{all_names, names};

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use self::names::platform_names;
use super::{
    Amounts, Cut, Dimension, Interval, Question, Report, Row, Whose,
    walk::{Seen, Stretch, Walk},
};
use crate::{
    base::{Moment, NanoUsd, UserId},
    store::{Conn, OrgTx, StoreError},
};

/// A row as the functions return it; a total's bucket is the moment its stretch reached.
struct Line {
    bucket: Option<DateTime<Utc>>,
    value: Option<Uuid>,
    tier: Option<String>,
    read: i64,
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

/// One function's answer to some steps of a question: their total first, then the steps in order, in each the dearest
/// first.
macro_rules! stretch {
    ($function:literal, $conn:expr, $question:expr, $stretch:expr) => {{
        let question: &Question = $question;
        let stretch: Stretch = $stretch;
        let organization = match question.whose {
            Whose::Organization(organization) => Some(organization.uuid()),
            Whose::Everybody => None,
        };
        let filters = serde_json::to_value(question.filters).map_err(StoreError::Malformed)?;
        let lines = sqlx::query_as!(
            Line,
            "with reach as materialized (select least($6, operations.after_steps($5, $3, $4, $8)) as reached),
            report as materialized (
                select s.* from reach cross join lateral operations."
                + $function
                + "($1, $2, $3, $4, $5, reached, $7) s
            ), rows as (
                select r.* from report r
                where not r.is_total
                order by r.bucket, r.cost_nano_usd desc, r.requests desc, r.value, r.tier
                offset $9 limit $10
            )
            select case when b.is_total then reach.reached else b.bucket end as bucket, b.value, b.tier,
                b.read as \"read!\", b.requests as \"requests!\",
                b.failed_requests as \"failed_requests!\", b.estimated_requests as \"estimated_requests!\",
                b.streamed_requests as \"streamed_requests!\", b.input_tokens as \"input_tokens!\",
                b.cached_tokens as \"cached_tokens!\", b.cache_write_tokens as \"cache_write_tokens!\",
                b.output_tokens as \"output_tokens!\", b.reasoning_tokens as \"reasoning_tokens!\",
                b.cost_nano_usd as \"cost_nano_usd!\", b.saved_nano_usd as \"saved_nano_usd!\",
                b.duration_ms as \"duration_ms!\", b.first_byte_ms as \"first_byte_ms!\", b.first_bytes as \"first_bytes!\"
            from reach cross join (select * from report where is_total union all select * from rows) b
            order by b.is_total desc, b.bucket, b.cost_nano_usd desc, b.requests desc, b.value, b.tier",
            organization,
            word(question.by),
            step(question.interval),
            question.zone.name(),
            stretch.from.utc(),
            question.period.to.utc(),
            filters,
            stretch.steps,
            i64::from(stretch.skip),
            i64::from(stretch.take),
        )
        .fetch_all(&mut *$conn)
        .await?;
        Ok(lines)
    }};
}

/// Who may see what is asked.
#[derive(Clone, Copy)]
enum Sight {
    /// This transaction's organization sees its own.
    Own,
    /// Who runs the platform sees everything.
    Platform,
}

async fn look(
    conn: &mut Conn,
    sight: Sight,
    question: &Question,
    part: Stretch,
) -> Result<Vec<Line>, StoreError> {
    match sight {
        Sight::Own => stretch!("usage_sums", conn, question, part),
        Sight::Platform => stretch!("platform_usage_sums", conn, question, part),
    }
}

/// Answers a question that was checked. An organization's must be asked in its own transaction.
///
/// # Errors
/// When Postgres does not answer.
pub async fn report(conn: &mut Conn, question: &Question, cut: Cut) -> Result<Report, StoreError> {
    let mut report = answer(conn, Sight::Own, question, cut).await?;
    let names = names(conn, question.by, &ids(&report.rows)).await?;
    report.name(&names);
    Ok(report)
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
    let mut report = answer(conn, Sight::Platform, question, cut).await?;
    let names = platform_names(conn, question.by, &ids(&report.rows)).await?;
    report.name(&names);
    Ok(report)
}

async fn answer(
    conn: &mut Conn,
    sight: Sight,
    question: &Question,
    cut: Cut,
) -> Result<Report, StoreError> {
    let mut walk = Walk::of(question, cut);
    let mut rows = Vec::new();
    let mut whole = None;
    while let Some(part) = walk.next() {
        let mut lines = look(conn, sight, question, part).await?.into_iter();
        let Some(total) = lines.next() else {
            break;
        };
        let found: Vec<Row> = lines.map(Row::from).collect();
        let seen = Seen {
            reached: total.bucket.map_or(question.period.to, Moment::from),
            rows: found.len(),
            read: u64::try_from(total.read).unwrap_or_default(),
        };
        walk.saw(part, seen);
        if walk.is_whole(part, question) {
            whole = Some(total.amounts());
        }
        rows.extend(found);
    }
    Ok(Report {
        next: walk.cut(&mut rows),
        rows,
        total: match whole {
            Some(whole) => whole,
            None => total(conn, sight, question).await?,
        },
    })
}

/// Returns what the whole period came to, without dividing it.
async fn total(conn: &mut Conn, sight: Sight, question: &Question) -> Result<Amounts, StoreError> {
    let undivided = Question {
        by: Dimension::None,
        interval: Interval::None,
        ..*question
    };
    let part = Stretch {
        from: question.period.from,
        steps: 1,
        skip: 0,
        take: 0,
    };
    let lines = look(conn, sight, &undivided, part).await?;
    Ok(lines.first().map(Line::amounts).unwrap_or_default())
}

fn ids(rows: &[Row]) -> Vec<Uuid> {
    let mut ids: Vec<Uuid> = rows.iter().filter_map(|row| row.value).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

impl From<Line> for Row {
    fn from(line: Line) -> Self {
        Self {
            at: line.bucket.map(Moment::from),
            value: line.value,
            amounts: line.amounts(),
            name: line.tier,
        }
    }
}

impl Report {
    fn name(&mut self, names: &HashMap<Uuid, String>) {
        for row in &mut self.rows {
            if let Some(name) = row.value.and_then(|id| names.get(&id)) {
                row.name = Some(name.clone());
            }
        }
    }
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
