//! What was saved can be computed again from the books, to the nano-dollar.

use std::time::Duration;

use synaxis::base::NanoUsd;

use super::books::{House, run};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[tokio::test]
async fn thousands_of_calls_are_computed_again_and_come_out_as_they_were_booked() {
    let mut house = House::start().await;
    let calls = house.calls(3_000, 4 * DAY);
    house.book(&calls).await;

    let receipts = house.all("/savings/receipts?limit=200").await;

    assert_eq!(receipts.len(), 3_000);
    let sum = |name: &str| {
        receipts
            .iter()
            .map(|receipt| receipt["computed"][name].as_u64().unwrap())
            .sum::<u64>()
    };
    let disagreeing: Vec<_> = receipts
        .iter()
        .filter(|receipt| receipt["verdict"] != "agrees")
        .collect();
    assert!(disagreeing.is_empty(), "{disagreeing:?}");
    assert_eq!(
        sum("cost_nano_usd"),
        calls
            .iter()
            .map(|call| call.cost_nano_usd)
            .sum::<NanoUsd>()
            .0
    );
    assert_eq!(
        sum("saved_nano_usd"),
        calls
            .iter()
            .map(|call| call.saved_nano_usd)
            .sum::<NanoUsd>()
            .0
    );
    assert!(sum("saved_nano_usd") > 0);
}

#[tokio::test]
async fn a_summary_adds_up_by_model_and_line_and_says_that_the_books_bear_it_out() {
    let mut house = House::start().await;
    let calls = house.calls(800, 4 * DAY);
    house.book(&calls[..400]).await;
    house.fold().await;
    house.book(&calls[400..]).await;

    let savings = house.ask("/savings").await.expect(200).json();

    let paid = calls
        .iter()
        .map(|call| call.cost_nano_usd)
        .sum::<NanoUsd>()
        .0;
    let saved = calls
        .iter()
        .map(|call| call.saved_nano_usd)
        .sum::<NanoUsd>()
        .0;
    assert_eq!(
        (
            savings["paid_nano_usd"].as_u64(),
            savings["saved_nano_usd"].as_u64()
        ),
        (Some(paid), Some(saved))
    );
    assert_eq!(savings["alternative_nano_usd"], paid + saved);
    let models = savings["models"].as_array().unwrap();
    assert_eq!(models.len(), 2);
    let lines: Vec<_> = models
        .iter()
        .flat_map(|model| model["lines"].as_array().unwrap())
        .collect();
    let sum = |name: &str| {
        lines
            .iter()
            .map(|line| line[name].as_u64().unwrap())
            .sum::<u64>()
    };
    assert_eq!(
        (sum("paid_nano_usd"), sum("saved_nano_usd"), sum("requests")),
        (paid, saved, 800)
    );
    assert!(
        lines.iter().any(
            |line| line["line"]["tier"] == "free" && line["alternative_line"]["tier"] == "paid"
        )
    );
    let check = &savings["check"];
    assert_eq!(
        (&check["agrees"], &check["checked"]),
        (&true.into(), &200.into()),
        "{check}"
    );
    assert!(check["next_cursor"].is_string());
}

#[tokio::test]
async fn a_nano_dollar_that_was_changed_behind_the_books_back_is_noticed() {
    let mut house = House::start().await;
    let calls = house.calls(20, DAY);
    house.book(&calls).await;
    let victim = calls
        .iter()
        .max_by_key(|call| call.request_id)
        .expect("a call")
        .request_id;
    let mut conn = house.superuser().await;
    // The ledger would refuse it.
    run(
        &mut conn,
        "set session_replication_role = replica".to_owned(),
    )
    .await;
    run(&mut conn, format!("update operations.usage_entries set cost_nano_usd = cost_nano_usd + 1 where request_id = '{victim}'")).await;

    let savings = house.ask("/savings").await.expect(200).json();
    let told = house
        .ask(&format!("/requests/{victim}"))
        .await
        .expect(200)
        .json();

    assert_eq!(savings["check"]["agrees"], false);
    assert_eq!(
        savings["check"]["differing"],
        serde_json::json!([victim.to_string()])
    );
    assert_eq!(told["receipt"]["verdict"], "differs");
}

#[tokio::test]
async fn without_its_price_line_a_receipt_says_that_it_cannot_tell() {
    let mut house = House::start().await;
    let calls = house.calls(60, DAY);
    house.book(&calls).await;
    let mut conn = house.superuser().await;
    run(
        &mut conn,
        "set session_replication_role = replica".to_owned(),
    )
    .await;
    run(&mut conn, "delete from platform.offer_prices".to_owned()).await;

    let savings = house.ask("/savings").await.expect(200).json();

    let check = &savings["check"];
    assert!(check["unknown"].as_u64().unwrap() > 30, "{check}");
    assert_eq!(check["differing"], serde_json::json!([]));
}

#[tokio::test]
async fn a_period_is_widened_to_whole_days_and_bounded() {
    let house = House::start().await;

    let day = house
        .ask("/savings?from=2026-03-04T12:00:00Z&to=2026-03-04T13:00:00Z")
        .await
        .expect(200)
        .json();
    let backwards = house
        .ask("/savings?from=2026-03-05T00:00:00Z&to=2026-03-04T00:00:00Z")
        .await;
    let endless = house
        .ask("/savings?from=2020-01-01T00:00:00Z&to=2026-03-04T00:00:00Z")
        .await;

    assert_eq!(day["from"], "2026-03-04T00:00:00Z");
    assert_eq!(day["to"], "2026-03-05T00:00:00Z");
    assert_eq!((backwards.status, endless.status), (400, 400));
}
