//! How a report looks to its reader.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    base::Moment,
    usage::report::{Amounts, Dimension, Interval, Question, Report, Row},
};

/// Something with a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct NamedView {
    /// Its id; null for what has none, and for a tier.
    pub id: Option<Uuid>,
    /// What it is called now; null when nobody knows any more.
    pub name: Option<String>,
}

/// What some calls came to.
#[derive(Debug, Serialize, ToSchema)]
pub struct AmountsView {
    /// Calls.
    requests: u64,
    /// Of these, answered with 400 or more, or not at all.
    failed_requests: u64,
    /// Of these, with estimated tokens.
    estimated_requests: u64,
    /// Of these, streamed.
    streamed_requests: u64,
    /// Tokens read, those of caches included.
    input_tokens: u64,
    /// Of these, read from a provider's cache.
    cached_tokens: u64,
    /// Of these, written to a provider's cache.
    cache_write_tokens: u64,
    /// Tokens written, those of reasoning included.
    output_tokens: u64,
    /// Of these, spent on reasoning.
    reasoning_tokens: u64,
    /// What they cost, in billionths of a dollar.
    cost_nano_usd: u64,
    /// What their cheapest paid alternatives would have cost more.
    saved_nano_usd: u64,
    /// How long a call took on average; null without calls.
    mean_duration_ms: Option<u64>,
    /// How long its first byte took on average; null when there was none.
    mean_first_byte_ms: Option<u64>,
}

impl From<Amounts> for AmountsView {
    fn from(amounts: Amounts) -> Self {
        Self {
            requests: amounts.requests,
            failed_requests: amounts.failed_requests,
            estimated_requests: amounts.estimated_requests,
            streamed_requests: amounts.streamed_requests,
            input_tokens: amounts.input_tokens,
            cached_tokens: amounts.cached_tokens,
            cache_write_tokens: amounts.cache_write_tokens,
            output_tokens: amounts.output_tokens,
            reasoning_tokens: amounts.reasoning_tokens,
            cost_nano_usd: amounts.cost.0,
            saved_nano_usd: amounts.saved.0,
            mean_duration_ms: amounts.duration_ms.checked_div(amounts.requests),
            mean_first_byte_ms: amounts.first_byte_ms.checked_div(amounts.first_bytes),
        }
    }
}

/// One row of a report.
#[derive(Debug, Serialize, ToSchema)]
pub struct UsageRowView {
    /// When its step begins; null with `interval=none`.
    at: Option<Moment>,
    /// Whose calls these are, by `group_by`; null with `group_by=none`.
    group: Option<NamedView>,
    #[serde(flatten)]
    amounts: AmountsView,
}

/// A report.
#[derive(Debug, Serialize, ToSchema)]
pub struct UsageView {
    /// The first moment it is about.
    from: Moment,
    /// The moment behind the last one.
    to: Moment,
    /// Whose calendar counts.
    zone: &'static str,
    /// By what it is divided.
    #[schema(inline)]
    group_by: Dimension,
    /// Into which steps.
    #[schema(inline)]
    interval: Interval,
    /// The rows of the page.
    data: Vec<UsageRowView>,
    /// What all rows together come to, whatever page this is.
    totals: AmountsView,
    /// What leads to the next page; null on the last.
    next_cursor: Option<String>,
}

impl UsageView {
    pub(super) fn of(question: &Question, report: Report, next_cursor: Option<String>) -> Self {
        let rows = report.rows.into_iter();
        Self {
            from: question.period.from,
            to: question.period.to,
            zone: question.zone.name(),
            group_by: question.by,
            interval: question.interval,
            data: rows.map(|row| row_view(question.by, row)).collect(),
            totals: report.total.into(),
            next_cursor,
        }
    }
}

fn row_view(by: Dimension, row: Row) -> UsageRowView {
    let group = NamedView {
        id: row.value,
        name: row.name,
    };
    UsageRowView {
        at: row.at,
        group: (by != Dimension::None).then_some(group),
        amounts: row.amounts.into(),
    }
}
