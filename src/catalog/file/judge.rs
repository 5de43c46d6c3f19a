//! What can be wrong with a file that reads well.

use std::collections::BTreeSet;

use chrono::{Datelike, NaiveDate};
use url::Url;

use super::{
    AliasEntry, AllowanceEntry, CatalogFile, ModelEntry, OfferEntry, ProviderEntry, SubstituteEntry,
};
use crate::{
    base::Fault,
    catalog::{AllowanceMeter, Quirks, Tier, quote::PriceEntry},
};

/// The longest name callers may use.
const LONGEST_NAME: usize = 200;
/// The longest short name.
const LONGEST_SHORT_NAME: usize = 63;
/// A million dollars per million tokens is a slip of the pen.
const DEAREST: u64 = 1_000_000_000_000_000;
/// Redis counts exactly up to here.
const LARGEST_AMOUNT: i64 = (1 << 53) - 1;
/// No window is larger.
const LARGEST_WINDOW: i64 = 1_000_000_000;
/// The most models one alias stands for.
const MOST_TARGETS: usize = 100;
/// The longest place where something was read.
const LONGEST_SOURCE: usize = 1_000;
/// The longest base URL.
const LONGEST_URL: usize = 2_000;
/// The most fields of a body that are left out.
const MOST_DROPPED: usize = 50;
/// The years in which a figure can have been read.
const YEARS: std::ops::RangeInclusive<i32> = 2020..=2200;
/// The families of rate-limit headers that are understood.
const HEADER_FAMILIES: [&str; 8] = [
    "openai",
    "groq",
    "suffix-window",
    "mistral",
    "openrouter",
    "anthropic",
    "github",
    "none",
];
/// The longest note.
const LONGEST_NOTE: usize = 4_000;
/// A deadline beyond a day is none.
const LONGEST_DEADLINE_MS: u64 = 86_400_000;

/// Finds every fault of the entries in themselves and among each other.
pub(super) fn faults(file: &CatalogFile) -> Vec<Fault> {
    let mut faults = Vec::new();
    for model in &file.models {
        model_faults(&mut Place::new("models", &model.name, &mut faults), model);
    }
    for provider in &file.providers {
        provider_faults(
            &mut Place::new("providers", &provider.name, &mut faults),
            provider,
        );
    }
    for credential in &file.credentials {
        let mut place = Place::new("credentials", &credential.provider, &mut faults);
        place.short_name("name", &credential.name);
    }
    for offer in &file.offers {
        offer_faults(&mut Place::new("offers", &offer.key(), &mut faults), offer);
    }
    for alias in &file.aliases {
        alias_faults(&mut Place::new("aliases", &alias.name, &mut faults), alias);
    }
    for substitute in &file.substitutes {
        let mut place = Place::new("substitutes", &substitute.key(), &mut faults);
        substitute_faults(&mut place, substitute);
    }
    all_twice(file, &mut faults);
    faults
}

/// Finds the faults of one model.
#[must_use]
pub fn faults_of_model(model: &ModelEntry) -> Vec<Fault> {
    found(|place| model_faults(place, model))
}

/// Finds the faults of one provider.
#[must_use]
pub fn faults_of_provider(provider: &ProviderEntry) -> Vec<Fault> {
    found(|place| provider_faults(place, provider))
}

/// Finds the faults of one offer.
#[must_use]
pub fn faults_of_offer(offer: &OfferEntry) -> Vec<Fault> {
    found(|place| offer_faults(place, offer))
}

/// Finds the faults of one price.
#[must_use]
pub fn faults_of_price(tier: Tier, price: &PriceEntry) -> Vec<Fault> {
    found(|place| price_faults(place, tier, price))
}

/// Finds the faults of one allowance.
#[must_use]
pub fn faults_of_allowance(allowance: &AllowanceEntry) -> Vec<Fault> {
    found(|place| allowance_faults(place, std::slice::from_ref(allowance)))
}

/// Finds the faults of one alias.
#[must_use]
pub fn faults_of_alias(alias: &AliasEntry) -> Vec<Fault> {
    found(|place| alias_faults(place, alias))
}

/// Finds the faults of one substitute.
#[must_use]
pub fn faults_of_substitute(substitute: &SubstituteEntry) -> Vec<Fault> {
    found(|place| substitute_faults(place, substitute))
}

/// Finds what is wrong with the name of a provider's key.
#[must_use]
pub fn faults_of_credential_name(name: &str) -> Vec<Fault> {
    found(|place| place.short_name("name", name))
}

/// Judges one entry that stands alone, so that its fields need no more than their names.
fn found(judge: impl FnOnce(&mut Place<'_>)) -> Vec<Fault> {
    let mut faults = Vec::new();
    judge(&mut Place {
        path: String::new(),
        faults: &mut faults,
    });
    faults
}

fn alias_faults(place: &mut Place<'_>, alias: &AliasEntry) {
    place.name("name", &alias.name);
    let models: BTreeSet<&String> = alias.models.iter().collect();
    let is_sound = !models.is_empty() && models.len() == alias.models.len();
    place.unless(
        is_sound,
        "models",
        "is empty or names a model twice",
        "list each model once",
    );
    place.unless(
        alias.models.len() <= MOST_TARGETS,
        "models",
        "has too many models",
        "list at most 100",
    );
}

fn substitute_faults(place: &mut Place<'_>, substitute: &SubstituteEntry) {
    place.unless(
        substitute.model != substitute.substitute,
        "substitute",
        "is the model itself",
        "name another model",
    );
    place.text("note", &substitute.note, LONGEST_SOURCE);
}

fn all_twice(file: &CatalogFile, faults: &mut Vec<Fault>) {
    twice(
        faults,
        "models",
        file.models.iter().map(|one| one.name.clone()),
    );
    twice(
        faults,
        "providers",
        file.providers.iter().map(|one| one.name.clone()),
    );
    twice(
        faults,
        "aliases",
        file.aliases.iter().map(|one| one.name.clone()),
    );
    let keys = file.credentials.iter();
    twice(
        faults,
        "credentials",
        keys.map(|one| format!("{}/{}", one.provider, one.name)),
    );
    twice(faults, "offers", file.offers.iter().map(OfferEntry::key));
    let substitutes = file.substitutes.iter();
    twice(faults, "substitutes", substitutes.map(SubstituteEntry::key));
}

impl OfferEntry {
    /// Fills in what an offer leaves unsaid.
    #[must_use]
    pub fn completed(mut self) -> Self {
        if self.upstream_name.is_empty() {
            self.upstream_name.clone_from(&self.model);
        }
        if self.tier == Tier::Free && self.price.is_none() {
            self.price = Some(PriceEntry::default());
        }
        if let Some(abilities) = &mut self.abilities {
            abilities.sort_unstable_by_key(|ability| *ability as u16);
            abilities.dedup();
        }
        AllowanceEntry::sort(&mut self.allowances);
        self
    }

    /// Returns what tells the offer from every other of the same owner.
    #[must_use]
    pub fn key(&self) -> String {
        let tier = match self.tier {
            Tier::Free => "free",
            Tier::Paid => "paid",
        };
        format!("{}/{} ({tier})", self.provider, self.upstream_name)
    }
}

fn model_faults(place: &mut Place<'_>, model: &ModelEntry) {
    place.name("name", &model.name);
    let owner = model.owned_by.chars().count();
    place.unless(
        (1..=100).contains(&owner) && !model.owned_by.contains('\0'),
        "owned_by",
        "has no or too many letters",
        "give 1 to 100",
    );
    place.tokens("context_window", model.context_window);
    place.tokens("max_output", model.max_output);
    place.source(&model.source, model.stated_on);
}

fn provider_faults(place: &mut Place<'_>, provider: &ProviderEntry) {
    place.short_name("name", &provider.name);
    if let Err(what) = base_url(&provider.base_url) {
        place.fault("base_url", what, "write https://host/path");
    }
    let deadlines = &provider.deadlines;
    let all = [
        deadlines.connect_ms,
        deadlines.first_byte_ms,
        deadlines.whole_ms,
        deadlines.gap_ms,
        deadlines.total_ms,
    ];
    let are_sound = all.iter().all(|ms| (1..=LONGEST_DEADLINE_MS).contains(ms));
    place.unless(
        are_sound,
        "deadlines",
        "one is zero or beyond a day",
        "give milliseconds",
    );
    place.source(&provider.source, provider.stated_on);
    place.text("note", &provider.note, LONGEST_NOTE);
    quirk_faults(place, &provider.quirks);
    allowance_faults(place, &provider.allowances);
}

fn quirk_faults(place: &mut Place<'_>, quirks: &Quirks) {
    let is_field = |name: &String| {
        (1..=LONGEST_SHORT_NAME).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_graphic())
    };
    place.unless(
        quirks.max_tokens_field.iter().all(is_field)
            && quirks.drop_fields.iter().all(is_field)
            && quirks.drop_fields.len() <= MOST_DROPPED,
        "quirks",
        "names what is no field, or too many",
        "give plain names of JSON fields, at most 50",
    );
    place.unless(
        HEADER_FAMILIES.contains(&quirks.header_family.as_str()),
        "quirks",
        "names no family of headers",
        &format!("use one of {}", HEADER_FAMILIES.join(", ")),
    );
}

fn base_url(url: &Url) -> Result<(), &'static str> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err("is neither https nor http");
    }
    if LONGEST_URL < url.as_str().len() {
        return Err("is too long");
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err("names no host");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("holds a user or password");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("has a query or fragment");
    }
    Ok(())
}

fn offer_faults(place: &mut Place<'_>, offer: &OfferEntry) {
    place.name("upstream_name", &offer.upstream_name);
    place.tokens("context_window", offer.context_window);
    place.tokens("max_output", offer.max_output);
    place.source(&offer.source, offer.stated_on);
    if let Some(price) = &offer.price {
        // What calls would cost says how fast credits go.
        let mut allowances = offer.allowances.iter();
        let is_counted = allowances.any(|allowance| allowance.meter == AllowanceMeter::Credits);
        let tier = if is_counted { Tier::Paid } else { offer.tier };
        price_faults(place, tier, price);
    }
    allowance_faults(place, &offer.allowances);
}

fn price_faults(place: &mut Place<'_>, tier: Tier, price: &PriceEntry) {
    let dearest = price.quote.amounts().map(i64::unsigned_abs).max();
    place.unless(
        dearest.unwrap_or_default() <= DEAREST,
        "price",
        "is over a million dollars",
        "give dollars per million tokens",
    );
    place.unless(
        tier == Tier::Paid || price.quote.is_zero(),
        "price",
        "a free offer costs something",
        "set tier = \"paid\", leave the price out, or give an allowance of credits",
    );
    place.source(&price.source, price.stated_on);
}

fn allowance_faults(place: &mut Place<'_>, allowances: &[AllowanceEntry]) {
    let mut seen = Vec::new();
    for allowance in allowances {
        let kind = (allowance.meter, allowance.window);
        let is_new = !seen.contains(&kind);
        place.unless(
            is_new,
            "allowances",
            "one meter and window stands twice",
            "keep one of them",
        );
        seen.push(kind);
        place.source(&allowance.source, allowance.stated_on);
        let fits = (0..=LARGEST_AMOUNT).contains(&allowance.amount);
        place.unless(
            fits,
            "allowances",
            "an amount is negative or too large",
            "give a whole number",
        );
    }
}

fn twice(faults: &mut Vec<Fault>, section: &str, names: impl Iterator<Item = String>) {
    let mut seen = BTreeSet::new();
    for name in names {
        if seen.contains(&name) {
            let what = format!("`{name}` stands twice");
            faults.push(Fault::new(section, what, "keep one of them"));
        }
        seen.insert(name);
    }
}

/// One entry, where its faults are noted.
struct Place<'a> {
    path: String,
    faults: &'a mut Vec<Fault>,
}

impl<'a> Place<'a> {
    fn new(section: &str, name: &str, faults: &'a mut Vec<Fault>) -> Self {
        let path = format!("{section}.{name}");
        Self { path, faults }
    }

    fn fault(&mut self, field: &str, what: &str, mend: &str) {
        let path = match self.path.as_str() {
            "" => field.to_owned(),
            entry => format!("{entry}.{field}"),
        };
        self.faults.push(Fault::new(path, what, mend));
    }

    fn unless(&mut self, is_sound: bool, field: &str, what: &str, mend: &str) {
        if !is_sound {
            self.fault(field, what, mend);
        }
    }

    fn name(&mut self, field: &str, name: &str) {
        let is_sound = (1..=LONGEST_NAME).contains(&name.chars().count())
            && !name
                .chars()
                .any(|letter| letter.is_whitespace() || letter.is_control());
        self.unless(
            is_sound,
            field,
            "is empty, too long, or holds a space",
            "give 1 to 200 letters",
        );
    }

    fn short_name(&mut self, field: &str, name: &str) {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let is_sound = name.bytes().next().is_some_and(is_plain)
            && name.len() <= LONGEST_SHORT_NAME
            && name
                .bytes()
                .all(|byte| is_plain(byte) || b"._-".contains(&byte));
        let mend = "use up to 63 of a-z, 0-9, `.`, `_`, `-`, a letter or digit first";
        self.unless(is_sound, field, "is no short name", mend);
    }

    fn source(&mut self, source: &str, stated_on: Option<NaiveDate>) {
        self.text("source", source, LONGEST_SOURCE);
        let is_sound = stated_on.is_none_or(|date| YEARS.contains(&date.year()));
        self.unless(
            is_sound,
            "stated_on",
            "is no date of ours",
            "give the day it was read",
        );
    }

    fn text(&mut self, field: &str, text: &str, most: usize) {
        let is_sound = text.chars().count() <= most && !text.contains('\0');
        let mend = format!("give at most {most} letters");
        self.unless(is_sound, field, "is too long, or holds a NUL", &mend);
    }

    fn tokens(&mut self, field: &str, tokens: Option<i64>) {
        let is_sound = tokens.is_none_or(|tokens| (1..=LARGEST_WINDOW).contains(&tokens));
        self.unless(
            is_sound,
            field,
            "is zero or too large",
            "give a number of tokens",
        );
    }
}
