//! What nobody asked for is refused: fields a caller would like to have set, at every depth of every body.

use serde_json::{Value, json};

use super::{
    document::Operation,
    world::{NOWHERE, World},
};

/// What a caller might try to slip in.
const EXTRA: [&str; 8] = [
    "role",
    "organization_id",
    "is_admin",
    "is_platform_admin",
    "spend",
    "created_at",
    "deleted_at",
    "permissions_x",
];

/// Fields that no schema has are refused in every body.
pub async fn sweep(world: &World) -> Vec<String> {
    let mut faults = Vec::new();
    let mut tried = 0;
    for operation in &world.operations {
        let Some(schema) = &operation.body else {
            continue;
        };
        let (body, _) = world.body(operation, &world.ours.ids);
        for place in objects(&body) {
            for extra in EXTRA {
                if is_known(world, schema, &place, extra) {
                    continue;
                }
                tried += 1;
                let sent = with(&body, &place, extra);
                if let Some(fault) = slipped(world, operation, &sent, extra).await {
                    faults.push(fault);
                }
            }
        }
    }
    assert!(0 < tried);
    faults
}

/// Says how an extra field was taken, unless it was refused by its name.
async fn slipped(
    world: &World,
    operation: &Operation,
    body: &Value,
    extra: &str,
) -> Option<String> {
    let path = operation.filled(|name| {
        world
            .ours
            .ids
            .get(name)
            .cloned()
            .unwrap_or_else(|| NOWHERE.to_owned())
    });
    let who = match operation.access.as_str() {
        "platform" => &world.platform,
        _ => &world.ours.owner,
    };
    let reply = world.ask(who, &operation.method, &path, Some(body)).await;
    let is_named = reply.text.contains(&format!("unknown field `{extra}`"));
    let is_refused = reply.status == 400 && is_named;
    (!is_refused).then(|| format!("{} {body}: {} {}", operation.id, reply.status, reply.text))
}

/// The pointers of every object in a body.
fn objects(body: &Value) -> Vec<String> {
    fn walk(value: &Value, at: String, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                found.push(at.clone());
                for (name, inner) in fields {
                    walk(inner, format!("{at}/{name}"), found);
                }
            }
            Value::Array(list) => {
                for (index, inner) in list.iter().enumerate() {
                    walk(inner, format!("{at}/{index}"), found);
                }
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    walk(body, String::new(), &mut found);
    found
}

fn is_known(world: &World, schema: &Value, place: &str, field: &str) -> bool {
    let mut at = world.document.chosen(schema).clone();
    for step in place.split('/').skip(1) {
        let next = match step.parse::<usize>() {
            Ok(_) => at["items"].clone(),
            Err(_) => {
                let properties = world.document.properties(&at);
                let found = properties.into_iter().find(|(name, ..)| name == step);
                found.map_or(Value::Null, |(_, schema, _)| schema)
            }
        };
        at = world.document.chosen(&next).clone();
    }
    // An object of anything takes anything.
    let is_open = at
        .get("additionalProperties")
        .is_some_and(|more| *more != json!(false));
    let has = world
        .document
        .properties(&at)
        .iter()
        .any(|(name, ..)| name == field);
    is_open
        || has
        || at == json!({})
        || world.document.properties(&at).is_empty() && at.get("properties").is_none()
}

/// The body with one more field, which stands first where order is kept.
fn with(body: &Value, place: &str, extra: &str) -> Value {
    let mut body = body.clone();
    if let Some(Value::Object(fields)) = body.pointer_mut(place) {
        fields.insert(extra.to_owned(), json!("x"));
    }
    body
}
