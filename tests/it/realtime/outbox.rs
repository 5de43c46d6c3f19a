//! The outbox: nothing is told that was not committed, and who resumes loses nothing.

use std::time::Duration;

use serde_json::Value;
use synaxis::{
    base::{Clock, EventId, OrganizationId},
    realtime::{
        Event,
        outbox::{
            Committed, emit,
            store::{last, place_of, since},
        },
    },
    store::{Postgres, Scope, postgres::Role},
};

use super::{alert, organization};
use crate::stack::database::TestDatabase;

async fn read(postgres: &Postgres, place: i64) -> Vec<Committed> {
    let mut conn = postgres.acquire().await.expect("a connection");
    since(&mut conn, place, 1_000).await.expect("events")
}

async fn end(postgres: &Postgres) -> i64 {
    let mut conn = postgres.acquire().await.expect("a connection");
    last(&mut conn).await.expect("a place")
}

fn messages(events: &[Committed]) -> Vec<String> {
    let data = events.iter().map(|event| &event.data);
    let data = data.map(|data| serde_json::from_str::<Value>(data).expect("an object"));
    data.map(|data| data["message"].as_str().unwrap_or_default().to_owned())
        .collect()
}

async fn say(postgres: &Postgres, ours: OrganizationId, message: &str) -> EventId {
    let mut tx = postgres
        .begin_for(Scope::of(ours))
        .await
        .expect("a transaction");
    let id = emit(&mut tx, Some(ours), &alert(message))
        .await
        .expect("an event");
    tx.commit().await.expect("a commit");
    id
}

#[tokio::test]
async fn events_stand_in_the_order_of_commits_whatever_their_ids_say() {
    let database = TestDatabase::start().await;
    let postgres = database.open(Role::Admin);
    let ours = organization(&postgres, "Ours").await;
    let start = end(&postgres).await;
    let mut slow = postgres
        .begin_for(Scope::of(ours))
        .await
        .expect("a transaction");
    let first_id = emit(&mut slow, Some(ours), &alert("written first"))
        .await
        .expect("an event");

    // It does not wait for the one that is still open.
    let second_id = say(&postgres, ours, "committed first").await;
    let seen = read(&postgres, start).await;
    slow.commit().await.expect("a commit");

    assert!(first_id < second_id);
    assert_eq!(messages(&seen), ["committed first"]);
    let mut conn = postgres.acquire().await.expect("a connection");
    let place = place_of(&mut conn, second_id).await.expect("an answer");
    let missed = read(&postgres, place.expect("a place")).await;
    assert_eq!(messages(&missed), ["written first"]);
}

#[tokio::test]
async fn what_is_rolled_back_is_never_told() {
    let database = TestDatabase::start().await;
    let postgres = database.open(Role::Admin);
    let ours = organization(&postgres, "Ours").await;
    let start = end(&postgres).await;

    let mut tx = postgres
        .begin_for(Scope::of(ours))
        .await
        .expect("a transaction");
    emit(&mut tx, Some(ours), &alert("never"))
        .await
        .expect("an event");
    drop(tx);
    say(&postgres, ours, "after").await;

    assert_eq!(messages(&read(&postgres, start).await), ["after"]);
}

#[tokio::test]
async fn a_reader_that_polls_while_many_write_sees_each_event_once_and_in_order() {
    const WRITERS: usize = 12;
    const EACH: usize = 25;
    let database = TestDatabase::start().await;
    let postgres = database.open(Role::Admin);
    let ours = organization(&postgres, "Ours").await;
    let mut place = end(&postgres).await;

    let writing = (0..WRITERS).map(async |writer| {
        for number in 0..EACH {
            say(&postgres, ours, &format!("{writer}-{number}")).await;
        }
    });
    let reading = async {
        let mut seen = Vec::new();
        while seen.len() < WRITERS * EACH {
            let news = read(&postgres, place).await;
            place = news.last().map_or(place, |event| event.seq);
            seen.extend(messages(&news));
        }
        seen
    };
    let both = futures::future::join(futures::future::join_all(writing), reading);
    let both = tokio::time::timeout(Duration::from_secs(60), both).await;
    let (_, seen) = both.expect("all seen");

    let mut told = seen.clone();
    told.sort_unstable();
    told.dedup();
    assert_eq!(told.len(), WRITERS * EACH);
    for writer in 0..WRITERS {
        let own = seen
            .iter()
            .filter(|text| text.starts_with(&format!("{writer}-")));
        let expected: Vec<_> = (0..EACH)
            .map(|number| format!("{writer}-{number}"))
            .collect();
        assert_eq!(own.cloned().collect::<Vec<_>>(), expected);
    }
}

#[tokio::test]
async fn an_organization_cannot_write_events_of_another() {
    let database = TestDatabase::start().await;
    let postgres = database.open(Role::Admin);
    let ours = organization(&postgres, "Ours").await;
    let theirs = organization(&postgres, "Theirs").await;

    let mut tx = postgres
        .begin_for(Scope::of(ours))
        .await
        .expect("a transaction");

    assert!(emit(&mut tx, Some(theirs), &alert("lie")).await.is_err());
    drop(tx);
    let mut tx = postgres
        .begin_for(Scope::of(ours))
        .await
        .expect("a transaction");
    assert!(emit(&mut tx, None, &alert("lie")).await.is_err());
}

#[tokio::test]
async fn every_record_of_the_audit_log_is_an_event_of_its_organization() {
    let database = TestDatabase::start().await;
    let postgres = database.open(Role::Admin);
    let before = Clock::System.now();

    let ours = organization(&postgres, "Ours").await;

    let events = read(&postgres, 0).await;
    let event = events
        .iter()
        .find(|event| event.data.contains("organization.create"))
        .expect("an event");
    assert_eq!(event.organization, Some(ours));
    let text = format!(r#"{{"type":"{}","data":{}}}"#, event.kind, event.data);
    let Event::AuditEvent {
        entity_type,
        performed_by,
        performed_at,
        ..
    } = serde_json::from_str(&text).expect("an event as Rust knows it")
    else {
        panic!("another event: {text}");
    };
    assert_eq!(
        (entity_type.as_str(), performed_by.as_str()),
        ("organization", "operator")
    );
    assert!(before <= performed_at);
}

#[tokio::test]
async fn a_limit_is_warned_of_once_a_window_and_mark_whoever_saw_it() {
    let database = TestDatabase::start().await;
    let postgres = database.open(Role::Admin);
    let ours = organization(&postgres, "Ours").await;
    let mut superuser = database.connect().await;
    sqlx::query(
        "insert into operations.limits (id, organization_id, subject_kind, meter, time_window, amount, enforcement)
         values ('01990000-0000-7000-8000-000000000001', $1, 'organization', 'requests', 'day', 10, 'hard')",
    )
    .bind(ours.uuid())
    .execute(&mut superuser)
    .await
    .expect("a limit");
    let start = end(&postgres).await;
    let proxy = database.open(Role::Proxy);
    let mut conn = proxy.acquire().await.expect("a connection");
    let mut told = Vec::new();
    for (percent, at, since) in [
        (80, "2026-01-02T10:00:00Z", "2026-01-02T00:00:00Z"),
        (80, "2026-01-02T11:00:00Z", "2026-01-02T00:00:00Z"),
        (95, "2026-01-02T11:00:00Z", "2026-01-02T00:00:00Z"),
        (80, "2026-01-03T09:00:00Z", "2026-01-03T00:00:00Z"),
    ] {
        let warning = serde_json::json!([{
            "limit_id": "01990000-0000-7000-8000-000000000001", "percent": percent, "used": 8, "at": at, "since": since,
        }]);
        let new: i32 = sqlx::query_scalar("select operations.ingest_warnings($1::json)")
            .bind(warning)
            .fetch_one(&mut *conn)
            .await
            .expect("an answer");
        told.push(new);
    }

    assert_eq!(told, [1, 0, 1, 1]);
    let events = read(&postgres, start).await;
    assert_eq!(events.len(), 3);
    let text = format!(
        r#"{{"type":"{}","data":{}}}"#,
        events[0].kind, events[0].data
    );
    let event: Event = serde_json::from_str(&text).expect("an event as Rust knows it");
    assert!(
        matches!(
            event,
            Event::QuotaWarning {
                used: 8,
                amount: 10,
                percent: 80,
                ..
            }
        ),
        "{event:?}"
    );
}
