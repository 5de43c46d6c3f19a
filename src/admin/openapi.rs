//! What of the OpenAPI document no single operation says: the frame, the common answers, the common headers.

use std::collections::BTreeMap;

use axum::http::Method;
use serde_json::{Map, Value};
use utoipa::{
    IntoResponses, PartialSchema, ToSchema,
    openapi::{
        Components, ContentBuilder, Info, OpenApi, Paths, Ref, RefOr, Required, Response,
        ResponseBuilder,
        header::HeaderBuilder,
        path::{Operation, Parameter, ParameterBuilder, ParameterIn},
        schema::{ObjectBuilder, Type},
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use super::error::Problem;
use crate::base::{self, Moment};

/// The name of the one way to sign in to an operation.
pub const BEARER: &str = "bearer";

/// What every operation may answer besides its own: problem details (RFC 9457).
pub struct Problems;

/// Status, name in the document, and what it means to the caller.
const PROBLEMS: [(u16, &str, &str); 14] = [
    (
        400,
        "Invalid",
        "The request is malformed: `errors` names every field at fault.",
    ),
    (
        401,
        "Unauthenticated",
        "Nobody is signed in, or the token no longer counts.",
    ),
    (
        403,
        "Forbidden",
        "The person lacks the permission named in `x-permission`, or the request came from another site.",
    ),
    (404, "NotFound", "It is not there, or not yours."),
    (
        405,
        "MethodNotAllowed",
        "This path does not take this method.",
    ),
    (
        408,
        "TimedOut",
        "The request took too long to arrive or to be answered.",
    ),
    (409, "Conflict", "It contradicts what is there."),
    (
        412,
        "PreconditionFailed",
        "Somebody changed it since the `ETag` in `If-Match` was read.",
    ),
    (413, "TooLarge", "The body has more than 256 KiB."),
    (
        415,
        "UnsupportedMediaType",
        "The body is not `application/json`, or is compressed.",
    ),
    (
        422,
        "Unprocessable",
        "Well-formed, but it cannot be done; or an `Idempotency-Key` came with another body.",
    ),
    (
        429,
        "TooManyRequests",
        "Too often: try again after `Retry-After` seconds.",
    ),
    (500, "Internal", "Our fault; quote the `x-request-id`."),
    (503, "Unavailable", "Something we need is away; try again."),
];

impl IntoResponses for Problems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        PROBLEMS
            .iter()
            .map(|(status, name, _)| (status.to_string(), Ref::from_response_name(*name).into()))
            .collect()
    }
}

/// Returns the document before any operation is in it.
#[must_use]
pub fn frame() -> OpenApi {
    let mut info = Info::new("Synaxis admin API", env!("CARGO_PKG_VERSION"));
    info.description = Some(DESCRIPTION.to_owned());
    let mut document = OpenApi::new(info, Paths::new());
    document.components = Some(components());
    document
}

fn components() -> Components {
    let mut components = Components::new();
    let mut schemas = base::ids::schemas();
    schemas.push((Moment::name().into_owned(), Moment::schema()));
    schemas.push((Problem::name().into_owned(), Problem::schema()));
    Problem::schemas(&mut schemas);
    components.schemas.extend(schemas);
    for (_, name, meaning) in PROBLEMS {
        let answer = problem(meaning);
        components.responses.insert(name.to_owned(), answer.into());
    }
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some(
            "The `access_token` of a sign-in; it counts for ten minutes.",
        ));
    components.security_schemes.insert(
        BEARER.to_owned(),
        SecurityScheme::Http(bearer.build()).into(),
    );
    components
}

/// What a reader of the document must know before the first call.
const DESCRIPTION: &str = "\
Everything an organization's admin and a platform admin do.\n\n\
Lists take `limit`, `cursor` and `order` and answer `data` with a `next_cursor` until the end. \
Every POST may carry an `Idempotency-Key`: the same key with the same body is answered again, not done again, for 24 hours. \
What can be changed has an `ETag`; send it back as `If-Match` and a lost update becomes a 412. \
Unknown fields and parameters are refused. What belongs to others looks exactly like what is not there.";

fn problem(meaning: &str) -> Response {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(Problem::name())));
    let text = HeaderBuilder::new()
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .description(Some("Names this request in our logs."));
    ResponseBuilder::new()
        .description(meaning)
        .content("application/problem+json", content.build())
        .header("x-request-id", text.build())
        .build()
}

/// Adds what every operation has in common.
pub(super) fn complete(operation: &mut Operation, method: &Method) {
    if method == Method::POST {
        operation
            .parameters
            .get_or_insert_default()
            .push(idempotency_key().into());
    }
}

fn idempotency_key() -> Parameter {
    let text = ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(255))
        .pattern(Some("^[!-~]+$"));
    ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "Makes a repetition harmless for 24 hours: the first answer is given again.",
        ))
        .schema(Some(text))
        .build()
}

/// Returns the document as it is served.
#[must_use]
pub fn settled(document: &OpenApi) -> Value {
    let mut document = serde_json::to_value(document).unwrap_or_default();
    mend(&mut document);
    document
}

/// Joins a description to what it describes: utoipa says an inlined field with a description is also an object.
fn mend(node: &mut Value) {
    match node {
        Value::Object(fields) => {
            fields.values_mut().for_each(mend);
            if let Some(joined) = described(fields) {
                *node = joined;
            }
        }
        Value::Array(list) => list.iter_mut().for_each(mend),
        _ => {}
    }
}

fn described(fields: &Map<String, Value>) -> Option<Value> {
    let parts = fields.get("allOf").filter(|_| fields.len() == 1)?;
    let [schema, said] = parts.as_array()?.as_slice() else {
        return None;
    };
    let said = said.as_object()?;
    let description = said.get("description")?;
    let says_no_more = said.len() == 2 && said.get("type").is_some_and(|kind| kind == "object");
    let mut schema = schema.as_object().filter(|_| says_no_more)?.clone();
    schema.insert("description".to_owned(), description.clone());
    Some(schema.into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_described_field_is_what_it_is_and_no_object_besides() {
        let word = json!({"type": "string", "enum": ["a"], "description": "Any."});
        let mut field = json!({"x": {"allOf": [word, {"type": "object", "description": "This."}]}});
        let whole = json!({"allOf": [{"type": "object"}, {"type": "object", "properties": {}}]});

        mend(&mut field);
        let mut same = whole.clone();
        mend(&mut same);

        assert_eq!(
            field,
            json!({"x": {"type": "string", "enum": ["a"], "description": "This."}})
        );
        assert_eq!(same, whole);
    }
}
