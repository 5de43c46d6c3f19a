//! What each name means, and to whom.

use super::{draft::Owner, *};
use crate::catalog::sample::{free, model, organization, paid, provider};

fn alias(owner: Owner, name: &str, models: &[&Arc<Model>]) -> Alias {
    Alias {
        organization_id: owner,
        name: name.to_owned(),
        models: models.iter().map(|model| model.id).collect(),
    }
}

fn offers(all: impl IntoIterator<Item = Offer>) -> Vec<Arc<Offer>> {
    all.into_iter().map(Arc::new).collect()
}

fn models_of(resolved: &Resolved) -> Vec<&str> {
    let links = resolved.chain.links.iter();
    links.map(|link| link.model.name.as_str()).collect()
}

fn providers_of(resolved: &Resolved) -> Vec<&str> {
    let offers = resolved.chain.links.iter().flat_map(|link| &link.offers);
    let mut names: Vec<&str> = offers.map(|offer| offer.provider.name.as_str()).collect();
    names.sort_unstable();
    names
}

#[test]
fn a_name_is_an_alias_before_a_model_before_a_providers_name() {
    let (small, large) = (model("small"), model("large"));
    let mut misleading = paid(provider("b"), &large, 2);
    misleading.upstream_name = "small".to_owned();
    let us = organization(1);
    let aliases = [
        alias(Some(us), "best", &[&small]),
        alias(None, "best", &[&large, &small]),
        alias(None, "large", &[&small, &large]),
    ];
    let catalog = Catalog::new(
        offers([paid(provider("a"), &small, 1), misleading]),
        &aliases,
        HashMap::new(),
    );
    let meaning = |who, name| {
        let resolved = catalog.resolve(who, name).unwrap();
        models_of(&resolved).join(" ")
    };

    assert_eq!(meaning(us, "best"), "small");
    assert_eq!(meaning(organization(2), "best"), "large small");
    assert_eq!(meaning(us, "large"), "small large");
    assert_eq!(meaning(us, "small"), "small");
    assert_eq!(meaning(us, "small-at-a"), "small");
}

#[test]
fn a_provider_before_the_slash_is_the_only_one_used() {
    let llama = model("meta/llama");
    let aliases = [alias(None, "cheap", &[&llama])];
    let all = [paid(provider("a"), &llama, 1), free(provider("b"), &llama)];
    let catalog = Catalog::new(offers(all), &aliases, HashMap::new());
    let us = organization(1);
    let providers = |name| {
        catalog
            .resolve(us, name)
            .map(|found| providers_of(&found).join(" "))
    };

    assert_eq!(providers("meta/llama").as_deref(), Ok("a b"));
    for name in ["a/meta/llama", "a/meta/llama-at-a", "a/cheap"] {
        assert_eq!(providers(name).as_deref(), Ok("a"), "{name}");
    }
    for name in ["a/meta/llama-at-b", "c/meta/llama", "a/", "/", ""] {
        assert!(providers(name).is_err(), "{name}");
    }
}

#[test]
fn what_an_organization_brought_is_seen_by_nobody_else() {
    let (us, them) = (organization(1), organization(2));
    let shared = model("shared");
    let mut secret = Arc::unwrap_or_clone(model("secret"));
    secret.organization_id = Some(us);
    let mut ours = provider("ours");
    ours.organization_id = Some(us);
    let mut also_ours = provider("ours");
    also_ours.organization_id = Some(us);
    let all = [
        paid(provider("a"), &shared, 5),
        paid(ours, &shared, 1),
        paid(also_ours, &Arc::new(secret), 1),
    ];
    let catalog = Catalog::new(
        offers(all),
        &[alias(None, "best", &[&shared])],
        HashMap::new(),
    );
    let providers = |who, name| {
        catalog
            .resolve(who, name)
            .map(|found| providers_of(&found).join(" "))
    };

    for name in ["shared", "best", "shared-at-a"] {
        assert_eq!(providers(us, name).as_deref(), Ok("a ours"), "{name}");
        assert_eq!(providers(them, name).as_deref(), Ok("a"), "{name}");
    }
    assert_eq!(providers(us, "ours/shared").as_deref(), Ok("ours"));
    for name in ["secret", "ours/shared", "ours/secret", "shared-at-ours"] {
        let unknown = providers(them, name).unwrap_err();
        assert!(!unknown.closest.contains(&"secret".to_owned()), "{name}");
    }
    assert_eq!(catalog.models_for(them, None).len(), 2);
    assert_eq!(catalog.models_for(us, None).len(), 3);
}

#[test]
fn an_unknown_name_is_answered_with_the_closest_ones() {
    let catalog = Catalog::new(
        offers([paid(provider("a"), &model("gpt-4o-mini"), 1)]),
        &[],
        HashMap::new(),
    );

    let unknown = catalog.resolve(organization(1), "gpt-4o-mnii").unwrap_err();

    assert_eq!(
        unknown.closest.first().map(String::as_str),
        Some("gpt-4o-mini")
    );
}

#[test]
fn a_list_of_allowed_models_narrows_what_is_listed() {
    let (small, large) = (model("small"), model("large"));
    let all = [
        paid(provider("a"), &small, 1),
        paid(provider("a"), &large, 2),
    ];
    let aliases = [
        alias(None, "any", &[&large, &small]),
        alias(None, "big", &[&large]),
    ];
    let catalog = Catalog::new(offers(all), &aliases, HashMap::new());
    let listed = |allowed: Option<&[String]>| {
        let models = catalog.models_for(organization(1), allowed);
        models
            .into_iter()
            .map(|model| model.id)
            .collect::<Vec<_>>()
            .join(" ")
    };

    assert_eq!(listed(None), "any big large small");
    assert_eq!(listed(Some(&["small".to_owned()])), "any small");
    assert_eq!(listed(Some(&["big".to_owned()])), "big");
    assert_eq!(listed(Some(&[])), "");
}

#[test]
fn an_alias_of_models_nobody_sells_means_nothing() {
    let catalog = Catalog::new(
        offers([paid(provider("a"), &model("sold"), 1)]),
        &[
            alias(None, "ghost", &[&model("gone")]),
            alias(None, "half", &[&model("gone"), &model("sold")]),
        ],
        HashMap::new(),
    );

    assert!(catalog.resolve(organization(1), "ghost").is_err());
    let half = catalog.resolve(organization(1), "half").unwrap();
    assert_eq!(models_of(&half), ["sold"]);
}
