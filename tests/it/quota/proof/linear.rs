//! Many proxies at once: whatever they say at the same time ends as if it had been said one after the other, in an order
//! that time allows.

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use futures::future::join_all;
use redis::Value;
use synaxis::{
    base::tasks::Tasks,
    quota::{Adjusted, Decision, Meter, Settings, Window},
};
use tokio::time::Instant;

use super::{
    bench::{COMMON, OWN, begins_with_epoch},
    model::Model,
    op::{Kind, Op},
    recorder::{Recorder, Word},
};
use crate::{
    quota::{Place, Tenant, TestProxy, allowance, call, charge, now},
    stack::redis::OwnRedis,
};

const PROXIES: usize = 3;
const CALLERS: usize = 36;
const TIME: Duration = Duration::from_secs(3);

/// One script that ran.
struct Ran {
    word: Word,
    op: Op,
    reply: Vec<i64>,
}

impl Ran {
    fn number(&self) -> i64 {
        self.reply[self.reply.len() - 1]
    }

    fn at(&self) -> i64 {
        self.reply[self.reply.len() - 2]
    }
}

/// Calls as calls come: some end, some fail and go on elsewhere, some are left.
async fn caller(proxy: Arc<TestProxy>, tenant: Tenant, number: usize, until: Instant) {
    let narrow = allowance(Meter::Requests, Window::Minute, 40);
    let wide = allowance(Meter::TotalTokens, Window::Day, 1_000_000);
    let mut turn = number;
    while Instant::now() < until {
        turn += 7;
        let size = call(20 + turn as u64 % 50, 30, 1_000 + turn as u64 % 900);
        let dear = call(size.input, size.output, 3 * size.cost_nano_usd);
        let mut bids = vec![tenant.bid(&size), tenant.bid(&dear)];
        if turn.is_multiple_of(3) {
            bids[0].own.push(charge(&narrow, 1));
            bids[1].own.push(charge(&wide, size.input + size.output));
        }
        let Ok(Decision::Held { mut hold, bid, .. }) = tenant.admit(&proxy, &bids, now()).await
        else {
            tokio::time::sleep(Duration::from_millis(3)).await;
            continue;
        };
        tokio::time::sleep(Duration::from_micros(turn as u64 % 1_500)).await;
        let id = hold.id();
        if turn.is_multiple_of(5) && bid == 0 {
            let failed = call(size.input, 0, 200);
            let moved = proxy
                .ledger
                .adjust(&mut hold, &tenant.limits, &failed, &bids[1..], now())
                .await;
            assert!(
                matches!(moved, Ok(Adjusted::Held { .. } | Adjusted::Denied { .. })),
                "{moved:?}"
            );
        }
        match turn % 11 {
            0 => proxy.ledger.cancel(hold),
            1 => drop(hold),
            2 => proxy.ledger.settle(hold, call(9 * size.input, 90, 9_000)),
            _ => proxy.ledger.settle(hold, call(size.input, 20, 700)),
        }
        proxy.ledger.booked(id);
    }
}

/// Lets many callers of many proxies loose on one tenant; returns what ran.
async fn history(settings: &Settings, limits: &[(Meter, Window, u64)]) -> Vec<Ran> {
    let redis = OwnRedis::start().await;
    let target: SocketAddr = redis.url()["redis://".len()..].parse().expect("an address");
    let mut place = Place::at(redis.url());
    place.settings = settings.clone();
    place.deadline_ms = 5_000;
    let tenant = Tenant::new(limits);
    let tasks = Tasks::default();
    let until = Instant::now() + TIME;
    let mut recorders = Vec::new();
    let mut proxies = Vec::new();
    for _ in 0..PROXIES {
        let recorder = Recorder::to(target).await;
        let place = Place {
            url: recorder.url(),
            ..place.clone()
        };
        proxies.push(Arc::new(place.proxy()));
        recorders.push(recorder);
    }
    let callers = (0..CALLERS).map(|number| {
        let proxy = Arc::clone(&proxies[number % PROXIES]);
        tasks.spawn("caller", caller(proxy, tenant.clone(), number, until))
    });
    join_all(callers.collect::<Vec<_>>()).await;
    for proxy in proxies {
        Arc::into_inner(proxy)
            .expect("nobody calls any more")
            .stop()
            .await;
    }
    let kinds = kinds();
    let words = recorders.iter().flat_map(Recorder::take);
    let mut ran: Vec<Ran> = words.filter_map(|word| read(&kinds, word)).collect();
    ran.sort_by_key(Ran::number);
    ran
}

/// Returns which script has which hash.
fn kinds() -> HashMap<String, Kind> {
    let hash = |own: &str| {
        redis::Script::new(&format!("{COMMON}{own}"))
            .get_hash()
            .to_owned()
    };
    OWN.iter()
        .map(|(kind, _, own)| (hash(own), *kind))
        .collect()
}

/// Reads a word when it is a script that ran.
fn read(kinds: &HashMap<String, Kind>, word: Word) -> Option<Ran> {
    let [name, hash, count, rest @ ..] = word.command.as_slice() else {
        return None;
    };
    let (Some(kind), "EVALSHA", Value::Array(values)) =
        (kinds.get(hash), name.as_str(), &word.answer)
    else {
        return None;
    };
    let reply = values.iter().map(|value| match value {
        Value::Int(number) => *number,
        other => panic!("{other:?}"),
    });
    let reply = reply.collect();
    let count: usize = count.parse().expect("a count");
    let shared = if begins_with_epoch(*kind) { 2 } else { 1 };
    let op = Op::read(*kind, &rest[shared..count], &rest[count..]);
    Some(Ran { word, op, reply })
}

/// Each ran once and alone, none before one that had been answered before it was asked for, and each answered as the
/// model does.
fn check(ran: &[Ran]) {
    let mut latest_asked = ran[0].word.asked;
    for (at, one) in ran.iter().enumerate() {
        assert_eq!(
            one.number(),
            i64::try_from(at).expect("few") + 1,
            "a number is missing or twice there"
        );
        assert!(
            latest_asked <= one.word.answered,
            "{} ran after what was asked later",
            one.number()
        );
        latest_asked = latest_asked.max(one.word.asked);
    }
    let mut model = Model::default();
    for one in ran {
        assert_eq!(model.run(one.at(), &one.op), one.reply, "{:#?}", one.op);
    }
}

fn count(ran: &[Ran], wanted: fn(&Ran) -> bool) -> usize {
    ran.iter().filter(|one| wanted(one)).count()
}

fn is_of_kind(one: &Ran, kind: i64) -> bool {
    matches!(&one.op, Op::Admit(admit) if !admit.bids.is_empty()) && one.reply[0] == kind
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_proxies_say_at_once_ends_as_if_said_one_after_the_other() {
    let settings = Settings {
        rebuild_grace_ms: 100,
        lease_ms: 1_200,
        most_sliced: 0,
        ..Settings::default()
    };
    let limits = [
        (Meter::Requests, Window::Minute, 3_000),
        (Meter::TotalTokens, Window::Hour, 400_000),
        (Meter::NanoUsd, Window::Month, 6_000_000),
        (Meter::OutputTokens, Window::Day, 90_000),
        (Meter::Concurrent, Window::Instant, 20),
    ];

    let ran = history(&settings, &limits).await;

    check(&ran);
    assert!(500 < count(&ran, |one| is_of_kind(one, 1)), "held");
    assert!(50 < count(&ran, |one| is_of_kind(one, 2)), "denied");
    assert!(
        0 < count(&ran, |one| matches!(one.op, Op::Renew(..))),
        "renewed"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_proxies_say_at_once_about_slices_ends_as_if_said_one_after_the_other() {
    let settings = Settings {
        rebuild_grace_ms: 100,
        ..Settings::default()
    };
    let limits = [
        (Meter::Requests, Window::Minute, 60_000),
        (Meter::NanoUsd, Window::Month, 40_000_000),
    ];

    let ran = history(&settings, &limits).await;

    check(&ran);
    let sliced = |one: &Ran| matches!(&one.op, Op::Admit(admit) if 4 <= admit.bids.first().map_or(0, |bid| bid.tenant[0]));
    assert!(20 < count(&ran, sliced), "slices taken or given back");
}
