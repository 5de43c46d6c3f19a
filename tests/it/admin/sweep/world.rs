//! Two organizations that hold everything the API can make, and people of every kind at its door.
//!
//! Everything is made through the API itself: each operation that makes something is given what was made before, as
//! its fields and parameters are named. What the API cannot make is in `given.rs`.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};

use super::{
    document::{Document, Operation, merged},
    given,
};
use crate::{
    identity::people::{self, Visitor},
    stack::admin::{Reply, TestAdmin},
};

/// Ids by the name of the parameter they stand for.
pub type Ids = BTreeMap<String, String>;

/// One organization with all that is in it.
pub struct Tenant {
    pub id: String,
    pub owner: Visitor,
    pub ids: Ids,
}

/// A sidecar with two organizations.
pub struct World {
    pub admin: TestAdmin,
    pub document: Document,
    pub operations: Vec<Operation>,
    pub ours: Tenant,
    pub theirs: Tenant,
    /// Members of ours, by rank.
    pub ranks: BTreeMap<&'static str, Visitor>,
    /// Somebody who runs the platform and is a member of nothing.
    pub platform: Visitor,
}

/// Nobody's id.
pub const NOWHERE: &str = "019aa0f0-0000-7000-8000-00000000dead";

/// Rates that a sweep does not reach.
const SETTINGS: [(&str, &str); 6] = [
    ("ADMIN__THROTTLE__SIGN_INS_PER_ADDRESS_MINUTE", "100000"),
    ("ADMIN__THROTTLE__SIGN_INS_PER_ACCOUNT_MINUTE", "100000"),
    ("ADMIN__THROTTLE__REGISTRATIONS_PER_ADDRESS_HOUR", "100000"),
    ("ADMIN__THROTTLE__REGISTRATIONS_PER_ACCOUNT_HOUR", "100000"),
    ("ADMIN__THROTTLE__RESETS_PER_ADDRESS_HOUR", "100000"),
    ("ADMIN__THROTTLE__RESETS_PER_ACCOUNT_HOUR", "100000"),
];

impl World {
    pub async fn make() -> Self {
        let admin = TestAdmin::start_with(&SETTINGS).await;
        let document = Document::read();
        let operations = document.operations();
        let mut world = Self {
            ours: tenant(&admin, "ada").await,
            theirs: tenant(&admin, "bob").await,
            ranks: BTreeMap::new(),
            platform: person(&admin, "pat").await,
            admin,
            document,
            operations,
        };
        given::make_platform_admin(&world.admin, &world.platform).await;
        for rank in ["admin", "member", "guest"] {
            let visitor = person(&world.admin, rank).await;
            given::join(&world.admin, &world.ours.id, &visitor.user_id, rank).await;
            world.ranks.insert(rank, visitor);
        }
        world.ours.ids = world.fill(&world.ours).await;
        world.theirs.ids = world.fill(&world.theirs).await;
        world
    }

    /// Makes one of everything in an organization, in whatever order that works.
    async fn fill(&self, tenant: &Tenant) -> Ids {
        let mut ids = given::ids(&self.admin, tenant).await;
        ids.insert("organization_id".to_owned(), tenant.id.clone());
        let mut left: Vec<&Operation> = self
            .operations
            .iter()
            .filter(|one| self.makes(one))
            .collect();
        loop {
            let before = left.len();
            let mut still = Vec::new();
            for operation in left {
                let Some(id) = self.create(operation, tenant, &ids).await else {
                    still.push(operation);
                    continue;
                };
                if let Some(name) = self.made_by(operation) {
                    ids.entry(name).or_insert(id);
                }
            }
            left = still;
            self.add_others(tenant, &mut ids).await;
            if left.is_empty() || left.len() == before {
                ids.extend(given::later(&self.admin, tenant, &ids).await);
                return ids;
            }
        }
    }

    /// Makes a second of what some operations name two of.
    async fn add_others(&self, tenant: &Tenant, ids: &mut Ids) {
        for (id, name, other) in given::OTHERS {
            let operation = self.operations.iter().find(|one| one.id == id);
            let Some(operation) = operation.filter(|_| !ids.contains_key(other)) else {
                continue;
            };
            let (mut body, is_whole) = self.body(operation, ids);
            body["name"] = json!(name);
            let path = operation.filled(|name| ids.get(name).cloned().unwrap_or_default());
            let reply = self
                .ask(&tenant.owner, &operation.method, &path, Some(&body))
                .await;
            if let Some(id) = made(&reply.json(), other).filter(|_| is_whole) {
                ids.insert(other.to_owned(), id);
            }
        }
    }

    /// Says whether an operation makes something in an organization that others then name.
    fn makes(&self, operation: &Operation) -> bool {
        operation.method == Method::POST
            && operation
                .path
                .starts_with("/api/v1/organizations/{organization_id}/")
            && operation.statuses.contains(&201)
            && self.made_by(operation).is_some()
    }

    /// The parameter that names what an operation makes.
    pub fn made_by(&self, operation: &Operation) -> Option<String> {
        let below = format!("{}/{{", operation.path);
        let item = self
            .operations
            .iter()
            .find_map(|one| one.path.strip_prefix(&below));
        let name = item?.split('}').next()?;
        Some(name.to_owned())
    }

    async fn create(&self, operation: &Operation, tenant: &Tenant, ids: &Ids) -> Option<String> {
        let (body, is_whole) = self.body(operation, ids);
        let is_there = operation
            .parameters()
            .iter()
            .all(|name| ids.contains_key(name));
        if !is_there || !is_whole {
            return None;
        }
        let path = operation.filled(|name| ids[name].clone());
        let reply = self
            .ask(&tenant.owner, &operation.method, &path, Some(&body))
            .await;
        let name = self.made_by(operation)?;
        (reply.status == 201).then(|| made(&reply.json(), &name))?
    }

    /// A body the operation takes, naming what `ids` knows and nobody's id elsewhere; says whether they knew all.
    pub fn body(&self, operation: &Operation, ids: &Ids) -> (Value, bool) {
        let Some(schema) = &operation.body else {
            return (Value::Null, true);
        };
        let sampled = self.document.sample("body", schema);
        let mut body = merged(sampled, given::fields(&operation.id));
        let is_whole = fill_in(&mut body, ids);
        (body, is_whole)
    }

    /// Asks as somebody.
    pub async fn ask(
        &self,
        who: &Visitor,
        method: &Method,
        path: &str,
        body: Option<&Value>,
    ) -> Reply {
        let request = self
            .admin
            .request(method.clone(), path)
            .token(&who.access_token);
        match body.filter(|body| !body.is_null()) {
            Some(body) => request.json(body).send().await,
            None => request.send().await,
        }
    }

    /// Why each thing that is missing could not be made.
    pub async fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        for operation in self.operations.iter().filter(|one| self.makes(one)) {
            let name = self.made_by(operation).expect("it makes something");
            if self.ours.ids.contains_key(&name) {
                continue;
            }
            let (body, _) = self.body(operation, &self.ours.ids);
            let path =
                operation.filled(|name| self.ours.ids.get(name).cloned().unwrap_or_default());
            let reply = self
                .ask(&self.ours.owner, &operation.method, &path, Some(&body))
                .await;
            missing.push(format!(
                "{name} by {}: {body} → {} {}",
                operation.id, reply.status, reply.text
            ));
        }
        missing
    }
}

/// Puts in every id that a field names, or that stands in braces; says whether all were known.
fn fill_in(body: &mut Value, ids: &Ids) -> bool {
    match body {
        Value::Object(fields) => fields.iter_mut().fold(true, |is_whole, (name, value)| {
            fill_in_field(name, value, ids) && is_whole
        }),
        Value::Array(list) => {
            let unknown = list
                .iter_mut()
                .filter_map(|value| (!fill_in(value, ids)).then_some(()));
            unknown.count() == 0
        }
        Value::String(text) => match text
            .strip_prefix('{')
            .and_then(|text| text.strip_suffix('}'))
        {
            Some(name) => {
                let known = ids.get(name).cloned();
                let is_known = known.is_some();
                *body = json!(known.unwrap_or_else(|| NOWHERE.to_owned()));
                is_known
            }
            None => true,
        },
        _ => true,
    }
}

fn fill_in_field(name: &str, value: &mut Value, ids: &Ids) -> bool {
    let is_braced = |value: &Value| value.as_str().is_some_and(|text| text.starts_with('{'));
    let one = name.strip_suffix("_ids").map(|stem| format!("{stem}_id"));
    match one {
        Some(one)
            if value
                .as_array()
                .is_some_and(|list| !list.iter().any(is_braced)) =>
        {
            *value = json!([format!("{{{one}}}")]);
        }
        None if name.ends_with("_id") && value.is_string() && !is_braced(value) => {
            *value = json!(format!("{{{name}}}"));
        }
        _ => {}
    }
    fill_in(value, ids)
}

/// The id of what was made, wherever the answer has it.
fn made(answer: &Value, name: &str) -> Option<String> {
    let own = answer["id"].as_str().or(answer[name].as_str());
    let inner = || {
        let mut values = answer.as_object()?.values();
        values.find_map(|value| value["id"].as_str())
    };
    own.or_else(inner).map(str::to_owned)
}

async fn tenant(admin: &TestAdmin, name: &str) -> Tenant {
    let owner = person(admin, name).await;
    let id = given::organization_of(admin, &owner.user_id).await;
    Tenant {
        id,
        owner,
        ids: Ids::new(),
    }
}

async fn person(admin: &TestAdmin, name: &str) -> Visitor {
    people::newcomer(admin, &format!("{name}@example.com")).await
}
