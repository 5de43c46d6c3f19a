//! A simulated day: a dozen free providers with the allowances real ones publish, in their zones, a paid one behind
//! them, and three organizations that call unevenly. The clock is wound; the scripts, the plan and Redis are real.

mod upstream;

use std::{collections::HashMap, sync::Arc};

use chrono_tz::Tz;
use synaxis::{
    base::{
        AllowanceId, CredentialId, ModelId, Moment, NanoUsd, OfferId, OrganizationId, ProviderId,
        Secret, Tokens,
    },
    catalog::{
        Abilities, Allowance, AllowanceMeter, AllowanceWindow, Catalog, Credential, Dialect, Model,
        Offer, Price, Provider, Resolved, Tier,
        provider::{Deadlines, Quirks},
    },
    gateway::{Lesson, own_charges, rest_after},
    quota::{Actual, Adjusted, Bid, Decision, Hold},
    routing::{Candidate, Health, Need, plan},
};
use uuid::Uuid;

use self::upstream::{Rule, Served, Upstream};
use crate::quota::{Tenant, wound::Wound};

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const DAY: i64 = 24 * 60 * MINUTE;
/// A day in June at noon, UTC.
const NOON: i64 = 1_781_092_800_000;

/// What one provider publishes: its zone, whether all its models share it, whether its headers tell, and per model
/// requests a minute and a day, tokens a minute and a day, and anything else.
struct Published {
    name: &'static str,
    zone: Tz,
    tells: bool,
    rules: &'static [(AllowanceMeter, AllowanceWindow, u64)],
    trains: bool,
}

use AllowanceMeter::{Credits, Requests, Tokens as OfTokens};
use AllowanceWindow::{Day, Minute, Month};

const LA: Tz = Tz::America__Los_Angeles;

/// The offers, as their providers publish them.
const PUBLISHED: [Published; 13] = [
    Published {
        name: "groq-120b",
        zone: Tz::UTC,
        tells: true,
        trains: false,
        rules: &[
            (Requests, Minute, 30),
            (Requests, Day, 1_000),
            (OfTokens, Minute, 8_000),
            (OfTokens, Day, 200_000),
        ],
    },
    Published {
        name: "groq-20b",
        zone: Tz::UTC,
        tells: true,
        trains: false,
        rules: &[
            (Requests, Minute, 30),
            (Requests, Day, 1_000),
            (OfTokens, Minute, 8_000),
            (OfTokens, Day, 200_000),
        ],
    },
    Published {
        name: "cerebras-120b",
        zone: Tz::UTC,
        tells: true,
        trains: false,
        rules: &[
            (Requests, Minute, 5),
            (OfTokens, Minute, 30_000),
            (OfTokens, Day, 1_000_000),
        ],
    },
    Published {
        name: "cerebras-glm",
        zone: Tz::UTC,
        tells: true,
        trains: false,
        rules: &[
            (Requests, Minute, 5),
            (OfTokens, Minute, 30_000),
            (OfTokens, Day, 1_000_000),
        ],
    },
    Published {
        name: "gemini-flash",
        zone: LA,
        tells: false,
        trains: false,
        rules: &[
            (Requests, Minute, 5),
            (Requests, Day, 20),
            (OfTokens, Minute, 250_000),
        ],
    },
    Published {
        name: "gemini-lite",
        zone: LA,
        tells: false,
        trains: false,
        rules: &[
            (Requests, Minute, 15),
            (Requests, Day, 500),
            (OfTokens, Minute, 250_000),
        ],
    },
    Published {
        name: "gemini-25-lite",
        zone: LA,
        tells: false,
        trains: false,
        rules: &[
            (Requests, Minute, 10),
            (Requests, Day, 20),
            (OfTokens, Minute, 250_000),
        ],
    },
    Published {
        name: "openrouter",
        zone: Tz::UTC,
        tells: false,
        trains: false,
        rules: &[(Requests, Minute, 20), (Requests, Day, 50)],
    },
    Published {
        name: "sambanova",
        zone: LA,
        tells: true,
        trains: false,
        rules: &[
            (Requests, Minute, 20),
            (Requests, Day, 20),
            (OfTokens, Day, 200_000),
        ],
    },
    Published {
        name: "cloudflare",
        zone: Tz::UTC,
        tells: false,
        trains: false,
        rules: &[(Requests, Minute, 300), (Credits, Day, 110_000_000)],
    },
    Published {
        name: "cohere",
        zone: Tz::America__Toronto,
        tells: false,
        trains: false,
        rules: &[(Requests, Minute, 20), (Requests, Month, 1_000)],
    },
    Published {
        name: "huggingface",
        zone: Tz::Europe__Paris,
        tells: false,
        trains: false,
        rules: &[(Credits, Month, 100_000_000)],
    },
    // Trains on data: nobody here allows that.
    Published {
        name: "mistral",
        zone: Tz::Europe__Paris,
        tells: true,
        trains: true,
        rules: &[
            (Requests, Minute, 60),
            (OfTokens, Minute, 500_000),
            (OfTokens, Month, 1_000_000_000),
        ],
    },
];

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

fn id(number: u128) -> Uuid {
    Uuid::from_u128((1 << 100) + number)
}

/// A model's offer, free under what is published or paid.
fn offer(number: u128, model: &Arc<Model>, published: Option<&Published>) -> Offer {
    let name = published.map_or("dear", |one| one.name);
    let credential = Credential {
        id: CredentialId(crate::quota::fresh()),
        organization_id: None,
        secret: Secret::new("a secret".to_owned()),
    };
    let provider = Provider {
        id: ProviderId(id(number)),
        organization_id: None,
        name: name.to_owned(),
        dialect: Dialect::Openai,
        base_url: "https://provider.example/v1".parse().expect("a URL"),
        quirks: Quirks {
            header_family: "suffix-window".to_owned(),
            ..Quirks::default()
        },
        deadlines: Deadlines::default(),
        trains_on_data: published.is_some_and(|one| one.trains),
        credentials: vec![Arc::new(credential)],
    };
    let allowances = published
        .iter()
        .flat_map(|one| one.rules.iter().map(|rule| (one.zone, rule)));
    let allowances = allowances.map(|(zone, (meter, window, amount))| Allowance {
        id: AllowanceId(crate::quota::fresh()),
        meter: *meter,
        amount: *amount,
        window: *window,
        zone,
        is_shared: number % 2 == 0,
        is_rolling: false,
    });
    Offer {
        id: OfferId(id(number)),
        organization_id: None,
        provider: Arc::new(provider),
        model: Arc::clone(model),
        upstream_name: name.to_owned(),
        tier: if published.is_some() {
            Tier::Free
        } else {
            Tier::Paid
        },
        // Credits go by the provider's own price.
        price: Some(Price {
            input: NanoUsd(200_000_000),
            output: NanoUsd(200_000_000),
            ..Price::default()
        }),
        price_book: "0123456789abcdef".to_owned(),
        abilities: Abilities::UNSTATED,
        context_window: None,
        max_output: None,
        preference: 0,
        allowances: allowances.collect(),
    }
}

impl World {
    fn new() -> Self {
        let model = Arc::new(Model {
            id: ModelId(id(0)),
            organization_id: None,
            name: "swift".to_owned(),
            owned_by: "maker".to_owned(),
            created: Moment::from_millis(0),
            context_window: Some(Tokens(128_000)),
            max_output: None,
        });
        let mut offers = vec![Arc::new(offer(99, &model, None))];
        let mut upstreams = HashMap::new();
        for (number, published) in (1..).zip(&PUBLISHED) {
            let offer = offer(number, &model, Some(published));
            let rules = offer.allowances.iter().map(|one| Rule {
                meter: one.meter,
                window: one.window,
                amount: one.amount,
                zone: one.zone,
            });
            let upstream = Upstream {
                rules: rules.collect(),
                tells: published.tells,
                ..Upstream::default()
            };
            upstreams.insert(offer.id, upstream);
            offers.push(Arc::new(offer));
        }
        let tenants = [(); 3].map(|()| Tenant::new(&[]));
        let catalog = Catalog::new(offers, &[], HashMap::new());
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
        let (told, fault) = match upstream.serve(now, size, Some(whose)) {
            Ok(told) => (told, None),
            Err((fault, told)) => {
                self.figures.refused += 1;
                rest_after(&self.health, candidate, 429, &fault, &told, now);
                (told, Some(fault))
            }
        };
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

    /// Who else asked lately, and each one's part of an allowance.
    fn sharers(&self, whose: usize, allowance: &Allowance) -> (Vec<usize>, u64) {
        let now = self.wound.now().millis();
        let lately = match allowance.window {
            AllowanceWindow::Minute => MINUTE,
            AllowanceWindow::Hour => 150 * SECOND,
            AllowanceWindow::Day | AllowanceWindow::Month => 60 * MINUTE,
        };
        let asked = self.asked.get(&allowance.id);
        let asked = asked.into_iter().flatten();
        let others = asked.filter(|(other, at)| **other != whose && now - **at < lately);
        let others: Vec<usize> = others.map(|(other, _)| *other).collect();
        let part = allowance.amount / (others.len() as u64 + 1);
        (others, part)
    }

    /// How much of an allowance an organization, or everybody, has used: of a minute as the ring counts it.
    fn used(&self, offer: &Offer, rule: &Rule, by: Option<usize>) -> u64 {
        let now = self.wound.now();
        let (mut from, until) = rule.window(now);
        if rule.window == AllowanceWindow::Minute {
            from = now.millis() - MINUTE * 25 / 24;
        }
        let upstream = &self.upstreams[&offer.id];
        let served: Vec<Served> = upstream
            .served
            .iter()
            .filter(|one| by.is_none() || one.by == by)
            .copied()
            .collect();
        rule.used(&served, from, until.max(now.millis() + 1))
    }

    /// A call that is paid for could not have been free: for every free offer something stands against it.
    fn must_pay(&mut self, whose: usize, size: &Actual, candidates: &[Candidate]) {
        let now = self.wound.now();
        let mut is_kept = false;
        for offer in self.resolved.chain.links[0].offers.clone() {
            let is_candidate = candidates.iter().any(|one| one.offer.id == offer.id);
            if offer.tier == Tier::Paid || !is_candidate {
                // The plan left it out: it rests after a refusal, or trains on data.
                continue;
            }
            let aside = self.outsider_at.get(&offer.id);
            if aside.is_some_and(|at| now.millis() - at < 2 * MINUTE) {
                continue;
            }
            let rules = self.upstreams[&offer.id].rules.clone();
            let against = offer
                .allowances
                .iter()
                .zip(&rules)
                .find_map(|(allowance, rule)| {
                    let (all, need) = (self.used(&offer, rule, None), rule.of(size));
                    if allowance.amount < all + need {
                        return Some(false);
                    }
                    let (others, part) = self.sharers(whose, allowance);
                    let kept: u64 = others
                        .iter()
                        .map(|other| part.saturating_sub(self.used(&offer, rule, Some(*other))))
                        .sum();
                    let own = self.used(&offer, rule, Some(whose));
                    (part < own + need && allowance.amount < all + need + kept).then_some(true)
                });
            assert!(
                against.is_some(),
                "{} paid at {} though {} had room for {size:?}",
                whose,
                now.utc(),
                offer.upstream_name
            );
            is_kept |= against == Some(true);
        }
        self.figures.kept_for_others += usize::from(is_kept);
    }

    /// Whoever takes more than its part leaves theirs to all who ask.
    fn must_be_fair(&self, whose: usize, candidate: &Candidate, size: &Actual) {
        let offer = &candidate.offer;
        if OUTSIDERS.contains(&offer.upstream_name.as_str()) {
            return;
        }
        let rules = self.upstreams[&offer.id].rules.clone();
        for (allowance, rule) in offer.allowances.iter().zip(&rules) {
            // A ring's parts move on by slots; days and months are counted to the call.
            if rule.window == AllowanceWindow::Minute {
                continue;
            }
            let (others, part) = self.sharers(whose, allowance);
            let own = self.used(offer, rule, Some(whose)) + rule.of(size);
            if own <= part || others.is_empty() {
                continue;
            }
            let all = self.used(offer, rule, None) + rule.of(size);
            let kept: u64 = others
                .iter()
                .map(|other| part.saturating_sub(self.used(offer, rule, Some(*other))))
                .sum();
            assert!(
                all + kept <= allowance.amount,
                "{whose} has {own} of {} at {} ({rule:?}) while {others:?} ask: {all} used, {kept} theirs",
                allowance.amount,
                offer.upstream_name
            );
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
        is_rehearsal: false,
    }
}

/// How many calls each organization makes in a minute of the day: one steadily with a rush every hour, one in its
/// office hours, one now and then.
fn load(minute: i64) -> [u64; 3] {
    let rush = if minute % 60 == 0 { 30 } else { 0 };
    let office = if (180..660).contains(&minute) { 4 } else { 0 };
    [2 + rush, office, u64::from(minute % 7 == 0)]
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
        let calls: u64 = load.iter().sum();
        let mut left = load;
        for call in 0..calls.max(1) {
            if calls != 0 {
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
            let step = MINUTE / i64::try_from(calls.max(1)).expect("few");
            let is_last = call + 1 == calls.max(1);
            let spent = step * i64::try_from(call).expect("few");
            world
                .wound
                .wind(if is_last { MINUTE - spent } else { step });
        }
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
    let trained = &world.upstreams[&OfferId(id(13))];
    assert!(trained.served.is_empty(), "the data policy holds");
}
