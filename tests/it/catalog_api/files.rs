//! The catalog as a file over the API and the command line, and the files this project brings.

use std::{fs, path::Path};

use reqwest::Method;
use serde_json::{Value, json};
use synaxis::{
    base::Fault,
    catalog::{CatalogFile, Suspicion, Tier, file},
};

use super::stand::Stand;

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/catalog")
}

/// Every file of the platform's catalog, by name.
fn seeded() -> Vec<(String, CatalogFile)> {
    let files = fs::read_dir(folder()).expect("the folder").flatten();
    let mut read: Vec<(String, CatalogFile)> = files
        .map(|file| file.path())
        .filter(|path| path.extension().is_some_and(|end| end == "toml"))
        .filter(|path| path.file_name().is_some_and(|name| name != "example.toml"))
        .map(|path| {
            let text = fs::read_to_string(&path).expect("text");
            let read = file::parse(&text, &|_| None);
            let file = read.unwrap_or_else(|faults: Vec<Fault>| panic!("{path:?}: {faults:#?}"));
            (path.display().to_string(), file)
        })
        .collect();
    read.sort_by(|one, other| one.0.cmp(&other.0));
    read
}

#[test]
fn every_figure_of_the_seeded_catalog_says_where_and_when_it_was_read() {
    let files = seeded();
    assert!(15 <= files.len(), "{}", files.len());
    for (path, file) in &files {
        for provider in &file.providers {
            let name = &provider.name;
            assert!(
                !provider.source.is_empty() && provider.stated_on.is_some(),
                "{path} {name}"
            );
            assert!(
                provider.requires_key,
                "{path} {name} would be called without a key"
            );
        }
        for model in &file.models {
            let has_figures = model.context_window.is_some() || model.max_output.is_some();
            let is_sourced = !model.source.is_empty() && model.stated_on.is_some();
            assert!(is_sourced || !has_figures, "{path} {}", model.name);
        }
        let of_providers = file.providers.iter().flat_map(|one| &one.allowances);
        let of_offers = file.offers.iter().flat_map(|one| &one.allowances);
        for allowance in of_providers.chain(of_offers) {
            assert!(
                !allowance.source.is_empty() && allowance.stated_on.is_some(),
                "{path}"
            );
        }
    }
}

#[test]
fn every_seeded_offer_has_a_price_or_is_free_within_an_allowance() {
    /// Limited in calls at once only, which is no allowance.
    const UNCAPPED: [&str; 2] = ["zai/glm-4.7-flash (free)", "zai/glm-4.5-flash (free)"];
    for (path, file) in seeded() {
        for offer in &file.offers {
            let key = offer.key();
            let provider = file.providers.iter().find(|one| one.name == offer.provider);
            let provider = provider.unwrap_or_else(|| panic!("{path}: whose is {key}?"));
            let price = offer
                .price
                .as_ref()
                .unwrap_or_else(|| panic!("{path}: {key} has no price"));
            match offer.tier {
                Tier::Paid => {
                    let suspicion: Option<Suspicion> = price.quote.suspicion(None);
                    assert_eq!(suspicion, None, "{path} {key}");
                    assert!(
                        !price.source.is_empty() && price.stated_on.is_some(),
                        "{path} {key}"
                    );
                    assert!(
                        price.quote.input < 1_000_000_000_000,
                        "{path} {key}: over $1000"
                    );
                }
                Tier::Free => {
                    let has_allowance =
                        !offer.allowances.is_empty() || !provider.allowances.is_empty();
                    assert!(
                        has_allowance || UNCAPPED.contains(&key.as_str()),
                        "{path} {key}"
                    );
                }
            }
            assert!(offer.abilities.is_some(), "{path} {key}");
        }
    }
}

#[tokio::test]
async fn the_seeded_catalog_is_imported_file_by_file_or_as_a_folder_and_comes_back_unchanged() {
    let stand = Stand::start().await;
    let folder = folder().display().to_string();
    for (path, _) in seeded() {
        stand.run(&["catalog", "import", &path]);
    }

    let again: Value =
        serde_json::from_str(&stand.run(&["catalog", "diff", &folder, "--json"])).expect("JSON");
    assert_eq!(again["changes"], json!([]));
    let exported = stand.run(&["catalog", "export"]);
    let file = stand.admin.folder.path().join("exported.toml");
    fs::write(&file, &exported).expect("a file");
    let file = file.display().to_string();
    stand.run(&["catalog", "diff", &file, "--prune"]);
    let waiting = stand
        .platform(Method::GET, "quarantined-prices", Value::Null)
        .await;
    assert_eq!(waiting.expect(200).json()["data"], json!([]));
    assert!(exported.contains("stated_on") && exported.contains("source"));
}

const SHOP: &str = r#"
[[models]]
name = "llama"

[[providers]]
name = "shop"
dialect = "openai"
base_url = "https://shop.example/v1"

[[offers]]
provider = "shop"
model = "llama"
tier = "paid"
price = { input = "1", output = "2", source = "shop.example/prices", stated_on = "2026-11-23" }
"#;

#[tokio::test]
async fn a_difference_is_told_without_being_made_and_the_exit_says_so() {
    let stand = Stand::start().await;
    let diff = json!({"catalog": SHOP, "source": "a test"});
    let told = stand
        .platform(Method::POST, "price-book/diff", diff.clone())
        .await
        .expect(200);
    assert_eq!(told.json()["is_kept"], false);
    assert_eq!(told.json()["changes"].as_array().map(Vec::len), Some(4));
    let offers = stand
        .platform(Method::GET, "offers", Value::Null)
        .await
        .expect(200);
    assert_eq!(offers.json()["data"], json!([]));

    let path = stand.admin.folder.path().join("shop.toml");
    fs::write(&path, SHOP).expect("a file");
    let path = path.display().to_string();
    assert_eq!(stand.exit(&["catalog", "diff", &path]), Some(1));
    stand
        .platform(Method::POST, "price-book/import", diff.clone())
        .await
        .expect(200);
    assert_eq!(stand.exit(&["catalog", "diff", &path]), Some(0));

    let exported = stand
        .platform(Method::GET, "price-book", Value::Null)
        .await
        .expect(200);
    let exported = json!({"catalog": exported.json()["catalog"], "is_pruning": true});
    let same = stand
        .platform(Method::POST, "price-book/diff", exported)
        .await
        .expect(200);
    assert_eq!(same.json()["changes"], json!([]));
    let books = stand
        .platform(Method::GET, "price-books", Value::Null)
        .await
        .expect(200);
    assert_eq!(books.json()["data"][0]["source"], "a test");
    assert_eq!(books.json()["data"][0]["prices"], 1);
}

#[tokio::test]
async fn who_imports_from_afar_reads_no_environment_and_reaches_no_inner_host() {
    let stand = Stand::start().await;
    let import = async |text: String| {
        let body = json!({"catalog": text});
        stand
            .platform(Method::POST, "price-book/import", body)
            .await
    };
    let provider =
        |more: &str| format!("[[providers]]\nname = \"shop\"\ndialect = \"openai\"\n{more}\n");

    let secret = "base_url = \"https://shop.example/v1\"\ncredential_env = \"SYNAXIS__SECURITY__SEALING_KEY\"";
    import(provider(secret)).await.expect(400);
    import(provider("base_url = \"https://169.254.169.254/v1\""))
        .await
        .expect(400);
    import("not toml [".to_owned()).await.expect(400);
    let mine = "base_url = \"https://shop.example/v1\"\ncredential = \"sk-live-0123456789\"";
    import(provider(mine)).await.expect(200);
    let keys = stand
        .platform(Method::GET, "credentials", Value::Null)
        .await
        .expect(200);
    assert_eq!(keys.json()["data"][0]["provider"], "shop");
}

#[tokio::test]
async fn the_platforms_catalog_is_the_platform_admins_to_change() {
    let stand = Stand::start().await;
    let ours = stand.tenant("ada").await;
    stand
        .platform(Method::POST, "price-book/import", json!({"catalog": SHOP}))
        .await
        .expect(200);
    let path = "/api/v1/platform/models";
    let tried = stand
        .admin
        .request(Method::POST, path)
        .token(&ours.owner.access_token);
    tried
        .json(&json!({"name": "sneaky"}))
        .send()
        .await
        .expect(403);

    let seen = stand
        .ask(&ours, Method::GET, "models", Value::Null)
        .await
        .expect(200);
    let model = seen.json()["data"][0].clone();
    assert_eq!(model["owner"], "platform");
    let path = format!("models/{}", model["id"].as_str().expect("an id"));
    stand
        .ask(&ours, Method::GET, &path, Value::Null)
        .await
        .expect(200);
    stand
        .ask(&ours, Method::PATCH, &path, json!({"name": "x"}))
        .await
        .expect(404);
    stand
        .ask(&ours, Method::DELETE, &path, Value::Null)
        .await
        .expect(404);
    let own = stand
        .ask(&ours, Method::GET, "models?owner=organization", Value::Null)
        .await;
    assert_eq!(own.expect(200).json()["data"], json!([]));
}
