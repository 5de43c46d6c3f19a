//! Prices as text: decimal dollars per million tokens, exact.

use chrono::NaiveDate;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use crate::{
    base::NanoUsd,
    catalog::quote::{PriceEntry, Quote, dollars},
};

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
    #[serde(default, skip_serializing_if = "String::is_empty")]
    source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    stated_on: Option<NaiveDate>,
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<PriceEntry>, D::Error> {
    let written = Written::deserialize(deserializer)?;
    let amount = |text: &str| nanos(text).map_err(D::Error::custom);
    let maybe = |text: &Option<String>| text.as_deref().map(amount).transpose();
    Ok(Some(PriceEntry {
        quote: Quote {
            input: amount(&written.input)?,
            cached_input: maybe(&written.cached_input)?,
            cache_write: maybe(&written.cache_write)?,
            output: amount(&written.output)?,
            reasoning: maybe(&written.reasoning)?,
            per_request: maybe(&written.per_request)?.unwrap_or_default(),
        },
        source: written.source,
        stated_on: written.stated_on,
    }))
}

pub(super) fn serialize<S: Serializer>(
    price: &Option<PriceEntry>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    price.as_ref().map(Written::of).serialize(serializer)
}

impl Written {
    fn of(price: &PriceEntry) -> Self {
        let quote = &price.quote;
        Self {
            input: dollars(quote.input),
            cached_input: quote.cached_input.map(dollars),
            cache_write: quote.cache_write.map(dollars),
            output: dollars(quote.output),
            reasoning: quote.reasoning.map(dollars),
            per_request: (quote.per_request != 0).then(|| dollars(quote.per_request)),
            source: price.source.clone(),
            stated_on: price.stated_on,
        }
    }
}

/// Reads decimal dollars; what is negative is read too, for whoever judges it.
fn nanos(text: &str) -> Result<i64, String> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let amount: NanoUsd = digits
        .parse()
        .map_err(|_| format!("`{text}` is not an amount in dollars with at most nine decimals"))?;
    let amount = i64::try_from(amount.0).map_err(|_| format!("`{text}` is too much"))?;
    Ok(if digits.len() < text.len() {
        -amount
    } else {
        amount
    })
}
