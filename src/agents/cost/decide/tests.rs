//! The choice, by example and over random catalogs.

use proptest::{collection::vec, prelude::*};
use uuid::Uuid;

use super::*;

fn place(number: u128, tier: Tier, price: u64) -> Place {
    Place {
        offer: OfferId(Uuid::from_u128(number)),
        provider: format!("provider-{number}"),
        tier,
        price: Some(Price {
            input: NanoUsd(price),
            output: NanoUsd(price * 2),
            ..Price::default()
        }),
        price_book: "book".to_owned(),
        distance: 0,
        is_able: true,
        score: Some(100),
    }
}

const MIX: Mix = Mix {
    requests: 10,
    input_tokens: 3_000_000,
    cached_tokens: 0,
    cache_write_tokens: 0,
    output_tokens: 1_000_000,
    reasoning_tokens: 0,
};

fn question(now: Place, others: Vec<Place>) -> Question {
    Question {
        now,
        others,
        shunned: BTreeSet::new(),
        mix: MIX,
        window: (Moment::default(), Moment::default()),
    }
}

#[test]
fn a_free_offer_goes_before_a_cheaper_paid_one_and_the_saving_is_told_to_the_nano_dollar() {
    let now = place(1, Tier::Paid, 1_000_000);
    let others = vec![place(2, Tier::Paid, 1), place(3, Tier::Free, 500)];

    let choice = choose(&question(now, others)).unwrap();

    assert_eq!(choice.to, OfferId(Uuid::from_u128(3)));
    assert_eq!(choice.cause, Cause::Free);
    // 3 million at 1 000 000 and one million at twice that, over four million tokens.
    assert_eq!(choice.arithmetic["saving_nano_usd"], 5_000_000);
    assert_eq!(choice.saving_per_million, 1_250_000);
}

#[test]
fn a_paid_offer_must_be_strictly_more_than_a_fifth_cheaper() {
    let now = || place(1, Tier::Paid, 100_000);

    for (price, is_taken) in [(80_001, false), (80_000, false), (79_999, true)] {
        let choice = choose(&question(now(), vec![place(2, Tier::Paid, price)]));
        assert_eq!(choice.is_some(), is_taken, "{price}");
    }
}

#[test]
fn a_sick_free_offer_is_left_for_a_free_one_and_never_for_a_paid_one() {
    let mut sick = place(1, Tier::Free, 100);
    sick.score = Some(LEAST_SCORE - 1);
    let paid = place(2, Tier::Paid, 1);
    assert_eq!(choose(&question(sick.clone(), vec![paid.clone()])), None);

    let choice = choose(&question(sick, vec![paid, place(3, Tier::Free, 1)])).unwrap();

    assert_eq!(choice.cause, Cause::Unhealthy);
    assert_eq!(choice.to, OfferId(Uuid::from_u128(3)));
}

#[test]
fn what_is_sick_unable_unpriced_or_shunned_is_not_taken() {
    let now = || place(1, Tier::Paid, 1_000_000);
    let mut sick = place(2, Tier::Free, 1);
    sick.score = Some(0);
    let mut unable = place(3, Tier::Free, 1);
    unable.is_able = false;
    let mut unpriced = place(4, Tier::Paid, 1);
    unpriced.price = None;
    let shunned = place(5, Tier::Free, 1);
    let mut question = question(now(), vec![sick, unable, unpriced, shunned.clone()]);
    question.shunned.insert(shunned.offer);

    assert_eq!(choose(&question), None);
}

#[test]
fn the_routes_own_model_goes_before_one_that_stands_in_for_it() {
    let mut other = place(2, Tier::Free, 1);
    other.distance = 1;

    let choice = choose(&question(
        place(9, Tier::Paid, 10),
        vec![other, place(3, Tier::Free, 1)],
    ));

    assert_eq!(choice.unwrap().to, OfferId(Uuid::from_u128(3)));
}

prop_compose! {
    fn any_place()(
        number in 1_u128..40, is_free in any::<bool>(), price in proptest::option::weighted(0.9, 0_u64..2_000_000_000),
        output in 0_u64..2_000_000_000, distance in 0_u16..3, is_able in proptest::bool::weighted(0.8),
        score in proptest::option::of(0_u8..=100),
    ) -> Place {
        let tier = if is_free { Tier::Free } else { Tier::Paid };
        Place {
            price: price.map(|input| Price { input: NanoUsd(input), output: NanoUsd(output), ..Price::default() }),
            distance, is_able, score,
            ..place(number, tier, 1)
        }
    }
}

prop_compose! {
    fn any_mix()(
        requests in 0_u64..1_000_000, input in 0_u64..1_000_000_000, cached in 0_u64..1_000_000_000,
        output in 0_u64..1_000_000_000, reasoning in 0_u64..1_000_000_000,
    ) -> Mix {
        Mix {
            requests, input_tokens: input, cached_tokens: cached.min(input), cache_write_tokens: 0,
            output_tokens: output, reasoning_tokens: reasoning.min(output),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_catalog_makes_a_route_go_from_free_to_paid_or_to_what_is_hardly_cheaper(
        now in any_place(), others in vec(any_place(), 0..12), mix in any_mix(), shunned in vec(1_u128..40, 0..4),
    ) {
        let question = Question {
            mix,
            shunned: shunned.into_iter().map(|number| OfferId(Uuid::from_u128(number))).collect(),
            ..question(now.clone(), others.clone())
        };
        let Some(choice) = choose(&question) else {
            // Whoever stays on a paid offer has no free one that would do.
            let would_do = |place: &Place| {
                place.tier == Tier::Free && place.is_able && place.is_well() && place.offer != now.offer
                    && !question.shunned.contains(&place.offer)
            };
            let is_stuck = mix.tokens() == 0 || mix.cost(&now).is_none();
            prop_assert!(now.tier == Tier::Free || is_stuck || !others.iter().any(would_do));
            return Ok(());
        };
        let places: Vec<_> = others.iter().filter(|place| place.offer == choice.to).collect();
        prop_assert!(!places.is_empty() && choice.to != now.offer);
        prop_assert!(places.iter().any(|to| to.is_able && to.is_well()));
        let leads_to = |tier| places.iter().any(|to| to.tier == tier);
        if now.tier == Tier::Free {
            prop_assert!(leads_to(Tier::Free) && choice.cause == Cause::Unhealthy);
        }
        if choice.cause == Cause::Cheaper {
            let before = mix.cost(&now).unwrap();
            let cheapest = places.iter().filter_map(|to| mix.cost(to)).min().unwrap();
            prop_assert!(u128::from(cheapest.0) * 5 < u128::from(before.0) * 4);
        }
        // Whoever holds the same arithmetic comes to the same saving.
        let saving = choice.arithmetic["saving_nano_usd"].as_u64().unwrap();
        let tokens = choice.arithmetic["tokens"].as_u64().unwrap();
        let again = u128::from(saving) * 1_000_000 / u128::from(tokens);
        prop_assert_eq!(u128::try_from(choice.saving_per_million).unwrap(), again);
    }

    #[test]
    fn the_order_of_the_catalog_does_not_matter(
        now in any_place(), others in vec(any_place(), 0..12), mix in any_mix(),
    ) {
        let mut unique = others;
        unique.sort_by_key(|place| place.offer);
        unique.dedup_by_key(|place| place.offer);
        let mut turned = unique.clone();
        turned.reverse();
        let ask = |others| choose(&Question { mix, ..question(now.clone(), others) });

        prop_assert_eq!(ask(unique), ask(turned));
    }
}
