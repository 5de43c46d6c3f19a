//! Prices as text: decimal dollars per million tokens, exact.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use crate::{base::NanoUsd, catalog::Price};

/// A price as it is written. Numbers arrive as the text they were written with.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    input: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    cached_input: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_write: Option<String>,
    output: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    per_request: Option<String>,
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Price>, D::Error> {
    let written = Written::deserialize(deserializer)?;
    let amount = |text: &str| text.parse::<NanoUsd>().map_err(D::Error::custom);
    let maybe = |text: &Option<String>| text.as_deref().map(amount).transpose();
    Ok(Some(Price {
        input: amount(&written.input)?,
        cached_input: maybe(&written.cached_input)?,
        cache_write: maybe(&written.cache_write)?,
        output: amount(&written.output)?,
        reasoning: maybe(&written.reasoning)?,
        per_request: maybe(&written.per_request)?.unwrap_or_default(),
    }))
}

pub(super) fn serialize<S: Serializer>(
    price: &Option<Price>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    price.as_ref().map(Written::of).serialize(serializer)
}

impl Written {
    fn of(price: &Price) -> Self {
        Self {
            input: dollars(price.input),
            cached_input: price.cached_input.map(dollars),
            cache_write: price.cache_write.map(dollars),
            output: dollars(price.output),
            reasoning: price.reasoning.map(dollars),
            per_request: (price.per_request != NanoUsd::ZERO).then(|| dollars(price.per_request)),
        }
    }
}

/// Writes an amount with no more decimals than it needs.
pub(crate) fn dollars(amount: NanoUsd) -> String {
    let text = amount.to_string();
    let text = text.trim_end_matches('0');
    text.strip_suffix('.').unwrap_or(text).to_owned()
}
