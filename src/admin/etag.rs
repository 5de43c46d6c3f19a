//! Versions of what can be changed, so that nobody overwrites what they have not seen.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderValue, header, request::Parts},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::{
    IntoParams,
    openapi::{
        Required,
        path::{Parameter, ParameterBuilder, ParameterIn},
        schema::{ObjectBuilder, Type},
    },
};

use super::{error::ApiError, extract::Json};
use crate::base::Moment;

/// Returns the version of a row that was last changed then.
#[must_use]
pub fn etag(updated_at: Moment) -> String {
    format!("\"{:x}\"", updated_at.micros())
}

/// The version a caller says it has seen; `None` when it does not say, or says that any will do (`*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IfMatch(pub Option<Moment>);

impl IfMatch {
    fn read(headers: &HeaderMap) -> Result<Self, ApiError> {
        let mut values = headers.get_all(header::IF_MATCH).iter();
        let Some(value) = values.next() else {
            return Ok(Self(None));
        };
        if values.next().is_some() {
            return Err(ApiError::invalid("If-Match", "send one version"));
        }
        let text = value.to_str().unwrap_or_default().trim();
        if text == "*" {
            return Ok(Self(None));
        }
        // A version we never gave matches nothing; a weak one never matches (RFC 9110).
        let version = text
            .strip_prefix('"')
            .and_then(|text| text.strip_suffix('"'))
            .and_then(|text| i64::from_str_radix(text, 16).ok())
            .map(Moment::from_micros)
            .filter(|version| etag(*version) == text)
            .ok_or(ApiError::PreconditionFailed)?;
        Ok(Self(Some(version)))
    }
}

impl<S: Sync> FromRequestParts<S> for IfMatch {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Self::read(&parts.headers)
    }
}

impl IntoParams for IfMatch {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let text = ObjectBuilder::new().schema_type(Type::String);
        let parameter = ParameterBuilder::new()
            .name("If-Match")
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some(
                "The `ETag` that was read: refused with 412 when it is no longer the latest.",
            ))
            .schema(Some(text));
        vec![parameter.build()]
    }
}

/// An answer with its version.
#[derive(Debug)]
pub struct Tagged<T>(pub Moment, pub T);

impl<T: Serialize> IntoResponse for Tagged<T> {
    fn into_response(self) -> Response {
        let Self(updated_at, body) = self;
        let mut response = Json(body).into_response();
        if let Ok(value) = HeaderValue::from_str(&etag(updated_at)) {
            response.headers_mut().insert(header::ETAG, value);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<IfMatch, ApiError> {
        let mut headers = HeaderMap::new();
        headers.insert(header::IF_MATCH, text.parse().unwrap());
        IfMatch::read(&headers)
    }

    #[test]
    fn a_version_comes_back_as_it_was_given() {
        let at = Moment::from_micros(1_795_000_123_456_789);

        assert_eq!(read(&etag(at)), Ok(IfMatch(Some(at))));
        assert_eq!(read("*"), Ok(IfMatch(None)));
        assert_eq!(IfMatch::read(&HeaderMap::new()), Ok(IfMatch(None)));
    }

    #[test]
    fn a_version_we_never_gave_matches_nothing() {
        for text in ["abc", "W/\"abc\"", "\"+1\"", "\"ABC\"", "\"\"", "\"xyz\""] {
            assert_eq!(read(text), Err(ApiError::PreconditionFailed), "{text}");
        }
    }
}
