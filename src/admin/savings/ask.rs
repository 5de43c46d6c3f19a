//! How receipts are asked for.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{
    admin::error::ApiError,
    base::{Moment, Order},
    usage::report::Period,
};

/// The longest period of a receipt.
const LONGEST_DAYS: i64 = 400;
/// The period when nobody says.
const USUAL_DAYS: i64 = 30;
/// Milliseconds of a day.
const DAY: i64 = 24 * 60 * 60 * 1_000;
/// The period of a receipt, in whole days (UTC).
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SavingsQuery {
    /// The first day, by any moment of it; 30 days before `to` when absent.
    pub from: Option<DateTime<Utc>>,
    /// The moment behind the last day; today is included when absent.
    pub to: Option<DateTime<Utc>>,
}

/// Which receipts to list.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ReceiptsQuery {
    /// Only of calls that began then or later.
    pub from: Option<DateTime<Utc>>,
    /// Only of calls that began before.
    pub to: Option<DateTime<Utc>>,
    /// How many at most; 50 when absent.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u32>,
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Which end comes first: the newest (`desc`) when absent.
    #[param(inline)]
    pub order: Option<Order>,
}

/// Widens what was asked for to whole days.
pub(super) fn days(query: &SavingsQuery, now: Moment) -> Result<Period, ApiError> {
    let floor = |at: Moment| at.millis().div_euclid(DAY).saturating_mul(DAY);
    let to = query.to.map_or(now, Moment::from);
    // The day of `to` counts, unless that is its first moment.
    let end = floor(Moment::from_millis(to.millis().saturating_add(DAY - 1)));
    let from = query.from.map(Moment::from);
    let begin = from.map_or_else(|| end.saturating_sub(USUAL_DAYS * DAY), floor);
    if end <= begin {
        return Err(ApiError::invalid("to", "ends before it begins"));
    }
    if LONGEST_DAYS * DAY < end.saturating_sub(begin) {
        let message = format!("at most {LONGEST_DAYS} days at once");
        return Err(ApiError::invalid("from", message));
    }
    Ok(Period {
        from: Moment::from_millis(begin),
        to: Moment::from_millis(end),
    })
}
