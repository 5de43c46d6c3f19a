//! What belongs to others takes as long to refuse as what is not there: nobody learns from a clock what an answer hides.
//!
//! For each operation both kinds of id are asked for in turns, in pairs whose order is drawn, so that whatever else the
//! machine does falls on both alike. What counts is the rank of each time among all (the area under the curve, AUC: how
//! often a foreign id takes longer than an unknown one): one half is no difference at all, and outliers weigh nothing.

use std::{io::Write, time::Instant};

use reqwest::Method;
use serde_json::{Value, json};
use synaxis::base::{Clock, RequestId};

use super::world::{Tenant, World};
use crate::identity::people::{Visitor, login};

/// Pairs per operation: the AUC of two equal distributions strays by 0.01 (one sigma) then.
const PAIRS: usize = 1_200;
/// Pairs that are not counted: connections and plans are made.
const WARM_UP: usize = 100;
/// How many ids of each kind take turns.
const IDS: usize = 20;
/// Between which the AUC must lie.
const FAIR: std::ops::RangeInclusive<f64> = 0.45..=0.55;

/// An operation that is asked for what is not the caller's.
struct Case {
    name: &'static str,
    method: Method,
    /// Its path, with `{id}` where the id goes.
    path: String,
    body: Value,
    foreign: Vec<String>,
}

fn unknown_ids() -> Vec<String> {
    let fresh = || RequestId::new(Clock::System.now()).to_string();
    (0..IDS).map(|_| fresh()).collect()
}

/// Makes a handful of something in an organization.
async fn some(
    world: &World,
    tenant: &Tenant,
    path: &str,
    body: impl Fn(usize) -> Value,
) -> Vec<String> {
    let path = format!("/api/v1/organizations/{}{path}", tenant.id);
    let mut ids = Vec::new();
    for number in 0..IDS {
        let body = body(number);
        let made = world.ask(&tenant.owner, &Method::POST, &path, Some(&body));
        let id = made.await.expect(201).json()["id"].clone();
        ids.push(id.as_str().expect("an id").to_owned());
    }
    ids
}

async fn cases(world: &World) -> Vec<Case> {
    let (ours, theirs) = (&world.ours, &world.theirs);
    let named = |number: usize| json!({"name": format!("n{number}")});
    let keys = some(world, theirs, "/keys", named).await;
    let groups = some(world, theirs, "/groups", named).await;
    let own = |rest: &str| format!("/api/v1/organizations/{}{rest}", ours.id);
    let read = |name, path: String, foreign: Vec<String>| Case {
        name,
        method: Method::GET,
        path,
        body: Value::Null,
        foreign,
    };
    let one = |name: &str| vec![theirs.ids[name].clone()];
    let organization = "/api/v1/organizations/{id}";
    let rename = Case {
        method: Method::PATCH,
        body: json!({"name": "another"}),
        ..read("a key's change", own("/keys/{id}"), keys.clone())
    };
    let revoke = Case {
        method: Method::POST,
        body: json!({}),
        ..read("a key's end", own("/keys/{id}/revoke"), keys.clone())
    };
    let join = Case {
        method: Method::POST,
        body: json!({"name": "k", "group_id": "{id}"}),
        ..read("a group in a body", own("/keys"), groups.clone())
    };
    vec![
        read(
            "an organization",
            organization.to_owned(),
            vec![theirs.id.clone()],
        ),
        read(
            "its keys",
            format!("{organization}/keys"),
            vec![theirs.id.clone()],
        ),
        read("a key", own("/keys/{id}"), keys),
        rename,
        revoke,
        read("a group", own("/groups/{id}"), groups),
        join,
        read("a member", own("/members/{id}"), one("user_id")),
        read(
            "a provider's key",
            own("/credentials/{id}"),
            one("credential_id"),
        ),
        read("a request", own("/requests/{id}"), one("request_id")),
    ]
}

/// How long one question takes, in nanoseconds.
async fn clocked(world: &World, who: &Visitor, case: &Case, id: &str) -> u128 {
    let path = case.path.replace("{id}", id);
    let body = case.body.to_string().replace("{id}", id);
    let body: Value = serde_json::from_str(&body).expect("a body");
    let began = Instant::now();
    let reply = world.ask(who, &case.method, &path, Some(&body)).await;
    let took = began.elapsed().as_nanos();
    assert_eq!(reply.status, 404, "{}: {}", case.name, reply.text);
    took
}

/// How often one of the first takes longer than one of the second.
#[expect(clippy::float_arithmetic, reason = "a statistic")]
fn area(first: &[u128], second: &[u128]) -> f64 {
    let mut all: Vec<(u128, bool)> = Vec::new();
    all.extend(first.iter().map(|time| (*time, true)));
    all.extend(second.iter().map(|time| (*time, false)));
    all.sort_unstable();
    let (mut ranks, mut at) = (0.0, 0);
    for equal in all.chunk_by(|one, other| one.0 == other.0) {
        let rank = at as f64 + (equal.len() as f64 + 1.0) / 2.0;
        ranks += rank * equal.iter().filter(|(_, is_first)| *is_first).count() as f64;
        at += equal.len();
    }
    let (m, n) = (first.len() as f64, second.len() as f64);
    (ranks - m * (m + 1.0) / 2.0) / (m * n)
}

fn median(times: &[u128]) -> u128 {
    let mut times = times.to_vec();
    times.sort_unstable();
    times[times.len() / 2]
}

#[test]
fn the_area_tells_what_is_slower_and_one_half_what_is_not() {
    let (low, high): (Vec<u128>, Vec<u128>) = ((0..100).collect(), (100..200).collect());

    let areas = [area(&high, &low), area(&low, &high), area(&low, &low)];

    assert_eq!(areas, [1.0, 0.0, 0.5]);
}

#[tokio::test]
#[ignore = "measures for minutes: make timing"]
async fn what_is_anothers_is_refused_as_fast_as_what_is_not_there() {
    let world = World::make().await;
    let mut faults = Vec::new();
    for case in cases(&world).await {
        // Each case may last as long as an access token.
        let owner = &login(&world.admin, &world.ours.owner.email).await;
        let unknown = unknown_ids();
        let (mut foreign_took, mut unknown_took) = (Vec::new(), Vec::new());
        for pair in 0..PAIRS + WARM_UP {
            let foreign = &case.foreign[pair % case.foreign.len()];
            let unknown = &unknown[pair % case.foreign.len()];
            let is_foreign_first: bool = rand::random();
            let ids = if is_foreign_first {
                [foreign, unknown]
            } else {
                [unknown, foreign]
            };
            let first = clocked(&world, owner, &case, ids[0]).await;
            let second = clocked(&world, owner, &case, ids[1]).await;
            if WARM_UP <= pair {
                foreign_took.push(if is_foreign_first { first } else { second });
                unknown_took.push(if is_foreign_first { second } else { first });
            }
        }
        let area = area(&foreign_took, &unknown_took);
        let medians = [median(&foreign_took), median(&unknown_took)].map(|time| time / 1_000);
        let told = format!(
            "{:<24} AUC {area:.3}  median {} µs foreign, {} µs unknown",
            case.name, medians[0], medians[1]
        );
        // Nobody may be reading.
        let _ = writeln!(std::io::stderr().lock(), "{told}");
        if !FAIR.contains(&area) {
            faults.push(told);
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}
