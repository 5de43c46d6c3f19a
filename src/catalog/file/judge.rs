//! What can be wrong with a file that reads well.

use std::collections::BTreeSet;

use url::Url;

use super::{AllowanceEntry, CatalogFile, ModelEntry, OfferEntry, ProviderEntry};
use crate::{
    base::{Fault, NanoUsd},
    catalog::{Price, Tier},
};

/// The longest name callers may use.
const LONGEST_NAME: usize = 200;
/// The longest short name.
const LONGEST_SHORT_NAME: usize = 63;
/// A million dollars per million tokens is a slip of the pen.
const DEAREST: NanoUsd = NanoUsd(1_000_000_000_000_000);
/// Redis counts exactly up to here.
const LARGEST_AMOUNT: i64 = (1 << 53) - 1;
/// No window is larger.
const LARGEST_WINDOW: i64 = 1_000_000_000;
/// A deadline beyond a day is none.
const LONGEST_DEADLINE_MS: u64 = 86_400_000;

/// Fills in what an offer leaves unsaid.
pub(super) fn completed(mut offer: OfferEntry) -> OfferEntry {
    if offer.upstream_name.is_empty() {
        offer.upstream_name.clone_from(&offer.model);
    }
    if offer.tier == Tier::Free && offer.price.is_none() {
        offer.price = Some(Price::default());
    }
    if let Some(abilities) = &mut offer.abilities {
        abilities.sort_unstable_by_key(|ability| *ability as u16);
        abilities.dedup();
    }
    AllowanceEntry::sort(&mut offer.allowances);
    offer
}

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
        let mut place = Place::new("aliases", &alias.name, &mut faults);
        place.name("name", &alias.name);
        let models: BTreeSet<&String> = alias.models.iter().collect();
        let is_sound = !models.is_empty() && models.len() == alias.models.len();
        place.unless(
            is_sound,
            "models",
            "is empty or names a model twice",
            "list each model once",
        );
    }
    twice(
        &mut faults,
        "models",
        file.models.iter().map(|one| one.name.clone()),
    );
    twice(
        &mut faults,
        "providers",
        file.providers.iter().map(|one| one.name.clone()),
    );
    twice(
        &mut faults,
        "aliases",
        file.aliases.iter().map(|one| one.name.clone()),
    );
    let keys = file.credentials.iter();
    twice(
        &mut faults,
        "credentials",
        keys.map(|one| format!("{}/{}", one.provider, one.name)),
    );
    twice(
        &mut faults,
        "offers",
        file.offers.iter().map(OfferEntry::key),
    );
    faults
}

impl OfferEntry {
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
        (1..=100).contains(&owner),
        "owned_by",
        "has no or too many letters",
        "give 1 to 100",
    );
    place.tokens("context_window", model.context_window);
    place.tokens("max_output", model.max_output);
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
    allowance_faults(place, &provider.allowances);
}

fn base_url(url: &Url) -> Result<(), &'static str> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err("is neither https nor http");
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
    if let Some(price) = &offer.price {
        let amounts = [
            Some(price.input),
            price.cached_input,
            price.cache_write,
            Some(price.output),
            price.reasoning,
            Some(price.per_request),
        ];
        let dearest = amounts.into_iter().flatten().max().unwrap_or_default();
        place.unless(
            dearest <= DEAREST,
            "price",
            "is over a million dollars",
            "give dollars per million tokens",
        );
        let is_sound = offer.tier == Tier::Paid || dearest == NanoUsd::ZERO;
        place.unless(
            is_sound,
            "price",
            "a free offer costs something",
            "set tier = \"paid\", or leave the price out",
        );
    }
    allowance_faults(place, &offer.allowances);
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
        let path = format!("{}.{field}", self.path);
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
