//! Windows in wound time: against a model that remembers every call, and against clocks that jump.

use std::{collections::BTreeMap, time::Duration};

use proptest::{
    prelude::*,
    test_runner::{Config, TestCaseResult, TestRunner},
};
use synaxis::{
    base::Moment,
    quota::{Actual, Decision, Hold, Meter, Scripts, Window},
};

use super::{Place, Tenant, TestProxy, call, held, is_held};
use crate::stack::test_redis_url;

const MINUTE: i64 = 60_000;
const DAY: i64 = 86_400_000;
const LEASE: i64 = 60_000;
const SLOTS: i64 = 24;

/// A proxy whose Redis goes by a clock the test winds.
struct WoundProxy {
    proxy: TestProxy,
    now: i64,
    clock: redis::aio::MultiplexedConnection,
    clock_key: String,
}

impl WoundProxy {
    async fn start() -> Self {
        let mut place = Place::shared();
        place.settings.rebuild_grace_ms = 0;
        let clock_key = format!("{}clock", place.prefix);
        let client = redis::Client::open(test_redis_url()).expect("an address");
        let mut clock = client
            .get_multiplexed_async_connection()
            .await
            .expect("a connection");
        let line = format!("local now = tonumber(redis.call('GET', '{clock_key}'))");
        let now = 20_000 * DAY + 7 * 3_600_000;
        set(&mut clock, &clock_key, now).await;
        let proxy = place.proxy_with(Scripts::with_clock(&line).wound());
        Self {
            proxy,
            now,
            clock,
            clock_key,
        }
    }

    async fn wind(&mut self, by: i64) {
        self.now += by;
        set(&mut self.clock, &self.clock_key, self.now).await;
    }

    async fn ask(&self, tenant: &Tenant, size: &Actual) -> Decision {
        let bids = [tenant.bid(size)];
        let now = Moment::from_millis(self.now);
        tenant
            .admit(&self.proxy, &bids, now)
            .await
            .expect("an answer")
    }

    async fn remaining(&self, tenant: &Tenant) -> Vec<u64> {
        let now = Moment::from_millis(self.now);
        let peeked = self
            .proxy
            .ledger
            .peek(tenant.organization, &tenant.limits, now)
            .await;
        peeked
            .expect("the standings")
            .iter()
            .map(|one| one.remaining)
            .collect()
    }
}

async fn set(connection: &mut redis::aio::MultiplexedConnection, key: &str, value: i64) {
    let mut command = redis::cmd("SET");
    command.arg(key).arg(value).arg("EX").arg(3_600);
    let done: redis::RedisResult<()> = command.query_async(connection).await;
    done.expect("the clock is set");
}

/// Every call ever admitted, and what stands for each of its limits now.
#[derive(Default)]
struct Model {
    now: i64,
    calls: Vec<(i64, Vec<u64>)>,
}

/// How one meter of the model forgets.
fn slot(window: Window, at: i64) -> (i64, i64) {
    match window {
        Window::Minute => (at / (MINUTE / SLOTS), MINUTE / SLOTS),
        Window::Hour => (at / (60 * MINUTE / SLOTS), 60 * MINUTE / SLOTS),
        Window::RollingDay => (at / (DAY / SLOTS), DAY / SLOTS),
        Window::RollingMonth => (at / (30 * DAY / SLOTS), 30 * DAY / SLOTS),
        Window::Day | Window::Month => (at / DAY, 0),
        Window::Instant => ((at + LEASE) / (LEASE / SLOTS), 0),
    }
}

impl Model {
    fn counted(&self, tenant: &Tenant, limit: usize) -> BTreeMap<i64, u64> {
        let window = tenant.limits[limit].window;
        let (current, _) = slot(window, self.now);
        let kept = if matches!(window, Window::Day | Window::Month) {
            0
        } else {
            SLOTS
        };
        let mut slots = BTreeMap::new();
        for (at, amounts) in &self.calls {
            let (slot, _) = slot(window, *at);
            if current - kept <= slot {
                *slots.entry(slot).or_default() += amounts[limit];
            }
        }
        slots
    }

    fn remaining(&self, tenant: &Tenant) -> Vec<u64> {
        let used = |limit| self.counted(tenant, limit).values().sum::<u64>();
        let limits = tenant.limits.iter().enumerate();
        limits
            .map(|(at, limit)| limit.amount.saturating_sub(used(at)))
            .collect()
    }

    /// How long until `need` fits; `None` when it never does.
    fn wait(&self, tenant: &Tenant, limit: usize, need: u64) -> Option<i64> {
        let slots = self.counted(tenant, limit);
        let amount = tenant.limits[limit].amount;
        let mut over = (slots.values().sum::<u64>() + need).saturating_sub(amount);
        if over == 0 {
            return Some(0);
        }
        let window = tenant.limits[limit].window;
        let (_, width) = slot(window, self.now);
        match window {
            _ if amount < need => None,
            Window::Instant => Some(250),
            Window::Day | Window::Month => Some(DAY - self.now % DAY),
            _ => slots.iter().find_map(|(slot, used)| {
                over = over.saturating_sub(*used);
                (over == 0).then_some((slot + SLOTS + 1) * width - self.now)
            }),
        }
    }

    fn decide(&self, tenant: &Tenant, needs: &[u64]) -> Expected {
        let mut worst = (0, 0);
        for (limit, need) in needs.iter().enumerate() {
            match self.wait(tenant, limit, *need) {
                None => return Expected::TooLarge(limit),
                Some(wait) if worst.1 < wait => worst = (limit, wait),
                Some(_) => {}
            }
        }
        if worst.1 == 0 {
            Expected::Held
        } else {
            Expected::Denied(worst.0, worst.1)
        }
    }
}

#[derive(Debug, PartialEq)]
enum Expected {
    Held,
    Denied(usize, i64),
    TooLarge(usize),
}

fn seen(decision: &Decision) -> Expected {
    match decision {
        Decision::Held { .. } => Expected::Held,
        Decision::Denied { limit, wait, .. } => {
            Expected::Denied(*limit, i64::try_from(wait.as_millis()).expect("a wait"))
        }
        Decision::TooLarge { limit } => Expected::TooLarge(*limit),
        Decision::Full { .. } => panic!("nobody has an allowance"),
    }
}

#[derive(Clone, Debug)]
enum Step {
    Wind(i64),
    /// Tokens and money of a call.
    Ask(u64, u64),
    /// A call that takes exactly what is left of the tokens, or one more.
    Boundary {
        more: u64,
    },
    /// Ends some open hold with a share of what it holds, in percent; 0 cancels.
    End(prop::sample::Index, u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let wind = prop_oneof![
        0..3_000_i64,
        Just(2_499),
        Just(2_500),
        Just(2_501),
        Just(MINUTE - 1),
        Just(MINUTE),
        Just(MINUTE + 2_500),
        Just(60 * MINUTE),
        Just(17 * 60 * MINUTE - 1),
        Just(DAY),
    ];
    let step = prop_oneof![
        3 => wind.prop_map(Step::Wind),
        6 => (1..400_u64, 0..400_u64).prop_map(|(tokens, money)| Step::Ask(tokens, money)),
        2 => (0..2_u64).prop_map(|more| Step::Boundary { more }),
        4 => (any::<prop::sample::Index>(), prop::sample::select(vec![0, 1, 60, 100]))
            .prop_map(|(which, share)| Step::End(which, share)),
    ];
    prop::collection::vec(step, 1..60)
}

fn tenant() -> Tenant {
    Tenant::new(&[
        (Meter::Requests, Window::Minute, 6),
        (Meter::InputTokens, Window::Minute, 900),
        (Meter::InputTokens, Window::Hour, 2_000),
        (Meter::NanoUsd, Window::Day, 2_500),
        (Meter::Concurrent, Window::Instant, 4),
    ])
}

/// Plays the steps on Redis and on the model; they may never differ.
async fn play(wound: &mut WoundProxy, steps: Vec<Step>) -> TestCaseResult {
    wound.wind(3 * DAY + 1_234).await;
    let tenant = tenant();
    let mut model = Model {
        now: wound.now,
        ..Model::default()
    };
    let mut open: Vec<(usize, Hold, Actual)> = Vec::new();
    let mut truths: Vec<(i64, u64)> = Vec::new();
    for step in steps {
        let size = match step {
            Step::Wind(by) => {
                wound.wind(by).await;
                model.now = wound.now;
                continue;
            }
            Step::Ask(tokens, money) => call(tokens, 0, money),
            Step::Boundary { more } => {
                let left = model.remaining(&tenant);
                call(left[1].min(left[2]) + more, 0, left[3])
            }
            Step::End(which, share) => {
                if !open.is_empty() {
                    let (at, hold, size) = open.swap_remove(which.index(open.len()));
                    end(wound, &mut model, &mut truths, (at, hold, size), share);
                    agree(wound, &model, &tenant).await?;
                }
                continue;
            }
        };
        let needs = tenant.bid(&size).tenant;
        let expected = model.decide(&tenant, &needs);
        let decision = wound.ask(&tenant, &size).await;
        prop_assert_eq!(seen(&decision), expected);
        if let Decision::Held { hold, .. } = decision {
            open.push((model.calls.len(), hold, size));
            model.calls.push((wound.now, needs));
            truths.push((wound.now, size.input));
        }
        prop_assert_eq!(wound.remaining(&tenant).await, model.remaining(&tenant));
    }
    never_over(&truths, 900)?;
    for (_, hold, _) in open {
        wound.proxy.ledger.cancel(hold);
    }
    Ok(())
}

fn end(
    wound: &WoundProxy,
    model: &mut Model,
    truths: &mut [(i64, u64)],
    (at, hold, size): (usize, Hold, Actual),
    share: u64,
) {
    let actual = call(
        size.input * share / 100,
        0,
        size.cost_nano_usd * share / 100,
    );
    let amounts = &mut model.calls[at].1;
    if share == 0 {
        wound.proxy.ledger.cancel(hold);
        *amounts = vec![0; 5];
        truths[at].1 = 0;
    } else {
        wound.proxy.ledger.settle(hold, actual);
        *amounts = vec![1, actual.input, actual.input, actual.cost_nano_usd, 0];
        truths[at].1 = actual.input;
    }
}

/// Waits until Redis knows what the model knows.
async fn agree(wound: &WoundProxy, model: &Model, tenant: &Tenant) -> TestCaseResult {
    let expected = model.remaining(tenant);
    for _ in 0..2_000 {
        if wound.remaining(tenant).await == expected {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_micros(500)).await;
    }
    prop_assert_eq!(wound.remaining(tenant).await, expected);
    Ok(())
}

/// No 60 seconds that begin anywhere hold more than the limit.
fn never_over(truths: &[(i64, u64)], limit: u64) -> TestCaseResult {
    for (start, _) in truths {
        let inside = truths
            .iter()
            .filter(|(at, _)| (*start..=start + MINUTE).contains(at));
        let sum: u64 = inside.map(|(_, used)| used).sum();
        prop_assert!(sum <= limit, "{sum} in the minute from {start}");
    }
    Ok(())
}

#[test]
fn redis_and_a_model_that_remembers_every_call_decide_alike() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut runner = TestRunner::new(Config {
        cases: 250,
        failure_persistence: None,
        max_shrink_iters: 200,
        ..Config::default()
    });
    let wound = std::cell::RefCell::new(runtime.block_on(WoundProxy::start()));

    let result = runner.run(&steps(), |steps| {
        runtime.block_on(play(&mut wound.borrow_mut(), steps))
    });

    result.expect("no difference");
}

#[tokio::test]
async fn a_burst_and_a_stream_never_pass_the_limit_and_use_almost_all_of_it() {
    let mut wound = WoundProxy::start().await;
    let tenant = Tenant::new(&[(Meter::Requests, Window::Minute, 60)]);
    let mut admitted: Vec<(i64, u64)> = Vec::new();

    for _ in 0..6_000 {
        for _ in 0..3 {
            if let Decision::Held { hold, .. } = wound.ask(&tenant, &call(1, 1, 1)).await {
                admitted.push((wound.now, 1));
                wound.proxy.ledger.settle(hold, call(1, 1, 1));
            }
        }
        wound.wind(100).await;
    }

    never_over(&admitted, 60).expect("never over");
    // Ten minutes at 60 a minute.
    assert!(570 <= admitted.len(), "{}", admitted.len());
}

#[tokio::test]
async fn whoever_waits_as_long_as_told_is_admitted() {
    let mut wound = WoundProxy::start().await;
    let tenant = Tenant::new(&[
        (Meter::Requests, Window::Minute, 7),
        (Meter::InputTokens, Window::Hour, 9_000),
        (Meter::NanoUsd, Window::Day, 4_000_000),
    ]);
    let mut denials = 0;

    for number in 0..600_u64 {
        let size = call(1 + number * 37 % 500, 0, 1 + number * 101 % 50_000);
        let mut decision = wound.ask(&tenant, &size).await;
        if let Decision::Denied { wait, .. } = decision {
            denials += 1;
            wound
                .wind(i64::try_from(wait.as_millis()).expect("a wait"))
                .await;
            decision = wound.ask(&tenant, &size).await;
        }
        assert!(is_held(&decision), "{number}: {decision:?}");
        wound.proxy.ledger.settle(held(decision), size);
        wound
            .wind(i64::try_from(number * 7_919 % 5_000).expect("a moment"))
            .await;
    }

    assert!(50 < denials, "{denials}");
}

#[tokio::test]
async fn a_settle_after_its_window_changes_no_newer_one() {
    let mut wound = WoundProxy::start().await;
    let tenant = Tenant::new(&[
        (Meter::InputTokens, Window::Minute, 1_000),
        (Meter::NanoUsd, Window::Day, 1_000),
    ]);
    let old = held(wound.ask(&tenant, &call(800, 0, 900)).await);
    wound.wind(DAY).await;
    let new = held(wound.ask(&tenant, &call(300, 0, 400)).await);

    wound.proxy.ledger.settle(old, call(10, 0, 10));
    crate::stack::within(Duration::from_secs(5), async || {
        wound.proxy.ledger.open_holds() == 1
    })
    .await;
    tokio::time::sleep(Duration::from_millis(100)).await;

    assert_eq!(wound.remaining(&tenant).await, [700, 600]);
    wound.proxy.ledger.cancel(new);
}

#[tokio::test]
async fn a_clock_put_back_permits_nothing_twice_and_stops_nobody_for_longer_than_a_window() {
    let mut wound = WoundProxy::start().await;
    let tenant = Tenant::new(&[(Meter::Requests, Window::Minute, 5)]);
    let fill = async |wound: &WoundProxy| {
        let mut admitted = 0;
        while let Decision::Held { hold, .. } = wound.ask(&tenant, &call(1, 1, 1)).await {
            wound.proxy.ledger.settle(hold, call(1, 1, 1));
            admitted += 1;
        }
        admitted
    };

    assert_eq!(fill(&wound).await, 5);
    wound.wind(60 * MINUTE).await;
    assert_eq!(fill(&wound).await, 5);
    wound.wind(-60 * MINUTE).await;
    assert_eq!(fill(&wound).await, 0);
    wound.wind(MINUTE - 2_500).await;
    assert_eq!(fill(&wound).await, 0);
    wound.wind(7_500).await;
    assert_eq!(fill(&wound).await, 5);
}

#[tokio::test]
async fn a_day_that_was_left_by_a_wrong_clock_is_not_given_twice() {
    let mut wound = WoundProxy::start().await;
    let tenant = Tenant::new(&[(Meter::NanoUsd, Window::Day, 100)]);
    let all = held(wound.ask(&tenant, &call(0, 0, 60)).await);
    wound.proxy.ledger.settle(all, call(0, 0, 60));
    wound.wind(DAY).await;
    let tomorrow = held(wound.ask(&tenant, &call(0, 0, 60)).await);
    wound.proxy.ledger.settle(tomorrow, call(0, 0, 60));

    wound.wind(-DAY).await;

    assert!(!is_held(&wound.ask(&tenant, &call(0, 0, 60)).await));
}
