//! The order of a plan, who is out of it, and what a caller is told when nothing is left.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::{
    base::{CredentialId, OrganizationId, Tokens},
    catalog::{
        Abilities, Ability, Alias, Catalog, Dialect, Provider, Tier,
        sample::{credential, free, model, organization, paid, provider},
    },
    routing::{
        health::{Cool, Failure, Settings},
        strategy::MISER,
    },
};

pub(super) const NOW: Moment = Moment::from_millis(1_795_000_000_000);

pub(super) fn need() -> Need<'static> {
    Need {
        organization: organization(1),
        dialect: Dialect::Openai,
        abilities: Abilities::NONE.with(Ability::Chat),
        is_stream: false,
        input_expected: Tokens(1_000),
        input_bound: Tokens(4_000),
        output_expected: Tokens(500),
        output_bound: Tokens(1_000),
        requested_output: Some(Tokens(1_000)),
        allows_training: true,
        allowed_models: None,
        is_free_only: false,
        routes: None,
        strategy: &MISER,
        seed: 7,
        is_rehearsal: false,
    }
}

/// A catalog of `offers` with one alias `all` over `models`, resolved.
pub(super) fn resolved(
    models: &[&Arc<Model>],
    offers: impl IntoIterator<Item = Offer>,
) -> Resolved {
    let alias = Alias {
        organization_id: None,
        name: "all".to_owned(),
        models: models.iter().map(|model| model.id).collect(),
    };
    let catalog = Catalog::new(
        offers.into_iter().map(Arc::new).collect(),
        &[alias],
        HashMap::new(),
    );
    catalog.resolve(organization(1), "all").unwrap()
}

pub(super) fn order(plan: &Plan) -> String {
    let names = plan
        .candidates
        .iter()
        .map(|one| one.offer.provider.name.as_str());
    names.collect::<Vec<_>>().join(" ")
}

fn key_of(offer: &Offer) -> Option<CredentialId> {
    offer.provider.credentials.first().map(|key| key.id)
}

pub(super) fn after(ms: u64) -> Moment {
    NOW.plus(Duration::from_millis(ms))
}

#[test]
fn free_goes_before_cheap_before_dear() {
    let llama = model("llama");
    let all = [
        paid(provider("dear"), &llama, 9_000_000),
        free(provider("free"), &llama),
        paid(provider("cheap"), &llama, 1_000_000),
    ];
    let plan = plan(&resolved(&[&llama], all), &need(), &Health::default(), NOW).unwrap();

    assert_eq!(order(&plan), "free cheap dear");
    let whys: Vec<_> = plan.candidates.iter().map(|one| one.why).collect();
    assert_eq!(whys, ["free", "cheapest", "cheapest"]);
    assert_eq!(plan.paid_alternative.unwrap().provider.name, "cheap");
    assert_eq!(plan.max_attempts, 3);
}

#[test]
fn a_chain_tries_every_free_offer_first_and_then_its_models_in_order() {
    let (first, second) = (model("first"), model("second"));
    let all = [
        paid(provider("second-paid"), &second, 1),
        free(provider("second-free"), &second),
        paid(provider("first-paid"), &first, 9_000_000),
    ];
    let plan = plan(
        &resolved(&[&first, &second], all),
        &need(),
        &Health::default(),
        NOW,
    )
    .unwrap();

    assert_eq!(order(&plan), "second-free first-paid second-paid");
    assert_eq!(plan.candidates[2].why, "fallback");
    assert_eq!(plan.paid_alternative.unwrap().provider.name, "first-paid");
}

#[test]
fn a_chain_falls_through_when_its_first_model_is_out() {
    let (first, second) = (model("first"), model("second"));
    let sick = paid(provider("sick"), &first, 1);
    let health = Health::default();
    health.cool(Cool::Offer(sick.id), after(60_000));

    let found = resolved(
        &[&first, &second],
        [sick, paid(provider("well"), &second, 5)],
    );
    let plan = plan(&found, &need(), &health, NOW).unwrap();

    assert_eq!(order(&plan), "well");
    assert_eq!(plan.model_in_play().unwrap().name, "second");
    assert_eq!(plan.out.len(), 1);
}

#[test]
fn between_equals_the_quicker_then_the_preferred_goes_first() {
    let llama = model("llama");
    let slow = paid(provider("slow"), &llama, 5);
    let quick = paid(provider("quick"), &llama, 5);
    let mut preferred = paid(provider("preferred"), &llama, 5);
    preferred.preference = -1;
    let health = Health::default();
    for (offer, ms) in [(&slow, 900), (&quick, 100), (&preferred, 100)] {
        health.succeeded(offer.id, key_of(offer), ms, NOW);
    }

    let plan = plan(
        &resolved(&[&llama], [slow, quick, preferred]),
        &need(),
        &health,
        NOW,
    )
    .unwrap();

    assert_eq!(order(&plan), "preferred quick slow");
}

fn refused(offer: Offer, need: &Need<'_>) -> Unroutable {
    let llama = Arc::clone(&offer.model);
    let found = resolved(&[&llama], [offer]);
    plan(&found, need, &Health::default(), NOW).unwrap_err()
}

#[test]
fn an_offer_that_lacks_an_ability_is_out_and_the_field_is_named() {
    let only_chat = Abilities::NONE.with(Ability::Chat);
    let cases = [
        (Ability::Tools, "tools"),
        (Ability::Vision, "messages"),
        (Ability::JsonSchema, "response_format"),
        (Ability::Audio, "modalities"),
        (Ability::Embeddings, "model"),
    ];

    for (ability, param) in cases {
        let mut offer = paid(provider("a"), &model("llama"), 5);
        offer.abilities = only_chat;
        let mut need = need();
        need.abilities = only_chat.with(ability);
        assert_eq!(refused(offer, &need), Unroutable::NothingAble { param });
    }
    let mut offer = paid(provider("a"), &model("llama"), 5);
    offer.abilities = only_chat;
    let mut streamed = need();
    streamed.is_stream = true;
    let param = "stream";
    assert_eq!(refused(offer, &streamed), Unroutable::NothingAble { param });
}

#[test]
fn an_offer_whose_price_nobody_knows_is_out() {
    let mut offer = paid(provider("a"), &model("llama"), 5);
    offer.price = None;

    assert_eq!(refused(offer, &need()), Unroutable::NoPrice);
}

#[test]
fn an_offer_whose_window_is_too_small_is_out() {
    let mut offer = paid(provider("a"), &model("llama"), 5);
    offer.context_window = Some(Tokens(1_999));

    assert_eq!(refused(offer, &need()), Unroutable::ContextTooSmall);
}

#[test]
fn an_offer_that_trains_speaks_otherwise_or_costs_is_out_for_who_minds() {
    let offer = |change: fn(&mut Provider)| {
        let mut provider = provider("a");
        change(&mut provider);
        paid(provider, &model("llama"), 5)
    };
    let private = Need {
        allows_training: false,
        ..need()
    };
    let broke = Need {
        is_free_only: true,
        ..need()
    };
    let nobody = Need {
        allowed_models: Some(&[]),
        ..need()
    };
    let nothing = Unroutable::NothingAble { param: "model" };

    assert_eq!(
        refused(offer(|one| one.trains_on_data = true), &private),
        nothing
    );
    assert_eq!(
        refused(offer(|one| one.dialect = Dialect::Anthropic), &need()),
        nothing
    );
    assert_eq!(refused(offer(|_| ()), &broke), nothing);
    assert_eq!(refused(offer(|_| ()), &nobody), Unroutable::NotAllowed);
}

#[test]
fn a_window_that_fits_exactly_fits() {
    let llama = model("llama");
    let offer = Offer {
        context_window: Some(Tokens(2_000)),
        ..paid(provider("a"), &llama, 5)
    };

    assert!(
        plan(
            &resolved(&[&llama], [offer]),
            &need(),
            &Health::default(),
            NOW
        )
        .is_ok()
    );
}

#[test]
fn an_explicit_price_of_zero_is_a_price() {
    let llama = model("llama");
    let found = resolved(
        &[&llama],
        [
            paid(provider("local"), &llama, 0),
            paid(provider("a"), &llama, 5),
        ],
    );

    let plan = plan(
        &found,
        &Need {
            is_free_only: true,
            ..need()
        },
        &Health::default(),
        NOW,
    )
    .unwrap();

    assert_eq!(order(&plan), "local");
}

#[test]
fn a_list_of_allowed_models_knows_the_alias_and_the_model() {
    let (first, second) = (model("first"), model("second"));
    let offers = || {
        [
            paid(provider("a"), &first, 1),
            paid(provider("b"), &second, 1),
        ]
    };
    let found = resolved(&[&first, &second], offers());
    let allowed = |names: &[String]| {
        let need = Need {
            allowed_models: Some(names),
            ..need()
        };
        plan(&found, &need, &Health::default(), NOW).map(|plan| order(&plan))
    };

    assert_eq!(allowed(&["all".to_owned()]).unwrap(), "a b");
    assert_eq!(allowed(&["second".to_owned()]).unwrap(), "b");
    assert_eq!(
        allowed(&["third".to_owned()]).unwrap_err(),
        Unroutable::NotAllowed
    );
}

#[test]
fn an_organizations_own_key_goes_before_the_platforms_and_strangers_never_see_it() {
    let (us, them) = (organization(1), organization(2));
    let llama = model("llama");
    let mut shop = provider("shop");
    shop.credentials = vec![
        credential(1, None),
        credential(2, Some(us)),
        credential(3, Some(us)),
    ];
    let found = resolved(&[&llama], [paid(shop, &llama, 5)]);
    let keys = |organization: OrganizationId| {
        let plan = plan(
            &found,
            &Need {
                organization,
                ..need()
            },
            &Health::default(),
            NOW,
        )
        .unwrap();
        let keys = plan
            .candidates
            .iter()
            .filter_map(|one| one.credential.as_ref());
        keys.map(|key| key.id.uuid().as_u128()).collect::<Vec<_>>()
    };

    assert_eq!(keys(us), [2, 3, 1]);
    assert_eq!(keys(them), [1]);
}

#[test]
fn a_provider_that_wants_a_key_is_unknown_to_those_without_one() {
    let llama = model("llama");
    let mut shop = provider("shop");
    shop.credentials = vec![credential(2, Some(organization(2)))];
    let offer = Arc::new(paid(shop, &llama, 5));

    let catalog = Catalog::new(vec![offer], &[], HashMap::new());

    assert!(catalog.resolve(organization(1), "llama").is_err());
    assert!(catalog.resolve(organization(2), "llama").is_ok());
}

#[test]
fn when_everybody_pauses_the_caller_is_told_until_when() {
    let llama = model("llama");
    let (one, other) = (
        paid(provider("one"), &llama, 1),
        paid(provider("other"), &llama, 2),
    );
    let health = Health::default();
    health.cool(Cool::OfferCredential(one.id, key_of(&one)), after(20_000));
    health.cool(Cool::Credential(key_of(&other).unwrap()), after(90_000));

    let refused = plan(&resolved(&[&llama], [one, other]), &need(), &health, NOW).unwrap_err();

    let retry_after = Duration::from_secs(20);
    assert_eq!(refused, Unroutable::AllCooling { retry_after });
}

#[test]
fn when_every_provider_is_at_its_limit_the_caller_is_told_so() {
    let llama = model("llama");
    let (one, other) = (
        paid(provider("one"), &llama, 1),
        paid(provider("other"), &llama, 2),
    );
    let health = Health::default();
    for (offer, rest) in [(&one, 20_000), (&other, 7_000)] {
        health.cool(Cool::OfferCredential(offer.id, key_of(offer)), after(rest));
    }

    let refused = plan(&resolved(&[&llama], [one, other]), &need(), &health, NOW).unwrap_err();

    let retry_after = Duration::from_secs(7);
    assert_eq!(refused, Unroutable::AllLimited { retry_after });
}

fn break_down(health: &Health, offer: &Offer) {
    for _ in 0..5 {
        health.failed(offer.id, key_of(offer), Failure::Connect, NOW);
    }
}

#[test]
fn when_everybody_fails_one_call_a_second_is_let_through() {
    let llama = model("llama");
    let offer = paid(provider("only"), &llama, 1);
    let health = Health::default();
    break_down(&health, &offer);
    let found = resolved(&[&llama], [offer]);
    let retry_after = Duration::from_secs(1);

    for second in 0..40 {
        let now = after(second * 1_000);
        let probe = plan(&found, &need(), &health, now).unwrap();
        assert_eq!(probe.candidates[0].why, "probe");
        let refused = plan(&found, &need(), &health, now).unwrap_err();
        assert_eq!(refused, Unroutable::AllCooling { retry_after });
    }
}

#[test]
fn three_answered_probes_bring_a_model_back() {
    let llama = model("llama");
    let offer = paid(provider("only"), &llama, 1);
    let (id, key) = (offer.id, key_of(&offer));
    let health = Health::default();
    break_down(&health, &offer);
    let found = resolved(&[&llama], [offer]);

    for second in 1..=3 {
        assert!(plan(&found, &need(), &health, after(second * 1_000)).is_ok());
        health.succeeded(id, key, 10, after(second * 1_000));
    }

    for _ in 0..10 {
        let back = plan(&found, &need(), &health, after(3_001)).unwrap();
        assert_eq!(back.candidates[0].why, "cheapest");
    }
}

#[test]
fn probes_come_round_to_everybody_when_there_are_more_than_one_call_tries() {
    let llama = model("llama");
    let offers: Vec<Offer> = (0..7)
        .map(|number| paid(provider(&format!("p{number}")), &llama, number))
        .collect();
    let health = Health::default();
    offers.iter().for_each(|offer| break_down(&health, offer));
    let found = resolved(&[&llama], offers);

    let mut tried = std::collections::BTreeSet::new();
    for second in 1..=7 {
        let plan = plan(&found, &need(), &health, after(second * 1_000)).unwrap();
        let first = plan.candidates.iter().take(plan.max_attempts);
        tried.extend(first.map(|one| one.offer.provider.name.clone()));
    }

    assert_eq!(tried.len(), 7);
}

#[test]
fn a_cool_down_is_never_probed() {
    let llama = model("llama");
    let offer = paid(provider("only"), &llama, 1);
    let health = Health::default();
    break_down(&health, &offer);
    health.cool(Cool::Offer(offer.id), after(60_000));
    let found = resolved(&[&llama], [offer]);

    for second in 0..60 {
        assert!(plan(&found, &need(), &health, after(second * 1_000)).is_err());
    }
}

#[test]
fn one_that_failed_is_tried_once_a_second_and_otherwise_stands_last() {
    let llama = model("llama");
    let sick = free(provider("sick"), &llama);
    let health = Health::default();
    break_down(&health, &sick);
    let found = resolved(&[&llama], [sick, paid(provider("well"), &llama, 5)]);
    let order_at = |ms| order(&plan(&found, &need(), &health, after(ms)).unwrap());

    assert_eq!(order_at(29_999), "well");
    assert_eq!(order_at(30_000), "sick well");
    assert_eq!(order_at(30_500), "well sick");
    assert_eq!(order_at(31_000), "sick well");
}

#[test]
fn a_rehearsal_uses_up_no_trial() {
    let llama = model("llama");
    let (sick, only) = (free(provider("sick"), &llama), model("only"));
    let gone = paid(provider("gone"), &only, 1);
    let health = Health::default();
    break_down(&health, &sick);
    break_down(&health, &gone);
    let found = resolved(&[&llama], [sick, paid(provider("well"), &llama, 5)]);
    let alone = resolved(&[&only], [gone]);
    let rehearsal = Need {
        is_rehearsal: true,
        ..need()
    };

    for _ in 0..3 {
        let plan = plan(&found, &rehearsal, &health, after(30_000)).unwrap();
        assert_eq!(order(&plan), "sick well");
        assert!(super::plan(&alone, &rehearsal, &health, after(1_000)).is_err());
    }
    assert!(plan(&alone, &need(), &health, after(1_000)).is_ok());
}

/// How one made-up offer differs from the next.
#[derive(Clone, Debug)]
pub(super) struct Made {
    model: usize,
    is_free: bool,
    price: Option<u64>,
    window: u64,
    is_able: bool,
    preference: i32,
    latency_ms: u32,
    failures: u32,
    is_cooling: bool,
    keys: u128,
}

pub(super) fn made() -> impl Strategy<Value = Made> {
    let price =
        prop_oneof![1 => Just(None), 8 => (0_u64..4).prop_map(|price| Some(price * 1_000_000))];
    (
        (
            0_usize..3,
            any::<bool>(),
            price,
            1_000_u64..4_000,
            prop::bool::weighted(0.9),
        ),
        (
            -1..2_i32,
            0_u32..3,
            0_u32..7,
            prop::bool::weighted(0.1),
            0_u128..3,
        ),
    )
        .prop_map(
            |(
                (model, is_free, price, window, is_able),
                (preference, latency_ms, failures, is_cooling, keys),
            )| {
                Made {
                    model,
                    is_free,
                    price,
                    window,
                    is_able,
                    preference,
                    latency_ms,
                    failures,
                    is_cooling,
                    keys,
                }
            },
        )
}

pub(super) fn build(number: usize, made: &Made, models: &[Arc<Model>], health: &Health) -> Offer {
    let mut provider = provider(&format!("p{number}"));
    let first = u128::try_from(number).unwrap() * 10;
    provider.credentials = (0..made.keys)
        .map(|key| credential(first + key, None))
        .collect();
    let mut offer = paid(
        provider,
        &models[made.model],
        made.price.unwrap_or_default(),
    );
    offer.tier = if made.is_free { Tier::Free } else { Tier::Paid };
    offer.price = offer.price.filter(|_| made.price.is_some());
    offer.context_window = Some(Tokens(made.window));
    offer.abilities = if made.is_able {
        Abilities::UNSTATED
    } else {
        Abilities::NONE
    };
    offer.preference = made.preference;
    for key in offer
        .provider
        .credentials
        .iter()
        .map(|key| Some(key.id))
        .chain([None])
    {
        if made.latency_ms != 0 {
            health.succeeded(offer.id, key, made.latency_ms, NOW);
        }
        for _ in 0..made.failures {
            health.failed(offer.id, key, Failure::Server, NOW);
        }
    }
    if made.is_cooling {
        health.cool(Cool::Offer(offer.id), after(600_000));
    }
    offer
}

proptest! {
    #[test]
    fn the_miser_never_pays_more_before_less_and_loses_nobody(
        all in prop::collection::vec(made(), 1..12), ms in 0_u64..90_000, turn in 0_usize..12,
    ) {
        let models = [model("a"), model("b"), model("c")];
        let health = Health::new(Settings::default());
        let mut offers: Vec<Offer> =
            all.iter().enumerate().map(|(number, made)| build(number, made, &models, &health)).collect();
        let count = offers.len();
        let names: Vec<&Arc<Model>> = models.iter().collect();
        let rehearsal = Need { is_rehearsal: true, ..need() };

        let first = {
            let again = all.iter().enumerate().map(|(number, made)| build(number, made, &models, &Health::default()));
            survey(&resolved(&names, again), &rehearsal, &health, after(ms))
        };
        offers.rotate_left(turn % count);
        offers.reverse();
        let found = resolved(&names, offers);
        let second = survey(&found, &rehearsal, &health, after(ms));

        let ranks = |plan: &Plan| plan.candidates.iter().map(|one| one.rank).collect::<Vec<_>>();
        prop_assert_eq!(ranks(&first), ranks(&second), "the order of the input must not matter");
        prop_assert!(ranks(&first).windows(2).all(|two| two[0] < two[1]), "the order must be total");
        for two in first.candidates.windows(2) {
            let (one, next) = (&two[0], &two[1]);
            prop_assert!(one.rank.is_paid <= next.rank.is_paid, "free before paid");
            if one.offer.model.id == next.offer.model.id && one.rank.is_paid == next.rank.is_paid {
                prop_assert!(one.expected_cost <= next.expected_cost, "cheap before dear");
            }
        }
        for one in &first.candidates {
            prop_assert!(need().judge(&one.offer).is_ok());
            prop_assert!(one.offer.price.is_some(), "an unknown price is no zero");
            prop_assert!(one.expected_cost <= one.bound_cost);
            prop_assert!(!health.is_open(one.offer.id, one.credential.as_ref().map(|key| key.id), after(ms)));
        }
        let mut seen: Vec<OfferId> = first.candidates.iter().map(|one| one.offer.id).collect();
        seen.extend(first.out.iter().map(|(id, _)| *id));
        seen.sort_unstable();
        seen.dedup();
        prop_assert_eq!(seen.len(), count, "everybody is a candidate or says why not");

        let live = survey(&found, &need(), &health, after(ms));
        prop_assert!(ranks(&live).windows(2).all(|two| two[0] < two[1]));
        prop_assert!(live.candidates.len() <= first.candidates.len());
    }
}
