//! The roll-ups never disagree with the entries, whatever happens on the way; and when they do, it is noticed.

use std::{path::Path, time::Duration};

use sqlx::migrate::Migrator;
use synaxis::{
    base::Clock,
    store::{migrate, postgres::Role},
    usage::{Entry, Finish, Rows, rollup, store},
};

use super::books::{House, run};
use crate::stack::{database::TestDatabase, eventually};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How many rows of the last days' roll-ups say something else.
async fn faults(house: &House) -> u64 {
    let postgres = house.postgres();
    let mut conn = postgres.acquire().await.expect("a connection");
    let now = Clock::System.now();
    rollup::store::faults(&mut conn, now.minus(4 * DAY), now.plus(DAY))
        .await
        .expect("compared")
}

/// The call as it stood when its proxy died.
fn abandoned(call: &Entry) -> Entry {
    Entry {
        finish: Finish::Abandoned,
        is_estimated: true,
        status: 0,
        alternative: None,
        decision: synaxis::usage::Decision::default(),
        saved_nano_usd: synaxis::base::NanoUsd::ZERO,
        ..call.clone()
    }
}

#[tokio::test]
async fn estimates_that_become_true_move_every_roll_up_by_the_difference() {
    let mut house = House::start().await;
    let calls = house.calls(500, 3 * DAY);
    let estimates: Vec<Entry> = calls.iter().map(abandoned).collect();

    house.book(&estimates).await;
    house.fold().await;
    house.book(&calls).await;
    let amid = faults(&house).await;
    house.book(&estimates).await;
    house.fold().await;

    assert_eq!((amid, faults(&house).await), (0, 0));
    let usage = house.ask("/usage?interval=none").await.expect(200).json();
    let cost: u64 = calls.iter().map(|call| call.cost_nano_usd.0).sum();
    assert_eq!(
        (
            &usage["totals"]["requests"],
            &usage["totals"]["cost_nano_usd"]
        ),
        (&500.into(), &cost.into())
    );
}

#[tokio::test]
async fn many_who_book_and_fold_at_once_leave_the_roll_ups_true() {
    let mut house = House::start().await;
    let calls = house.calls(4_000, 2 * DAY);
    let proxy = house.admin.database.open(Role::Proxy);
    let booking = calls.chunks(100).map(|some| {
        let proxy = proxy.clone();
        async move {
            let mut conn = proxy.acquire().await.expect("a connection");
            store::ingest(&mut conn, Rows::of(some).all())
                .await
                .expect("booked");
        }
    });
    let folding = (0..20).map(|_| house.fold());

    futures::future::join(
        futures::future::join_all(booking),
        futures::future::join_all(folding),
    )
    .await;

    assert_eq!(faults(&house).await, 0);
    house.fold().await;
    assert_eq!(faults(&house).await, 0);
}

#[tokio::test]
async fn the_sidecar_takes_movements_in_by_itself() {
    let mut house = House::start().await;
    let calls = house.calls(300, DAY);
    house.book(&calls).await;

    eventually("nothing waits", async || {
        let waiting = house
            .truth("select count(*) as moves from operations.usage_moves".to_owned())
            .await;
        waiting["moves"] == 0
    })
    .await;

    let kept = house
        .truth("select sum(requests)::bigint as calls from operations.usage_daily".to_owned())
        .await;
    assert_eq!(kept["calls"], 300);
}

#[tokio::test]
async fn a_roll_up_that_was_tampered_with_is_noticed() {
    let mut house = House::start().await;
    let calls = house.calls(100, DAY);
    house.book(&calls).await;
    house.fold().await;
    assert_eq!(faults(&house).await, 0);
    let mut conn = house.superuser().await;
    for (table, only) in [
        ("usage_hourly", ""),
        ("usage_daily", ""),
        ("usage_totals", "and dimension = 'model' and grain = 'day'"),
        ("usage_totals", "and dimension = 'key' and grain = 'hour'"),
    ] {
        let change = |sign: char| {
            format!(
                "update operations.{table} set cost_nano_usd = cost_nano_usd {sign} 1 where organization_id = '{}' {only}",
                house.organization
            )
        };

        run(&mut conn, change('+')).await;
        let noticed = faults(&house).await;
        run(&mut conn, change('-')).await;

        assert!(noticed > 0, "{table}");
        assert_eq!(faults(&house).await, 0, "{table}");
    }
}

#[tokio::test]
async fn an_ingest_of_before_the_roll_ups_moves_them_all_the_same() {
    let mut house = House::start().await;
    let calls = house.calls(200, DAY);
    let mut conn = house.superuser().await;
    let old = include_str!("../../../migrations/0005_usage.sql");
    let begins = old
        .find("create function operations.ingest")
        .expect("the function");
    let ends = begins + old[begins..].find("$$;\n").expect("its end") + 4;
    let old = old[begins..ends].replace("create function", "create or replace function");
    sqlx::raw_sql(sqlx::AssertSqlSafe(old))
        .execute(&mut conn)
        .await
        .expect("the old function");

    house.book(&calls).await;

    assert_eq!(faults(&house).await, 0);
}

/// The last migration before hours of keys and people had totals.
const BEFORE_HOURS: i64 = 14;

#[tokio::test]
async fn hours_of_keys_that_were_folded_before_they_had_totals_have_them_now() {
    let mut house = House::start().await;
    let calls = house.calls(400, 2 * DAY);
    let database = TestDatabase::empty().await;
    let mut conn = database.connect().await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let all = Migrator::new(folder.as_path()).await.expect("migrations");
    all.run_to(BEFORE_HOURS, &mut conn).await.expect("migrated");
    let organization = format!(
        "insert into identity.organizations (id, slug, legal_name, display_name) values ('{}', 'acme', 'Acme', 'Acme')",
        house.organization
    );
    run(&mut conn, organization).await;
    for (some, statement) in calls
        .chunks(200)
        .zip(["select operations.fold_usage(150)", "select"])
    {
        store::ingest(&mut conn, Rows::of(some).all())
            .await
            .expect("booked");
        run(&mut conn, statement.to_owned()).await;
    }

    migrate::migrate(&database.settings())
        .await
        .expect("the rest");

    house.admin.database = database;
    let waiting = house
        .truth("select count(*) as moves from operations.usage_moves".to_owned())
        .await;
    assert!(waiting["moves"].as_u64() > Some(100), "{waiting}");
    assert_eq!(faults(&house).await, 0);
    house.fold().await;
    assert_eq!(faults(&house).await, 0);
    let hours = "select sum(requests)::bigint as calls from operations.usage_totals where grain = 'hour' and dimension = 'key'";
    assert_eq!(house.truth(hours.to_owned()).await["calls"], 400);
}
