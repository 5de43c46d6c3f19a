//! What providers list becomes what is known: new models, offers that are gone and come back, prices.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
};

use reqwest::Method;
use serde_json::{Value, json};

use super::stage::Stage;
use crate::{
    catalog_api::stand::{id_of, provider_of},
    stack::provider::Provider,
};

/// Adds a provider that lists some models, with an offer of each of some names.
async fn shop(stage: &mut Stage, name: &str, listed: &[&str], offered: &[&str]) -> Vec<String> {
    let provider = Provider::start_with(name, &["--models", &listed.join(",")]);
    let made = stage
        .stand
        .make_shared("providers", provider_of(&provider))
        .await;
    stage.providers.push(provider);
    let mut offers = Vec::new();
    for upstream in offered {
        let offer = json!({
            "provider_id": made["id"], "model_id": stage.model, "tier": "paid", "upstream_name": upstream,
            "price": {"input_nano_usd": 1_000_000, "output_nano_usd": 1_000_000},
        });
        offers.push(id_of(&stage.stand.make_shared("offers", offer).await));
    }
    offers
}

async fn found(stage: &Stage) -> Vec<Value> {
    stage
        .rows("select jsonb_build_array(upstream_name, state) from operations.discovered_models order by upstream_name")
        .await
}

async fn enabled(stage: &Stage, offer: &str) -> bool {
    let path = format!("offers/{offer}");
    let shown = stage.stand.platform(Method::GET, &path, Value::Null).await;
    shown.expect(200).json()["is_enabled"]
        .as_bool()
        .expect("a flag")
}

#[tokio::test]
async fn new_models_are_told_once_and_an_offer_that_is_listed_no_more_is_out_until_it_is_again() {
    let mut stage = Stage::open().await;
    let offers = shop(
        &mut stage,
        "store",
        &["old", "fresh", "stays"],
        &["stays", "gone"],
    )
    .await;

    let report = stage.run("model_discovery").await;

    assert_eq!(
        (&report["new"], &report["taken_out"]),
        (&json!(2), &json!(1)),
        "{report}"
    );
    assert_eq!(
        found(&stage).await,
        [
            json!(["fresh", "new"]),
            json!(["gone", "gone"]),
            json!(["old", "new"])
        ]
    );
    assert!(enabled(&stage, &offers[0]).await);
    assert!(!enabled(&stage, &offers[1]).await);
    let events = stage
        .rows("select data -> 'canonical_id' from operations.events where kind = 'ModelDiscovered' order by 1")
        .await;
    assert_eq!(events, [json!("fresh"), json!("old")]);
    assert_eq!(stage.number("select count(*) from operations.alerts where kind = 'offer_missing' and resolved_at is null").await, 1);
    assert_eq!(stage.run("model_discovery").await["new"], 0);
    stage.provider("store").stop();
    let address = stage.provider("store").address.clone();
    *stage.provider("store") =
        Provider::start_at("store", &address, &["--models", "old,stays,gone"]);

    let report = stage.run("model_discovery").await;

    assert_eq!(
        (&report["taken_in"], &report["new"]),
        (&json!(1), &json!(0)),
        "{report}"
    );
    assert!(enabled(&stage, &offers[1]).await);
    assert_eq!(
        found(&stage).await,
        [
            json!(["fresh", "gone"]),
            json!(["gone", "adopted"]),
            json!(["old", "new"])
        ]
    );
    assert_eq!(stage.number("select count(*) from operations.alerts where kind = 'offer_missing' and resolved_at is null").await, 0);
}

#[tokio::test]
async fn a_list_that_names_none_of_several_offers_is_not_acted_on() {
    let mut stage = Stage::open().await;
    let offers = shop(&mut stage, "store", &["x"], &["a", "b"]).await;

    let report = stage.run("model_discovery").await;

    assert_eq!(report["doubted"], json!(["store"]), "{report}");
    assert!(enabled(&stage, &offers[0]).await && enabled(&stage, &offers[1]).await);
    assert_eq!(found(&stage).await, Vec::<Value>::new());
}

#[tokio::test]
async fn prices_of_the_configured_book_are_taken_and_what_jumps_or_turns_zero_waits() {
    let book = serve(
        "[[models]]\nname = \"swift\"\n\n\
         [[providers]]\nname = \"store\"\ndialect = \"openai\"\nbase_url = \"http://127.0.0.1:9/v1\"\n\n\
         [[offers]]\nprovider = \"store\"\nmodel = \"swift\"\nupstream_name = \"fair\"\ntier = \"paid\"\n\
         price = { input = \"0.002\", output = \"0.002\" }\n\n\
         [[offers]]\nprovider = \"store\"\nmodel = \"swift\"\nupstream_name = \"jumps\"\ntier = \"paid\"\n\
         price = { input = \"1\", output = \"1\" }\n\n\
         [[offers]]\nprovider = \"store\"\nmodel = \"swift\"\nupstream_name = \"zero\"\ntier = \"paid\"\n\
         price = { input = \"0\", output = \"0\" }\n",
    );
    let mut stage = Stage::open_with(&[("AGENTS__PRICE_BOOK_URL", &book)]).await;
    shop(
        &mut stage,
        "store",
        &["fair", "jumps", "zero"],
        &["fair", "jumps", "zero"],
    )
    .await;

    let report = stage.run("model_discovery").await;

    assert_eq!(
        report["prices"],
        json!({"read": 3, "taken": 1, "held": 2, "refused": 0}),
        "{report}"
    );
    let prices = stage
        .rows(
            "select jsonb_build_array(o.upstream_name, r.input) from platform.offer_prices r
             join platform.offers o on o.id = r.offer_id where r.valid_to is null order by 1",
        )
        .await;
    let expected = [
        json!(["fair", 2_000_000]),
        json!(["jumps", 1_000_000]),
        json!(["zero", 1_000_000]),
    ];
    assert_eq!(prices, expected);
    let waiting = stage
        .rows("select to_jsonb(reason) from platform.quarantined_prices order by 1")
        .await;
    assert_eq!(waiting, [json!("jump"), json!("zero")]);
}

/// Serves a text to whoever asks, until the test ends; returns where.
fn serve(text: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            answer(socket, text);
        }
    });
    format!("http://{address}/prices.toml")
}

fn answer(mut socket: TcpStream, text: &str) {
    let mut head = [0; 4096];
    let _read = socket.read(&mut head);
    let length = text.len();
    let reply =
        format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{text}");
    let _written = socket.write_all(reply.as_bytes());
}
