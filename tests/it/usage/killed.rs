//! Postgres itself is killed while the spool is emptied into it, and months change under it.

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use sqlx::Row;
use synaxis::{
    base::{Clock, Moment, RequestId},
    store::postgres::Role,
    usage::{Entry, Flusher, Settings, accounts},
};

use super::{
    database::Database,
    entries::{entry, entry_at, intent, open, settings},
};
use crate::stack::{postgres::OwnPostgres, within};

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_killed_five_times_during_the_replay_has_every_call_once() {
    const CALLS: usize = 20_000;
    const KILLS: usize = 5;
    let mut postgres = OwnPostgres::start().await;
    let folder = tempfile::tempdir().unwrap();
    let spool = open(&Settings {
        cap_bytes: 1024 * 1024 * 1024,
        batch: 100,
        ..settings(folder.path())
    });
    let calls: Vec<Entry> = (0..CALLS as u64).map(entry).collect();
    for call in &calls {
        spool.intend(&intent(call)).unwrap();
        spool.done(call).unwrap();
    }
    let booked = Arc::new(Mutex::new(Vec::<RequestId>::new()));
    let told = Arc::clone(&booked);
    let flusher = Flusher::new(Arc::clone(&spool));
    let proxy = postgres.open(Role::Proxy);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let flushing = flusher.run(proxy, move |id| told.lock().unwrap().push(id), async move {
        let _ = stopped.await;
    });
    let killing = async {
        for kill in 1..=KILLS {
            // Somewhere within the replay, each time a little further.
            within(Duration::from_secs(60), async || {
                CALLS * kill / (KILLS + 2) < booked.lock().unwrap().len()
            })
            .await;
            postgres.kill();
            postgres.restart().await;
        }
        within(Duration::from_secs(60), async || {
            booked.lock().unwrap().len() == CALLS
        })
        .await;
        let _ = stop.send(());
    };

    tokio::join!(flushing, killing);

    let mut superuser = postgres.connect().await;
    let rows = sqlx::query(
        "select (select count(*) from operations.usage_entries),
            (select sum(requests)::bigint from operations.usage_hourly),
            (select sum(cost_nano_usd)::bigint from operations.usage_hourly),
            (select -sum(upstream_payable_nano_usd)::bigint from operations.ledger_postings),
            (select count(*) from operations.ledger_faults('2026-01-01', now() + interval '1 day'))",
    )
    .fetch_one(&mut superuser)
    .await
    .unwrap();
    let cost: u64 = calls.iter().map(|call| call.cost_nano_usd.0).sum();
    let (calls, cost) = (i64::try_from(CALLS).unwrap(), i64::try_from(cost).unwrap());
    let figures: [i64; 5] = std::array::from_fn(|column| rows.get(column));
    figure!("killed {KILLS} times: rows, roll-up, its cost, payable, faults: {figures:?}");
    assert_eq!(figures, [calls, calls, cost, cost, 0]);
    assert_eq!(booked.lock().unwrap().len(), CALLS);
}

async fn forget_all_months(database: &Database) {
    let mut superuser = database.superuser().await;
    sqlx::raw_sql(
        "do $$ declare month record; begin
            for month in select p.partition from platform.months() p
                where p.parent in ('operations.usage_entries'::regclass, 'operations.ledger_postings'::regclass) loop
                execute format('drop table %s', month.partition);
            end loop; end $$",
    )
    .execute(&mut superuser)
    .await
    .expect("it works");
}

fn copy_of(folder: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("it works");
    for file in std::fs::read_dir(folder).expect("it works") {
        let file = file.expect("it works");
        std::fs::copy(file.path(), copy.path().join(file.file_name())).expect("it works");
    }
    copy
}

#[tokio::test(flavor = "multi_thread")]
async fn a_month_that_ends_while_calls_go_on_is_made_when_its_first_call_is_booked() {
    let database = Database::start().await;
    forget_all_months(&database).await;
    let folder = tempfile::tempdir().unwrap();
    let spool = open(&settings(folder.path()));
    // Ten seconds before and after the end of last October, as a proxy's clock has them.
    let edge: Moment = "2026-11-01T00:00:00Z"
        .parse::<chrono::DateTime<chrono::Utc>>()
        .unwrap()
        .into();
    let calls: Vec<Entry> = (0..200)
        .map(|number| {
            let at = edge.plus(Duration::from_millis(100 * number));
            entry_at(at.minus(Duration::from_secs(10)), number)
        })
        .collect();
    for call in &calls {
        spool.intend(&intent(call)).unwrap();
        spool.done(call).unwrap();
    }
    drop(spool);
    let copies: Vec<_> = (0..4).map(|_| copy_of(folder.path())).collect();

    let draining = copies.iter().map(|copy| {
        let (spool, postgres) = (open(&settings(copy.path())), database.open(Role::Proxy));
        async move {
            let mut flusher = Flusher::new(spool);
            flusher.drain(&postgres, &|_| {}).await.expect("booked");
        }
    });
    futures::future::join_all(draining).await;

    let months = database
        .rows(
            "select tableoid::regclass::text, count(*) from operations.usage_entries group by 1
             union all select tableoid::regclass::text, count(*) from operations.ledger_postings group by 1 order by 1",
        )
        .await;
    let months: Vec<(String, i64)> = months.iter().map(|row| (row.get(0), row.get(1))).collect();
    let expected = [
        ("operations.ledger_postings_2026_10", 100),
        ("operations.ledger_postings_2026_11", 100),
        ("operations.usage_entries_2026_10", 100),
        ("operations.usage_entries_2026_11", 100),
    ];
    assert_eq!(months, expected.map(|(name, rows)| (name.to_owned(), rows)));
    assert!(edge < Clock::System.now());
    let admin = database.open(Role::Admin);
    accounts::fold(&admin).await.unwrap();
    assert_eq!(database.roll_up_faults().await, Vec::<String>::new());
}
