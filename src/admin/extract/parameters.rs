//! `Path` and `Query`: parameters, refused in our own words.

use axum::{
    extract::{self, FromRequestParts},
    http::request::Parts,
};
use serde::de::DeserializeOwned;

use crate::admin::error::ApiError;

/// The parameters of a path. A malformed id is answered like an unknown one.
#[derive(Clone, Copy, Debug)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = extract::Path::<T>::from_request_parts(parts, state).await;
        path.map(|extract::Path(value)| Self(value))
            .map_err(|_| ApiError::NotFound)
    }
}

/// The parameters behind the question mark.
#[derive(Clone, Copy, Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let query = extract::Query::try_from_uri(&parts.uri);
        query
            .map(|extract::Query(value)| Self(value))
            .map_err(|rejection| fault(&rejection.body_text()))
    }
}

/// Takes apart what axum says: where it was, then which parameter, then what is wrong with it.
fn fault(text: &str) -> ApiError {
    let text = text
        .split_once("query string: ")
        .map_or(text, |(_, rest)| rest);
    match text.split_once(": ") {
        Some((field, message)) if !field.contains(' ') => ApiError::invalid(field, message),
        _ => ApiError::invalid("", text),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Page {
        #[expect(dead_code, reason = "only whether it is read counts")]
        limit: Option<u32>,
    }

    async fn refusal(uri: &str) -> Option<ApiError> {
        let (mut parts, ()) = Request::get(uri).body(()).unwrap().into_parts();
        Query::<Page>::from_request_parts(&mut parts, &())
            .await
            .err()
    }

    #[tokio::test]
    async fn a_parameter_at_fault_is_named() {
        let faults = [
            ("/?limit=many", "limit", "invalid digit found in string"),
            ("/?limt=1", "limt", "unknown field `limt`, expected `limit`"),
            ("/?limit=1&limit=2", "", "duplicate field `limit`"),
        ];
        for (uri, field, message) in faults {
            assert_eq!(
                refusal(uri).await,
                Some(ApiError::invalid(field, message)),
                "{uri}"
            );
        }
        assert_eq!(refusal("/?limit=5").await, None);
    }
}
