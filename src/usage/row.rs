//! One entry as the books take it: a JSON object whose names are the columns of `operations.usage_entries`.
//!
//! It is written once, when the call begins or ends, and travels as it is: over the spool into the statement.

use serde_json::Value;
use uuid::Uuid;

use super::{AttemptRecord, Charged, Decision, Entry, Finish};
use crate::base::{RequestId, json::Object};

/// What every row begins with, so that its id is found without reading it.
const HEAD: &[u8] = b"{\"request_id\":\"";

/// The most a limit counts to, nine million dollars: nothing more is ever held.
const MOST_HELD: u64 = 1 << 53;

/// Writes an entry.
pub(super) fn write(entry: &Entry, out: &mut Vec<u8>) {
    write_as(entry, entry.finish, entry.is_estimated, out);
}

/// Writes the entry that stands if the call is never heard of again.
pub(super) fn write_abandoned(entry: &Entry, out: &mut Vec<u8>) {
    write_as(entry, Finish::Abandoned, true, out);
}

/// Returns whose row this is; `None` when it is no row.
pub(super) fn id_of(row: &[u8]) -> Option<RequestId> {
    let text = row
        .strip_prefix(HEAD)?
        .get(..uuid::fmt::Hyphenated::LENGTH)?;
    Uuid::try_parse_ascii(text).ok().map(RequestId)
}

/// Returns a row that was written here without what its caller attached; `None` when it is no row.
pub(super) fn without_tags(row: &[u8]) -> Option<String> {
    let id = id_of(row)?;
    let mut fields: serde_json::Map<String, Value> = serde_json::from_slice(row).ok()?;
    for name in ["request_id", "tags", "client_request_id"] {
        fields.remove(name);
    }
    let rest = Value::Object(fields).to_string();
    Some(format!("{{\"request_id\":\"{id}\",{}", rest.get(1..)?))
}

/// Columns that would be null are left out.
fn write_as(entry: &Entry, finish: Finish, is_estimated: bool, out: &mut Vec<u8>) {
    let mut row = Object::open(out);
    row.id("request_id", entry.request_id.uuid());
    row.moment("at", entry.request_id.at());
    write_who(entry, &mut row);
    write_what(entry, &mut row);
    row.number("status", entry.status);
    row.word("finish", finish.as_str());
    row.flag("is_estimated", is_estimated);
    row.flag("is_stream", entry.is_stream);
    row.number("input_tokens", entry.usage.input.0);
    row.number("cached_tokens", entry.usage.cached.0);
    row.number("cache_write_tokens", entry.usage.cache_write.0);
    row.number("output_tokens", entry.usage.output.0);
    row.number("reasoning_tokens", entry.usage.reasoning.0);
    // What was held is not worth refusing a row for.
    row.number("held_nano_usd", entry.held_nano_usd.0.min(MOST_HELD));
    row.number("cost_nano_usd", entry.cost_nano_usd.0);
    row.number("saved_nano_usd", entry.saved_nano_usd.0);
    if let Some(alternative) = &entry.alternative {
        row.id("alternative_offer_id", alternative.offer_id.uuid());
        row.text("alternative_price_book", &alternative.price_book);
    }
    // What is never heard of again went nowhere that matters, and an intent is written before every call.
    if finish != Finish::Abandoned {
        write_decision(&entry.decision, &mut row);
    }
    // A duration is not worth refusing a row for.
    let fitting = |ms: u32| ms.min(i32::MAX.unsigned_abs());
    if let Some(ms) = entry.first_byte_ms {
        row.number("first_byte_ms", fitting(ms));
    }
    row.number("duration_ms", fitting(entry.duration_ms));
    row.value("attempts", |out| write_attempts(&entry.attempts, out));
    row.close();
}

fn write_decision(decision: &Decision, row: &mut Object<'_>) {
    if !decision.why.is_empty() {
        row.word("routed_by", &decision.why);
    }
    if let Some(id) = decision.strategy {
        row.id("strategy_id", id.uuid());
    }
    if !decision.ranked.is_empty() {
        row.value("ranked_offer_ids", |out| {
            // A list of ids is always JSON.
            let _written = serde_json::to_writer(out, &decision.ranked);
        });
    }
}

fn write_who(entry: &Entry, row: &mut Object<'_>) {
    row.id("organization_id", entry.organization_id.uuid());
    if let Some(id) = entry.group_id {
        row.id("group_id", id.uuid());
    }
    if let Some(id) = entry.user_id {
        row.id("user_id", id.uuid());
    }
    row.id("api_key_id", entry.api_key_id.uuid());
    if let Some(text) = &entry.client_request_id {
        row.text("client_request_id", text);
    }
    if !entry.tags.is_null() {
        row.value("tags", |out| write_tags(&entry.tags, out));
    }
}

fn write_what(entry: &Entry, row: &mut Object<'_>) {
    row.text("requested_model", &entry.requested_model);
    if let Some(id) = entry.model_id {
        row.id("model_id", id.uuid());
    }
    if let Some(id) = entry.offer_id {
        row.id("offer_id", id.uuid());
    }
    if let Some(id) = entry.provider_id {
        row.id("provider_id", id.uuid());
    }
    row.text("price_book", &entry.price_book);
}

/// As serde writes them, for whoever reads the column.
fn write_attempts(attempts: &[AttemptRecord], out: &mut Vec<u8>) {
    let mut separator = b'[';
    for attempt in attempts {
        out.push(separator);
        separator = b',';
        let mut object = Object::open(out);
        object.id("offer_id", attempt.offer_id.uuid());
        object.text("provider", &attempt.provider);
        object.text("outcome", &attempt.outcome);
        if let Some(status) = attempt.status {
            object.number("status", status);
        } else {
            object.value("status", |out| out.extend_from_slice(b"null"));
        }
        object.number("ms", attempt.ms);
        object.number("cost_nano_usd", attempt.cost_nano_usd.0);
        if let Some(charged) = &attempt.charged {
            object.value("charged", |out| write_charged(charged, out));
        }
        object.close();
    }
    if attempts.is_empty() {
        out.push(b'[');
    }
    out.push(b']');
}

fn write_charged(charged: &Charged, out: &mut Vec<u8>) {
    let mut object = Object::open(out);
    object.number("input_tokens", charged.input_tokens.0);
    object.text("price_book", &charged.price_book);
    if charged.in_entry {
        object.flag("in_entry", true);
    }
    object.close();
}

/// The one character that JSON can write and Postgres cannot keep.
const ESCAPED_NUL: &[u8] = b"\\u0000";

fn write_tags(tags: &Value, out: &mut Vec<u8>) {
    let begins = out.len();
    put(tags, out);
    let written = out.get(begins..).unwrap_or_default();
    if memchr::memmem::find(written, ESCAPED_NUL).is_some() {
        out.truncate(begins);
        put(&without_nul(tags), out);
    }
}

fn put(value: &Value, out: &mut Vec<u8>) {
    let begins = out.len();
    // Its names are texts and a buffer takes everything; a row must be JSON even so.
    if serde_json::to_writer(&mut *out, value).is_err() {
        out.truncate(begins);
        out.extend_from_slice(b"null");
    }
}

/// Replaces NUL, which callers may send, by the character for what cannot be shown.
fn without_nul(value: &Value) -> Value {
    let clean = |text: &str| text.replace('\0', "\u{fffd}");
    match value {
        Value::String(text) => Value::String(clean(text)),
        Value::Array(items) => items.iter().map(without_nul).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, field)| (clean(name), without_nul(field)))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::base::{ApiKeyId, Clock, NanoUsd, OfferId, OrganizationId, Tokens, Usage};
    use crate::usage::Alternative;

    fn entry() -> Entry {
        Entry {
            request_id: RequestId::new(Clock::System.now()),
            organization_id: OrganizationId(Uuid::from_u128(1)),
            group_id: None,
            user_id: None,
            api_key_id: ApiKeyId(Uuid::from_u128(2)),
            client_request_id: None,
            tags: Value::Null,
            requested_model: "m".to_owned(),
            model_id: None,
            offer_id: None,
            provider_id: None,
            status: 200,
            finish: Finish::Complete,
            is_estimated: false,
            is_stream: false,
            usage: Usage::default(),
            held_nano_usd: NanoUsd(u64::MAX),
            cost_nano_usd: NanoUsd(u64::MAX),
            saved_nano_usd: NanoUsd::ZERO,
            price_book: String::new(),
            alternative: None,
            decision: Decision::default(),
            first_byte_ms: None,
            duration_ms: u32::MAX,
            attempts: Vec::new(),
        }
    }

    fn written(entry: &Entry) -> Value {
        let mut row = Vec::new();
        write(entry, &mut row);
        serde_json::from_slice(&row).unwrap()
    }

    #[test]
    fn a_row_tells_its_id_without_being_read() {
        let entry = entry();
        let mut row = Vec::new();

        write(&entry, &mut row);

        assert_eq!(id_of(&row), Some(entry.request_id));
        assert_eq!(id_of(b"{\"request_id\":\"x"), None);
        assert_eq!(id_of(b"{\"at\":\"2026-01-01T00:00:00Z\"}"), None);
    }

    #[test]
    fn a_row_without_what_its_caller_attached_is_a_row() {
        let entry = Entry {
            tags: json!({"note": "x".repeat(100)}),
            client_request_id: Some("mine".to_owned()),
            ..entry()
        };
        let mut row = Vec::new();
        write(&entry, &mut row);

        let short = without_tags(&row).unwrap();

        assert_eq!(id_of(short.as_bytes()), Some(entry.request_id));
        let mut expected = written(&entry);
        for name in ["tags", "client_request_id"] {
            expected.as_object_mut().unwrap().remove(name);
        }
        assert_eq!(serde_json::from_str::<Value>(&short).unwrap(), expected);
        assert_eq!(without_tags(b"{}"), None);
    }

    #[test]
    fn what_is_unknown_is_left_out_and_a_duration_fits_its_column() {
        let row = written(&entry());

        for absent in [
            "group_id",
            "user_id",
            "client_request_id",
            "tags",
            "model_id",
            "offer_id",
            "first_byte_ms",
        ] {
            assert!(row.get(absent).is_none(), "{absent}");
        }
        assert_eq!(row["duration_ms"], i32::MAX);
        assert_eq!(row["cost_nano_usd"], u64::MAX);
        assert_eq!(row["attempts"], json!([]));
    }

    #[test]
    fn what_a_saving_was_measured_against_has_columns_of_its_own() {
        let row = written(&Entry {
            alternative: Some(Alternative {
                offer_id: OfferId(Uuid::from_u128(4)),
                price_book: "3f2a".to_owned(),
            }),
            ..entry()
        });

        assert_eq!(row["alternative_offer_id"], json!(Uuid::from_u128(4)));
        assert_eq!(row["alternative_price_book"], "3f2a");
    }

    #[test]
    fn an_intent_is_abandoned_and_estimated_whatever_it_says_itself() {
        let mut row = Vec::new();

        write_abandoned(&entry(), &mut row);

        let row: Value = serde_json::from_slice(&row).unwrap();
        assert_eq!(row["finish"], "abandoned");
        assert_eq!(row["is_estimated"], true);
    }

    #[test]
    fn attempts_are_written_as_they_are_read_back() {
        let attempt = |status, charged| AttemptRecord {
            offer_id: OfferId(Uuid::from_u128(3)),
            provider: "al\"pha".to_owned(),
            outcome: "timeout".to_owned(),
            status,
            ms: 7,
            cost_nano_usd: NanoUsd(5),
            charged,
        };
        let charged = Charged {
            input_tokens: Tokens(9),
            price_book: "3f2a".to_owned(),
            in_entry: true,
        };
        let other = Charged {
            in_entry: false,
            ..charged.clone()
        };
        let attempts = vec![
            attempt(None, None),
            attempt(Some(503), Some(charged)),
            attempt(Some(500), Some(other)),
        ];

        let row = written(&Entry {
            attempts: attempts.clone(),
            ..entry()
        });

        assert_eq!(row["attempts"], serde_json::to_value(attempts).unwrap());
    }

    #[test]
    fn a_nul_is_replaced_wherever_a_caller_put_it_and_nothing_else_is() {
        let row = written(&Entry {
            client_request_id: Some("a\0b".to_owned()),
            tags: json!({"a\0b": ["c\0", {"d": "\\u0000"}], "e": 1}),
            ..entry()
        });

        assert_eq!(row["client_request_id"], "a\u{fffd}b");
        assert_eq!(
            row["tags"],
            json!({"a\u{fffd}b": ["c\u{fffd}", {"d": "\\u0000"}], "e": 1})
        );
    }
}
