//! A simulated day: a dozen free providers with the allowances real ones publish, in their zones, a paid one behind
//! them, and three organizations that call unevenly. The clock is wound; the scripts, the plan and Redis are real.

mod judge;
mod published;
mod upstream;

use std::{collections::HashMap, sync::Arc};

use synaxis::{
    base::{AllowanceId, Moment, OfferId, OrganizationId, Tokens},
    catalog::{Abilities, Dialect, Resolved, Tier},
    gateway::{Lesson, own_charges, rest_after},
    quota::{Actual, Adjusted, Bid, Decision, Hold},
    routing::{Candidate, Health, Need, plan},
};

use self::{published::market, upstream::Upstream};
use crate::quota::{Tenant, wound::Wound};

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const DAY: i64 = 24 * 60 * MINUTE;
/// A day in June at noon, UTC.
const NOON: i64 = 1_781_092_800_000;

/// Whose calls come from beside the gateway, too: at these providers somebody else uses the same key.
const OUTSIDERS: [&str; 2] = ["cerebras-glm", "gemini-lite"];

/// What the day came to.
#[derive(Debug, Default)]
struct Figures {
    calls: [usize; 3],
    free: [usize; 3],
    paid: [usize; 3],
    kept_for_others: usize,
    attempts: usize,
    refused: usize,
}

struct World {
    wound: Wound,
    health: Health,
    resolved: Resolved,
    tenants: [Tenant; 3],
    upstreams: HashMap<OfferId, Upstream>,
    /// Per allowance, when each organization last looked at it.
    asked: HashMap<AllowanceId, HashMap<usize, i64>>,
    outsider_at: HashMap<OfferId, i64>,
    figures: Figures,
}

impl World {
    fn new() -> Self {
        let (catalog, upstreams) = market();
        let tenants = [(); 3].map(|()| Tenant::new(&[]));
        let resolved = catalog.resolve(tenants[0].organization, "swift");
        Self {
            wound: Wound::new(Moment::from_millis(NOON)),
            health: Health::default(),
            resolved: resolved.expect("the model"),
            tenants,
            upstreams,
            asked: HashMap::new(),
            outsider_at: HashMap::new(),
            figures: Figures::default(),
        }
    }

    /// One call of an organization, from the plan to whoever answers.
    async fn call(&mut self, whose: usize, tokens: u64) {
        let now = self.wound.now();
        let size = Actual {
            requests: 1,
            input: tokens / 2,
            output: tokens / 2,
            cost_nano_usd: 0,
            list_nano_usd: tokens / 2 * 2 * 200,
        };
        let organization = self.tenants[whose].organization;
        let planned = plan(
            &self.resolved,
            &need(organization, tokens / 2),
            &self.health,
            now,
        );
        let candidates = planned.expect("a paid offer").candidates;
        let bids: Vec<Bid> = candidates
            .iter()
            .map(|candidate| Bid {
                tenant: Vec::new(),
                own: own_charges(candidate, organization, &[], &size, &size),
            })
            .collect();
        let decision = self.tenants[whose]
            .admit(&self.wound.proxy, &bids, now)
            .await;
        let Ok(Decision::Held { mut hold, bid, .. }) = decision else {
            panic!("a paid offer is always there: {decision:?}");
        };
        self.figures.calls[whose] += 1;
        let mut at = bid;
        self.look_at(whose, &candidates[..=at]);
        loop {
            let candidate = &candidates[at];
            if candidate.offer.tier == Tier::Paid {
                self.figures.paid[whose] += 1;
                self.must_pay(whose, &size, &candidates);
                break;
            }
            self.must_be_fair(whose, candidate, &size);
            self.figures.attempts += 1;
            if self.try_free(whose, candidate, &size).await {
                self.figures.free[whose] += 1;
                break;
            }
            let (next, moved) = self.move_on(hold, &bids[at + 1..]).await;
            hold = moved;
            self.look_at(whose, &candidates[at + 1..=at + 1 + next]);
            at += 1 + next;
        }
        self.wound.proxy.ledger.settle(hold, size);
    }

    async fn move_on(&self, mut hold: Hold, bids: &[Bid]) -> (usize, Hold) {
        let spent = Actual {
            requests: 1,
            ..Actual::default()
        };
        let ledger = &self.wound.proxy.ledger;
        let moved = ledger
            .adjust(&mut hold, &[], &spent, bids, self.wound.now())
            .await;
        let Ok(Adjusted::Held { bid }) = moved else {
            panic!("a paid offer is always there: {moved:?}");
        };
        (bid, hold)
    }

    /// Asks a free provider; learns from what it says as a proxy does.
    async fn try_free(&mut self, whose: usize, candidate: &Candidate, size: &Actual) -> bool {
        let now = self.wound.now();
        let upstream = self
            .upstreams
            .get_mut(&candidate.offer.id)
            .expect("a provider");
        let (fault, told) = upstream.serve(now, size, Some(whose));
        if let Some(fault) = &fault {
            self.figures.refused += 1;
            rest_after(&self.health, candidate, 429, fault, &told, now);
        }
        let is_served = fault.is_none();
        let lesson = Lesson {
            offer: Arc::clone(&candidate.offer),
            credential: candidate.credential.as_ref().map(|key| key.id),
            told,
            fault,
            at: now,
        };
        let corrections = lesson.corrections();
        let corrected = self
            .wound
            .proxy
            .ledger
            .correct_allowances(&corrections)
            .await;
        corrected.expect("Redis");
        is_served
    }

    /// Somebody beside the gateway uses the same key.
    fn call_aside(&mut self, name: &str, tokens: u64) {
        let now = self.wound.now();
        let offers = self.resolved.chain.links[0].offers.iter();
        let offer = offers
            .clone()
            .find(|offer| offer.upstream_name == name)
            .expect("an offer")
            .id;
        let size = Actual {
            requests: 1,
            input: tokens,
            ..Actual::default()
        };
        let upstream = self.upstreams.get_mut(&offer).expect("a provider");
        let _served_or_not = upstream.serve(now, &size, None);
        self.outsider_at.insert(offer, now.millis());
    }

    fn look_at(&mut self, whose: usize, candidates: &[Candidate]) {
        let now = self.wound.now().millis();
        for allowance in candidates.iter().flat_map(|one| &one.offer.allowances) {
            self.asked
                .entry(allowance.id)
                .or_default()
                .insert(whose, now);
        }
    }
}

fn need(organization: OrganizationId, each: u64) -> Need<'static> {
    Need {
        organization,
        dialect: Dialect::Openai,
        abilities: Abilities::NONE,
        is_stream: false,
        input_expected: Tokens(each),
        input_bound: Tokens(each),
        output_expected: Tokens(each),
        output_bound: Tokens(each),
        requested_output: Some(Tokens(each)),
        allows_training: false,
        allowed_models: None,
        is_free_only: false,
        routes: None,
        strategy: &synaxis::routing::strategy::MISER,
        seed: 0,
        is_rehearsal: false,
    }
}

/// How many calls each organization makes in a minute of the day: one steadily with a rush every hour, one in its
/// office hours, one now and then.
fn load(minute: i64) -> [u64; 3] {
    let rush = if minute % 60 == 0 { 40 } else { 0 };
    let office = if (180..660).contains(&minute) { 6 } else { 0 };
    [4 + rush, office, u64::from(minute % 7 == 0)]
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_whole_day_nothing_is_paid_that_could_be_free_and_nobody_takes_anothers_part() {
    let mut world = World::new();
    let mut chance = 7_u64;
    let mut next = |below: u64| {
        chance = chance
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (chance >> 33) % below
    };

    for minute in 0..DAY / MINUTE {
        let load = load(minute);
        let mut left = load;
        for _ in 0..load.iter().sum() {
            let mut pick = next(left.iter().sum());
            let whose = left.iter().position(|one| {
                let is_it = pick < *one;
                pick = pick.saturating_sub(*one);
                is_it
            });
            let whose = whose.expect("one who calls");
            left[whose] -= 1;
            world.call(whose, 400 + 2 * next(1_200)).await;
        }
        world.wound.wind(MINUTE);
        if minute % 20 == 3 {
            let name = OUTSIDERS[usize::try_from(minute / 20 % 2).expect("two")];
            world.call_aside(name, 900);
        }
    }

    let figures = &world.figures;
    let upstream_calls = figures.attempts + figures.paid.iter().sum::<usize>();
    let share = figures.refused * 1_000 / upstream_calls.max(1);
    #[expect(clippy::print_stdout, reason = "the figures of the day")]
    {
        println!(
            "{figures:#?}\n429s: {} of {upstream_calls} upstream calls ({share} per mille)",
            figures.refused
        );
    }
    assert!(share < 10, "{} of {upstream_calls}", figures.refused);
    assert!(
        figures.calls.iter().all(|calls| 100 < *calls),
        "{figures:?}"
    );
    assert!(
        figures.paid.iter().sum::<usize>() > 100,
        "the free ones were never spent: {figures:?}"
    );
    let offers = &world.resolved.chain.links[0].offers;
    let training = offers.iter().find(|offer| offer.provider.trains_on_data);
    let trained = &world.upstreams[&training.expect("one that trains").id];
    assert!(trained.served.is_empty(), "the data policy holds");
}
