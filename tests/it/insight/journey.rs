//! Calls through a real proxy, to real (simulated) providers, come out of the API with their receipts.

use super::books::{House, organization_of};
use crate::{
    identity::people::newcomer,
    stack::{Setup, admin::TestAdmin},
};

#[tokio::test]
async fn what_the_gateway_books_is_told_by_the_api_and_borne_out_by_the_price_books() {
    let mut stack = Setup::new()
        .free("gratis")
        .paid("cheap", "0.15", "0.6")
        .paid("dear", "3", "15")
        .start()
        .await;
    let admin = TestAdmin::beside(&stack).await;
    let owner = newcomer(&admin, "owner@insight.example").await;
    stack.organization = organization_of(&admin, &owner).await.to_string();
    let key = stack.key().mint();
    for words in ["one", "two", "three"] {
        assert_eq!(key.chat(words).await.status, 200);
    }
    stack.provider("gratis").fault("status=500").await;
    for words in ["four", "five"] {
        assert_eq!(key.chat(words).await.status, 200);
    }
    stack.booked(5).await;
    let organization = organization_of(&admin, &owner).await;
    let house = House::of(admin, owner, organization);

    let requests = house.all("/requests").await;
    let savings = house.ask("/savings").await.expect(200).json();
    let usage = house.ask("/usage?group_by=tier").await.expect(200).json();

    assert_eq!(requests.len(), 5);
    for request in &requests {
        let id = request["id"].as_str().expect("an id");
        let told = house
            .ask(&format!("/requests/{id}"))
            .await
            .expect(200)
            .json();
        assert_eq!(told["receipt"]["verdict"], "agrees", "{told}");
    }
    assert_eq!(savings["check"]["agrees"], true, "{savings}");
    assert!(savings["saved_nano_usd"].as_u64().unwrap() > 0, "{savings}");
    assert!(savings["paid_nano_usd"].as_u64().unwrap() > 0, "{savings}");
    let tiers: Vec<_> = usage["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["group"]["name"].clone(), row["requests"].clone()))
        .collect();
    assert_eq!(
        tiers,
        [("paid".into(), 2.into()), ("free".into(), 3.into())]
    );
}
