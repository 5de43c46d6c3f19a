//! What routes do to the order: first among equals, and paid never before free unless somebody insists.

use proptest::prelude::*;
use uuid::Uuid;

use super::{tests::*, *};
use crate::{
    base::RouteId,
    catalog::sample::{free, model, paid, provider},
    routing::{Route, Routes, Settings},
};

fn routes(model: &Model, offer: OfferId, is_pinned: bool) -> Routes {
    let mut routes = Routes::default();
    let id = RouteId(Uuid::from_u128(9));
    let route = Route {
        id,
        offer,
        is_pinned,
    };
    routes.set(model.id, route);
    routes
}

fn planned(resolved: &Resolved, routes: &Routes) -> Plan {
    let need = Need {
        routes: Some(routes),
        ..need()
    };
    plan(resolved, &need, &Health::default(), NOW).unwrap()
}

#[test]
fn a_route_goes_first_among_equals_and_says_so() {
    let llama = model("llama");
    let all = [
        paid(provider("cheap"), &llama, 1_000_000),
        paid(provider("dear"), &llama, 9_000_000),
        free(provider("free"), &llama),
        free(provider("other"), &llama),
    ];
    let (dear, other) = (all[1].id, all[3].id);
    let found = resolved(&[&llama], all);

    let by_dear = planned(&found, &routes(&llama, dear, false));
    let by_other = planned(&found, &routes(&llama, other, false));

    assert_eq!(order(&by_dear), "free other dear cheap");
    assert_eq!(by_dear.candidates[2].why, "route");
    assert_eq!(order(&by_other), "other free cheap dear");
    assert_eq!(by_other.candidates[0].why, "route");
}

#[test]
fn a_pinned_route_goes_first_within_its_model() {
    let (first, second) = (model("first"), model("second"));
    let all = [
        free(provider("first-free"), &first),
        paid(provider("second-paid"), &second, 9_000_000),
        free(provider("second-free"), &second),
    ];
    let pinned = all[1].id;
    let found = resolved(&[&first, &second], all);

    let plan = planned(&found, &routes(&second, pinned, true));

    assert_eq!(order(&plan), "first-free second-paid second-free");
    assert_eq!(plan.candidates[1].why, "pinned");
}

#[test]
fn a_route_to_a_model_that_stands_in_goes_before_the_model_itself() {
    let (first, second) = (model("first"), model("second"));
    let all = [
        paid(provider("first-paid"), &first, 1_000_000),
        paid(provider("second-paid"), &second, 9_000_000),
    ];
    let standing_in = all[1].id;
    let found = resolved(&[&first, &second], all);

    let plan = planned(&found, &routes(&first, standing_in, false));

    assert_eq!(order(&plan), "second-paid first-paid");
}

#[test]
fn a_route_to_what_is_not_there_changes_nothing() {
    let llama = model("llama");
    let all = [
        paid(provider("cheap"), &llama, 1_000_000),
        paid(provider("dear"), &llama, 9_000_000),
    ];
    let found = resolved(&[&llama], all);
    let nowhere = OfferId(Uuid::from_u128(1));

    let plan = planned(&found, &routes(&llama, nowhere, true));

    assert_eq!(order(&plan), "cheap dear");
    assert_eq!(plan.candidates[0].why, "cheapest");
}

proptest! {
    #[test]
    fn whatever_routes_say_no_paid_offer_goes_before_a_free_one_unless_it_is_pinned(
        all in prop::collection::vec(made(), 1..12), ms in 0_u64..90_000,
        wanted in prop::collection::vec((0_usize..3, 0_usize..12, prop::bool::weighted(0.2)), 0..4),
        turn in 0_usize..12,
    ) {
        let models = [model("a"), model("b"), model("c")];
        let health = Health::new(Settings::default());
        let mut offers: Vec<Offer> =
            all.iter().enumerate().map(|(number, made)| build(number, made, &models, &health)).collect();
        let mut routes = Routes::default();
        for (of, to, is_pinned) in &wanted {
            if let Some(offer) = offers.get(*to) {
                let id = RouteId(Uuid::from_u128(9));
                routes.set(models[*of].id, Route { id, offer: offer.id, is_pinned: *is_pinned });
            }
        }
        let names: Vec<&Arc<Model>> = models.iter().collect();
        let rehearsal = Need { is_rehearsal: true, routes: Some(&routes), ..need() };

        let first = {
            let again = all.iter().enumerate().map(|(number, made)| build(number, made, &models, &Health::default()));
            survey(&resolved(&names, again), &rehearsal, &health, after(ms))
        };
        let count = offers.len();
        offers.rotate_left(turn % count);
        offers.reverse();
        let second = survey(&resolved(&names, offers), &rehearsal, &health, after(ms));

        let ranks = |plan: &Plan| plan.candidates.iter().map(|one| one.rank).collect::<Vec<_>>();
        prop_assert_eq!(ranks(&first), ranks(&second), "the order of the input must not matter");
        prop_assert!(ranks(&first).windows(2).all(|two| two[0] < two[1]), "the order must be total");
        let costs = |one: &Candidate| one.bound_cost != NanoUsd::ZERO;
        for two in first.candidates.windows(2) {
            let is_pinned = |one: &Candidate| models.iter().any(|model| {
                routes.of(model.id).is_some_and(|route| route.is_pinned && route.offer == one.offer.id)
            });
            let jumps = costs(&two[0]) && !costs(&two[1]);
            prop_assert!(!jumps || is_pinned(&two[0]), "paid before free");
        }
    }
}
