//! The books themselves: exactly once, the truth over the guess, months on demand, nobody else's rows.

use sqlx::Row;
use synaxis::{
    base::{ApiKeyId, Clock, Moment, NanoUsd, RequestId},
    store::postgres::{Postgres, Role},
    usage::{
        Entry, Finish, Rows,
        store::{self, NotBooked},
    },
};
use uuid::Uuid;

use super::{
    database::Database,
    entries::{entry, entry_at, id, intent},
};

async fn ingest(postgres: &Postgres, entries: &[Entry]) -> Result<i32, NotBooked> {
    let mut conn = postgres.acquire().await.expect("Postgres runs");
    store::ingest(&mut conn, Rows::of(entries).all()).await
}

#[tokio::test]
async fn an_entry_sent_ten_times_is_booked_once() {
    let database = Database::start().await;
    let entries: Vec<Entry> = (0..100).map(entry).collect();

    assert_eq!(ingest(&database.proxy, &entries).await.unwrap(), 100);
    for _ in 0..9 {
        assert_eq!(ingest(&database.proxy, &entries).await.unwrap(), 0);
    }

    assert_eq!(
        database
            .number("select count(*) from operations.usage_entries")
            .await,
        100
    );
    assert_eq!(database.roll_up_faults().await, Vec::<String>::new());
}

#[tokio::test]
async fn every_column_is_booked_as_it_was_written() {
    let database = Database::start().await;
    let entry = entry(7);

    ingest(&database.proxy, std::slice::from_ref(&entry))
        .await
        .unwrap();

    let rows = database
        .rows("select to_jsonb(e) from operations.usage_entries e")
        .await;
    let row: serde_json::Value = rows[0].get(0);
    let attempt = &row["attempts"][0];
    let at: Moment = row["at"]
        .as_str()
        .unwrap()
        .parse::<chrono::DateTime<chrono::Utc>>()
        .unwrap()
        .into();
    assert_eq!(at, entry.request_id.at());
    assert_eq!(row["request_id"], entry.request_id.to_string());
    assert_eq!(row["client_request_id"], "mine-7");
    assert_eq!(row["tags"]["metadata"]["team"], "search");
    assert_eq!(row["finish"], "complete");
    assert_eq!(row["input_tokens"], entry.usage.input.0);
    assert_eq!(row["reasoning_tokens"], 7);
    assert_eq!(row["cost_nano_usd"], entry.cost_nano_usd.0);
    assert_eq!(row["first_byte_ms"], 120);
    assert_eq!(attempt["outcome"], "ok");
}

#[tokio::test]
async fn what_knows_most_of_a_call_wins_in_whatever_order_it_comes() {
    let database = Database::start().await;
    let orders = [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ];

    for order in orders {
        let truth = entry(3);
        let guess = Entry {
            is_estimated: true,
            cost_nano_usd: NanoUsd(5_000_000),
            model_id: None,
            ..truth.clone()
        };
        let versions = [intent(&truth).0, guess, truth];
        for at in order {
            ingest(&database.proxy, &versions[at..=at]).await.unwrap();
        }
        // Together in one statement, too.
        ingest(&database.proxy, &versions).await.unwrap();
    }

    assert_eq!(
        database
            .number("select count(*) from operations.usage_entries")
            .await,
        6
    );
    assert_eq!(
        database.number("select count(*) from operations.usage_entries where cost_nano_usd = 1000003 and not is_estimated").await,
        6
    );
    assert_eq!(
        database
            .number("select sum(cost_nano_usd)::bigint from operations.usage_hourly")
            .await,
        6 * 1_000_003
    );
    assert_eq!(database.roll_up_faults().await, Vec::<String>::new());
}

#[tokio::test]
async fn an_id_without_a_time_in_it_and_a_time_without_its_id_are_refused() {
    let database = Database::start().await;
    let timeless = Entry {
        request_id: RequestId(Uuid::from_u64_pair(0x0190_0000_0000_4000, 1 << 63)),
        ..entry(1)
    };

    let refused = ingest(&database.proxy, &[timeless]).await;

    assert!(matches!(refused, Err(NotBooked::Refused(_))), "{refused:?}");
    let mut conn = database.proxy.acquire().await.unwrap();
    let row = serde_json::json!([{"request_id": RequestId::new(Clock::System.now()), "at": "2026-01-01T00:00:00Z",
        "organization_id": id(0), "api_key_id": id(1), "requested_model": "m", "status": 200, "finish": "complete",
        "is_estimated": false, "is_stream": false, "input_tokens": 0, "cached_tokens": 0, "cache_write_tokens": 0,
        "output_tokens": 0, "reasoning_tokens": 0, "cost_nano_usd": 0, "saved_nano_usd": 0, "price_book": "",
        "duration_ms": 0, "attempts": []}]);
    let other_time = sqlx::query("select operations.ingest($1::text::json)")
        .bind(row.to_string())
        .execute(&mut *conn)
        .await;
    assert!(
        other_time
            .unwrap_err()
            .to_string()
            .contains("usage_entries_at_is_in_the_id")
    );
}

#[tokio::test]
async fn a_negative_cost_is_refused() {
    let database = Database::start().await;
    let mut conn = database.proxy.acquire().await.unwrap();
    let json = |cost: i64| {
        let at = Clock::System.now();
        serde_json::json!([{"request_id": RequestId::new(at), "at": at.utc(),
            "organization_id": id(0), "api_key_id": id(1), "requested_model": "m", "status": 200, "finish": "complete",
            "is_estimated": false, "is_stream": false, "input_tokens": 0, "cached_tokens": 0, "cache_write_tokens": 0,
            "output_tokens": 0, "reasoning_tokens": 0, "cost_nano_usd": cost, "saved_nano_usd": 0, "price_book": "",
            "duration_ms": 0, "attempts": []}])
        .to_string()
    };

    for (cost, is_booked) in [(-1, false), (0, true)] {
        let booked = sqlx::query("select operations.ingest($1::text::json)")
            .bind(json(cost))
            .execute(&mut *conn)
            .await;

        assert_eq!(booked.is_ok(), is_booked, "{cost}");
    }
}

#[tokio::test]
async fn a_nul_a_caller_sent_does_not_keep_its_call_out_of_the_books() {
    let database = Database::start().await;
    let entry = Entry {
        client_request_id: Some("a\0b".to_owned()),
        tags: serde_json::json!({"k\0": "\0"}),
        ..entry(1)
    };

    assert_eq!(ingest(&database.proxy, &[entry]).await.unwrap(), 1);
}

#[tokio::test]
async fn a_month_nobody_made_is_made_when_its_first_entry_comes() {
    let database = Database::start().await;
    let long_ago = Moment::from_millis(1_767_225_599_999);
    let a_millisecond_later = Moment::from_millis(1_767_225_600_000);
    let entries = [entry_at(long_ago, 1), entry_at(a_millisecond_later, 2)];

    let (one, other) = tokio::join!(
        ingest(&database.proxy, &entries),
        ingest(&database.proxy, &entries[1..])
    );

    assert_eq!(one.unwrap() + other.unwrap(), 2);
    let months = database
        .rows("select tableoid::regclass::text from operations.usage_entries order by at")
        .await;
    assert_eq!(
        months[0].get::<String, _>(0),
        "operations.usage_entries_2025_12"
    );
    assert_eq!(
        months[1].get::<String, _>(0),
        "operations.usage_entries_2026_01"
    );
    assert_eq!(database.roll_up_faults().await, Vec::<String>::new());
}

#[tokio::test]
async fn an_entry_from_a_clock_gone_wild_is_refused_and_makes_no_month() {
    let database = Database::start().await;
    let far = Moment::from_millis(9_999_999_999_999);

    let refused = ingest(&database.proxy, &[entry_at(far, 1)]).await;

    assert!(matches!(refused, Err(NotBooked::Refused(_))), "{refused:?}");
}

#[tokio::test]
async fn three_months_are_made_ahead_and_none_has_a_door_of_its_own() {
    let database = Database::start().await;

    let mut conn = database.proxy.acquire().await.unwrap();
    store::ensure_partitions(&mut conn).await.unwrap();

    let months = "from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'operations.usage_entries'::regclass";
    let ahead: &'static str = Box::leak(format!("select count(*) {months}").into_boxed_str());
    assert_eq!(database.number(ahead).await, 4);
    let guarded: &'static str = Box::leak(
        format!("select count(*) {months} and c.relrowsecurity and c.relforcerowsecurity")
            .into_boxed_str(),
    );
    assert_eq!(database.number(guarded).await, 4);
    let granted: &'static str = Box::leak(
        format!(
            "select count(*) from information_schema.role_table_grants g
             where g.grantee like 'synaxis%' and g.grantee <> 'synaxis_owner'
             and g.table_schema = 'operations' and g.table_name in (select c.relname {months})"
        )
        .into_boxed_str(),
    );
    assert_eq!(database.number(granted).await, 0);
}

#[tokio::test]
async fn only_the_proxy_books_and_an_organization_sees_its_own_entries() {
    let database = Database::start().await;
    let entries: Vec<Entry> = (0..10).map(entry).collect();
    ingest(&database.proxy, &entries).await.unwrap();
    let admin = database.open(Role::Admin);

    let refused = ingest(&admin, &entries).await;
    assert!(matches!(refused, Err(NotBooked::Away(_))), "{refused:?}");

    let mut conn = admin.acquire().await.unwrap();
    let count = "select count(*) from operations.usage_entries";
    let strangers: i64 = sqlx::query_scalar(count)
        .fetch_one(&mut *conn)
        .await
        .unwrap();
    assert_eq!(strangers, 0);
    let mut tx = admin.begin().await.unwrap();
    sqlx::query("select set_config('app.organization_id', $1, true)")
        .bind(id(1).to_string())
        .execute(&mut *tx)
        .await
        .unwrap();
    let own: i64 = sqlx::query_scalar(count).fetch_one(&mut *tx).await.unwrap();
    assert_eq!(own, 5);
    let direct = sqlx::query(sqlx::AssertSqlSafe(partition_of_now(&database).await))
        .fetch_all(&mut *tx)
        .await;
    assert!(
        direct
            .unwrap_err()
            .to_string()
            .contains("permission denied")
    );
}

async fn partition_of_now(database: &Database) -> String {
    let rows = database
        .rows("select distinct tableoid::regclass::text from operations.usage_entries")
        .await;
    format!("select * from {}", rows[0].get::<String, _>(0))
}

#[tokio::test]
async fn a_sum_that_no_longer_fits_is_the_fault_of_its_row() {
    let database = Database::start().await;
    let dear = |number| Entry {
        cost_nano_usd: NanoUsd(u64::try_from(i64::MAX).unwrap()),
        api_key_id: ApiKeyId(id(number)),
        finish: Finish::Complete,
        ..entry(1)
    };

    assert_eq!(ingest(&database.proxy, &[dear(1)]).await.unwrap(), 1);
    let refused = ingest(&database.proxy, &[dear(1)]).await;

    assert!(matches!(refused, Err(NotBooked::Refused(_))), "{refused:?}");
    assert_eq!(database.roll_up_faults().await, Vec::<String>::new());
}
