//! Every call's money adds up, in whatever order it is booked, corrected and given back; and when it does not, it shows.

use std::time::Duration;

use proptest::{prelude::*, test_runner::TestRunner};
use sqlx::{AssertSqlSafe, Row};
use synaxis::{
    base::{Clock, Moment, NanoUsd, OrganizationId, RequestId},
    store::postgres::{Postgres, Role},
    usage::{
        Entry, Finish, Rows,
        accounts::{self, store::Refund},
        store,
    },
};

use super::{
    database::Database,
    entries::{entry, entry_at, id, intent},
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

async fn ingest(postgres: &Postgres, entries: &[Entry]) {
    let mut conn = postgres.acquire().await.expect("Postgres runs");
    store::ingest(&mut conn, Rows::of(entries).all())
        .await
        .expect("the entries are booked");
}

async fn refund(admin: &Postgres, call: &Entry, amount: Option<u64>) -> Option<Refund> {
    let mut conn = admin.acquire().await.expect("Postgres runs");
    let amount = amount.map(NanoUsd);
    accounts::store::refund(&mut conn, call.organization_id, call.request_id, amount)
        .await
        .expect("Postgres answers")
}

/// What is wrong with the ledger, the accounts of whole days included.
async fn faults(database: &Database) -> Vec<String> {
    let rows = database
        .rows(
            "select fault || ' ' || difference::text from operations.ledger_faults(
                date_trunc('day', now(), 'UTC') - interval '3 days', date_trunc('day', now(), 'UTC') + interval '2 days')",
        )
        .await;
    rows.iter().map(|row| row.get(0)).collect()
}

/// The balance of every account, those that wait included: reserved, open, settled, released, cost, saved.
async fn balances(database: &Database) -> [i64; 6] {
    let rows = database
        .rows(
            "select coalesce(sum(reserved_nano_usd), 0)::bigint, coalesce(sum(open_nano_usd), 0)::bigint,
                coalesce(sum(settled_nano_usd), 0)::bigint, coalesce(sum(released_nano_usd), 0)::bigint,
                coalesce(sum(upstream_cost_nano_usd), 0)::bigint, coalesce(sum(saved_nano_usd), 0)::bigint
            from (
                select reserved_nano_usd, open_nano_usd, settled_nano_usd, released_nano_usd, upstream_cost_nano_usd,
                    saved_nano_usd from operations.ledger_accounts
                union all
                select reserved_nano_usd, open_nano_usd, settled_nano_usd, released_nano_usd, upstream_cost_nano_usd,
                    saved_nano_usd from operations.ledger_moves) a",
        )
        .await;
    std::array::from_fn(|column| rows[0].get(column))
}

fn held(entry: Entry, held: u64) -> Entry {
    Entry {
        held_nano_usd: NanoUsd(held),
        ..entry
    }
}

#[tokio::test]
async fn what_was_held_is_settled_and_the_rest_released() {
    let database = Database::start().await;
    let call = Entry {
        cost_nano_usd: NanoUsd(300),
        saved_nano_usd: NanoUsd(50),
        ..held(entry(1), 1_000)
    };

    for _ in 0..3 {
        ingest(&database.proxy, std::slice::from_ref(&call)).await;
    }

    assert_eq!(balances(&database).await, [-1_000, 0, 300, 700, 300, 50]);
    assert_eq!(faults(&database).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_call_that_cost_more_than_was_held_reserves_the_rest_late() {
    let database = Database::start().await;
    let call = Entry {
        cost_nano_usd: NanoUsd(1_300),
        saved_nano_usd: NanoUsd::ZERO,
        ..held(entry(1), 1_000)
    };

    ingest(&database.proxy, &[call]).await;

    assert_eq!(balances(&database).await, [-1_300, 0, 1_300, 0, 1_300, 0]);
    assert_eq!(faults(&database).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_call_whose_end_nobody_knows_is_open_until_its_truth_is_posted_as_the_difference() {
    let database = Database::start().await;
    let truth = Entry {
        cost_nano_usd: NanoUsd(300),
        saved_nano_usd: NanoUsd(50),
        ..held(entry(1), 12_000_000)
    };
    let open = intent(&truth).0;

    ingest(&database.proxy, &[open]).await;
    let before = balances(&database).await;
    ingest(&database.proxy, &[truth]).await;

    assert_eq!(before, [-12_000_000, 9_000_000, 0, 3_000_000, 9_000_000, 0]);
    assert_eq!(
        balances(&database).await,
        [-12_000_000, 0, 300, 11_999_700, 300, 50]
    );
    let postings = database
        .number("select count(*) from operations.ledger_postings")
        .await;
    assert_eq!(postings, 2);
    assert_eq!(faults(&database).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_record_of_before_holds_were_told_was_held_as_it_cost() {
    let database = Database::start().await;
    let at = Clock::System.now();
    let mut conn = database.proxy.acquire().await.unwrap();
    let row = serde_json::json!([{"request_id": RequestId::new(at), "at": at.utc(),
        "organization_id": id(0), "api_key_id": id(1), "requested_model": "m", "status": 200, "finish": "complete",
        "is_estimated": false, "is_stream": false, "input_tokens": 0, "cached_tokens": 0, "cache_write_tokens": 0,
        "output_tokens": 0, "reasoning_tokens": 0, "cost_nano_usd": 7, "saved_nano_usd": 0, "price_book": "",
        "duration_ms": 0, "attempts": []}]);

    sqlx::query("select operations.ingest($1::text::json)")
        .bind(row.to_string())
        .execute(&mut *conn)
        .await
        .unwrap();

    assert_eq!(balances(&database).await, [-7, 0, 7, 0, 7, 0]);
    assert_eq!(faults(&database).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_refund_is_a_posting_and_never_more_than_the_call_cost() {
    let database = Database::start().await;
    let admin = database.open(Role::Admin);
    let call = Entry {
        cost_nano_usd: NanoUsd(300),
        saved_nano_usd: NanoUsd::ZERO,
        ..held(entry(1), 1_000)
    };
    ingest(&database.proxy, std::slice::from_ref(&call)).await;

    let told = |given: Option<u64>, refunded, remaining| {
        Some(Refund {
            given: given.map(NanoUsd),
            refunded: NanoUsd(refunded),
            remaining: NanoUsd(remaining),
        })
    };
    assert_eq!(refund(&admin, &call, Some(301)).await, told(None, 0, 300));
    assert_eq!(refund(&admin, &call, Some(0)).await, told(None, 0, 300));
    assert_eq!(
        refund(&admin, &call, Some(100)).await,
        told(Some(100), 100, 200)
    );
    assert_eq!(refund(&admin, &call, None).await, told(Some(200), 300, 0));
    assert_eq!(refund(&admin, &call, None).await, told(None, 300, 0));
    let foreign = Entry {
        organization_id: OrganizationId(id(77)),
        ..call.clone()
    };
    assert_eq!(refund(&admin, &foreign, None).await, None);
    assert_eq!(refund(&admin, &entry(1), None).await, None);

    assert_eq!(balances(&database).await, [-1_000, 0, 0, 1_000, 300, 0]);
    assert_eq!(faults(&database).await, Vec::<String>::new());
}

#[tokio::test]
async fn what_was_given_back_is_not_spent() {
    let database = Database::start().await;
    let admin = database.open(Role::Admin);
    let now = Clock::System.now();
    let calls: Vec<Entry> = (0..40).map(|number| entry_at(now, number)).collect();
    ingest(&database.proxy, &calls).await;
    let subjects = [
        (serde_json::json!({"kind": "organization", "id": id(1)}), 20),
        (serde_json::json!({"kind": "group", "id": id(11)}), 10),
        (serde_json::json!({"kind": "key", "id": id(101)}), 2),
        (
            serde_json::json!({"kind": "key_model", "id": [id(101), id(201)]}),
            1,
        ),
    ];
    let spent = async |meter: &str| {
        let limits: Vec<_> = subjects
            .iter()
            .map(|(subject, _)| {
                serde_json::json!({"id": id(0), "subject": subject, "meter": meter,
                    "from": now.minus(DAY).millis(), "to": now.plus(DAY).millis()})
            })
            .collect();
        let mut conn = database.proxy.acquire().await.unwrap();
        let answer: serde_json::Value = sqlx::query_scalar("select operations.spent($1, $2)")
            .bind(id(1))
            .bind(serde_json::Value::from(limits))
            .fetch_one(&mut *conn)
            .await
            .unwrap();
        let answer = answer.as_array().unwrap().clone();
        answer
            .iter()
            .map(|one| one["spent"].as_i64().unwrap())
            .collect::<Vec<i64>>()
    };
    let before = (spent("nano_usd").await, spent("requests").await);

    // Of key 101, group 11, model 201 for the first only.
    refund(&admin, &calls[1], Some(1_000)).await.unwrap();
    refund(&admin, &calls[21], Some(20)).await.unwrap();

    let after = (spent("nano_usd").await, spent("requests").await);
    let given: Vec<i64> = before
        .0
        .iter()
        .zip(&after.0)
        .map(|(before, after)| before - after)
        .collect();
    assert_eq!(given, [1_020, 1_020, 1_020, 1_000]);
    assert_eq!(after.1, before.1);
    assert_eq!(
        after.1,
        subjects.iter().map(|(_, calls)| *calls).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn the_accounts_take_movements_in_and_keep_them_when_their_postings_go() {
    let database = Database::start().await;
    let admin = database.open(Role::Admin);
    let now = Clock::System.now();
    let calls: Vec<Entry> = (0..300)
        .map(|number| entry_at(now.minus(Duration::from_secs(600 * number)), number))
        .collect();
    let guesses: Vec<Entry> = calls.iter().map(|call| intent(call).0).collect();
    ingest(&database.proxy, &guesses).await;
    accounts::fold(&admin).await.unwrap();
    ingest(&database.proxy, &calls).await;
    refund(&admin, &calls[7], None).await.unwrap();
    let before = balances(&database).await;
    assert_eq!(faults(&database).await, Vec::<String>::new());

    accounts::fold(&admin).await.unwrap();

    let waiting = database
        .number("select count(*) from operations.ledger_moves")
        .await;
    assert_eq!(waiting, 0);
    assert_eq!(balances(&database).await, before);
    assert_eq!(faults(&database).await, Vec::<String>::new());
    let mut superuser = database.superuser().await;
    sqlx::raw_sql("delete from operations.ledger_postings; delete from operations.usage_entries")
        .execute(&mut superuser)
        .await
        .unwrap();
    assert_eq!(balances(&database).await, before);
}

#[tokio::test]
async fn a_ledger_that_was_tampered_with_is_noticed() {
    let database = Database::start().await;
    let admin = database.open(Role::Admin);
    let calls: Vec<Entry> = (0..50).map(entry).collect();
    ingest(&database.proxy, &calls).await;
    accounts::fold(&admin).await.unwrap();
    let mut superuser = database.superuser().await;
    let one = calls[3].request_id;
    let tampering = [
        (
            "posted",
            format!("update operations.ledger_postings set settled_nano_usd = settled_nano_usd + 1,
                released_nano_usd = released_nano_usd - 1 where request_id = '{one}'"),
        ),
        ("posted", format!("delete from operations.ledger_postings where request_id = '{one}'")),
        ("orphan", format!("delete from operations.usage_entries where request_id = '{one}'")),
        (
            "posted",
            format!("alter table operations.usage_entries disable trigger post_replaced;
                update operations.usage_entries set cost_nano_usd = cost_nano_usd - 1 where request_id = '{one}'"),
        ),
        (
            "unbalanced",
            format!("alter table operations.ledger_postings drop constraint ledger_postings_balance_ck;
                update operations.ledger_postings set list_cost_nano_usd = 9 where request_id = '{one}'"),
        ),
        (
            "account",
            "update operations.ledger_accounts set reserved_nano_usd = reserved_nano_usd - 1,
                open_nano_usd = open_nano_usd + 1".to_owned(),
        ),
        ("account", "delete from operations.ledger_accounts".to_owned()),
    ];

    for (fault, statement) in tampering {
        sqlx::raw_sql("begin")
            .execute(&mut superuser)
            .await
            .unwrap();
        sqlx::raw_sql(AssertSqlSafe(statement.clone()))
            .execute(&mut superuser)
            .await
            .unwrap();
        let noticed: Vec<String> = sqlx::query_scalar(
            "select distinct fault from operations.ledger_faults(
                date_trunc('day', now(), 'UTC') - interval '1 day', date_trunc('day', now(), 'UTC') + interval '1 day')",
        )
        .fetch_all(&mut superuser)
        .await
        .unwrap();
        sqlx::raw_sql("rollback")
            .execute(&mut superuser)
            .await
            .unwrap();

        assert!(
            noticed.iter().any(|found| found == fault),
            "{statement}: {noticed:?}"
        );
    }
    assert_eq!(faults(&database).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_movement_that_is_not_zero_in_all_is_refused() {
    let database = Database::start().await;
    let mut superuser = database.superuser().await;

    let refused = sqlx::query(
        "insert into operations.ledger_postings (request_id, at, movement, ordinal, organization_id, reserved_nano_usd,
            open_nano_usd, settled_nano_usd, released_nano_usd, upstream_cost_nano_usd, upstream_payable_nano_usd,
            list_cost_nano_usd, saved_nano_usd)
        values (gen_random_uuid(), now(), 'booking', 0, gen_random_uuid(), -7, 0, 6, 0, 0, 0, 0, 0)",
    )
    .execute(&mut superuser)
    .await;

    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("ledger_postings_balance_ck"), "{refused}");
}

#[tokio::test]
async fn an_ingest_of_before_the_ledger_posts_all_the_same() {
    let database = Database::start().await;
    let mut superuser = database.superuser().await;
    let old = include_str!("../../../migrations/0013_insight.sql");
    let begins = old
        .find("create or replace function operations.ingest")
        .expect("the function");
    let ends = begins + old[begins..].find("$$;\n").expect("its end") + 4;
    sqlx::raw_sql(&old[begins..ends])
        .execute(&mut superuser)
        .await
        .unwrap();
    let calls: Vec<Entry> = (0..100).map(entry).collect();
    let guesses: Vec<Entry> = calls.iter().map(|call| intent(call).0).collect();

    ingest(&database.proxy, &guesses).await;
    ingest(&database.proxy, &calls).await;

    assert_eq!(faults(&database).await, Vec::<String>::new());
}

#[tokio::test]
async fn what_was_booked_before_there_was_a_ledger_is_posted_when_it_comes() {
    let database = crate::stack::database::TestDatabase::empty().await;
    let mut superuser = database.connect().await;
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let all = sqlx::migrate::Migrator::new(folder.as_path())
        .await
        .unwrap();
    all.run_to(14, &mut superuser).await.unwrap();
    let now = Clock::System.now();
    let mut calls: Vec<Entry> = (0..200).map(|number| entry_at(now, number)).collect();
    calls.push(intent(&entry_at(now.minus(100 * DAY), 1)).0);
    for call in &mut calls {
        call.held_nano_usd = NanoUsd::ZERO;
    }
    sqlx::query("select operations.ingest(('[' || $1 || ']')::json)")
        .bind(rows_as_text(&calls))
        .execute(&mut superuser)
        .await
        .unwrap();

    all.run(&mut superuser).await.unwrap();

    let faults: i64 = sqlx::query_scalar("select count(*) from operations.ledger_faults(now() - interval '200 days', now() + interval '2 days')")
        .fetch_one(&mut superuser)
        .await
        .unwrap();
    let open: i64 =
        sqlx::query_scalar("select sum(open_nano_usd)::bigint from operations.ledger_accounts")
            .fetch_one(&mut superuser)
            .await
            .unwrap();
    assert_eq!((faults, open), (0, 9_000_000));
}

/// Rows as an ingest takes them, written by hand: the columns of before.
fn rows_as_text(calls: &[Entry]) -> String {
    let row = |call: &Entry| {
        serde_json::json!({"request_id": call.request_id, "at": call.request_id.at().utc(),
            "organization_id": call.organization_id, "api_key_id": call.api_key_id, "requested_model": "m",
            "status": call.status, "finish": call.finish.as_str(), "is_estimated": call.is_estimated,
            "is_stream": false, "input_tokens": 1, "cached_tokens": 0, "cache_write_tokens": 0, "output_tokens": 1,
            "reasoning_tokens": 0, "cost_nano_usd": call.cost_nano_usd.0, "saved_nano_usd": call.saved_nano_usd.0,
            "price_book": "", "duration_ms": 0, "attempts": []})
        .to_string()
    };
    calls.iter().map(row).collect::<Vec<_>>().join(",")
}

/// What can happen to one of a few calls.
#[derive(Clone, Debug)]
enum Step {
    /// Its row is sent, as far as it is known by then.
    Sent {
        call: usize,
        version: usize,
        cost: u64,
        held: u64,
    },
    /// Money of it is given back.
    Refunded { call: usize, amount: Option<u64> },
    /// Movements are taken in.
    Folded,
}

const CALLS: usize = 4;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let call = 0..CALLS;
    let sent = (call.clone(), 0..3_usize, 0..1_000_u64, 0..1_000_u64).prop_map(
        |(call, version, cost, held)| Step::Sent {
            call,
            version,
            cost,
            held,
        },
    );
    let refunded = (call, proptest::option::of(0..600_u64))
        .prop_map(|(call, amount)| Step::Refunded { call, amount });
    let step = prop_oneof![6 => sent, 3 => refunded, 1 => Just(Step::Folded)];
    proptest::collection::vec(step, 1..24)
}

/// What the books should say of one call.
#[derive(Clone, Copy, Default)]
struct Model {
    version: Option<usize>,
    cost: i64,
    held: i64,
    refunded: i64,
}

impl Model {
    /// Reserved, open, settled, released, cost.
    fn balances(&self) -> [i64; 5] {
        let (Some(version), reserved) = (self.version, self.held.max(self.cost)) else {
            return [0; 5];
        };
        let open = if version == 0 { self.cost } else { 0 };
        let settled = self.cost - open - self.refunded;
        let released = reserved - self.cost + self.refunded;
        [-reserved, open, settled, released, self.cost]
    }
}

#[test]
fn in_any_order_of_bookings_corrections_and_refunds_the_ledger_adds_up() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let (database, admin) = runtime.block_on(async {
        let database = Database::start().await;
        let admin = database.open(Role::Admin);
        (database, admin)
    });
    let mut runner = TestRunner::new(ProptestConfig::with_cases(100));

    runner
        .run(&steps(), |steps| {
            runtime.block_on(async {
                let mut superuser = database.superuser().await;
                sqlx::raw_sql("truncate operations.ledger_moves, operations.ledger_accounts, operations.usage_entries, operations.ledger_postings")
                    .execute(&mut superuser)
                    .await
                    .expect("emptied");
                let now = Clock::System.now();
                let (real, model) = play(&database, &admin, now, &steps).await;
                prop_assert_eq!(real, model);
                prop_assert_eq!(faults(&database).await, Vec::<String>::new());
                Ok(())
            })
        })
        .expect("the ledger adds up");
}

/// Does the steps, and says what the accounts came to and what they should have.
async fn play(
    database: &Database,
    admin: &Postgres,
    now: Moment,
    steps: &[Step],
) -> ([i64; 5], [i64; 5]) {
    let calls: [Entry; CALLS] = std::array::from_fn(|number| entry_at(now, number as u64));
    let mut models = [Model::default(); CALLS];
    for step in steps {
        match *step {
            Step::Sent {
                call,
                version,
                cost,
                held: hold,
            } => {
                let sent = Entry {
                    finish: if version == 0 {
                        Finish::Abandoned
                    } else {
                        Finish::Complete
                    },
                    is_estimated: version < 2,
                    cost_nano_usd: NanoUsd(cost),
                    saved_nano_usd: NanoUsd::ZERO,
                    ..held(calls[call].clone(), hold)
                };
                ingest(&database.proxy, &[sent]).await;
                let model = &mut models[call];
                if model.version.is_none_or(|known| known < version) {
                    model.version = Some(version);
                    model.cost = cost.try_into().expect("small");
                    model.held = hold.try_into().expect("small");
                }
            }
            Step::Refunded { call, amount } => {
                let given = refund(admin, &calls[call], amount).await;
                let model = &mut models[call];
                let left = (model.cost - model.refunded).max(0);
                let wanted = amount.map_or(left, |amount| amount.try_into().expect("small"));
                let expected = (1..=left).contains(&wanted).then_some(wanted);
                assert_eq!(given.is_some(), model.version.is_some());
                let given = given.and_then(|refund| refund.given).map(NanoUsd::column);
                assert_eq!(given, expected);
                model.refunded += given.unwrap_or_default();
            }
            Step::Folded => accounts::fold(admin).await.expect("folded"),
        }
    }
    let [reserved, open, settled, released, cost, _] = balances(database).await;
    let expected = models.iter().map(Model::balances).fold([0; 5], |sum, one| {
        std::array::from_fn(|account| sum[account] + one[account])
    });
    ([reserved, open, settled, released, cost], expected)
}
