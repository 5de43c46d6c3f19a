//! What providers give for nothing, as they publish it, and offers made of it.

use std::{collections::HashMap, sync::Arc};

use chrono_tz::Tz;
use synaxis::{
    base::{
        AllowanceId, CredentialId, ModelId, Moment, NanoUsd, OfferId, ProviderId, Secret, Tokens,
    },
    catalog::{
        Abilities, Allowance, AllowanceMeter, AllowanceWindow, Catalog, Credential, Dialect, Model,
        Offer, Price, Provider, Tier,
        provider::{Deadlines, Quirks},
    },
};
use uuid::Uuid;

use super::upstream::{Rule, Upstream};
use AllowanceMeter::{Credits, Requests, Tokens as OfTokens};
use AllowanceWindow::{Day, Minute, Month};

const LA: Tz = Tz::America__Los_Angeles;

/// What one provider publishes: its zone, whether all its models share it, whether its headers tell, and per model
/// requests a minute and a day, tokens a minute and a day, and anything else.
struct Published {
    name: &'static str,
    zone: Tz,
    tells: bool,
    rules: &'static [(AllowanceMeter, AllowanceWindow, u64)],
    trains: bool,
}

/// The offers, as their providers publish them.
const PUBLISHED: [Published; 13] = [
    Published {
        name: "groq-120b",
        zone: Tz::UTC,
        tells: true,
        trains: false,
        rules: &[
            (Requests, Minute, 30),
            (Requests, Day, 1_000),
            (OfTokens, Minute, 8_000),
            (OfTokens, Day, 200_000),
        ],
    },
    Published {
        name: "groq-20b",
        zone: Tz::UTC,
        tells: true,
        trains: false,
        rules: &[
            (Requests, Minute, 30),
            (Requests, Day, 1_000),
            (OfTokens, Minute, 8_000),
            (OfTokens, Day, 200_000),
        ],
    },
    Published {
        name: "cerebras-120b",
        zone: Tz::UTC,
        tells: true,
        trains: false,
        rules: &[
            (Requests, Minute, 5),
            (OfTokens, Minute, 30_000),
            (OfTokens, Day, 1_000_000),
        ],
    },
    Published {
        name: "cerebras-glm",
        zone: Tz::UTC,
        tells: true,
        trains: false,
        rules: &[
            (Requests, Minute, 5),
            (OfTokens, Minute, 30_000),
            (OfTokens, Day, 1_000_000),
        ],
    },
    Published {
        name: "gemini-flash",
        zone: LA,
        tells: false,
        trains: false,
        rules: &[
            (Requests, Minute, 5),
            (Requests, Day, 20),
            (OfTokens, Minute, 250_000),
        ],
    },
    Published {
        name: "gemini-lite",
        zone: LA,
        tells: false,
        trains: false,
        rules: &[
            (Requests, Minute, 15),
            (Requests, Day, 500),
            (OfTokens, Minute, 250_000),
        ],
    },
    Published {
        name: "gemini-25-lite",
        zone: LA,
        tells: false,
        trains: false,
        rules: &[
            (Requests, Minute, 10),
            (Requests, Day, 20),
            (OfTokens, Minute, 250_000),
        ],
    },
    Published {
        name: "openrouter",
        zone: Tz::UTC,
        tells: false,
        trains: false,
        rules: &[(Requests, Minute, 20), (Requests, Day, 50)],
    },
    Published {
        name: "sambanova",
        zone: LA,
        tells: true,
        trains: false,
        rules: &[
            (Requests, Minute, 20),
            (Requests, Day, 20),
            (OfTokens, Day, 200_000),
        ],
    },
    Published {
        name: "cloudflare",
        zone: Tz::UTC,
        tells: false,
        trains: false,
        rules: &[(Requests, Minute, 300), (Credits, Day, 110_000_000)],
    },
    Published {
        name: "cohere",
        zone: Tz::America__Toronto,
        tells: false,
        trains: false,
        rules: &[(Requests, Minute, 20), (Requests, Month, 1_000)],
    },
    Published {
        name: "huggingface",
        zone: Tz::Europe__Paris,
        tells: false,
        trains: false,
        rules: &[(Credits, Month, 100_000_000)],
    },
    // Trains on data: nobody here allows that.
    Published {
        name: "mistral",
        zone: Tz::Europe__Paris,
        tells: true,
        trains: true,
        rules: &[
            (Requests, Minute, 60),
            (OfTokens, Minute, 500_000),
            (OfTokens, Month, 1_000_000_000),
        ],
    },
];

fn id(number: u128) -> Uuid {
    Uuid::from_u128((1 << 100) + number)
}

/// A model's offer, free under what is published or paid.
fn offer(number: u128, model: &Arc<Model>, published: Option<&Published>) -> Offer {
    let name = published.map_or("dear", |one| one.name);
    let credential = Credential {
        id: CredentialId(crate::quota::fresh()),
        organization_id: None,
        secret: Secret::new("a secret".to_owned()),
    };
    let provider = Provider {
        id: ProviderId(id(number)),
        organization_id: None,
        name: name.to_owned(),
        dialect: Dialect::Openai,
        base_url: "https://provider.example/v1".parse().expect("a URL"),
        quirks: Quirks {
            header_family: "suffix-window".to_owned(),
            ..Quirks::default()
        },
        deadlines: Deadlines::default(),
        trains_on_data: published.is_some_and(|one| one.trains),
        credentials: vec![Arc::new(credential)],
    };
    let allowances = published
        .iter()
        .flat_map(|one| one.rules.iter().map(|rule| (one.zone, rule)));
    let allowances = allowances.map(|(zone, (meter, window, amount))| Allowance {
        id: AllowanceId(crate::quota::fresh()),
        meter: *meter,
        amount: *amount,
        window: *window,
        zone,
        is_shared: number.is_multiple_of(2),
        is_rolling: false,
    });
    Offer {
        id: OfferId(id(number)),
        organization_id: None,
        provider: Arc::new(provider),
        model: Arc::clone(model),
        upstream_name: name.to_owned(),
        tier: if published.is_some() {
            Tier::Free
        } else {
            Tier::Paid
        },
        // Credits go by the provider's own price.
        price: Some(Price {
            input: NanoUsd(200_000_000),
            output: NanoUsd(200_000_000),
            ..Price::default()
        }),
        price_book: "0123456789abcdef".to_owned(),
        abilities: Abilities::UNSTATED,
        context_window: None,
        max_output: None,
        preference: 0,
        allowances: allowances.collect(),
    }
}

/// The catalog of the day, and the account behind each free offer.
pub fn market() -> (Catalog, HashMap<OfferId, Upstream>) {
    let model = Arc::new(Model {
        id: ModelId(id(0)),
        organization_id: None,
        name: "swift".to_owned(),
        owned_by: "maker".to_owned(),
        created: Moment::from_millis(0),
        context_window: Some(Tokens(128_000)),
        max_output: None,
    });
    let mut offers = vec![Arc::new(offer(99, &model, None))];
    let mut upstreams = HashMap::new();
    for (number, published) in (1..).zip(&PUBLISHED) {
        let offer = offer(number, &model, Some(published));
        let rules = offer.allowances.iter().map(|one| Rule {
            meter: one.meter,
            window: one.window,
            amount: one.amount,
            zone: one.zone,
        });
        let upstream = Upstream {
            rules: rules.collect(),
            tells: published.tells,
            ..Upstream::default()
        };
        upstreams.insert(offer.id, upstream);
        offers.push(Arc::new(offer));
    }
    (Catalog::new(offers, &[], HashMap::new()), upstreams)
}
