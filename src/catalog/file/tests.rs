//! What a file may say, and how it is told what is wrong with it.

use super::*;

fn env(name: &str) -> Option<Secret> {
    (name == "SHOP_KEY").then(|| Secret::new("sk-live-1".to_owned()))
}

fn read(text: &str) -> Result<CatalogFile, Vec<Fault>> {
    parse(text, &env)
}

const SHOP: &str = r#"
[[models]]
name = "llama"
context_window = 128000

[[providers]]
name = "shop"
dialect = "openai"
base_url = "https://shop.example/v1"
credential_env = "SHOP_KEY"

[[providers.allowances]]
meter = "requests"
window = "day"
amount = 1000
zone = "America/Los_Angeles"
stated_on = "2026-07-18"

[[offers]]
provider = "shop"
model = "llama"
upstream_name = "llama-3.3"
tier = "paid"
price = { input = 0.1, cached_input = "0.05", output = 1, per_request = 0.000000001, source = "shop.example/prices", stated_on = "2026-11-23" }
abilities = ["tools", "chat", "chat"]

[[aliases]]
name = "fast"
models = ["llama"]

[[substitutes]]
model = "llama"
substitute = "qwen"
note = "weaker at code"
"#;

#[test]
fn prices_are_read_from_their_text_to_the_nano_dollar() {
    let file = read(SHOP).unwrap();

    let price = file.offers[0].price.clone().unwrap();
    assert_eq!(price.quote.input, 100_000_000);
    assert_eq!(price.quote.cached_input, Some(50_000_000));
    assert_eq!(price.quote.output, 1_000_000_000);
    assert_eq!(price.quote.per_request, 1);
    assert_eq!(price.source, "shop.example/prices");
    assert_eq!(price.stated_on, NaiveDate::from_ymd_opt(2026, 11, 23));
    assert_eq!(
        file.offers[0].abilities,
        Some(vec![Ability::Chat, Ability::Tools])
    );
    assert_eq!(
        file.providers[0].allowances[0].zone,
        Tz::America__Los_Angeles
    );
    assert_eq!(file.credentials[0].secret.expose(), "sk-live-1");
}

#[test]
fn what_was_read_is_written_and_read_again_without_its_keys() {
    let file = read(SHOP).unwrap();
    let text = file.to_toml().unwrap();
    let again = read(&text).unwrap();

    assert_eq!(again.models, file.models);
    assert_eq!(again.providers, file.providers);
    assert_eq!(again.offers, file.offers);
    assert_eq!(again.aliases, file.aliases);
    assert_eq!(again.substitutes, file.substitutes);
    assert!(again.credentials.is_empty());
    assert!(!text.contains("sk-live-1"));
    assert!(!format!("{file:?}").contains("sk-live-1"));
}

#[test]
fn a_negative_price_is_read_for_whoever_judges_it() {
    let file = read(&SHOP.replace("input = 0.1,", "input = -0.1,")).unwrap();

    let price = file.offers[0].price.clone().unwrap();
    assert_eq!(price.quote.input, -100_000_000);
    let again = read(&file.to_toml().unwrap()).unwrap();
    assert_eq!(again.offers, file.offers);
}

#[test]
fn a_free_offer_costs_nothing_and_an_unstated_price_is_unknown() {
    let offer = |tier: &str| {
        format!("[[offers]]\nprovider = \"shop\"\nmodel = \"llama\"\ntier = \"{tier}\"\n")
    };

    let free = read(&offer("free")).unwrap();
    let paid = read(&offer("paid")).unwrap();

    assert_eq!(free.offers[0].price, Some(PriceEntry::default()));
    assert_eq!(free.offers[0].upstream_name, "llama");
    assert_eq!(paid.offers[0].price, None);
}

#[test]
fn every_fault_is_told_at_once() {
    let faults = read(
        r#"
        [[models]]
        name = "two words"
        context_window = 0

        [[models]]
        nmae = "llama"

        [[providers]]
        name = "Shop"
        dialect = "openai"
        base_url = "ftp://user@shop.example/v1?x=1"
        credential_env = "NOT_SET"

        [[providers]]
        name = "other"
        dialect = "latin"
        base_url = "https://shop.example"

        [[offers]]
        provider = "shop"
        model = "llama"
        tier = "paid"
        price = { input = 1e3, output = "-1" }

        [[offers]]
        provider = "shop"
        model = "llama"
        tier = "free"
        price = { input = 1, output = 1 }

        [[aliases]]
        name = "fast"
        models = []

        [surprise]
        "#,
    )
    .unwrap_err();
    let told: Vec<String> = faults.iter().map(ToString::to_string).collect();

    let expected = [
        "models[1]: line 7: unknown field `nmae`",
        "providers[0]: the environment variable NOT_SET is not set",
        "providers[1]: line 17: unknown variant `latin`",
        "offers[0]: line 24: `1e3` is not an amount in dollars",
        "surprise: is no list",
        "models.two words.name: ",
        "models.two words.context_window: ",
        "providers.Shop.name: ",
        "providers.Shop.base_url: ",
        "offers.shop/llama (free).price: a free offer costs something",
        "aliases.fast.models: ",
    ];
    for line in expected {
        assert!(
            told.iter().any(|fault| fault.starts_with(line)),
            "{line} in {told:#?}"
        );
    }
    assert_eq!(told.len(), expected.len(), "{told:#?}");
}

#[test]
fn no_fault_shows_a_key() {
    let shop = |credential: &str| {
        format!(
            "[[providers]]\nname = \"shop\"\ndialect = \"openai\"\nbase_url = \"https://s.example\"\n{credential}\n"
        )
    };
    for credential in [
        "credential = \"sk-live\\n1\"",
        "credential = \"sk-live-1\"\ncredential_env = \"SHOP_KEY\"",
        "credential = \"sk-live-1\"\nunknown = 1",
        "credential = \"\"",
        "credential = 5",
    ] {
        let faults = read(&shop(credential)).unwrap_err();
        assert_eq!(faults.len(), 1, "{credential}: {faults:?}");
        assert!(!format!("{faults:?}").contains("sk-live"), "{faults:?}");
    }
    let off = read(&shop("enabled = false\ncredential_env = \"NOT_SET\"")).unwrap();
    assert!(off.credentials.is_empty());
}

#[test]
fn names_that_stand_twice_are_faults() {
    let faults = read(&format!("{SHOP}{SHOP}")).unwrap_err();

    assert_eq!(faults.len(), 6, "{faults:?}");
}

#[test]
fn files_of_a_folder_may_say_the_same_of_a_model_and_not_two_things() {
    let (shop, other) = (read(SHOP).unwrap(), read(SHOP).unwrap());
    let model = |window: i64| {
        let text = format!("[[models]]\nname = \"llama\"\ncontext_window = {window}\n");
        read(&text).unwrap()
    };

    let merged = CatalogFile::merged([shop, model(128_000)]).unwrap();

    assert_eq!(merged.models.len(), 1);
    assert!(CatalogFile::merged([other, model(1)]).is_err());
}

#[test]
fn text_that_is_no_toml_is_one_fault_with_its_line() {
    let faults = read("[[models]]\nname = \n").unwrap_err();

    assert!(
        faults[0].to_string().starts_with("file: line 2: "),
        "{faults:?}"
    );
}
