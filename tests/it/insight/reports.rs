//! A report says what the entries say, however it is divided and wherever they are in the roll-ups.

use std::{collections::BTreeMap, time::Duration};

use chrono_tz::Tz;
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use sqlx::{AssertSqlSafe, Row, postgres::PgRow};
use synaxis::{
    base::{ApiKeyId, Clock, GroupId, ModelId, ProviderId, UserId},
    catalog::Tier,
    store::postgres::Role,
    usage::report::{
        self, Cut, Dimension, Filters, Interval, Period, Place, Question, Report, Whose, store,
    },
};

use super::books::{House, id, offer};
use crate::identity::people::newcomer;

const DAYS: u64 = 24 * 60 * 60;

/// Everything at once.
const WHOLE: Cut = Cut {
    place: Place { at: None, skip: 0 },
    take: 100_000,
    may_be_short: false,
};

/// Rows as (bucket, value) → (calls, cost, saved, tokens written).
type Rows = BTreeMap<(Option<String>, Option<String>), [i64; 4]>;

fn random(rng: &mut StdRng, house: &House) -> Question {
    use Dimension as By;
    let by = [
        By::None,
        By::Organization,
        By::Group,
        By::User,
        By::Key,
        By::Model,
        By::Provider,
        By::Offer,
        By::Tier,
    ];
    let zones = [
        Tz::UTC,
        Tz::Europe__Berlin,
        Tz::America__New_York,
        Tz::Asia__Kolkata,
        Tz::Pacific__Auckland,
    ];
    let hours = |hours: u64| Duration::from_secs(hours * 60 * 60);
    let now = Clock::System.now();
    let to = now.minus(hours(rng.random_range(0..80)));
    let mut filters = Filters::default();
    for _ in 0..rng.random_range(0..3) {
        match rng.random_range(0..7) {
            0 => filters.group = Some(GroupId(id(6, rng.random_range(0..4)))),
            1 => filters.user = house.owner.user_id.parse::<UserId>().ok(),
            2 => filters.key = Some(ApiKeyId(id(7, rng.random_range(0..6)))),
            3 => filters.model = Some(ModelId(id(2, rng.random_range(0..2)))),
            4 => filters.provider = Some(ProviderId(id(1, rng.random_range(0..2)))),
            5 => filters.offer = Some(offer(rng.random_range(0..5))),
            _ => filters.tier = [Tier::Free, Tier::Paid].choose(rng).copied(),
        }
    }
    Question {
        whose: Whose::Organization(house.organization),
        by: *by.choose(rng).expect("one"),
        interval: *[
            Interval::None,
            Interval::Hour,
            Interval::Day,
            Interval::Month,
        ]
        .choose(rng)
        .expect("one"),
        zone: *zones.choose(rng).expect("one"),
        period: Period::around(to.minus(hours(rng.random_range(1..160))), to),
        filters,
    }
}

/// What the entries themselves say.
async fn truth(house: &House, question: &Question) -> Rows {
    let (value, bucket) = (value_of(question.by), bucket_of(question));
    let whose = match question.whose {
        Whose::Organization(organization) => format!("e.organization_id = '{organization}'"),
        Whose::Everybody => "true".to_owned(),
    };
    let filters = narrowed(&question.filters);
    let (from, to) = (question.period.from.utc(), question.period.to.utc());
    let query = format!(
        "select {bucket} as bucket, {value} as value, count(*)::bigint, sum(cost_nano_usd)::bigint,
            sum(saved_nano_usd)::bigint, sum(output_tokens)::bigint
        from operations.usage_entries e left join platform.offers o on o.id = e.offer_id
        where {whose} and e.at >= '{from}' and e.at < '{to}'{filters}
        group by 1, 2"
    );
    let mut conn = house.superuser().await;
    super::books::run(&mut conn, "set timezone = 'UTC'".to_owned()).await;
    let rows = sqlx::query(AssertSqlSafe(query)).fetch_all(&mut conn).await;
    let rows = rows.expect("rows");
    let amounts = |row: &PgRow| [2, 3, 4, 5].map(|column: usize| row.get(column));
    rows.iter()
        .map(|row| ((row.get(0), row.get(1)), amounts(row)))
        .collect()
}

fn value_of(by: Dimension) -> &'static str {
    match by {
        Dimension::None => "null",
        Dimension::Organization => "e.organization_id::text",
        Dimension::Group => "e.group_id::text",
        Dimension::User => "e.user_id::text",
        Dimension::Key => "e.api_key_id::text",
        Dimension::Model => "e.model_id::text",
        Dimension::Provider => "e.provider_id::text",
        Dimension::Offer => "e.offer_id::text",
        Dimension::Tier => "o.tier",
    }
}

fn bucket_of(question: &Question) -> String {
    let unit = match question.interval {
        Interval::None => return "null".to_owned(),
        Interval::Hour => "hour",
        Interval::Day => "day",
        Interval::Month => "month",
    };
    let zone = question.zone.name();
    format!("date_trunc('{unit}', date_trunc('hour', e.at, 'UTC'), '{zone}')::text")
}

fn narrowed(filters: &Filters) -> String {
    let filters = serde_json::to_value(filters).expect("filters");
    let columns = [
        ("group", "e.group_id"),
        ("user", "e.user_id"),
        ("key", "e.api_key_id"),
        ("model", "e.model_id"),
        ("provider", "e.provider_id"),
        ("offer", "e.offer_id"),
        ("tier", "o.tier"),
    ];
    columns
        .iter()
        .filter_map(|(name, column)| {
            Some(format!(" and {column} = '{}'", filters[*name].as_str()?))
        })
        .collect()
}

fn rows(report: &Report, by: Dimension) -> Rows {
    report
        .rows
        .iter()
        .map(|row| {
            let value = match by {
                Dimension::Tier => row.name.clone(),
                _ => row.value.map(|id| id.to_string()),
            };
            let bucket = row
                .at
                .map(|at| at.utc().format("%Y-%m-%d %H:%M:%S+00").to_string());
            let number = |amount: u64| i64::try_from(amount).expect("small");
            let amounts = row.amounts;
            (
                (bucket, value),
                [
                    number(amounts.requests),
                    number(amounts.cost.0),
                    number(amounts.saved.0),
                    number(amounts.output_tokens),
                ],
            )
        })
        .collect()
}

async fn agrees(house: &House, question: &Question) {
    let mut tx = house
        .postgres()
        .begin_for(house.scope())
        .await
        .expect("a transaction");
    let report = store::report(&mut tx, question, WHOLE)
        .await
        .expect("a report");
    let truth = truth(house, question).await;

    assert_eq!(report.next, None);
    assert_eq!(rows(&report, question.by), truth, "{question:?}");
    assert_eq!(
        paged(house, question, &report).await,
        report.rows,
        "{question:?}"
    );
    let calls: i64 = truth.values().map(|amounts| amounts[0]).sum();
    let cost: i64 = truth.values().map(|amounts| amounts[1]).sum();
    let total = report.total;
    assert_eq!(
        (total.requests, total.cost.0),
        (calls.unsigned_abs(), cost.unsigned_abs()),
        "{question:?}"
    );
}

/// The rows of a report as pages give them, of which there are about three, each with the whole report's total.
async fn paged(house: &House, question: &Question, whole: &Report) -> Vec<report::Row> {
    let mut tx = house
        .postgres()
        .begin_for(house.scope())
        .await
        .expect("a transaction");
    let mut rows = Vec::new();
    let mut next = Some(Place::default());
    while let Some(place) = next {
        let take = u32::try_from(whole.rows.len() / 3).expect("few") + 1;
        let may_be_short = true;
        let cut = Cut {
            place,
            take,
            may_be_short,
        };
        let page = store::report(&mut tx, question, cut).await.expect("a page");
        assert_eq!(page.total, whole.total, "{question:?}");
        assert!(page.next.is_none_or(|next| next != place), "{question:?}");
        rows.extend(page.rows);
        next = page.next;
    }
    rows
}

#[tokio::test]
async fn every_question_is_answered_as_the_entries_would_before_amid_and_after_folding() {
    let mut house = House::start().await;
    let mut rng = StdRng::seed_from_u64(11);
    for _ in 0..3 {
        let calls = house.calls(1_500, Duration::from_secs(6 * DAYS));
        house.book(&calls).await;
        for _ in 0..60 {
            agrees(&house, &random(&mut rng, &house)).await;
        }
        house.fold().await;
    }
    for _ in 0..120 {
        agrees(&house, &random(&mut rng, &house)).await;
    }
}

#[tokio::test]
async fn across_organizations_the_totals_answer_as_the_entries_would() {
    let mut house = House::start().await;
    house.promote(&house.owner).await;
    let other = newcomer(&house.admin, "other@insight.example").await;
    let own = house.organization;
    for who in [house.owner.clone(), other] {
        house.organization = super::books::organization_of(&house.admin, &who).await;
        let calls = house.calls(400, Duration::from_secs(5 * DAYS));
        house.book(&calls).await;
    }
    house.organization = own;
    let mut rng = StdRng::seed_from_u64(13);
    let postgres = house.admin.database.open(Role::Admin);
    let mut asked = 0;
    while asked < 80 {
        let question = Question {
            whose: Whose::Everybody,
            ..random(&mut rng, &house)
        };
        if question.check().is_err() {
            continue;
        }
        asked += 1;
        let mut conn = postgres.acquire().await.expect("a connection");
        let report = store::platform_report(&mut conn, &question, WHOLE)
            .await
            .expect("a report");
        assert_eq!(
            rows(&report, question.by),
            truth(&house, &question).await,
            "{question:?}"
        );
        if asked == 40 {
            house.fold().await;
        }
    }
}

#[tokio::test]
async fn a_report_names_what_it_counts_and_its_pages_add_up_to_its_totals() {
    let mut house = House::start().await;
    let calls = house.calls(300, Duration::from_secs(2 * DAYS));
    house.book(&calls).await;

    let whole = house
        .ask("/usage?group_by=key&interval=day")
        .await
        .expect(200)
        .json();
    let paged = house.all("/usage?group_by=key&interval=day&limit=2").await;

    let rows = whole["data"].as_array().unwrap();
    assert_eq!(&paged, rows);
    let sum: u64 = rows
        .iter()
        .map(|row| row["requests"].as_u64().unwrap())
        .sum();
    assert_eq!(sum, 300);
    assert_eq!(whole["totals"]["requests"], 300);
    assert!(
        rows.iter()
            .all(|row| row["group"]["name"].as_str().unwrap().starts_with("key ")),
        "{rows:?}"
    );
    assert_eq!(
        (&whole["zone"], &whole["interval"], &whole["group_by"]),
        (&"UTC".into(), &"day".into(), &"key".into())
    );
}

#[tokio::test]
async fn without_steps_the_dearest_comes_first() {
    let mut house = House::start().await;
    let calls = house.calls(300, Duration::from_secs(DAYS));
    house.book(&calls).await;

    let report = house.ask("/usage?group_by=offer").await.expect(200).json();

    let costs: Vec<u64> = report["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["cost_nano_usd"].as_u64().unwrap())
        .collect();
    assert_eq!(costs.len(), 5);
    assert!(costs.is_sorted_by(|a, b| a >= b), "{costs:?}");
}

#[tokio::test]
async fn a_file_has_every_row_and_no_formula() {
    let mut house = House::start().await;
    let calls = house.calls(200, Duration::from_secs(DAYS));
    house.book(&calls).await;

    let file = house
        .ask("/usage?group_by=group&format=csv&limit=1")
        .await
        .expect(200);

    assert!(file.header("content-type").starts_with("text/csv"));
    assert!(file.header("content-disposition").contains("usage.csv"));
    let mut reader = csv::Reader::from_reader(file.text.as_bytes());
    let rows: Vec<csv::StringRecord> = reader.records().map(|row| row.expect("a row")).collect();
    let names: Vec<&str> = rows.iter().map(|row| &row[2]).collect();
    assert!(rows.len() == 5 && names.contains(&"'=team 1"), "{names:?}");
    let sum: u64 = rows.iter().map(|row| row[3].parse::<u64>().unwrap()).sum();
    assert_eq!(sum, 200);
}

#[tokio::test]
async fn what_cannot_be_answered_is_refused_by_the_parameter() {
    let house = House::start().await;
    let month_ago = Clock::System
        .now()
        .minus(Duration::from_secs(40 * DAYS))
        .utc()
        .to_rfc3339();
    let month_ago = month_ago.replace('+', "%2B");
    for (query, field) in [
        ("zone=Mars/Olympus".to_owned(), "zone"),
        ("limit=0".to_owned(), "limit"),
        ("limit=1001".to_owned(), "limit"),
        ("cursor=AAAA".to_owned(), "cursor"),
        ("group_by=colour".to_owned(), "group_by"),
        ("colour=red".to_owned(), "colour"),
        (format!("interval=hour&from={month_ago}"), "from"),
        (format!("to={month_ago}&from=2026-01-01T00:00:00Z"), "from"),
        (
            format!(
                "from={month_ago}&to={month_ago}&interval=day&limit=5&zone=UTC&group_by=key&cursor=x"
            ),
            "cursor",
        ),
    ] {
        let refused = house.ask(&format!("/usage?{query}")).await;
        let problem = refused.json();
        if query.starts_with("to=") {
            // 2026-01-01 may or may not be more than 400 days ago; only its shape is judged.
            assert!([200, 400].contains(&refused.status), "{problem}");
            continue;
        }
        assert_eq!(
            (refused.status, &problem["errors"][0]["field"]),
            (400, &field.into()),
            "{query}: {problem}"
        );
    }
}

#[tokio::test]
async fn a_member_sees_their_own_usage_and_nobody_elses() {
    let mut house = House::start().await;
    let calls = house.calls(200, Duration::from_secs(DAYS));
    house.book(&calls).await;
    let own = calls.iter().filter(|call| call.user_id.is_some()).count();
    let stranger = newcomer(&house.admin, "stranger@insight.example").await;
    let path = format!("/api/v1/me/usage?organization_id={}", house.organization);

    let mine = house.ask_as(&house.owner, &path).await.expect(200).json();
    let theirs = house.ask_as(&stranger, &path).await;
    let outside = format!("/api/v1/organizations/{}/usage", house.organization);
    let outside = house.ask_as(&stranger, &outside).await;

    assert_eq!(mine["totals"]["requests"], own);
    assert_eq!((theirs.status, outside.status), (404, 404));
    assert_eq!(theirs.text, outside.text);
}

#[tokio::test]
async fn a_key_tells_its_own_usage() {
    let mut house = House::start().await;
    let calls = house.calls(120, Duration::from_secs(DAYS));
    house.book(&calls).await;
    let key = ApiKeyId(id(7, 3));
    let own = calls.iter().filter(|call| call.api_key_id == key).count();

    let usage = house
        .ask(&format!("/keys/{key}/usage?group_by=model"))
        .await
        .expect(200)
        .json();
    let unknown = house.ask(&format!("/keys/{}/usage", id(7, 99))).await;

    assert_eq!(usage["totals"]["requests"], own);
    assert_eq!(unknown.status, 404);
}

#[tokio::test]
async fn only_who_runs_the_platform_sees_everybodys_usage() {
    let mut house = House::start().await;
    let calls = house.calls(50, Duration::from_secs(DAYS));
    house.book(&calls).await;
    let path = "/api/v1/platform/usage?group_by=organization";

    let before = house.ask_as(&house.owner, path).await;
    house.promote(&house.owner).await;
    let after = house.ask_as(&house.owner, path).await.expect(200).json();
    let too_wide = house
        .ask_as(&house.owner, "/api/v1/platform/usage?group_by=key")
        .await;
    let one = format!(
        "/api/v1/platform/usage?group_by=key&organization_id={}",
        house.organization
    );
    let one = house.ask_as(&house.owner, &one).await.expect(200).json();

    assert_eq!(before.status, 403);
    assert_eq!(after["data"][0]["group"]["name"], "Acme");
    assert_eq!(after["totals"]["requests"], 50);
    assert_eq!(too_wide.json()["errors"][0]["field"], "organization_id");
    assert_eq!(one["totals"]["requests"], 50);
}
