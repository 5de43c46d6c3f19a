//! Prices: from a moment on, in a book that entries name, and not before somebody looked when they look wrong.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::Row;
use synaxis::base::Clock;

use super::stand::{A_SECOND, Stand, Tenant, id_of, provider_of};
use crate::stack::{admin::Reply, provider::Provider, within};

fn amounts(input: i64, output: i64) -> Value {
    json!({"amounts": {"input_nano_usd": input, "output_nano_usd": output}})
}

/// What the tenant's calls cost, and the book that priced each, oldest first.
async fn booked(stand: &Stand, calls: usize) -> Vec<(i64, i64, i64, String)> {
    let mut books = stand.admin.database.connect().await;
    let mut found = Vec::new();
    for _ in 0..300 {
        let rows = sqlx::query(
            "select cost_nano_usd::int8 as cost, input_tokens::int8 as input, output_tokens::int8 as output, price_book
             from operations.usage_entries order by request_id",
        )
        .fetch_all(&mut books)
        .await
        .expect("entries");
        found = rows
            .iter()
            .map(|row| {
                (
                    row.get("cost"),
                    row.get("input"),
                    row.get("output"),
                    row.get("price_book"),
                )
            })
            .collect();
        if calls <= found.len() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    found
}

#[tokio::test]
async fn a_price_begins_at_its_moment_and_entries_keep_the_book_that_priced_them() {
    let stand = Stand::start().await;
    let ours = stand.tenant("ada").await;
    let provider = Provider::start("garage");
    let shop = stand.shop(&ours, &provider, "mine").await;
    within(A_SECOND, async || {
        stand.status(&ours.key, "mine").await == 200
    })
    .await;
    let path = format!("offers/{}/prices", shop.offer);
    let begins = Clock::System.now().plus(Duration::from_secs(2));
    let mut price = amounts(3_000_000_000, 6_000_000_000);
    price["valid_from"] = json!(begins);
    price["source"] = json!("shop.example/prices");
    price["stated_on"] = json!("2026-11-23");

    let set = stand
        .ask(&ours, Method::POST, &path, price)
        .await
        .expect(201);
    assert_eq!(set.json()["status"], "taken");
    assert_eq!(stand.status(&ours.key, "mine").await, 200);
    let mut proxy_books = Vec::new();
    within(Duration::from_secs(10), async || {
        // A new organization may make sixty calls a minute.
        tokio::time::sleep(Duration::from_millis(250)).await;
        assert_eq!(stand.status(&ours.key, "mine").await, 200);
        proxy_books = booked(&stand, 1).await;
        let (cost, input, output, _) = proxy_books.last().expect("an entry").clone();
        cost == input * 3_000 + output * 6_000
    })
    .await;

    let first = proxy_books.first().expect("an entry");
    let last = proxy_books.last().expect("an entry");
    assert_eq!(first.0, first.1 * 1_000 + first.2 * 2_000);
    assert_ne!(first.3, last.3);
    let told = stand
        .ask(&ours, Method::GET, &path, Value::Null)
        .await
        .expect(200);
    let told = told.json();
    assert_eq!(told["data"][0]["price_book"], last.3.as_str());
    assert_eq!(told["data"][1]["price_book"], first.3.as_str());
    assert_eq!(told["data"][0]["valid_to"], Value::Null);
    assert_eq!(told["data"][0]["valid_from"], told["data"][1]["valid_to"]);
}

#[tokio::test]
async fn a_price_ahead_can_be_taken_back_and_the_past_is_not_priced_again() {
    let stand = Stand::start().await;
    let ours = stand.tenant("ada").await;
    let provider = Provider::start("garage");
    let shop = stand.shop(&ours, &provider, "mine").await;
    let path = format!("offers/{}/prices", shop.offer);
    let ahead = |hours: u64, input: i64| {
        let mut price = amounts(input, 2_000_000_000);
        let stretch = Duration::from_secs(hours * 3_600);
        price["valid_from"] = json!(Clock::System.now().plus(stretch));
        price
    };
    let set = async |price: Value| {
        let set = stand
            .ask(&ours, Method::POST, &path, price)
            .await
            .expect(201);
        set.json()["price_id"].as_str().expect("an id").to_owned()
    };
    let inputs = async || {
        let told = stand
            .ask(&ours, Method::GET, &path, Value::Null)
            .await
            .expect(200);
        let told = told.json()["data"].as_array().expect("a list").clone();
        for pair in told.windows(2) {
            assert_eq!(pair[0]["valid_from"], pair[1]["valid_to"], "{told:?}");
        }
        let inputs = told
            .iter()
            .map(|price| price["amounts"]["input_nano_usd"].as_i64());
        inputs.flatten().collect::<Vec<_>>()
    };

    set(ahead(48, 1_200_000_000)).await;
    let between = set(ahead(24, 1_100_000_000)).await;
    assert_eq!(
        inputs().await,
        [1_200_000_000, 1_100_000_000, 1_000_000_000]
    );
    let it = format!("{path}/{between}");
    stand
        .ask(&ours, Method::DELETE, &it, Value::Null)
        .await
        .expect(204);
    assert_eq!(inputs().await, [1_200_000_000, 1_000_000_000]);
    stand
        .ask(&ours, Method::DELETE, &it, Value::Null)
        .await
        .expect(404);

    let mut past = amounts(1, 1);
    past["valid_from"] = json!("2026-01-01T00:00:00Z");
    let refused = stand
        .ask(&ours, Method::POST, &path, past)
        .await
        .expect(400);
    assert_eq!(refused.json()["errors"][0]["field"], "valid_from");
}

/// An organization with one offer, whose price is tried.
struct Priced {
    stand: Stand,
    ours: Tenant,
    offer: String,
    _provider: Provider,
}

impl Priced {
    async fn start() -> Self {
        let stand = Stand::start().await;
        let ours = stand.tenant("ada").await;
        let provider = Provider::start("garage");
        let offer = stand.shop(&ours, &provider, "mine").await.offer;
        Self {
            stand,
            ours,
            offer,
            _provider: provider,
        }
    }

    async fn set(&self, price: Value) -> Value {
        let path = format!("offers/{}/prices", self.offer);
        let set = self.stand.ask(&self.ours, Method::POST, &path, price).await;
        set.expect(201).json()
    }

    async fn decide(&self, id: &Value, word: &str) -> Reply {
        let id = id.as_str().expect("an id");
        let path = format!("quarantined-prices/{id}/{word}");
        let nothing = Value::Null;
        self.stand
            .ask(&self.ours, Method::POST, &path, nothing)
            .await
    }

    /// What a million tokens read cost now.
    async fn input(&self) -> i64 {
        let path = format!("offers/{}", self.offer);
        let shown = self.stand.ask(&self.ours, Method::GET, &path, Value::Null);
        let price = shown.await.expect(200).json()["price"].clone();
        price["input_nano_usd"].as_i64().expect("a price")
    }
}

#[tokio::test]
async fn a_price_that_looks_wrong_waits_and_the_old_one_stays_in_force() {
    let priced = Priced::start().await;

    for (price, reason) in [
        (amounts(10_000_000_001, 2_000_000_000), "jump"),
        (amounts(99_999_999, 2_000_000_000), "jump"),
        (amounts(1_000_000_000, 0), "zero"),
        (amounts(-1, 2_000_000_000), "negative"),
    ] {
        let held = priced.set(price.clone()).await;
        assert_eq!(held["status"], "quarantined", "{price}");
        assert_eq!(held["reason"], reason);
        assert_eq!(priced.input().await, 1_000_000_000);
        let again = priced.set(price).await;
        assert_eq!(
            again["quarantined_price_id"],
            Value::Null,
            "it waits already"
        );
    }

    let path = "quarantined-prices?status=held";
    let waiting = priced
        .stand
        .ask(&priced.ours, Method::GET, path, Value::Null)
        .await;
    let waiting = waiting.expect(200).json()["data"].clone();
    assert_eq!(
        waiting.as_array().map(Vec::len),
        Some(1),
        "a later one takes the place"
    );
    assert_eq!(waiting[0]["reason"], "negative");
}

#[tokio::test]
async fn a_price_that_waits_is_released_or_rejected_once() {
    let priced = Priced::start().await;
    let negative = priced.set(amounts(-1, 2_000_000_000)).await;
    let negative = &negative["quarantined_price_id"];

    let refused = priced.decide(negative, "release").await;
    assert_eq!(refused.expect(422).code(), "negative_price");
    priced.decide(negative, "reject").await.expect(200);
    let twice = priced.decide(negative, "reject").await;
    assert_eq!(twice.expect(409).code(), "already_decided");
    assert_eq!(priced.input().await, 1_000_000_000);

    let dear = priced.set(amounts(11_000_000_000, 2_000_000_000)).await;
    let dear = &dear["quarantined_price_id"];
    priced.decide(dear, "release").await.expect(200);
    assert_eq!(priced.input().await, 11_000_000_000);
    let actions = priced.stand.audited(&priced.ours).await;
    for action in ["price.set", "price.release", "price.reject"] {
        assert!(actions.iter().any(|done| done == action), "{actions:?}");
    }
}

#[tokio::test]
async fn a_first_price_of_nothing_waits_and_the_offer_is_not_used() {
    let stand = Stand::start().await;
    let ours = stand.tenant("ada").await;
    let provider = Provider::start("garage");
    let made = stand.make(&ours, "providers", provider_of(&provider)).await;
    let model = stand.make(&ours, "models", json!({"name": "mine"})).await;
    let offer = json!({
        "provider_id": made["id"], "model_id": model["id"], "tier": "paid",
        "price": {"input_nano_usd": 0, "output_nano_usd": 0},
    });

    let offer = stand.make(&ours, "offers", offer).await;

    assert_eq!(offer["price"], Value::Null);
    tokio::time::sleep(A_SECOND).await;
    assert_ne!(stand.status(&ours.key, "mine").await, 200);
    let path = format!("offers/{}/prices", id_of(&offer));
    let set = stand
        .ask(&ours, Method::POST, &path, amounts(1_000, 2_000))
        .await;
    assert_eq!(set.expect(201).json()["status"], "taken");
    within(A_SECOND, async || {
        stand.status(&ours.key, "mine").await == 200
    })
    .await;
}

#[tokio::test]
async fn an_imported_price_that_jumps_waits_and_a_platform_admin_decides() {
    let stand = Stand::start().await;
    let file = |input: &str| {
        let price = format!(
            "{{ input = \"{input}\", output = \"2\", source = \"shop.example\", stated_on = \"2026-11-23\" }}"
        );
        let text = format!(
            "[[models]]\nname = \"llama\"\n\n[[providers]]\nname = \"shop\"\ndialect = \"openai\"\n\
             base_url = \"https://shop.example/v1\"\n\n[[offers]]\nprovider = \"shop\"\nmodel = \"llama\"\n\
             tier = \"paid\"\nprice = {price}\n"
        );
        json!({"catalog": text, "source": "a test"})
    };
    let import = async |input: &str| {
        let done = stand
            .platform(Method::POST, "price-book/import", file(input))
            .await;
        done.expect(200).json()["changes"].clone()
    };
    assert_eq!(import("1").await.as_array().map(Vec::len), Some(4));

    let changes = import("11").await;
    assert_eq!(changes[0]["kind"], "quarantined", "{changes}");
    assert_eq!(import("11").await, json!([]), "the second changes nothing");
    let offers = stand
        .platform(Method::GET, "offers", Value::Null)
        .await
        .expect(200)
        .json();
    assert_eq!(offers["data"][0]["price"]["input_nano_usd"], 1_000_000_000);

    let ours = stand.tenant("ada").await;
    let foreign = stand
        .ask(&ours, Method::GET, "quarantined-prices", Value::Null)
        .await;
    assert_eq!(foreign.expect(200).json()["data"], json!([]));
    let waiting = stand
        .platform(Method::GET, "quarantined-prices", Value::Null)
        .await;
    let waiting = waiting.expect(200).json()["data"][0].clone();
    let path = format!("quarantined-prices/{}/release", id_of(&waiting));
    stand
        .platform(Method::POST, &path, Value::Null)
        .await
        .expect(200);
    let offers = stand
        .platform(Method::GET, "offers", Value::Null)
        .await
        .expect(200)
        .json();
    assert_eq!(
        offers["data"][0]["price"]["input_nano_usd"],
        11_000_000_000_i64
    );
    assert_eq!(import("11").await, json!([]));
}
