//! Routes: people pin them and put them back, agents move them, and the next call everywhere goes there.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use synaxis::{
    base::Clock,
    control::routes::{REST, RouteRefused},
    routing::Cause,
};

use super::market::Market;
use crate::{
    catalog_api::stand::{A_SECOND, id_of},
    stack::within,
};

#[tokio::test]
async fn a_pinned_route_answers_the_next_call_on_every_proxy_within_a_second() {
    let mut market = Market::open().await;
    market.offer("gratis", None).await;
    let dear = market.offer("dear", Some(9)).await;
    market.is_answered_by("gratis", "free").await;
    let other = market.stand.another_proxy().await;

    let route = market.pin(&dear).await;

    market.is_answered_by("dear", "pinned").await;
    let body = json!({"model": "swift", "messages": [{"role": "user", "content": "hello"}]});
    within(A_SECOND, async || {
        let elsewhere = market.stand.call_at(&other, &market.us.key, &body).await;
        elsewhere.header("x-synaxis-provider") == "dear"
    })
    .await;
    let path = format!("routes/{}/unpin", id_of(&route));
    let free_again = market.post(&path).await.expect(200).json();
    assert_eq!(free_again["is_pinned"], false);
    market.is_answered_by("gratis", "free").await;
    market.post(&path).await.expect(409);
    let told: Vec<Value> = market.changes(&id_of(&route)).await;
    let causes: Vec<_> = told.iter().map(|one| one["cause"].clone()).collect();
    assert_eq!(causes, ["pinned", "unpinned"]);
    let audited = market.stand.audited(&market.us).await;
    assert!(
        audited.contains(&"route.pin".to_owned()) && audited.contains(&"route.unpin".to_owned())
    );
}

#[tokio::test]
async fn an_agents_switch_answers_the_next_call_and_can_be_put_back() {
    let mut market = Market::open().await;
    let cheap = market.offer("cheap", Some(1)).await;
    let dear = market.offer("dear", Some(5)).await;
    market.is_answered_by("cheap", "cheapest").await;
    let now = Clock::System.now().minus(Duration::from_secs(60));

    let made = market
        .switch(&dear, Cause::Cheaper, now)
        .await
        .expect("made");
    market.is_answered_by("dear", "route").await;
    let moved = market
        .switch(&cheap, Cause::Cheaper, now.plus(Duration::from_secs(1)))
        .await;
    assert_eq!(moved.expect("moved").id, made.id);
    market.is_answered_by("cheap", "route").await;
    let path = format!("routes/{}/put-back", made.id);
    let back = market.post(&path).await.expect(200).json();

    assert_eq!(back["offer_id"], json!(dear));
    market.is_answered_by("dear", "route").await;
    market.post(&path).await.expect(409);
    let mut books = market.stand.admin.database.connect().await;
    let events: Vec<Value> = sqlx::query_scalar(
        "select data from operations.events where organization_id = $1::uuid and kind = 'CostOptimizationApplied'
         order by at, id",
    )
    .bind(&market.us.id)
    .fetch_all(&mut books)
    .await
    .expect("events");
    let reasons: Vec<_> = events.iter().map(|one| &one["reason"]).collect();
    assert_eq!(reasons, ["made", "cheaper", "put_back"]);
    assert_eq!(events[1]["from_provider"], "dear");
    assert_eq!(events[1]["to_provider"], "cheap");
    assert_eq!(events[1]["savings_per_1m_tokens_usd"], "0.004000000");
    let told = market.changes(&made.id.to_string()).await;
    let of = |name: &str| told.iter().map(|one| one[name].clone()).collect::<Vec<_>>();
    assert_eq!(of("cause"), ["made", "cheaper", "put_back"]);
    assert_eq!(of("actor_kind"), ["agent", "agent", "user"]);
    assert_eq!(
        of("saving_per_million_nano_usd"),
        [4_000_000, 4_000_000, -4_000_000]
    );
    assert_eq!(told[1]["arithmetic"], json!({"from": 5, "to": 1}));
    assert_eq!(
        of("from_offer_id"),
        [Value::Null, json!(dear), json!(cheap)]
    );
}

#[tokio::test]
async fn agents_leave_pinned_routes_keep_what_is_free_and_do_not_flap() {
    let mut market = Market::open().await;
    let cheap = market.offer("cheap", Some(1)).await;
    let dear = market.offer("dear", Some(5)).await;
    let gratis = market.offer("gratis", None).await;
    let now = Clock::System.now();
    let later = |seconds: u64| now.plus(Duration::from_secs(seconds));

    market
        .switch(&dear, Cause::Cheaper, now)
        .await
        .expect("made");
    market
        .switch(&cheap, Cause::Cheaper, later(1))
        .await
        .expect("moved");
    let flap = market
        .switch(&dear, Cause::Cheaper, later(REST.as_secs()))
        .await;
    assert!(matches!(flap, Err(RouteRefused::Restless)), "{flap:?}");
    market
        .switch(&gratis, Cause::Free, later(2 * REST.as_secs()))
        .await
        .expect("free");
    let greedy = market
        .switch(&cheap, Cause::Unhealthy, later(4 * REST.as_secs()))
        .await;
    assert!(
        matches!(greedy, Err(RouteRefused::FreeToPaid)),
        "{greedy:?}"
    );
    let same = market
        .switch(&gratis, Cause::Free, later(4 * REST.as_secs()))
        .await;
    assert!(matches!(same, Err(RouteRefused::Same)), "{same:?}");
    market.pin(&dear).await;
    let pinned = market
        .switch(&gratis, Cause::Free, later(9 * REST.as_secs()))
        .await;
    assert!(matches!(pinned, Err(RouteRefused::Pinned)), "{pinned:?}");
}

#[tokio::test]
async fn a_route_prefers_no_offer_of_another_model_that_nobody_accepted() {
    let mut market = Market::open().await;
    let swift = market.offer("cheap", Some(1)).await;
    let other = market
        .stand
        .make_shared("models", json!({"name": "other"}))
        .await;
    let pin = json!({"model_id": other["id"], "offer_id": swift});

    let stands_in = json!({"model_id": other["id"], "substitute_id": market.model});
    let refused = market
        .stand
        .ask(&market.us, Method::POST, "routes", pin.clone())
        .await;
    refused.expect(400);
    market
        .stand
        .make(&market.us, "substitutes", stands_in)
        .await;
    market.stand.make(&market.us, "routes", pin).await;

    let listed = market
        .stand
        .ask(&market.us, Method::GET, "routes", Value::Null)
        .await;
    assert_eq!(listed.expect(200).json()["data"][0]["model"], "other");
}

#[tokio::test]
async fn a_route_that_somebody_changed_meanwhile_is_not_overwritten() {
    let mut market = Market::open().await;
    let (one, two) = (
        market.offer("one", Some(1)).await,
        market.offer("two", Some(2)).await,
    );
    let route = market.pin(&one).await;
    let path = format!(
        "/api/v1/organizations/{}/routes/{}",
        market.us.id,
        id_of(&route)
    );
    let token = &market.us.owner.access_token;
    let shown = market
        .stand
        .admin
        .request(Method::GET, &path)
        .token(token)
        .send()
        .await;
    let seen = shown.expect(200).header("etag").to_owned();
    market.pin(&two).await;

    let unpin = market
        .stand
        .admin
        .request(Method::POST, &format!("{path}/unpin"))
        .token(token);

    unpin.header("if-match", &seen).send().await.expect(412);
}
