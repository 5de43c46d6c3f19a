//! The API's own document, read as a program would: every operation, and bodies made from schemas.

use serde_json::{Map, Value, json};
use synaxis::admin::router;

/// The document of the binary under test.
pub struct Document(Value);

/// One operation.
#[derive(Clone, Debug)]
pub struct Operation {
    pub id: String,
    pub method: reqwest::Method,
    pub path: String,
    /// `public`, `signed-in`, `platform`, or a permission.
    pub access: String,
    /// The names of its query parameters.
    pub query: Vec<Parameter>,
    /// The schema of its JSON body.
    pub body: Option<Value>,
    /// Every status it says it may answer with.
    pub statuses: Vec<u16>,
}

/// One query parameter.
#[derive(Clone, Debug)]
pub struct Parameter {
    pub name: String,
    pub is_required: bool,
    pub schema: Value,
}

/// How deep a body is made.
const DEPTH: usize = 8;

impl Document {
    pub fn read() -> Self {
        Self(router::document())
    }

    /// Every operation, in the order of paths.
    pub fn operations(&self) -> Vec<Operation> {
        let paths = self.0["paths"].as_object().expect("paths");
        let all = paths.iter().flat_map(|(path, item)| {
            let methods = item.as_object().expect("methods");
            methods
                .iter()
                .map(move |(method, told)| self.operation(path, method, told))
        });
        all.collect()
    }

    fn operation(&self, path: &str, method: &str, told: &Value) -> Operation {
        let parameters = told["parameters"].as_array().into_iter().flatten();
        let query = parameters
            .filter(|one| one["in"] == "query")
            .map(|one| Parameter {
                name: text(&one["name"]),
                is_required: one["required"] == true,
                schema: one["schema"].clone(),
            });
        let responses = told["responses"].as_object().expect("responses");
        Operation {
            id: text(&told["operationId"]),
            method: method.to_uppercase().parse().expect("a method"),
            path: path.to_owned(),
            access: text(&told["x-permission"]),
            query: query.collect(),
            body: told["requestBody"]["content"]["application/json"]
                .get("schema")
                .cloned(),
            statuses: responses
                .keys()
                .filter_map(|status| status.parse().ok())
                .collect(),
        }
    }

    /// Follows a reference.
    pub fn resolve<'a>(&'a self, schema: &'a Value) -> &'a Value {
        match schema["$ref"].as_str() {
            Some(place) => {
                let pointer = place.trim_start_matches('#');
                let found = self.0.pointer(pointer);
                self.resolve(found.unwrap_or_else(|| panic!("{place} is nowhere")))
            }
            None => schema,
        }
    }

    /// Every property of an object, with whether it is required.
    pub fn properties(&self, schema: &Value) -> Vec<(String, Value, bool)> {
        let schema = self.resolve(schema);
        let required = |name: &str| {
            let list = schema["required"].as_array().into_iter().flatten();
            list.into_iter().any(|one| one == name)
        };
        let own = schema["properties"].as_object().into_iter().flatten();
        let mut all: Vec<_> = own
            .map(|(name, value)| (name.clone(), value.clone(), required(name)))
            .collect();
        for part in schema["allOf"].as_array().into_iter().flatten() {
            all.extend(self.properties(part));
        }
        all
    }

    /// What stands for a value that may be null or one of several.
    pub fn chosen<'a>(&'a self, schema: &'a Value) -> &'a Value {
        let schema = self.resolve(schema);
        let choices = schema["oneOf"].as_array().or(schema["anyOf"].as_array());
        let choice = choices
            .into_iter()
            .flatten()
            .find(|one| self.resolve(one)["type"] != "null");
        choice.map_or(schema, |choice| self.chosen(choice))
    }

    /// A value of a schema: what is required, and nothing else.
    pub fn sample(&self, name: &str, schema: &Value) -> Value {
        self.sample_at(name, schema, 0)
    }

    fn sample_at(&self, name: &str, schema: &Value, depth: usize) -> Value {
        let own = self.resolve(schema);
        if let Some(value) = own.get("example").or_else(|| own.get("const")) {
            return value.clone();
        }
        if let Some(choices) = own["allOf"]
            .as_array()
            .filter(|_| own.get("properties").is_none())
        {
            let parts = choices
                .iter()
                .map(|part| self.sample_at(name, part, depth + 1));
            return parts.reduce(merged).unwrap_or(Value::Null);
        }
        let schema = self.chosen(schema);
        if let Some(first) = schema["enum"].as_array().and_then(|all| all.first()) {
            return first.clone();
        }
        match kind(schema) {
            "array" => self.list(name, schema, depth),
            "integer" | "number" => schema["minimum"]
                .as_i64()
                .map_or(json!(1), |least| json!(least.max(1))),
            "boolean" => json!(true),
            "string" => json!(word(name, schema)),
            _ if depth < DEPTH => self.object(schema, depth),
            _ => json!({}),
        }
    }

    fn list(&self, name: &str, schema: &Value, depth: usize) -> Value {
        match schema["minItems"].as_u64() {
            Some(1..) => json!([self.sample_at(name, &schema["items"], depth + 1)]),
            _ => json!([]),
        }
    }

    fn object(&self, schema: &Value, depth: usize) -> Value {
        let required = self
            .properties(schema)
            .into_iter()
            .filter(|(_, _, required)| *required);
        let fields = required.map(|(name, field, _)| {
            let value = self.sample_at(&name, &field, depth + 1);
            (name, value)
        });
        Value::Object(fields.collect::<Map<_, _>>())
    }
}

fn kind(schema: &Value) -> &str {
    match &schema["type"] {
        Value::String(kind) => kind,
        Value::Array(kinds) => {
            let mut kinds = kinds.iter().filter_map(Value::as_str);
            kinds.find(|kind| *kind != "null").unwrap_or("object")
        }
        _ => "object",
    }
}

/// Text that fits a field by its format, its length, or its name.
fn word(name: &str, schema: &Value) -> String {
    let least = schema["minLength"].as_u64().unwrap_or(1);
    match schema["format"].as_str().unwrap_or_default() {
        "uuid" => "019aa0f0-0000-7000-8000-00000000dead".to_owned(),
        "date-time" => "2035-01-01T00:00:00Z".to_owned(),
        "date" => "2035-01-01".to_owned(),
        "email" => "nobody@example.com".to_owned(),
        "uri" => "https://api.example.com/v1".to_owned(),
        "password" => "a-long-and-winding-secret-7".to_owned(),
        _ => match name {
            "email" => "nobody@example.com".to_owned(),
            "base_url" | "url" => "https://api.example.com/v1".to_owned(),
            _ => {
                let word = format!("sample-{name}").replace('_', "-");
                let missing = usize::try_from(least)
                    .unwrap_or(0)
                    .saturating_sub(word.len());
                word + &"x".repeat(missing)
            }
        },
    }
}

/// Two objects as one; of two values of a field, the second.
pub fn merged(one: Value, other: Value) -> Value {
    match (one, other) {
        (Value::Object(mut one), Value::Object(other)) => {
            one.extend(other);
            Value::Object(one)
        }
        (_, other) => other,
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("text").to_owned()
}

impl Operation {
    /// The names of the parameters in its path.
    pub fn parameters(&self) -> Vec<String> {
        let pieces = self.path.split('/');
        let named = pieces.filter_map(|piece| piece.strip_prefix('{')?.strip_suffix('}'));
        named.map(str::to_owned).collect()
    }

    /// Its path with every parameter filled in.
    pub fn filled(&self, value: impl Fn(&str) -> String) -> String {
        let names = self.parameters();
        names.iter().fold(self.path.clone(), |path, name| {
            path.replace(&format!("{{{name}}}"), &value(name))
        })
    }
}
