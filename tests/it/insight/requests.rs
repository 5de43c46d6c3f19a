//! Calls are found by everything that is known of them, page by page, and told whole.

use std::{collections::BTreeSet, time::Duration};

use serde_json::Value;
use synaxis::{
    base::{Clock, RequestId},
    usage::Entry,
};

use super::books::{House, id, offer};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn ids(rows: &[Value]) -> Vec<String> {
    rows.iter()
        .map(|row| row["id"].as_str().expect("an id").to_owned())
        .collect()
}

fn expected(calls: &[Entry], fits: impl Fn(&Entry) -> bool) -> BTreeSet<String> {
    calls
        .iter()
        .filter(|call| fits(call))
        .map(|call| call.request_id.to_string())
        .collect()
}

#[tokio::test]
async fn every_filter_finds_what_fits_and_nothing_else() {
    let mut house = House::start().await;
    let calls = house.calls(400, 3 * DAY);
    house.book(&calls).await;
    type Fits = fn(&Entry) -> bool;
    let cases: [(String, Fits); 14] = [
        (String::new(), |_| true),
        (format!("api_key_id={}", id(7, 2)), |call| {
            call.api_key_id.uuid() == id(7, 2)
        }),
        (format!("group_id={}", id(6, 1)), |call| {
            call.group_id.is_some_and(|group| group.uuid() == id(6, 1))
        }),
        (format!("model_id={}", id(2, 1)), |call| {
            call.model_id.is_some_and(|model| model.uuid() == id(2, 1))
        }),
        (format!("provider_id={}", id(1, 0)), |call| {
            call.provider_id
                .is_some_and(|provider| provider.uuid() == id(1, 0))
        }),
        (format!("offer_id={}", offer(4)), |call| {
            call.offer_id == Some(offer(4))
        }),
        ("client_request_id=mine-4".to_owned(), |call| {
            call.client_request_id.as_deref() == Some("mine-4")
        }),
        ("requested_model=model-1".to_owned(), |call| {
            call.requested_model == "model-1"
        }),
        ("status=502".to_owned(), |call| call.status == 502),
        ("is_failed=true".to_owned(), |call| call.status >= 400),
        ("is_failed=false&is_stream=true".to_owned(), |call| {
            call.status < 400 && call.is_stream
        }),
        ("finish=failed".to_owned(), |call| call.status == 502),
        (
            format!("is_estimated=true&api_key_id={}", id(7, 1)),
            |call| call.is_estimated && call.api_key_id.uuid() == id(7, 1),
        ),
        ("finish=abandoned".to_owned(), |_| false),
    ];
    for (filter, fits) in cases {
        let found = house.all(&format!("/requests?limit=37&{filter}")).await;
        let found = ids(&found);

        let distinct: BTreeSet<String> = found.iter().cloned().collect();
        assert_eq!(distinct.len(), found.len(), "{filter}");
        assert_eq!(distinct, expected(&calls, fits), "{filter}");
        assert!(
            found.is_sorted_by(|a, b| a >= b),
            "{filter}: the newest come first"
        );
    }
}

#[tokio::test]
async fn a_period_and_an_order_are_kept_over_all_pages() {
    let mut house = House::start().await;
    let calls = house.calls(200, 3 * DAY);
    house.book(&calls).await;
    let now = Clock::System.now();
    let (from, to) = (now.minus(2 * DAY), now.minus(DAY));
    let text = |at: synaxis::base::Moment| at.utc().format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();

    let found = house
        .all(&format!(
            "/requests?order=asc&limit=20&from={}&to={}",
            text(from),
            text(to)
        ))
        .await;

    let found = ids(&found);
    assert!(found.is_sorted(), "the oldest come first");
    let within = |call: &Entry| (from..to).contains(&call.request_id.at());
    assert_eq!(
        found.into_iter().collect::<BTreeSet<_>>(),
        expected(&calls, within)
    );
}

#[tokio::test]
async fn a_filter_that_few_calls_fit_leads_on_instead_of_searching_for_ever() {
    let mut house = House::start().await;
    let calls = house.calls(1_500, DAY);
    house.book(&calls).await;

    let page = house
        .ask("/requests?requested_model=nobody-asked-for-this")
        .await
        .expect(200)
        .json();
    let all = house
        .all("/requests?requested_model=nobody-asked-for-this")
        .await;

    assert_eq!(page["data"], serde_json::json!([]));
    assert!(
        page["next_cursor"].is_string(),
        "there is more to look through"
    );
    assert_eq!(all, Vec::<Value>::new());
}

#[tokio::test]
async fn one_call_is_told_with_its_attempts_its_names_and_its_receipt() {
    let mut house = House::start().await;
    let calls = house.calls(50, DAY);
    house.book(&calls).await;
    let call = calls
        .iter()
        .find(|call| call.attempts.len() == 2 && call.alternative.is_some())
        .expect("one of them");

    let told = house
        .ask(&format!("/requests/{}", call.request_id))
        .await
        .expect(200)
        .json();

    assert_eq!(told["id"], call.request_id.to_string());
    assert_eq!(told["cost_nano_usd"], call.cost_nano_usd.0);
    assert_eq!(told["tags"]["user"], "ann");
    assert_eq!(told["attempts"].as_array().unwrap().len(), 2);
    assert!(
        told["api_key"]["name"]
            .as_str()
            .unwrap()
            .starts_with("key ")
    );
    assert!(
        told["offer"]["name"]
            .as_str()
            .unwrap()
            .starts_with("provider-")
    );
    let receipt = &told["receipt"];
    assert_eq!(receipt["verdict"], "agrees", "{receipt}");
    assert_eq!(receipt["computed"]["cost_nano_usd"], call.cost_nano_usd.0);
    assert!(
        receipt["lines"]
            .as_array()
            .unwrap()
            .iter()
            .any(|line| line["price_book"] == call.price_book)
    );
}

#[tokio::test]
async fn a_call_that_is_anothers_looks_like_one_that_is_not_there() {
    let mut house = House::start().await;
    let stranger =
        crate::identity::people::newcomer(&house.admin, "stranger@insight.example").await;
    let own = house.organization;
    house.organization = super::books::organization_of(&house.admin, &stranger).await;
    let theirs = house.calls(1, DAY);
    house.book(&theirs).await;
    house.organization = own;

    let foreign = house
        .ask(&format!("/requests/{}", theirs[0].request_id))
        .await;
    let unknown = house
        .ask(&format!(
            "/requests/{}",
            RequestId::new(Clock::System.now())
        ))
        .await;
    let malformed = house.ask("/requests/not-an-id").await;

    assert_eq!(
        (foreign.status, unknown.status, malformed.status),
        (404, 404, 404)
    );
    assert_eq!(foreign.text, unknown.text);
    assert_eq!(foreign.text, malformed.text);
}
