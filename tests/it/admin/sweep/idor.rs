//! What belongs to others looks, byte for byte, like what is not there; and rights hold for every role.

use std::{collections::BTreeSet, fmt};

use reqwest::Method;
use serde_json::Value;

use super::{
    document::Operation,
    given,
    world::{Ids, NOWHERE, World},
};
use crate::{identity::people::Visitor, stack::admin::Reply};

/// Every sweep, each with what it found.
pub async fn sweep(world: &World) -> Vec<String> {
    let mut faults = the_world_holds_one_of_everything_an_operation_names(world).await;
    faults.extend(what_the_owner_reads_is_there(world).await);
    faults.extend(anothers_organization_looks_like_none(world).await);
    faults.extend(anothers_thing_in_our_organization_looks_like_none(world).await);
    faults.extend(anothers_own_things_look_like_none(world).await);
    faults.extend(anothers_thing_in_a_body_or_a_filter_looks_like_none(world).await);
    faults.extend(nobody_gets_past_the_door_and_no_token_is_as_good_as_a_wrong_one(world).await);
    faults.extend(every_rank_is_refused_what_it_may_not(world).await);
    faults.extend(the_platforms_operations_are_for_those_who_run_it(world).await);
    faults
}

/// What a caller can tell an answer by.
#[derive(PartialEq, Eq)]
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

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, self.body)
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
    let (body, _) = world.body(operation, named);
    Seen::of(
        world
            .ask(who, &operation.method, &filled, Some(&body))
            .await,
    )
}

/// Fails when an operation names something the sweeps have none of.
async fn the_world_holds_one_of_everything_an_operation_names(world: &World) -> Vec<String> {
    let below_platform = |operation: &&Operation| operation.access != "platform";
    let named = world
        .operations
        .iter()
        .filter(below_platform)
        .flat_map(inner);
    let named: BTreeSet<String> = named.collect();
    let is_missing = |name: &&String| {
        let is_known = [&world.ours, &world.theirs]
            .iter()
            .all(|tenant| tenant.ids.contains_key(*name));
        !is_known && !given::NAMED_ELSEWHERE.contains(&name.as_str())
    };
    let mut faults: Vec<String> = named.iter().filter(is_missing).cloned().collect();
    if !faults.is_empty() {
        faults.extend(world.missing().await);
    }
    faults
}

async fn what_the_owner_reads_is_there(world: &World) -> Vec<String> {
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
                faults.push(format!("reads: {}: {seen:?}", operation.id));
            }
        }
    }
    faults
}

async fn anothers_organization_looks_like_none(world: &World) -> Vec<String> {
    let mut faults = Vec::new();
    for operation in world.operations.iter().filter(|one| is_tenants(one)) {
        let ours = &world.ours.ids;
        let nowhere = but(&Ids::new(), "organization_id", NOWHERE);
        let strangers = [&world.theirs.owner, &world.platform];
        for stranger in strangers {
            let real = ask(world, stranger, operation, ours.clone(), ours).await;
            let none = ask(world, stranger, operation, nowhere.clone(), ours).await;
            if real.status != 404 || real != none {
                faults.push(format!(
                    "organization: {}: {real:?} / {none:?}",
                    operation.id
                ));
            }
        }
    }
    faults
}

async fn anothers_thing_in_our_organization_looks_like_none(world: &World) -> Vec<String> {
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
                    "thing: {} {name}: {real:?} / {none:?} / {malformed:?}",
                    operation.id
                ));
            }
        }
    }
    faults
}

async fn anothers_own_things_look_like_none(world: &World) -> Vec<String> {
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
                faults.push(format!("own: {} {name}: {real:?} / {none:?}", operation.id));
            }
        }
    }
    faults
}

async fn anothers_thing_in_a_body_or_a_filter_looks_like_none(world: &World) -> Vec<String> {
    let (ours, theirs) = (&world.ours.ids, &world.theirs.ids);
    let owner = &world.ours.owner;
    let mut faults = Vec::new();
    for operation in world.operations.iter().filter(|one| is_tenants(one)) {
        for (name, foreign) in theirs
            .iter()
            .filter(|(name, id)| ours.get(*name) != Some(id))
        {
            if names(&world.body(operation, ours).0, name) {
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
                    faults.push(format!(
                        "body: {} body {name}: {real:?} / {none:?}",
                        operation.id
                    ));
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
                        "body: {} filter {name}: {real:?} / {none:?}",
                        operation.id
                    ));
                }
            }
        }
    }
    faults
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

async fn nobody_gets_past_the_door_and_no_token_is_as_good_as_a_wrong_one(
    world: &World,
) -> Vec<String> {
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
            faults.push(format!("door: {}: {none:?} / {wrong:?}", operation.id));
        }
    }
    faults
}

async fn every_rank_is_refused_what_it_may_not(world: &World) -> Vec<String> {
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
                faults.push(format!(
                    "rank: {rank} {}: {real:?} / {none:?}",
                    operation.id
                ));
            }
        }
    }
    faults
}

async fn the_platforms_operations_are_for_those_who_run_it(world: &World) -> Vec<String> {
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
                faults.push(format!("platform: {}: {real:?} / {none:?}", operation.id));
            }
        }
    }
    faults
}
