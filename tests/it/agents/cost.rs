//! Routes move to what is free or clearly cheaper, the next call goes there on every proxy, and nobody else is told.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use synaxis::{
    base::{Clock, RequestId},
    tenancy::optimization::Switches,
};

use super::stage::Stage;
use crate::{
    catalog_api::stand::{A_SECOND, Tenant},
    stack::{proxy::Proxy, within},
};

/// Where a proxy sends the next call, and why.
async fn next(stage: &Stage, proxy: &Proxy, tenant: &Tenant) -> (String, String) {
    let body = json!({"model": "swift", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 16});
    let answer = stage.stand.call_at(proxy, &tenant.key, &body).await;
    let header = |name: &str| answer.header(name).to_owned();
    (header("x-synaxis-provider"), header("x-synaxis-route"))
}

async fn goes_to(
    stage: &Stage,
    proxy: &Proxy,
    tenant: &Tenant,
    provider: &str,
    why: &str,
    limit: Duration,
) {
    let wanted = (provider.to_owned(), why.to_owned());
    within(limit, async || next(stage, proxy, tenant).await == wanted).await;
}

/// What some tokens cost at a price of `nano` a token read and three times that a token written.
fn cost(input: i64, output: i64, nano: i64) -> i64 {
    input * nano + output * 3 * nano
}

#[tokio::test]
async fn one_run_moves_the_next_call_on_both_proxies_with_its_arithmetic_and_tells_its_organization_only()
 {
    let mut stage = Stage::open().await;
    let (ada, bob) = (
        stage.stand.tenant("ada").await,
        stage.stand.tenant("bob").await,
    );
    let dear = stage.offer("dear", Some(9)).await;
    let cheap = stage.offer("cheap", Some(1)).await;
    let patience = Duration::from_secs(5);
    goes_to(
        &stage,
        &stage.stand.proxy,
        &ada,
        "cheap",
        "cheapest",
        patience,
    )
    .await;
    stage.route(&ada, &dear).await;
    // Bob stays where he insists to be.
    let body = json!({"model_id": stage.model, "offer_id": dear});
    stage.stand.make(&bob, "routes", body).await;
    let other = stage.stand.another_proxy().await;
    for proxy in [&stage.stand.proxy, &other] {
        goes_to(&stage, proxy, &ada, "dear", "route", patience).await;
        goes_to(&stage, proxy, &bob, "dear", "pinned", patience).await;
    }
    stage.booked(5).await;

    let report = stage.run("cost_optimization").await;

    for proxy in [&stage.stand.proxy, &other] {
        goes_to(&stage, proxy, &ada, "cheap", "route", A_SECOND).await;
        assert_eq!(next(&stage, proxy, &bob).await.0, "dear");
    }
    assert_eq!(report["moved"], 1, "{report}");
    assert_eq!(report["kept"], json!({"pinned": 1}), "{report}");
    let changes = stage
        .rows("select to_jsonb(c) from operations.route_changes c where cause = 'cheaper'")
        .await;
    assert_eq!(changes.len(), 1);
    let change = &changes[0];
    assert_eq!(
        (&change["to_offer_id"], &change["organization_id"]),
        (&json!(cheap), &json!(ada.id))
    );
    assert_eq!(change["actor_kind"], "agent");
    recomputes(&stage, &ada, change).await;
    let moves: Vec<_> = stage
        .stand
        .audited(&ada)
        .await
        .into_iter()
        .filter(|action| action == "route.switch")
        .collect();
    assert_eq!(moves.len(), 1);
    let events = stage
        .rows("select to_jsonb(e) from operations.events e where kind = 'CostOptimizationApplied'")
        .await;
    assert_eq!(events.len(), 1, "{events:#?}");
    assert_eq!(events[0]["organization_id"], json!(ada.id));
    assert_eq!(events[0]["data"]["from_provider"], "dear");
    assert_eq!(events[0]["data"]["to_provider"], "cheap");
    assert_eq!(events[0]["data"]["route_id"], change["route_id"]);
}

/// Computes the saving of a change again, from the entries of its window and the prices, to the nano-dollar.
async fn recomputes(stage: &Stage, tenant: &Tenant, change: &Value) {
    let arithmetic = &change["arithmetic"];
    let mut books = stage.books().await;
    let (calls, input, output): (i64, i64, i64) = sqlx::query_as(
        "select count(*), sum(input_tokens)::int8, sum(output_tokens)::int8 from operations.usage_entries
         where organization_id = $1::uuid and at >= $2::timestamptz and at < $3::timestamptz",
    )
    .bind(&tenant.id)
    .bind(arithmetic["from_at"].as_str())
    .bind(arithmetic["until"].as_str())
    .fetch_one(&mut books)
    .await
    .expect("the entries");
    let saving = cost(input, output, 9) - cost(input, output, 1);
    assert_eq!(arithmetic["mix"]["requests"], calls);
    assert_eq!(arithmetic["from"]["cost_nano_usd"], cost(input, output, 9));
    assert_eq!(arithmetic["to"]["cost_nano_usd"], cost(input, output, 1));
    assert_eq!(arithmetic["saving_nano_usd"], saving);
    assert_eq!(
        change["saving_per_million_nano_usd"],
        saving * 1_000_000 / (input + output)
    );
    assert!(0 < saving);
}

#[tokio::test]
async fn a_route_takes_a_free_offer_at_once_and_leaves_it_for_no_paid_one() {
    let mut stage = Stage::open().await;
    let ada = stage.stand.tenant("ada").await;
    let dear = stage.offer("dear", Some(9)).await;
    let patience = Duration::from_secs(5);
    goes_to(
        &stage,
        &stage.stand.proxy,
        &ada,
        "dear",
        "cheapest",
        patience,
    )
    .await;
    stage.route(&ada, &dear).await;
    stage.booked(1).await;
    let gratis = stage.offer("gratis", None).await;

    let report = stage.run("cost_optimization").await;

    assert_eq!(report["moved"], 1, "{report}");
    let routed = stage
        .rows("select to_jsonb(offer_id) from operations.routes")
        .await;
    assert_eq!(routed, [json!(gratis)]);
    goes_to(
        &stage,
        &stage.stand.proxy,
        &ada,
        "gratis",
        "route",
        patience,
    )
    .await;
    // A paid offer at next to nothing tempts nobody away.
    stage.offer("nearly-free", Some(1)).await;
    let report = stage.run("cost_optimization").await;
    assert_eq!(
        (&report["moved"], &report["put_back"]),
        (&json!(0), &json!(0)),
        "{report}"
    );
}

#[tokio::test]
async fn a_route_is_left_alone_where_its_callers_say_so_and_in_a_dry_run() {
    let mut stage = Stage::open().await;
    let ada = stage.stand.tenant("ada").await;
    let dear = stage.offer("dear", Some(9)).await;
    stage.offer("cheap", Some(1)).await;
    let patience = Duration::from_secs(5);
    goes_to(
        &stage,
        &stage.stand.proxy,
        &ada,
        "cheap",
        "cheapest",
        patience,
    )
    .await;
    stage.route(&ada, &dear).await;
    stage.booked(1).await;
    let set = async |value: bool| {
        let body = json!({"auto_optimization": value});
        stage
            .stand
            .ask(&ada, Method::PATCH, "settings", body)
            .await
            .expect(200);
    };
    set(false).await;

    let report = stage.run("cost_optimization").await;

    assert_eq!(report["kept"], json!({"not_wanted": 1}), "{report}");
    set(true).await;
    let dry = json!({"is_dry": true});
    stage
        .stand
        .platform(Method::PATCH, "agents/cost_optimization", dry)
        .await
        .expect(200);
    let report = stage.run("cost_optimization").await;
    assert_eq!(
        report["moved"], 1,
        "a dry run tells what it would do: {report}"
    );
    let routed = stage
        .rows("select to_jsonb(offer_id) from operations.routes")
        .await;
    assert_eq!(routed, [json!(dear)]);
}

#[tokio::test]
async fn a_route_that_fails_more_often_since_it_was_moved_is_put_back_and_stays() {
    let mut stage = Stage::open().await;
    let ada = stage.stand.tenant("ada").await;
    let dear = stage.offer("dear", Some(9)).await;
    stage.offer("cheap", Some(1)).await;
    let patience = Duration::from_secs(5);
    goes_to(
        &stage,
        &stage.stand.proxy,
        &ada,
        "cheap",
        "cheapest",
        patience,
    )
    .await;
    stage.route(&ada, &dear).await;
    stage.booked(1).await;
    assert_eq!(stage.run("cost_optimization").await["moved"], 1);
    goes_to(&stage, &stage.stand.proxy, &ada, "cheap", "route", patience).await;
    stage.provider("cheap").fault("status=500").await;
    let before = stage
        .number("select count(*) from operations.usage_entries")
        .await;
    for _ in 0..8 {
        // Callers notice nothing: the next offer answers.
        assert_eq!(stage.stand.status(&ada.key, "swift").await, 200);
    }
    stage.booked(before + 8).await;

    let report = stage.run("cost_optimization").await;

    assert_eq!(report["put_back"], 1, "{report}");
    let routed = stage
        .rows("select to_jsonb(offer_id) from operations.routes")
        .await;
    assert_eq!(routed, [json!(dear)]);
    let report = stage.run("cost_optimization").await;
    assert_eq!(
        (&report["moved"], &report["put_back"]),
        (&json!(0), &json!(0)),
        "{report}"
    );
}

#[tokio::test]
async fn whether_a_call_counts_is_said_by_person_then_group_then_organization_in_all_cases() {
    const SAYS: [Option<bool>; 3] = [None, Some(true), Some(false)];
    let mut stage = Stage::open().await;
    let ada = stage.stand.tenant("ada").await;
    let offer = stage.offer("dear", Some(9)).await;
    let mut books = stage.books().await;
    let call = RequestId::new(Clock::System.now());
    sqlx::query(
        "insert into operations.usage_entries (request_id, at, organization_id, api_key_id, user_id, group_id, model_id,
             offer_id, requested_model, status, finish, is_estimated, is_stream, input_tokens, cached_tokens,
             cache_write_tokens, output_tokens, reasoning_tokens, cost_nano_usd, saved_nano_usd, price_book, duration_ms,
             attempts)
         select $1, $2, m.organization_id, $1, m.user_id, g.id, $4::uuid, $5::uuid, 'swift', 200, 'complete', false, false,
             1, 0, 0, 1, 0, 0, 0, '', 5, '[]'
         from identity.organization_memberships m
         join identity.groups g on g.organization_id = m.organization_id and g.is_default
         where m.organization_id = $3::uuid",
    )
    .bind(call.uuid())
    .bind(call.at().utc())
    .bind(&ada.id)
    .bind(&stage.model)
    .bind(&offer)
    .execute(&mut books)
    .await
    .expect("an entry");
    for (user, group) in SAYS
        .into_iter()
        .flat_map(|user| SAYS.map(|group| (user, group)))
    {
        for organization in SAYS {
            let said = [user, group, organization];
            let says = Switches {
                user,
                group,
                organization,
            };
            assert_eq!(
                counts(&mut books, &ada.id, said).await,
                says.effective().0,
                "{says:?}"
            );
        }
    }
}

/// Whether the one call of an organization counts, when its person, group and organization say so.
async fn counts(books: &mut sqlx::PgConnection, id: &str, said: [Option<bool>; 3]) -> bool {
    for (statement, value) in [
        "update identity.organization_memberships set auto_optimization = $2 where organization_id = $1::uuid",
        "update identity.groups set auto_optimization = $2 where organization_id = $1::uuid",
        "update identity.organization_settings set auto_optimization = $2 where organization_id = $1::uuid",
    ]
    .into_iter()
    .zip(said)
    {
        let update = sqlx::query(statement).bind(id).bind(value);
        update.execute(&mut *books).await.expect("an update");
    }
    let traffic = "select requests = 1 and unwanted = 0
         from operations.route_traffic($1::uuid, now() - interval '1 hour', now() + interval '1 hour')";
    let counts = sqlx::query_scalar(traffic).bind(id).fetch_one(books).await;
    counts.expect("one route")
}
