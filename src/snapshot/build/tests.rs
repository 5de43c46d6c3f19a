//! What becomes a snapshot, what is left out of one, and what is refused altogether.

use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::{
    base::{CredentialId, OrganizationId, Secret},
    catalog::Dialect,
};

const NOW: Moment = Moment::from_millis(1_795_000_000_000);
const ORIGIN: &str = "https://shop.example";

fn vault() -> Vault {
    Vault::new(&Secret::new("sealing-key-of-the-tests".repeat(2))).unwrap()
}

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn us() -> Uuid {
    id(0xA0)
}

fn provider(number: u128, owner: Option<Uuid>) -> Value {
    json!({
        "id": id(number), "organization_id": owner, "name": format!("shop{number}"), "dialect": "openai",
        "base_url": "https://shop.example/v1", "quirks": {}, "deadlines": {}, "trains_on_data": false,
        "is_enabled": true,
    })
}

fn credential(number: u128, provider: u128, owner: Option<Uuid>) -> Value {
    let place = Place::of_credential(CredentialId(id(number)), owner.map(OrganizationId), ORIGIN);
    let secret = Secret::new(format!("sk-{number}"));
    let sealed = vault().seal(&secret, place).unwrap();
    let hex = |bytes: &[u8]| {
        bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    json!({
        "id": id(number), "organization_id": owner, "provider_id": id(provider), "is_enabled": true,
        "sealing_key_id": sealed.sealing_key_id, "sealed_key": hex(&sealed.sealed_key),
        "sealed_secret": hex(&sealed.sealed_secret),
    })
}

fn offer(number: u128, provider: u128, owner: Option<Uuid>) -> Value {
    json!({
        "id": id(number), "organization_id": owner, "provider_id": id(provider), "model_id": id(1),
        "upstream_name": format!("llama-{number}"), "tier": "free", "abilities": ["chat"], "context_window": null,
        "max_output": null, "preference": 0, "is_enabled": true, "price_book": "00112233445566aa",
        "price": {"input": 0, "output": 0, "cached_input": null, "cache_write": null, "reasoning": null,
                  "per_request": 0},
    })
}

fn allowance(number: u128, offer: Option<u128>, owner: Option<Uuid>) -> Value {
    json!({
        "id": id(number), "organization_id": owner, "provider_id": id(10), "offer_id": offer.map(id),
        "meter": "requests", "amount": 5, "window": "day", "zone": "America/Los_Angeles", "is_shared": true,
    })
}

/// One model, one provider with one key, one offer.
fn document() -> Value {
    json!({
        "seq": 7, "retired_offers": 0,
        "providers": [provider(10, None)],
        "credentials": [credential(20, 10, None)],
        "models": [{
            "id": id(1), "organization_id": null, "name": "llama", "owned_by": "meta", "context_window": 8000,
            "max_output": null, "created_at_ms": 1_700_000_000_000_i64,
        }],
        "offers": [offer(30, 10, None)],
        "allowances": [],
        "aliases": [{"organization_id": null, "name": "fast", "models": [id(1)]}],
    })
}

fn push(document: &mut Value, section: &str, row: Value) {
    document[section].as_array_mut().unwrap().push(row);
}

fn built(document: &Value) -> Result<Snapshot, BadSnapshot> {
    read(&document.to_string(), &vault(), NOW)
}

#[test]
fn a_sound_document_becomes_a_snapshot() {
    let snapshot = built(&document()).unwrap();

    let found = snapshot
        .catalog
        .resolve(OrganizationId(us()), "fast")
        .unwrap();
    let offer = &found.chain.links[0].offers[0];
    assert_eq!((snapshot.seq, snapshot.taken_at), (7, NOW));
    assert_eq!(offer.provider.dialect, Dialect::Openai);
    assert_eq!(offer.provider.credentials[0].secret.expose(), "sk-20");
    assert_eq!(offer.price_book, "00112233445566aa");
    assert!(!format!("{snapshot:?}").contains("sk-20"));
}

#[test]
fn a_wrong_row_of_the_platform_refuses_the_whole() {
    let wrong = [
        ("providers", "dialect", json!("latin")),
        ("providers", "base_url", json!("not a url")),
        ("providers", "quirks", json!({"unknown": 1})),
        ("models", "context_window", json!(-1)),
        ("models", "name", json!(null)),
        ("offers", "tier", json!("gratis")),
        (
            "offers",
            "price",
            json!({"input": -1, "output": 1, "per_request": 0}),
        ),
        (
            "offers",
            "price",
            json!({"input": "NaN", "output": 1, "per_request": 0}),
        ),
        (
            "offers",
            "price",
            json!({"input": 0.5, "output": 1, "per_request": 0}),
        ),
        ("offers", "abilities", json!(["flying"])),
        ("credentials", "sealed_key", json!("zz")),
        ("credentials", "sealed_key", json!("abc")),
        ("aliases", "models", json!("llama")),
    ];
    for (section, field, value) in wrong {
        let mut document = document();
        document[section][0][field] = value.clone();
        assert!(built(&document).is_err(), "{section}.{field} = {value}");
    }
    let mut twice = document();
    push(&mut twice, "offers", offer(30, 10, None));
    assert!(matches!(
        built(&twice),
        Err(BadSnapshot::Twice { section: "offers" })
    ));
    assert!(read("{}", &vault(), NOW).is_err());
    assert!(read("", &vault(), NOW).is_err());
}

#[test]
fn a_wrong_row_of_an_organization_is_left_out_alone() {
    let mut document = document();
    let mut broken = provider(11, Some(us()));
    broken["base_url"] = json!("::");
    push(&mut document, "providers", broken);
    push(&mut document, "offers", offer(31, 11, Some(us())));
    push(&mut document, "offers", offer(32, 10, Some(us())));

    let snapshot = built(&document).unwrap();

    assert_eq!(snapshot.catalog.offers.len(), 2);
    assert_eq!(snapshot.counts.left_out, 1);
}

#[test]
fn a_provider_whose_keys_are_lost_or_off_is_not_called_without_one() {
    let mut document = document();
    push(&mut document, "providers", provider(11, None));
    push(&mut document, "providers", provider(12, None));
    push(&mut document, "credentials", credential(21, 12, None));
    push(&mut document, "credentials", credential(22, 11, None));
    document["credentials"][1]["provider_id"] = json!(id(11));
    document["credentials"][1]["id"] = json!(id(99));
    document["credentials"][2]["is_enabled"] = json!(false);
    push(&mut document, "offers", offer(31, 11, None));
    push(&mut document, "offers", offer(32, 12, None));

    let snapshot = built(&document).unwrap();

    let sold = snapshot
        .catalog
        .offers
        .iter()
        .map(|offer| offer.id.uuid().as_u128());
    assert_eq!(
        sold.collect::<Vec<_>>(),
        [30, 32],
        "12 has no key at all and takes calls without one"
    );
}

#[test]
fn keys_sealed_with_another_sealing_key_refuse_the_whole() {
    let other = Vault::new(&Secret::new("another-sealing-key-altogether".repeat(2))).unwrap();

    let refused = read(&document().to_string(), &other, NOW);

    assert!(matches!(
        refused,
        Err(BadSnapshot::Sealed(NotOpened::OtherKey(_)))
    ));
}

#[test]
fn a_provider_that_moved_to_another_host_does_not_get_the_key() {
    let mut document = document();
    document["providers"][0]["base_url"] = json!("https://thief.example/v1");

    assert!(matches!(
        built(&document),
        Err(BadSnapshot::Sealed(NotOpened::Broken))
    ));
}

#[test]
fn an_offer_has_its_own_allowances_and_when_free_those_of_its_provider() {
    let mut document = document();
    let mut paid = offer(31, 10, None);
    paid["tier"] = json!("paid");
    push(&mut document, "offers", paid);
    push(&mut document, "offers", offer(32, 10, Some(us())));
    push(&mut document, "allowances", allowance(40, None, None));
    push(&mut document, "allowances", allowance(41, Some(30), None));
    push(&mut document, "allowances", allowance(42, None, Some(us())));

    let snapshot = built(&document).unwrap();

    let of = |offer: &Arc<Offer>| {
        offer
            .allowances
            .iter()
            .map(|one| one.id.uuid().as_u128())
            .collect::<Vec<_>>()
    };
    let all: Vec<_> = snapshot.catalog.offers.iter().map(of).collect();
    assert_eq!(all, [vec![41, 40], vec![], vec![42]]);
}

#[test]
fn what_is_switched_off_is_not_sold() {
    for section in ["providers", "offers"] {
        let mut document = document();
        document[section][0]["is_enabled"] = json!(false);

        let snapshot = built(&document).unwrap();

        assert!(snapshot.catalog.offers.is_empty());
        assert!(
            snapshot
                .may_replace(&built(&self::document()).unwrap())
                .is_ok()
        );
    }
}

#[test]
fn tables_emptied_by_accident_do_not_replace_what_was_there() {
    let old = built(&document()).unwrap();
    let mut emptied = document();
    emptied["offers"] = json!([]);
    let mut unpriced = document();
    unpriced["offers"][0]["price"] = json!(null);
    let mut pruned = emptied.clone();
    pruned["retired_offers"] = json!(1);
    let mut other_books = emptied.clone();
    other_books["seq"] = json!(3);

    assert!(built(&emptied).unwrap().may_replace(&old).is_err());
    assert!(built(&unpriced).unwrap().may_replace(&old).is_err());
    assert!(built(&pruned).unwrap().may_replace(&old).is_ok());
    assert!(built(&other_books).unwrap().may_replace(&old).is_ok());
    assert!(
        built(&emptied)
            .unwrap()
            .may_replace(&Snapshot::none())
            .is_ok()
    );
}
