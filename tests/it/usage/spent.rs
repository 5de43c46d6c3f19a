//! What was spent, as a ledger asks for it after it lost its counters.

use std::time::Duration;

use serde_json::json;
use sqlx::Row;
use synaxis::{
    base::{Clock, CredentialId, ModelId, Moment, NanoUsd, OrganizationId, Tokens},
    quota::{Meter, Subject},
    usage::{AttemptRecord, Charged, Entry, Rows, store},
};
use uuid::Uuid;

use super::{
    database::Database,
    entries::{entry_at, id},
};

/// What is counted, and the same in SQL.
const METERS: [(Meter, &str); 6] = [
    (Meter::Requests, "count(*)"),
    (Meter::InputTokens, "sum(input_tokens)"),
    (Meter::OutputTokens, "sum(output_tokens)"),
    (Meter::TotalTokens, "sum(input_tokens + output_tokens)"),
    (Meter::NanoUsd, "sum(cost_nano_usd)"),
    (Meter::Concurrent, "sum(0)"),
];

/// Whose use is counted, and the same in SQL.
fn subjects() -> Vec<(Subject, String)> {
    let own = format!("organization_id = '{}'", id(1));
    let sub = |column: &str, number| format!("{own} and {column} = '{}'", id(number));
    vec![
        (Subject::Organization(OrganizationId(id(1))), own.clone()),
        (Subject::Group(id(11).into()), sub("group_id", 11)),
        (Subject::User(id(21).into()), sub("user_id", 21)),
        (Subject::Key(id(101).into()), sub("api_key_id", 101)),
        (
            Subject::KeyModel(id(101).into(), ModelId(id(201))),
            format!("{} and model_id = '{}'", sub("api_key_id", 101), id(201)),
        ),
        (
            Subject::CredentialOffer(None, id(301).into()),
            format!("offer_id = '{}'", id(301)),
        ),
        (
            Subject::CredentialOffer(Some(CredentialId(id(901))), id(301).into()),
            format!("offer_id = '{}'", id(301)),
        ),
    ]
}

/// Stretches of time around `now`: sliding, a calendar day in a crooked zone, past ones, empty ones.
fn spans(now: Moment) -> Vec<(Moment, Moment)> {
    let ago = |minutes: u64| now.minus(Duration::from_secs(60 * minutes));
    let day_in_nepal = Moment::from_millis(now.millis() - now.millis() % 86_400_000 - 20_700_000);
    vec![
        (ago(1), now),
        (ago(60), now.plus(Duration::from_hours(24))),
        (day_in_nepal, day_in_nepal.plus(Duration::from_hours(24))),
        (ago(60 * 24 * 31), now.plus(Duration::from_hours(24))),
        (ago(500), ago(130)),
        (ago(95), ago(93)),
        (ago(300), ago(120)),
        (ago(10), ago(10)),
    ]
}

/// The end as the books understand it: one within the last minute means until now.
fn until(to: Moment, now: Moment) -> Moment {
    if to > now.minus(Duration::from_secs(50)) {
        now.plus(Duration::from_hours(24))
    } else {
        to
    }
}

async fn book(database: &Database, entries: &[Entry]) {
    let mut conn = database.proxy.acquire().await.expect("Postgres runs");
    for part in entries.chunks(1_000) {
        store::ingest(&mut conn, Rows::of(part).all())
            .await
            .expect("the entries are booked");
    }
}

async fn asked(database: &Database, limits: &serde_json::Value) -> Vec<i64> {
    let mut conn = database.proxy.acquire().await.expect("Postgres runs");
    let answer: serde_json::Value = sqlx::query_scalar("select operations.spent($1, $2)")
        .bind(id(1))
        .bind(limits)
        .fetch_one(&mut *conn)
        .await
        .expect("the books answer");
    let answer = answer.as_array().expect("an array");
    answer
        .iter()
        .map(|one| one["spent"].as_i64().expect("a number"))
        .collect()
}

#[tokio::test]
async fn what_the_books_say_was_spent_is_the_sum_of_the_entries() {
    let database = Database::start().await;
    let now = Clock::System.now();
    // Every 23 seconds over some days, so that every edge has entries on both sides.
    let entries: Vec<Entry> = (0..9_000)
        .map(|number| entry_at(now.minus(Duration::from_secs(23 * number)), number))
        .collect();
    book(&database, &entries).await;

    let (mut limits, mut truths) = (Vec::new(), Vec::new());
    for (subject, filter) in subjects() {
        for (meter, sum) in METERS {
            for (from, to) in spans(now) {
                limits.push(
                    serde_json::json!({"id": Uuid::nil(), "subject": subject, "meter": meter,
                    "from": from.millis(), "to": to.millis()}),
                );
                truths.push(format!(
                    "(select coalesce({sum}, 0)::bigint from operations.usage_entries where {filter}
                     and at >= '{}' and at < '{}')",
                    from.utc(),
                    until(to, now).utc()
                ));
            }
        }
    }
    let spent = asked(&database, &serde_json::Value::from(limits.clone())).await;

    let truth = format!("select array[{}]", truths.join(", "));
    let rows = database.rows(Box::leak(truth.into_boxed_str())).await;
    let truth: Vec<i64> = rows[0].get(0);
    for ((limit, spent), truth) in limits.iter().zip(spent).zip(truth) {
        assert_eq!(spent, truth, "{limit}");
    }
}

#[tokio::test]
async fn what_failed_attempts_read_counts_unless_the_entry_says_it_already() {
    let database = Database::start().await;
    let now = Clock::System.now();
    let attempt = |input, in_entry| AttemptRecord {
        offer_id: id(301).into(),
        provider: "one".to_owned(),
        outcome: "timeout".to_owned(),
        status: None,
        ms: 5,
        cost_nano_usd: NanoUsd(1),
        charged: Some(Charged {
            input_tokens: Tokens(input),
            price_book: String::new(),
            in_entry,
        }),
    };
    let mut entries = Vec::new();
    for (number, attempts) in [
        vec![],
        vec![attempt(30, false)],
        vec![attempt(500, false), attempt(7_000, true)],
    ]
    .into_iter()
    .enumerate()
    {
        let at = now.minus(Duration::from_hours(5 * number as u64));
        entries.push(Entry {
            attempts,
            organization_id: OrganizationId(id(1)),
            ..entry_at(at, 1 + number as u64)
        });
    }
    book(&database, &entries).await;

    let span = |meter: Meter| {
        json!({
            "id": id(7), "subject": Subject::Organization(OrganizationId(id(1))), "meter": meter,
            "from": now.minus(Duration::from_hours(24)).millis(), "to": now.millis(),
        })
    };
    let spent = asked(
        &database,
        &json!([
            span(Meter::InputTokens),
            span(Meter::TotalTokens),
            span(Meter::OutputTokens)
        ]),
    )
    .await;

    let input: u64 = entries.iter().map(|one| one.usage.input.0).sum();
    let output: u64 = entries.iter().map(|one| one.usage.output.0).sum();
    let [input, output] = [input, output].map(|sum| i64::try_from(sum).expect("few"));
    assert_eq!(spent, [input + 530, input + output + 530, output]);
}

#[tokio::test]
async fn an_organization_never_learns_what_another_ones_key_spent() {
    let database = Database::start().await;
    let now = Clock::System.now();
    let entries: Vec<Entry> = (0..100).map(|number| entry_at(now, number)).collect();
    book(&database, &entries).await;

    let foreign = serde_json::json!([{"id": Uuid::nil(), "subject": Subject::Key(id(100).into()),
        "meter": "requests", "from": 0, "to": now.millis() + 1_000}]);

    assert_eq!(asked(&database, &foreign).await, [0]);
}
