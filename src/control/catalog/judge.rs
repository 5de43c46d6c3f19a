//! What keeps a file out of the books: names that are nowhere, hosts and keys that do not go together.

use std::collections::{BTreeMap, BTreeSet};

use super::Import;
use crate::{
    base::Fault,
    catalog::{
        Holdings,
        holdings::{Held, HeldCredential},
        vault::origin_of,
    },
};

/// Finds every fault of a file against what its owner and the platform hold.
pub(super) fn faults(import: &Import<'_>, held: &Holdings, shared: &Holdings) -> Vec<Fault> {
    let mut faults = Vec::new();
    strangers(import, held, shared, &mut faults);
    faults.extend(unreachable(import));
    faults.extend(moved(import, held));
    if !import.file.credentials.is_empty() && import.vault.is_none() {
        let what = "is not set, but the file holds providers' keys";
        let mend = "set it, 32 bytes or more";
        faults.push(Fault::new("security.sealing_key", what, mend));
    }
    faults
}

/// Returns where a provider's keys may be sent: as the file says, else as the books say.
pub(super) fn origin(
    import: &Import<'_>,
    held: &Holdings,
    shared: &Holdings,
    provider: &str,
) -> String {
    let mut written = import.file.providers.iter();
    let in_books = || {
        let own = held.providers.get(provider);
        own.or_else(|| shared.providers.get(provider))
    };
    let entry = written
        .find(|one| one.name == provider)
        .or_else(|| in_books().map(|held| &held.entry));
    entry.map_or_else(String::new, |entry| origin_of(&entry.base_url))
}

/// Names that are neither in the file nor in the books.
fn strangers(import: &Import<'_>, held: &Holdings, shared: &Holdings, faults: &mut Vec<Fault>) {
    let file = import.file;
    let models = known(
        file.models.iter().map(|one| &one.name),
        &held.models,
        &shared.models,
    );
    let providers = file.providers.iter().map(|one| &one.name);
    let providers = known(providers, &held.providers, &shared.providers);
    let mut must_be = |all: &BTreeSet<&String>, name: &String, path: String, section: &str| {
        if !all.contains(name) {
            let mend = format!("add it under [[{section}]], or correct the name");
            faults.push(Fault::new(
                path,
                format!("`{name}` is not in the catalog"),
                mend,
            ));
        }
    };
    for offer in &file.offers {
        let path = format!("offers.{}", offer.key());
        must_be(
            &providers,
            &offer.provider,
            format!("{path}.provider"),
            "providers",
        );
        must_be(&models, &offer.model, format!("{path}.model"), "models");
    }
    for alias in &file.aliases {
        for model in &alias.models {
            must_be(
                &models,
                model,
                format!("aliases.{}.models", alias.name),
                "models",
            );
        }
    }
    for one in &file.substitutes {
        let path = format!("substitutes.{}", one.key());
        must_be(&models, &one.model, format!("{path}.model"), "models");
        must_be(
            &models,
            &one.substitute,
            format!("{path}.substitute"),
            "models",
        );
    }
    for key in &file.credentials {
        let path = format!("credentials.{}.provider", key.provider);
        must_be(&providers, &key.provider, path, "providers");
    }
}

fn known<'a, T>(
    written: impl Iterator<Item = &'a String>,
    held: &'a BTreeMap<String, Held<T>>,
    shared: &'a BTreeMap<String, Held<T>>,
) -> BTreeSet<&'a String> {
    written.chain(held.keys()).chain(shared.keys()).collect()
}

/// Providers nobody may call.
fn unreachable(import: &Import<'_>) -> impl Iterator<Item = Fault> {
    let guard = import.guard;
    import.file.providers.iter().filter_map(|provider| {
        let refused = guard.judge_url(&provider.base_url).err()?;
        let path = format!("providers.{}.base_url", provider.name);
        let mend = "use https and a public name, or allow its network in egress.allow";
        Some(Fault::new(path, refused.to_string(), mend))
    })
}

/// Providers that move to another host without their keys: a key is bound to where it was given for.
fn moved(import: &Import<'_>, held: &Holdings) -> impl Iterator<Item = Fault> {
    let file = import.file;
    let moved = file.providers.iter().filter_map(|provider| {
        let old = held.providers.get(&provider.name)?;
        let is_moved = origin_of(&old.entry.base_url) != origin_of(&provider.base_url);
        is_moved.then_some((provider, old.id))
    });
    moved.flat_map(move |(provider, id)| {
        let is_given = move |key: &HeldCredential| {
            let mut given = file.credentials.iter();
            given.any(|one| one.provider == provider.name && one.name == key.name)
        };
        let keys = held.credentials.iter();
        let lost = keys.filter(move |key| key.provider_id == id && !is_given(key));
        lost.map(|key| {
            let path = format!("providers.{}.base_url", provider.name);
            let what = format!("the key `{}` was given for another host", key.name);
            Fault::new(path, what, "give the key again in this file")
        })
    })
}
