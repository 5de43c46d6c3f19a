//! The order every strategy makes: total, the same whatever the input's, within its bounds, and again the same later.

use proptest::{prelude::*, strategy::Strategy as _};
use uuid::Uuid;

use super::{tests::*, *};
use crate::{
    base::StrategyId,
    catalog::sample::{free, model, paid, provider},
    routing::{Bounds, Kind, Settings, Strategy, Weights, health::Failure, strategy::per_million},
};

fn strategy(kind: Kind) -> Strategy {
    Strategy {
        id: Some(StrategyId(Uuid::from_u128(1))),
        kind,
        weights: Weights::new(),
        bounds: Bounds::NONE,
    }
}

fn planned(found: &Resolved, strategy: &Strategy, health: &Health) -> Plan {
    let need = Need { strategy, ..need() };
    plan(found, &need, health, NOW).unwrap()
}

#[test]
fn each_strategy_puts_first_what_it_is_for() {
    let llama = model("llama");
    let mut preferred = paid(provider("preferred"), &llama, 5_000_000);
    preferred.preference = -1;
    let all = [
        free(provider("free"), &llama),
        paid(provider("quick"), &llama, 9_000_000),
        paid(provider("steady"), &llama, 8_000_000),
        preferred,
    ];
    let health = Health::default();
    for (offer, ms, failures) in [
        (&all[0], 500, 2),
        (&all[1], 20, 2),
        (&all[2], 700, 0),
        (&all[3], 400, 2),
    ] {
        let key = offer.provider.credentials.first().map(|key| key.id);
        health.succeeded(offer.id, key, ms, NOW);
        for _ in 0..failures {
            health.failed(offer.id, key, Failure::Server, NOW);
        }
    }
    let found = resolved(&[&llama], all);
    let first = |kind| {
        let plan = planned(&found, &strategy(kind), &health);
        (
            order(&plan).split(' ').next().unwrap().to_owned(),
            plan.candidates[0].why,
        )
    };

    assert_eq!(first(Kind::Miser), ("free".to_owned(), "free"));
    assert_eq!(first(Kind::Performance), ("quick".to_owned(), "fastest"));
    assert_eq!(first(Kind::Reliability), ("steady".to_owned(), "steadiest"));
    assert_eq!(first(Kind::Priority), ("preferred".to_owned(), "preferred"));
}

#[test]
fn a_balance_leans_to_what_weighs_more() {
    let llama = model("llama");
    let all = [
        paid(provider("cheap"), &llama, 1_000_000),
        paid(provider("quick"), &llama, 9_000_000),
    ];
    let health = Health::default();
    for (offer, ms) in [(&all[0], 900), (&all[1], 100)] {
        let key = offer.provider.credentials.first().map(|key| key.id);
        health.succeeded(offer.id, key, ms, NOW);
    }
    let found = resolved(&[&llama], all);
    let order_of = |cost, latency| {
        let mut balanced = strategy(Kind::Balanced);
        balanced.weights = [("cost".to_owned(), cost), ("latency".to_owned(), latency)].into();
        order(&planned(&found, &balanced, &health))
    };

    assert_eq!(order_of(3, 1), "cheap quick");
    assert_eq!(order_of(1, 3), "quick cheap");
}

#[test]
fn what_was_not_seen_lately_is_not_judged_by_what_it_was() {
    let llama = model("llama");
    let slow = paid(provider("slow"), &llama, 1);
    let health = Health::default();
    let key = slow.provider.credentials.first().map(|key| key.id);
    health.succeeded(slow.id, key, 900, NOW);
    let found = resolved(&[&llama], [slow]);
    let mut bounded = strategy(Kind::Miser);
    bounded.bounds.max_latency_ms = Some(100);
    let need = Need {
        strategy: &bounded,
        ..need()
    };

    let refused = plan(&found, &need, &health, NOW).unwrap_err();
    assert_eq!(refused, Unroutable::OutOfBounds { may_pass: true });
    assert!(plan(&found, &need, &health, after(300_001)).is_ok());
}

#[test]
fn a_pin_holds_whatever_the_strategy_and_a_route_is_the_misers_alone() {
    use crate::routing::{Route, Routes};
    let llama = model("llama");
    let mut preferred = paid(provider("preferred"), &llama, 5_000_000);
    preferred.preference = -1;
    let all = [preferred, paid(provider("routed"), &llama, 9_000_000)];
    let offer = all[1].id;
    let found = resolved(&[&llama], all);
    let order_with = |is_pinned| {
        let mut routes = Routes::default();
        let id = crate::base::RouteId(Uuid::from_u128(9));
        routes.set(
            llama.id,
            Route {
                id,
                offer,
                is_pinned,
            },
        );
        let priority = strategy(Kind::Priority);
        let need = Need {
            strategy: &priority,
            routes: Some(&routes),
            ..need()
        };
        order(&plan(&found, &need, &Health::default(), NOW).unwrap())
    };

    assert_eq!(order_with(true), "routed preferred");
    assert_eq!(order_with(false), "preferred routed");
}

fn strategies() -> impl proptest::strategy::Strategy<Value = Strategy> {
    let kind = prop_oneof![
        Just(Kind::Miser),
        Just(Kind::Performance),
        Just(Kind::Reliability),
        Just(Kind::Balanced),
        Just(Kind::Priority),
        Just(Kind::Weighted),
    ];
    let bounds = (
        prop::option::of(0_u64..4_000_000),
        prop::option::of(1_u32..4),
        prop::option::of(0_u8..=100),
        any::<bool>(),
    );
    (
        kind,
        bounds,
        prop::collection::btree_map("p[0-9]", 0_u32..4, 0..4),
    )
        .prop_map(|(kind, bounds, weights)| {
            let (cost, max_latency_ms, min_success_percent, is_paid_allowed) = bounds;
            let weights = if kind == Kind::Weighted {
                weights
            } else {
                Weights::new()
            };
            let bounds = Bounds {
                max_cost_per_million: cost.map(NanoUsd),
                max_latency_ms,
                min_success_percent,
                is_paid_allowed,
            };
            Strategy {
                bounds,
                weights,
                ..strategy(kind)
            }
        })
}

proptest! {
    #[test]
    fn every_strategy_makes_one_order_of_any_catalog_and_keeps_its_bounds(
        all in prop::collection::vec(made(), 1..12), ms in 0_u64..90_000, turn in 0_usize..12,
        strategy in strategies(), seed in any::<u64>(),
    ) {
        let models = [model("a"), model("b"), model("c")];
        let health = Health::new(Settings::default());
        let mut offers: Vec<Offer> =
            all.iter().enumerate().map(|(number, made)| build(number, made, &models, &health)).collect();
        let count = offers.len();
        let names: Vec<&Arc<Model>> = models.iter().collect();
        let need = Need { is_rehearsal: true, strategy: &strategy, seed, ..need() };
        let ranks = |plan: &Plan| plan.candidates.iter().map(|one| one.rank).collect::<Vec<_>>();

        let first = {
            let again = all.iter().enumerate().map(|(number, made)| build(number, made, &models, &Health::default()));
            survey(&resolved(&names, again), &need, &health, after(ms))
        };
        offers.rotate_left(turn % count);
        offers.reverse();
        let found = resolved(&names, offers);
        let second = survey(&found, &need, &health, after(ms));
        let replayed = survey(&found, &need, &health, after(ms));

        prop_assert_eq!(ranks(&first), ranks(&second), "the order of the input must not matter");
        prop_assert_eq!(ranks(&second), ranks(&replayed), "the same inputs make the same plan");
        prop_assert!(ranks(&first).windows(2).all(|two| two[0] < two[1]), "the order must be total");
        let tokens = need.input_expected + need.output_expected;
        for one in &first.candidates {
            let bounds = &strategy.bounds;
            prop_assert!(bounds.is_paid_allowed || one.bound_cost == NanoUsd::ZERO, "nothing may be spent");
            let each = per_million(one.expected_cost, tokens);
            prop_assert!(bounds.max_cost_per_million.is_none_or(|most| each <= most), "too dear");
            let lately = health.look().lately(one.offer.id, after(ms));
            let is_slow = |most| lately.is_some_and(|seen| seen.median_ms.is_some_and(|median| most < median));
            prop_assert!(!bounds.max_latency_ms.is_some_and(is_slow), "too slow");
            let fails = |least: u8| lately.is_some_and(|seen| seen.success_ppm < u32::from(least) * 10_000);
            prop_assert!(!bounds.min_success_percent.is_some_and(fails), "too unsteady");
        }
        if strategy.kind == Kind::Miser {
            let costs = |one: &Candidate| one.bound_cost != NanoUsd::ZERO;
            let jumps = first.candidates.windows(2).any(|two| costs(&two[0]) && !costs(&two[1]));
            prop_assert!(!jumps, "the miser never pays while something free can do it");
        }
    }
}
