//! What belongs to others looks, byte for byte, like what is not there; and rights hold for every role.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::Value;

use super::{
    document::Operation,
    given,
    world::{Ids, NOWHERE, World, world},
};
use crate::{identity::people::Visitor, stack::admin::Reply};

/// What a caller can tell an answer by.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Seen {
    fn of(reply: Reply) -> Self {
        let told = ["date", "x-request-id"];
        let headers = reply
            .headers
            .iter()
            .filter(|(name, _)| !told.contains(&name.as_str()));
        let mut headers: Vec<_> = headers
            .map(|(name, value)| (name.to_string(), format!("{value:?}")))
            .collect();
        headers.sort();
        Self {
            status: reply.status,
            headers,
            body: reply.text,
        }
    }
}

fn random(_: &str) -> String {
    NOWHERE.to_owned()
}

/// The ids of ours with one replaced.
fn but(ids: &Ids, name: &str, value: &str) -> Ids {
    let mut ids = ids.clone();
    ids.insert(name.to_owned(), value.to_owned());
    ids
}

/// The parameters of a path besides the organization.
fn inner(operation: &Operation) -> Vec<String> {
    let mut names = operation.parameters();
    names.retain(|name| name != "organization_id");
    names
}

fn is_tenants(operation: &Operation) -> bool {
    operation.path.contains("{organization_id}")
}

/// The query an operation cannot do without.
fn required_query(world: &World, operation: &Operation) -> String {
    let required = operation.query.iter().filter(|one| one.is_required);
    let pairs = required.map(|one| {
        let value = world.document.sample(&one.name, &one.schema);
        format!(
            "{}={}",
            one.name,
            value.as_str().map_or(value.to_string(), str::to_owned)
        )
    });
    let text = pairs.collect::<Vec<_>>().join("&");
    if text.is_empty() {
        text
    } else {
        format!("?{text}")
    }
}

async fn ask(world: &World, who: &Visitor, operation: &Operation, path: Ids, named: &Ids) -> Seen {
    let filled = operation.filled(|name| path.get(name).cloned().unwrap_or_else(|| random(name)));
    let filled = filled + &required_query(world, operation);
    let body = world
        .body(operation, named)
        .unwrap_or_else(|| panic!("no body for {}", operation.id));
    Seen::of(
        world
            .ask(who, &operation.method, &filled, Some(&body))
            .await,
    )
}

#[tokio::test]
async fn the_world_holds_one_of_everything_an_operation_names() {
    let world = world().await;
    let named: BTreeSet<String> = world.operations.iter().flat_map(inner).collect();
    let known = |ids: &Ids| {
        named
            .iter()
            .filter(|name| ids.contains_key(*name))
            .cloned()
            .collect()
    };
    let (ours, theirs): (BTreeSet<String>, BTreeSet<String>) =
        (known(&world.ours.ids), known(&world.theirs.ids));
    let excused: BTreeSet<String> = given::NAMED_ELSEWHERE
        .iter()
        .map(ToString::to_string)
        .collect();

    let missing: Vec<_> = named
        .difference(&ours)
        .filter(|name| !excused.contains(*name))
        .collect();
    assert!(
        missing.is_empty(),
        "{missing:?}\n{:#?}",
        world.missing().await
    );
    let missing: Vec<_> = named
        .difference(&theirs)
        .filter(|name| !excused.contains(*name))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[tokio::test]
async fn every_operation_has_a_body_the_sweeps_can_send() {
    let world = world().await;

    let bare: Vec<_> = world
        .operations
        .iter()
        .filter(|operation| world.body(operation, &world.ours.ids).is_none())
        .map(|operation| &operation.id)
        .collect();

    assert!(bare.is_empty(), "{bare:?}");
}

#[tokio::test]
async fn what_the_owner_reads_is_there() {
    let world = world().await;
    let mut faults = Vec::new();
    for operation in &world.operations {
        if operation.method != Method::GET || !is_tenants(operation) {
            continue;
        }
        for tenant in [&world.ours, &world.theirs] {
            let seen = ask(
                world,
                &tenant.owner,
                operation,
                tenant.ids.clone(),
                &tenant.ids,
            )
            .await;
            if seen.status != 200 {
                faults.push(format!("{}: {seen:?}", operation.id));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[tokio::test]
async fn anothers_organization_looks_like_none() {
    let world = world().await;
    let mut faults = Vec::new();
    for operation in world.operations.iter().filter(|one| is_tenants(one)) {
        let ours = &world.ours.ids;
        let nowhere = but(&Ids::new(), "organization_id", NOWHERE);
        let strangers = [&world.theirs.owner, &world.platform];
        for stranger in strangers {
            let real = ask(world, stranger, operation, ours.clone(), ours).await;
            let none = ask(world, stranger, operation, nowhere.clone(), ours).await;
            if real.status != 404 || real != none {
                faults.push(format!("{}: {real:?} / {none:?}", operation.id));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[tokio::test]
async fn anothers_thing_in_our_organization_looks_like_none() {
    let world = world().await;
    let (ours, theirs) = (&world.ours.ids, &world.theirs.ids);
    let mut faults = Vec::new();
    for operation in world.operations.iter().filter(|one| is_tenants(one)) {
        for name in inner(operation) {
            let Some(foreign) = theirs.get(&name).filter(|id| ours.get(&name) != Some(id)) else {
                continue;
            };
            let owner = &world.ours.owner;
            let real = ask(world, owner, operation, but(ours, &name, foreign), ours).await;
            let none = ask(world, owner, operation, but(ours, &name, NOWHERE), ours).await;
            let malformed = ask(world, owner, operation, but(ours, &name, "x"), ours).await;
            if real.status != 404 || real != none || malformed != none {
                faults.push(format!(
                    "{} {name}: {real:?} / {none:?} / {malformed:?}",
                    operation.id
                ));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[tokio::test]
async fn anothers_own_things_look_like_none() {
    let world = world().await;
    let mut faults = Vec::new();
    for operation in &world.operations {
        if operation.access != "signed-in" {
            continue;
        }
        for name in inner(operation) {
            let theirs = world
                .theirs
                .ids
                .get(&name)
                .unwrap_or_else(|| panic!("no {name}"));
            let owner = &world.ours.owner;
            let path = but(&world.ours.ids, &name, theirs);
            let real = ask(world, owner, operation, path, &world.ours.ids).await;
            let path = but(&world.ours.ids, &name, NOWHERE);
            let none = ask(world, owner, operation, path, &world.ours.ids).await;
            if real.status != 404 || real != none {
                faults.push(format!("{} {name}: {real:?} / {none:?}", operation.id));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[tokio::test]
async fn anothers_thing_in_a_body_or_a_filter_looks_like_none() {
    let world = world().await;
    let (ours, theirs) = (&world.ours.ids, &world.theirs.ids);
    let owner = &world.ours.owner;
    let mut faults = Vec::new();
    for operation in world.operations.iter().filter(|one| is_tenants(one)) {
        for (name, foreign) in theirs
            .iter()
            .filter(|(name, id)| ours.get(*name) != Some(id))
        {
            if names(&world.body(operation, ours).unwrap_or(Value::Null), name) {
                let real = ask(
                    world,
                    owner,
                    operation,
                    ours.clone(),
                    &but(ours, name, foreign),
                )
                .await;
                let none = ask(
                    world,
                    owner,
                    operation,
                    ours.clone(),
                    &but(ours, name, NOWHERE),
                )
                .await;
                let is_refused = (400..500).contains(&real.status);
                if !is_refused || spelled(&real, foreign) != spelled(&none, NOWHERE) {
                    faults.push(format!("{} body {name}: {real:?} / {none:?}", operation.id));
                }
            }
            if operation.query.iter().any(|one| one.name == *name) {
                let filter = |id: &str| {
                    let path = operation.filled(|name| ours[name].clone());
                    let query = required_query(world, operation);
                    let sign = if query.is_empty() { "?" } else { "&" };
                    format!("{path}{query}{sign}{name}={id}")
                };
                let real = world
                    .ask(owner, &operation.method, &filter(foreign), None)
                    .await;
                let none = world
                    .ask(owner, &operation.method, &filter(NOWHERE), None)
                    .await;
                let (real, none) = (Seen::of(real), Seen::of(none));
                if spelled(&real, foreign) != spelled(&none, NOWHERE) {
                    faults.push(format!(
                        "{} filter {name}: {real:?} / {none:?}",
                        operation.id
                    ));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

/// What was seen, without the id that was asked for: a caller may be told his own words.
fn spelled(seen: &Seen, id: &str) -> (u16, String) {
    (seen.status, seen.body.replace(id, "…"))
}

/// Says whether a body names something by this parameter's name.
fn names(body: &Value, name: &str) -> bool {
    match body {
        Value::Object(fields) => fields.iter().any(|(field, value)| {
            field == name || field.strip_suffix('s') == Some(name) || names(value, name)
        }),
        Value::Array(list) => list.iter().any(|value| names(value, name)),
        _ => false,
    }
}

#[tokio::test]
async fn nobody_gets_past_the_door_and_no_token_is_as_good_as_a_wrong_one() {
    let world = world().await;
    let mut faults = Vec::new();
    for operation in &world.operations {
        if operation.access == "public" {
            continue;
        }
        let path = operation.filled(|name| {
            world
                .ours
                .ids
                .get(name)
                .cloned()
                .unwrap_or_else(|| random(name))
        });
        let request = || world.admin.request(operation.method.clone(), &path);
        let none = Seen::of(request().send().await);
        let wrong = Seen::of(request().token("eyJhbGciOiJub25lIn0.e30.").send().await);
        if none.status != 401 || none != wrong {
            faults.push(format!("{}: {none:?} / {wrong:?}", operation.id));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[tokio::test]
async fn every_rank_is_refused_what_it_may_not() {
    let world = world().await;
    let mut faults = Vec::new();
    for (rank, visitor) in &world.ranks {
        let may = given::permissions(&world.admin, rank).await;
        for operation in world.operations.iter().filter(|one| is_tenants(one)) {
            if operation.access == "signed-in" || may.contains(&operation.access) {
                continue;
            }
            let real = ask(
                world,
                visitor,
                operation,
                world.ours.ids.clone(),
                &world.ours.ids,
            )
            .await;
            let path = but(&Ids::new(), "organization_id", &world.ours.id);
            let none = ask(world, visitor, operation, path, &world.ours.ids).await;
            if real.status != 403 || real != none {
                faults.push(format!("{rank} {}: {real:?} / {none:?}", operation.id));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[tokio::test]
async fn the_platforms_operations_are_for_those_who_run_it() {
    let world = world().await;
    let mut faults = Vec::new();
    for operation in world
        .operations
        .iter()
        .filter(|one| one.access == "platform")
    {
        for visitor in [&world.ours.owner, &world.ranks["guest"]] {
            let real = ask(
                world,
                visitor,
                operation,
                world.ours.ids.clone(),
                &world.ours.ids,
            )
            .await;
            let none = ask(world, visitor, operation, Ids::new(), &world.ours.ids).await;
            if real.status != 403 || real != none {
                faults.push(format!("{}: {real:?} / {none:?}", operation.id));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}
