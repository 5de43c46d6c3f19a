//! The doors to the books: booking entries, and making room for the months to come.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::{AttemptRecord, Entry, Finish};
use crate::store::{Conn, StoreError};

/// How many months are made ahead of time.
const MONTHS_AHEAD: i32 = 3;

/// Why entries were not booked.
#[derive(Debug, thiserror::Error)]
pub enum NotBooked {
    /// One of the entries can never be booked.
    #[error("the books refuse an entry")]
    Refused(#[source] StoreError),
    /// They were too many for the time a statement may take.
    #[error("booking took too long")]
    TooSlow(#[source] StoreError),
    /// Nothing is wrong with the entries: they must be sent again.
    #[error("the books are away")]
    Away(#[source] StoreError),
}

/// One row as `operations.ingest` reads it: the names are the columns'.
#[derive(Serialize)]
struct Row<'a> {
    request_id: Uuid,
    at: DateTime<Utc>,
    organization_id: Uuid,
    group_id: Option<Uuid>,
    user_id: Option<Uuid>,
    api_key_id: Uuid,
    client_request_id: Option<&'a str>,
    tags: Option<&'a serde_json::Value>,
    requested_model: &'a str,
    model_id: Option<Uuid>,
    offer_id: Option<Uuid>,
    provider_id: Option<Uuid>,
    status: u16,
    finish: Finish,
    is_estimated: bool,
    is_stream: bool,
    input_tokens: u64,
    cached_tokens: u64,
    cache_write_tokens: u64,
    output_tokens: u64,
    reasoning_tokens: u64,
    cost_nano_usd: u64,
    saved_nano_usd: u64,
    price_book: &'a str,
    first_byte_ms: Option<u32>,
    duration_ms: u32,
    attempts: &'a [AttemptRecord],
    alternative_offer_id: Option<Uuid>,
    alternative_price_book: Option<&'a str>,
}

impl<'a> From<&'a Entry> for Row<'a> {
    fn from(entry: &'a Entry) -> Self {
        // A duration is not worth refusing a row for.
        let fitting = |ms: u32| ms.min(i32::MAX.unsigned_abs());
        let alternative = entry.alternative.as_ref();
        Self {
            request_id: entry.request_id.uuid(),
            at: entry.request_id.at().utc(),
            organization_id: entry.organization_id.uuid(),
            group_id: entry.group_id.map(crate::base::GroupId::uuid),
            user_id: entry.user_id.map(crate::base::UserId::uuid),
            api_key_id: entry.api_key_id.uuid(),
            client_request_id: entry.client_request_id.as_deref(),
            tags: Some(&entry.tags).filter(|tags| !tags.is_null()),
            requested_model: &entry.requested_model,
            model_id: entry.model_id.map(crate::base::ModelId::uuid),
            offer_id: entry.offer_id.map(crate::base::OfferId::uuid),
            provider_id: entry.provider_id.map(crate::base::ProviderId::uuid),
            status: entry.status,
            finish: entry.finish,
            is_estimated: entry.is_estimated,
            is_stream: entry.is_stream,
            input_tokens: entry.usage.input.0,
            cached_tokens: entry.usage.cached.0,
            cache_write_tokens: entry.usage.cache_write.0,
            output_tokens: entry.usage.output.0,
            reasoning_tokens: entry.usage.reasoning.0,
            cost_nano_usd: entry.cost_nano_usd.0,
            saved_nano_usd: entry.saved_nano_usd.0,
            price_book: &entry.price_book,
            first_byte_ms: entry.first_byte_ms.map(fitting),
            duration_ms: fitting(entry.duration_ms),
            attempts: &entry.attempts,
            alternative_offer_id: alternative.map(|alternative| alternative.offer_id.uuid()),
            alternative_price_book: alternative.map(|alternative| alternative.price_book.as_str()),
        }
    }
}

/// Books entries, each exactly once however often it is sent; returns how many rows were added or replaced.
///
/// # Errors
/// When none of them was booked.
pub async fn ingest(conn: &mut Conn, entries: &[Entry]) -> Result<i32, NotBooked> {
    let rows =
        as_json(entries).map_err(|error| NotBooked::Refused(StoreError::Malformed(error)))?;
    sqlx::query_scalar!(
        r#"select operations.ingest($1::text::json) as "moved!""#,
        rows
    )
    .fetch_one(conn)
    .await
    .map_err(judge)
}

/// Makes this month and the next ones in the books, when they are not there.
///
/// # Errors
/// When Postgres is away.
pub async fn ensure_partitions(conn: &mut Conn) -> Result<(), StoreError> {
    sqlx::query!(
        "select operations.ensure_usage_partitions($1)",
        MONTHS_AHEAD
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Sorted by id, so that those who send the same rows wait for each other instead of locking each other out.
fn as_json(entries: &[Entry]) -> serde_json::Result<String> {
    let mut rows: Vec<Row<'_>> = entries.iter().map(Row::from).collect();
    rows.sort_unstable_by_key(|row| row.request_id);
    let json = serde_json::to_string(&rows)?;
    if json.contains(ESCAPED_NUL) {
        return without_nul(&json);
    }
    Ok(json)
}

/// The one character that JSON can write and Postgres cannot keep.
const ESCAPED_NUL: &str = "\\u0000";

/// Replaces NUL, which callers may send, by the character for what cannot be shown.
fn without_nul(json: &str) -> serde_json::Result<String> {
    let mut value: serde_json::Value = serde_json::from_str(json)?;
    replace_nul(&mut value);
    serde_json::to_string(&value)
}

fn replace_nul(value: &mut serde_json::Value) {
    use serde_json::Value;
    let clean = |text: &str| text.replace('\0', "\u{fffd}");
    match value {
        Value::String(text) if text.contains('\0') => *text = clean(text),
        Value::Array(items) => items.iter_mut().for_each(replace_nul),
        Value::Object(fields) => {
            let old = std::mem::take(fields);
            for (name, mut field) in old {
                replace_nul(&mut field);
                fields.insert(clean(&name), field);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Says whose fault it was that nothing was booked.
fn judge(error: sqlx::Error) -> NotBooked {
    let code = error
        .as_database_error()
        .and_then(|refused| refused.code())
        .unwrap_or_default()
        .into_owned();
    let error = StoreError::from(error);
    match code.get(..2) {
        // Bad data, a broken constraint, or more than Postgres can hold.
        Some("22" | "23" | "54") => NotBooked::Refused(error),
        _ if code == "57014" => NotBooked::TooSlow(error),
        _ => NotBooked::Away(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nul_is_replaced_wherever_a_caller_put_it_and_nothing_else_is() {
        let json = serde_json::json!({"a\0b": ["c\0", {"d": "\\u0000"}], "e": 1}).to_string();

        let clean: serde_json::Value = serde_json::from_str(&without_nul(&json).unwrap()).unwrap();

        let expected = serde_json::json!({"a\u{fffd}b": ["c\u{fffd}", {"d": "\\u0000"}], "e": 1});
        assert_eq!(clean, expected);
    }
}
