//! `Idempotency-Key`: a POST that is sent again is answered again, not done again.
//!
//! Fails closed: a request that asks to be done once is not done while the books cannot remember it.

use std::time::Duration;

use axum::{
    body::{Body, Bytes, HttpBody, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Plane,
    error::ApiError,
    extract::{Origin, Person, whole},
    store::{self, Claim, Claimed, Digest},
};
use crate::{
    base::{RequestId, Secret},
    store::seal::{Place, Sealed},
};

/// The header that names a request.
const NAME: HeaderName = HeaderName::from_static("idempotency-key");
/// The header that says an answer was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// The longest key.
const LONGEST: usize = 255;
/// How long an answer is kept.
const KEEP: Duration = Duration::from_secs(24 * 3_600);
/// How long a request may be at work beyond its deadline before it counts as lost with its process.
const GRACE: Duration = Duration::from_secs(30);
/// The largest answer that is kept.
const LARGEST: usize = 1024 * 1024;

/// An answer as it is kept, before it is sealed.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

/// Does a POST with an `Idempotency-Key` once, and answers its repetitions with the first answer.
///
/// # Errors
/// 422 when the key came with another request, 409 while the first is at work.
pub async fn once(
    State(plane): State<Plane>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    if request.method() != Method::POST || !request.headers().contains_key(NAME) {
        return Ok(next.run(request).await);
    }
    let key = key(request.headers())?;
    let caller = caller(&plane, &request);
    let (request, fingerprint) = fingerprint(&plane, request).await?;
    let id = RequestId::new(plane.clock.now()).uuid();
    let claim = Claim {
        id,
        caller: &caller,
        key: &key,
        fingerprint: &fingerprint,
        hold: plane.settings.deadline() + GRACE,
        keep: KEEP,
    };
    let claimed = store::claim(&mut *plane.postgres.acquire().await?, &claim).await?;
    match claimed {
        Claimed::Mine => Ok(first(&plane, id, request, next).await),
        Claimed::Kept(id, sealed) => again(&plane, id, &sealed),
        Claimed::Busy => Err(ApiError::conflict(
            "idempotency_key_in_use",
            "the first request with this Idempotency-Key is still at work",
        )),
        Claimed::Other => Err(ApiError::unprocessable(
            "idempotency_key_reused",
            "this Idempotency-Key came with another request before",
        )),
    }
}

fn key(headers: &HeaderMap) -> Result<String, ApiError> {
    let mut values = headers.get_all(NAME).iter();
    let text = match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().unwrap_or_default(),
        _ => "",
    };
    let is_visible = text.bytes().all(|byte| byte.is_ascii_graphic());
    if text.is_empty() || LONGEST < text.len() || !is_visible {
        let message = format!("send one key of 1 to {LONGEST} visible ASCII characters");
        return Err(ApiError::invalid("Idempotency-Key", message));
    }
    Ok(text.to_owned())
}

/// Keys of one person mean nothing to another; where nobody is signed in, those of one address.
fn caller(plane: &Plane, request: &Request) -> Digest {
    let extensions = request.extensions();
    let text = match (extensions.get::<Person>(), extensions.get::<Origin>()) {
        (Some(person), _) => format!("person {}", person.id),
        (None, Some(origin)) => format!("address {}", origin.address),
        (None, None) => "nowhere".to_owned(),
    };
    plane.vault.digest("idempotency caller", &[text.as_bytes()])
}

/// Reads the body and tells this request from every other.
async fn fingerprint(plane: &Plane, request: Request) -> Result<(Request, Digest), ApiError> {
    let (parts, body) = request.into_parts();
    let body = whole(body).await?;
    let path = parts.uri.path_and_query();
    let path = path.map_or("", |path| path.as_str());
    let pieces = [path.as_bytes(), &body];
    let fingerprint = plane.vault.digest("idempotency fingerprint", &pieces);
    Ok((Request::from_parts(parts, Body::from(body)), fingerprint))
}

async fn first(plane: &Plane, id: Uuid, request: Request, next: Next) -> Response {
    // Dropped half-way, when the deadline passes or the handler panics, it gives the key back.
    let held = Held {
        plane: plane.clone(),
        id: Some(id),
    };
    let response = next.run(request).await;
    if !is_final(response.status()) || LARGEST < size(response.body()) {
        return response;
    }
    let (parts, body) = response.into_parts();
    match to_bytes(body, LARGEST).await {
        Ok(body) => {
            held.keep(&Kept::of(parts.status, &parts.headers, &body))
                .await;
            Response::from_parts(parts, Body::from(body))
        }
        Err(error) => ApiError::internal("an answer broke off", &axum_error(error)).into_response(),
    }
}

fn axum_error(error: axum::Error) -> std::io::Error {
    std::io::Error::other(error)
}

/// Says whether doing the request again could not come to something else.
fn is_final(status: StatusCode) -> bool {
    let may_change = [
        StatusCode::REQUEST_TIMEOUT,
        StatusCode::CONFLICT,
        StatusCode::TOO_MANY_REQUESTS,
    ];
    !status.is_server_error() && !may_change.contains(&status)
}

/// A body without an end in sight is larger than anything.
fn size(body: &Body) -> usize {
    let size = body.size_hint().exact();
    size.and_then(|size| usize::try_from(size).ok())
        .unwrap_or(usize::MAX)
}

fn again(plane: &Plane, id: Uuid, sealed: &Sealed) -> Result<Response, ApiError> {
    let opened = plane.vault.open(sealed, place(id));
    let opened =
        opened.map_err(|error| ApiError::internal("a kept answer does not open", &error))?;
    let kept: Kept = serde_json::from_str(opened.expose())
        .map_err(|error| ApiError::internal("a kept answer cannot be read", &error))?;
    Ok(kept.into_response())
}

const fn place(id: Uuid) -> Place<'static> {
    Place {
        table: "operations.idempotency_keys",
        row: id,
        organization: None,
        column: "sealed_answer",
        audience: "",
    }
}

impl Kept {
    fn of(status: StatusCode, headers: &HeaderMap, body: &Bytes) -> Self {
        let text = headers.iter().filter_map(|(name, value)| {
            let value = value.to_str().ok()?;
            Some((name.as_str().to_owned(), value.to_owned()))
        });
        Self {
            status: status.as_u16(),
            headers: text.collect(),
            body: STANDARD.encode(body),
        }
    }
}

impl IntoResponse for Kept {
    fn into_response(self) -> Response {
        let body = STANDARD.decode(self.body).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::OK);
        let headers = response.headers_mut();
        for (name, value) in &self.headers {
            if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse()) {
                headers.append(name, value);
            }
        }
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
        response
    }
}

/// A claimed key; given back when dropped before an answer was kept.
struct Held {
    plane: Plane,
    id: Option<Uuid>,
}

impl Held {
    /// Keeps the answer. It goes to the caller even when that fails: the request is done.
    async fn keep(mut self, kept: &Kept) {
        let Some(id) = self.id.take() else { return };
        if let Err(error) = self.try_keep(id, kept).await {
            tracing::error!(error, "an answer could not be kept for its idempotency key");
        }
    }

    async fn try_keep(&self, id: Uuid, kept: &Kept) -> Result<(), String> {
        let text = serde_json::to_string(kept).map_err(|error| error.to_string())?;
        let sealed = self.plane.vault.seal(&Secret::new(text), place(id));
        let sealed = sealed.map_err(|error| error.to_string())?;
        let conn = self.plane.postgres.acquire().await;
        let mut conn = conn.map_err(|error| error.to_string())?;
        let kept = store::keep_answer(&mut conn, id, &sealed).await;
        kept.map_err(|error| error.to_string())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some(id) = self.id.take() else { return };
        let plane = self.plane.clone();
        let tasks = plane.tasks.clone();
        tasks.spawn("release idempotency key", async move {
            let released =
                async { store::release(&mut *plane.postgres.acquire().await?, id).await };
            if let Err(error) = released.await {
                tracing::warn!(%error, "an idempotency key stays held until it expires");
            }
        });
    }
}
