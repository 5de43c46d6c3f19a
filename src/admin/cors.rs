//! Which web pages may read answers: three policies, exact origins, nothing reflected.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use moka::sync::Cache;

use super::{Plane, store};
use crate::base::OrganizationId;

/// Which web pages may read an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// None: the default everywhere.
    PublicApi,
    /// The console's exact origins, with what the browser holds.
    AdminUi,
    /// An organization's own origins: its reads, and without what the browser holds.
    TenantSpecific,
}

/// How long a browser may remember what it was allowed, in seconds.
const MAX_AGE: &str = "600";
/// What the console may send.
const CONSOLE_METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";
/// What an organization's own pages may send.
const TENANT_METHODS: &str = "GET, HEAD";
/// The headers our operations read.
const REQUEST_HEADERS: &str =
    "authorization, content-type, idempotency-key, if-match, if-none-match";
/// The headers a page may read besides the usual ones.
const EXPOSED: &str = "etag, location, retry-after, x-request-id, idempotent-replayed";

/// How long an organization's origins are believed.
const BELIEVED: Duration = Duration::from_secs(10);
/// How many organizations' origins are remembered.
const REMEMBERED: u64 = 10_000;

/// The origins organizations let read, as they were a moment ago.
#[derive(Clone, Debug)]
pub struct TenantOrigins(Cache<OrganizationId, Arc<Vec<String>>>);

impl Default for TenantOrigins {
    fn default() -> Self {
        let cache = Cache::builder().max_capacity(REMEMBERED);
        Self(cache.time_to_live(BELIEVED).build())
    }
}

impl TenantOrigins {
    /// Returns an organization's origins; none while the books cannot be read.
    async fn of(&self, plane: &Plane, organization: OrganizationId) -> Arc<Vec<String>> {
        if let Some(known) = self.0.get(&organization) {
            return known;
        }
        match store::allowed_origins(&plane.postgres, organization).await {
            Ok(origins) => {
                let origins = Arc::new(origins);
                self.0.insert(organization, Arc::clone(&origins));
                origins
            }
            Err(error) => {
                tracing::warn!(%error, "the origins of an organization cannot be read");
                Arc::default()
            }
        }
    }
}

/// Answers a browser's question before a request, and says on every answer who may read it.
pub async fn share(State(plane): State<Plane>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let asked = request.headers().get(header::ACCESS_CONTROL_REQUEST_METHOD);
    let asked = asked
        .filter(|_| request.method() == Method::OPTIONS)
        .cloned();
    let policy = match origin.as_ref().and_then(|origin| origin.to_str().ok()) {
        Some(origin) => {
            let method = asked.as_ref().map(|asked| asked.to_str().unwrap_or("?"));
            let method = method.unwrap_or(request.method().as_str());
            choose(&plane, origin, method, request.uri().path()).await
        }
        None => Policy::PublicApi,
    };
    let is_answered = asked.is_some() && policy != Policy::PublicApi;
    let mut response = match is_answered {
        true => StatusCode::NO_CONTENT.into_response(),
        false => next.run(request).await,
    };
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_name(header::ORIGIN));
    if let Some(origin) = origin {
        allow(headers, policy, origin, &plane.settings.origins);
    }
    if is_answered {
        answer(headers, policy);
    }
    response
}

async fn choose(plane: &Plane, origin: &str, method: &str, path: &str) -> Policy {
    let is_console = |one: &String| one == origin || one == "*";
    if plane.settings.origins.iter().any(is_console) {
        return Policy::AdminUi;
    }
    let is_read = ["GET", "HEAD"].contains(&method);
    let organization = organization_of(path).filter(|_| is_read);
    let Some(organization) = organization else {
        return Policy::PublicApi;
    };
    let origins = plane.tenant_origins.of(plane, organization).await;
    if origins.iter().any(|one| one == origin) {
        Policy::TenantSpecific
    } else {
        Policy::PublicApi
    }
}

fn organization_of(path: &str) -> Option<OrganizationId> {
    let below = path.strip_prefix("/api/v1/organizations/")?;
    below.split('/').next()?.parse().ok()
}

fn allow(headers: &mut HeaderMap, policy: Policy, origin: HeaderValue, origins: &[String]) {
    if policy == Policy::PublicApi {
        return;
    }
    let is_wildcard = origins.iter().any(|one| one == "*");
    // A wildcard never comes with what the browser holds; only a developer's machine may have one.
    let origin = match is_wildcard {
        true => HeaderValue::from_static("*"),
        false => origin,
    };
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static(EXPOSED),
    );
    if policy == Policy::AdminUi && !is_wildcard {
        let yes = HeaderValue::from_static("true");
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
    }
}

fn answer(headers: &mut HeaderMap, policy: Policy) {
    let methods = match policy {
        Policy::PublicApi => return,
        Policy::AdminUi => CONSOLE_METHODS,
        Policy::TenantSpecific => TENANT_METHODS,
    };
    let said: [(HeaderName, &'static str); 3] = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, methods),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS),
        (header::ACCESS_CONTROL_MAX_AGE, MAX_AGE),
    ];
    for (name, value) in said {
        headers.insert(name, HeaderValue::from_static(value));
    }
}
