//! `Json`: a body that is bounded, strict, and valid before a handler sees it.

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{FromRequest, Request},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use garde::Validate;
use serde::{Serialize, de::DeserializeOwned};

use super::strict;
use crate::admin::error::{ApiError, FieldFault};

/// The most bytes a body may have.
pub const BODY_LIMIT: usize = 256 * 1024;

/// A body in JSON: of a request, checked; or of an answer.
#[derive(Clone, Copy, Debug)]
pub struct Json<T>(pub T);

impl<T, S> FromRequest<S> for Json<T>
where
    T: DeserializeOwned + Validate,
    T::Context: Default,
    S: Sync,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        if !is_json(&parts.headers) || is_compressed(&parts.headers) {
            return Err(ApiError::UnsupportedMediaType);
        }
        let value: T = parse(&whole(body).await?)?;
        value.validate().map_err(|report| {
            let faults = report.iter();
            let faults =
                faults.map(|(path, error)| FieldFault::new(path.to_string(), error.to_string()));
            ApiError::Invalid(faults.collect())
        })?;
        Ok(Self(value))
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(text) => {
                let kind = [(header::CONTENT_TYPE, "application/json")];
                (StatusCode::OK, kind, text).into_response()
            }
            Err(error) => ApiError::internal("an answer cannot be written", &error).into_response(),
        }
    }
}

/// Reads a body to its end.
///
/// # Errors
/// When it has more than [`BODY_LIMIT`] bytes, or breaks off.
pub async fn whole(body: Body) -> Result<Bytes, ApiError> {
    to_bytes(body, BODY_LIMIT).await.map_err(|error| {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
        while let Some(inner) = cause {
            if inner.to_string() == "length limit exceeded" {
                return ApiError::TooLarge;
            }
            cause = inner.source();
        }
        ApiError::malformed("incomplete_body", "the body broke off")
    })
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
}

fn is_compressed(headers: &HeaderMap) -> bool {
    let coding = headers.get(header::CONTENT_ENCODING);
    coding.is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, ApiError> {
    strict::check(text).map_err(|error| ApiError::malformed("invalid_json", plain(&error)))?;
    let reader = &mut serde_json::Deserializer::from_slice(text);
    serde_path_to_error::deserialize(reader).map_err(|error| {
        let path = error.path().to_string();
        let field = if path == "." { String::new() } else { path };
        ApiError::invalid(field, plain(error.inner()))
    })
}

/// Says what is wrong without where: the field says that.
fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&place).unwrap_or(&text).to_owned()
}
