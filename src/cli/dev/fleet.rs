//! What the simulated providers are like, and the catalog of what they sell.

use serde_json::{Value, json};

use super::{report::Upstream, state::Kept};

/// The model that two providers give away and two sell.
pub const FREE_MODEL: &str = "demo-chat";
/// The model that is only sold.
pub const PAID_MODEL: &str = "demo-pro";
/// The name that means the first that can be had of both.
pub const ALIAS: &str = "miser-fast";

/// What one simulated provider is like.
pub struct Temperament {
    pub name: &'static str,
    /// Between equals, lower goes first.
    pub preference: i32,
    pub latency_ms: u64,
    pub tokens_per_second: u64,
    /// Dollars per million tokens read and written; what costs nothing is free.
    pub price: Option<(&'static str, &'static str)>,
    /// Calls it gives away per minute and per day, and refuses beyond.
    pub allowance: Option<(u64, u64)>,
    /// Whether it answers Anthropic's clients too.
    pub speaks_messages: bool,
}

/// Two free and two paid, so that every choice of the miser can be seen.
pub const FLEET: [Temperament; 4] = [
    Temperament {
        name: "breeze",
        preference: 0,
        latency_ms: 20,
        tokens_per_second: 400,
        price: None,
        allowance: Some((60, 2_000)),
        speaks_messages: true,
    },
    Temperament {
        name: "glacier",
        preference: 1,
        latency_ms: 120,
        tokens_per_second: 150,
        price: None,
        allowance: Some((6_000, 1_000_000)),
        speaks_messages: false,
    },
    Temperament {
        name: "penny",
        preference: 2,
        latency_ms: 60,
        tokens_per_second: 250,
        price: Some(("0.15", "0.60")),
        allowance: None,
        speaks_messages: false,
    },
    Temperament {
        name: "premium",
        preference: 3,
        latency_ms: 10,
        tokens_per_second: 800,
        price: Some(("3.00", "15.00")),
        allowance: None,
        speaks_messages: true,
    },
];

/// Writes what `synaxis simulate --fleet` reads.
///
/// # Errors
///
/// Never: what is written has a form in TOML.
pub fn fleet(kept: &Kept, upstreams: &[Upstream]) -> Result<String, toml::ser::Error> {
    let simulators = FLEET.iter().zip(upstreams).zip(&kept.simulator_keys);
    let providers = simulators.map(|((one, upstream), key)| {
        let mut provider = json!({
            "name": one.name,
            "listen": upstream.url.trim_start_matches("http://"),
            "log": upstream.log,
            "latency_ms": one.latency_ms,
            "tokens_per_second": one.tokens_per_second,
            "models": models_of(one),
            "require_keys": [key],
        });
        if let (Some((minute, day)), Some(fields)) = (one.allowance, provider.as_object_mut()) {
            fields.insert("rpm".to_owned(), minute.into());
            fields.insert("rpd".to_owned(), day.into());
        }
        provider
    });
    toml::to_string(&json!({ "provider": providers.collect::<Vec<_>>() }))
}

/// The paid providers sell both models; the free ones give only one away.
fn models_of(one: &Temperament) -> Vec<&'static str> {
    match one.price {
        None => vec![FREE_MODEL],
        Some(_) => vec![FREE_MODEL, PAID_MODEL],
    }
}

/// Writes the demo catalog, as `synaxis catalog import` reads it.
///
/// # Errors
///
/// Never: what is written has a form in TOML.
pub fn catalog(kept: &Kept, upstreams: &[Upstream]) -> Result<String, toml::ser::Error> {
    let models = [FREE_MODEL, PAID_MODEL]
        .map(|name| json!({ "name": name, "context_window": 131_072, "max_output": 16_384 }));
    let mut providers = Vec::new();
    let mut offers = Vec::new();
    for ((one, upstream), key) in FLEET.iter().zip(upstreams).zip(&kept.simulator_keys) {
        for (name, dialect) in names_of(one) {
            providers.push(json!({
                "name": name,
                "dialect": dialect,
                "base_url": format!("{}/v1", upstream.url),
                "credential": key,
                "allowances": allowances_of(one),
            }));
            offers.extend(
                models_of(one)
                    .into_iter()
                    .map(|model| offer(one, &name, model)),
            );
        }
    }
    let aliases = [json!({ "name": ALIAS, "models": [FREE_MODEL, PAID_MODEL] })];
    toml::to_string(&json!({
        "models": models,
        "providers": providers,
        "offers": offers,
        "aliases": aliases,
    }))
}

/// A provider speaks one language in the catalog; who speaks two stands there twice.
fn names_of(one: &Temperament) -> Vec<(String, &'static str)> {
    let mut names = vec![(one.name.to_owned(), "openai")];
    if one.speaks_messages {
        names.push((format!("{}-messages", one.name), "anthropic"));
    }
    names
}

fn allowances_of(one: &Temperament) -> Vec<Value> {
    let Some((minute, day)) = one.allowance else {
        return Vec::new();
    };
    let allowance = |window: &str, amount: u64| json!({ "meter": "requests", "window": window, "amount": amount, "shared": true });
    vec![allowance("minute", minute), allowance("day", day)]
}

fn offer(one: &Temperament, provider: &str, model: &str) -> Value {
    let (tier, (input, output)) = match one.price {
        None => ("free", ("0", "0")),
        Some(price) => ("paid", price),
    };
    json!({
        "provider": provider,
        "model": model,
        "tier": tier,
        "price": { "input": input, "output": output },
        "preference": one.preference,
    })
}

#[cfg(test)]
mod tests {
    use super::{FLEET, Kept, Upstream, catalog, fleet};
    use crate::catalog::file;

    #[test]
    fn the_demo_catalog_and_its_fleet_are_sound() {
        let kept = Kept {
            simulator_keys: vec!["k".to_owned(); FLEET.len()],
            ..Kept::default()
        };
        let upstream = |name: &str| Upstream {
            name: name.to_owned(),
            url: "http://127.0.0.1:9001".to_owned(),
            log: "/tmp/x.jsonl".to_owned(),
        };
        let upstreams: Vec<Upstream> = FLEET.iter().map(|one| upstream(one.name)).collect();

        let text = catalog(&kept, &upstreams).expect("written");
        let file = file::parse(&text, &|_| None).expect("sound");

        assert_eq!(file.providers.len(), 6);
        assert_eq!(file.credentials.len(), 6);
        assert_eq!(file.offers.len(), 9);
        let fleet: toml::Table = fleet(&kept, &upstreams)
            .expect("written")
            .parse()
            .expect("TOML");
        assert_eq!(fleet["provider"].as_array().map(Vec::len), Some(4));
    }
}
