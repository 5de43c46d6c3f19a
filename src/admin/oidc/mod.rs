//! Sign-in by an organization's own provider: the browser leaves, and comes back.
//!
//! What the browser must bring back lies in a sealed cookie, so that nobody else's sign-in can be slipped to it.

mod parameters;

use std::time::Duration;

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use uuid::Uuid;

use self::parameters::{Arrival, AtSlug, Departure};
use super::{
    Plane,
    auth::{TokensView, answer},
    cookie,
    error::ApiError,
    extract::{Path, Query, Visitor},
    openapi::Problems,
};
use crate::{
    base::Secret,
    control::identity::oidc::{self, ArrivalRefused},
    identity::oidc::{Flow, OidcRefused},
    store::seal::{Place, Sealed},
};

/// The cookie of a sign-in that is under way.
const COOKIE: &str = "__Host-synaxis_oidc";
/// `Lax`, since the browser comes back from another site.
const MANNERS: &str = "Path=/; Secure; HttpOnly; SameSite=Lax";
/// How long it is kept.
const KEPT: Duration = Duration::from_secs(600);

/// Begin to sign in by an organization's provider
///
/// Sends the browser there.
#[utoipa::path(
    get,
    path = "/api/v1/auth/oidc/{slug}/start",
    tag = "sign-in",
    params(AtSlug, Departure),
    responses((status = 303, description = "The provider's own page."), Problems)
)]
pub async fn start_oidc(
    State(plane): State<Plane>,
    Path(path): Path<AtSlug>,
    Query(query): Query<Departure>,
) -> Result<Response, ApiError> {
    let slug = path.slug;
    if query
        .return_to
        .as_deref()
        .is_some_and(|path| !is_own_path(path))
    {
        return Err(ApiError::invalid(
            "return_to",
            "give a path of this very site",
        ));
    }
    let (door, guard) = (&plane.door, &plane.egress);
    let (url, flow) = oidc::depart(door, guard, &slug, query.provider, query.return_to).await?;
    let sealed = seal(&plane, &slug, &flow)?;
    Ok(cookie::with(
        see_other(url.as_str())?,
        COOKIE,
        &sealed,
        KEPT,
        MANNERS,
    ))
}

/// Come back from an organization's provider
///
/// The session reaches that organization only.
#[utoipa::path(
    get,
    path = "/api/v1/auth/oidc/{slug}/callback",
    tag = "sign-in",
    params(AtSlug, Arrival),
    responses(
        (status = 200, description = "The person is in.", body = TokensView),
        (status = 303, description = "The person is in; the page they asked for."),
        Problems
    )
)]
pub async fn finish_oidc(
    State(plane): State<Plane>,
    Visitor(visit): Visitor,
    Path(path): Path<AtSlug>,
    headers: HeaderMap,
    Query(query): Query<Arrival>,
) -> Result<Response, ApiError> {
    let slug = path.slug;
    let flow = open(&plane, &slug, &headers).ok_or(OidcRefused::Flow)?;
    let state = query.state.unwrap_or_default();
    if !flow.is_answered_by(&state) {
        return Err(OidcRefused::Flow.into());
    }
    if let Some(error) = query.error {
        let error = error
            .chars()
            .filter(|letter| letter.is_ascii_graphic())
            .take(64);
        return Err(OidcRefused::Provider(error.collect()).into());
    }
    let code = query
        .code
        .ok_or_else(|| ApiError::invalid("code", "is missing"))?;
    let (door, guard) = (&plane.door, &plane.egress);
    let tokens = oidc::arrive(door, guard, &slug, (&flow, code), &visit).await?;
    let response = match &flow.return_to {
        None => answer(tokens, false, &visit.now, |view| view),
        Some(path) => {
            let lifetime = tokens.refresh_expires_at.since(visit.now);
            cookie::setting(see_other(path)?, &tokens.refresh_token, lifetime)
        }
    };
    Ok(cookie::with(response, COOKIE, "", Duration::ZERO, MANNERS))
}

/// Says whether the browser stays here when it goes to `path`.
fn is_own_path(path: &str) -> bool {
    path.starts_with('/')
        && !path.starts_with("//")
        && path
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'\\')
}

fn see_other(place: &str) -> Result<Response, ApiError> {
    let place = HeaderValue::from_str(place).map_err(|_| OidcRefused::Settings)?;
    Ok((StatusCode::SEE_OTHER, [(header::LOCATION, place)]).into_response())
}

fn place(slug: &str) -> Place<'_> {
    Place {
        table: "cookie",
        row: Uuid::nil(),
        organization: None,
        column: COOKIE,
        audience: slug,
    }
}

fn seal(plane: &Plane, slug: &str, flow: &Flow) -> Result<String, ApiError> {
    let text = serde_json::to_string(flow)
        .map_err(|error| ApiError::internal("a sign-in cannot be written", &error))?;
    let sealed = plane.door.vault.seal(&Secret::new(text), place(slug));
    let sealed =
        sealed.map_err(|error| ApiError::internal("a sign-in cannot be sealed", &error))?;
    let [key, secret] =
        [&sealed.sealed_key, &sealed.sealed_secret].map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
    Ok(format!("{}.{key}.{secret}", sealed.sealing_key_id))
}

fn open(plane: &Plane, slug: &str, headers: &HeaderMap) -> Option<Flow> {
    let mut parts = cookie::find(headers, COOKIE)?.split('.');
    let sealing_key_id = parts.next()?.to_owned();
    let mut bytes = || URL_SAFE_NO_PAD.decode(parts.next()?).ok();
    let sealed = Sealed {
        sealing_key_id,
        sealed_key: bytes()?,
        sealed_secret: bytes()?,
    };
    let text = plane.door.vault.open(&sealed, place(slug)).ok()?;
    serde_json::from_str(text.expose()).ok()
}

impl From<OidcRefused> for ApiError {
    fn from(error: OidcRefused) -> Self {
        match &error {
            OidcRefused::Settings => {
                Self::unprocessable("identity_provider_unusable", error.to_string())
            }
            OidcRefused::Provider(said) => {
                tracing::warn!(said, "an identity provider did not sign somebody in");
                Self::unprocessable("identity_provider_failed", error.to_string())
            }
            OidcRefused::Flow => Self::malformed("sign_in_not_begun", error.to_string()),
            OidcRefused::Token(why) => {
                tracing::warn!(why, "an identity provider's token is not valid");
                Self::Refused {
                    status: StatusCode::UNAUTHORIZED,
                    code: "invalid_id_token",
                    message: error.to_string(),
                }
            }
        }
    }
}

impl From<ArrivalRefused> for ApiError {
    fn from(error: ArrivalRefused) -> Self {
        let forbidden = |code: &'static str| Self::Refused {
            status: StatusCode::FORBIDDEN,
            code,
            message: error.to_string(),
        };
        match error {
            ArrivalRefused::NoProvider => Self::NotFound,
            ArrivalRefused::NotVouched => forbidden("address_not_vouched_for"),
            ArrivalRefused::NotMember => forbidden("not_a_member"),
            ArrivalRefused::Oidc(refused) => refused.into(),
            ArrivalRefused::NotOpened(_) | ArrivalRefused::NotJoined(_) => {
                Self::internal("a sign-in by a provider failed", &error)
            }
            ArrivalRefused::Refused(refused) => refused.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_own_path;

    #[test]
    fn a_browser_is_sent_to_paths_of_this_site_only() {
        assert!(is_own_path("/"));
        assert!(is_own_path("/organizations?x=1"));
        for path in [
            "",
            "https://thief.example",
            "//thief.example",
            "/\\thief.example",
            "/a\nb",
            "a",
        ] {
            assert!(!is_own_path(path), "{path}");
        }
    }
}
