//! No other web site may change anything with what its visitor's browser holds.

use axum::{
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    middleware::Next,
    response::Response,
};

use super::{Plane, error::ApiError};

/// Refuses a change that another site asked a browser for.
///
/// # Errors
/// 403 `cross_site_request`.
pub async fn guard(
    State(plane): State<Plane>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let is_safe = [Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
    if !is_safe && is_cross_site(request.headers(), &plane.settings.origins) {
        return Err(ApiError::Refused {
            status: StatusCode::FORBIDDEN,
            code: "cross_site_request",
            message: "another site may not ask for this".to_owned(),
        });
    }
    Ok(next.run(request).await)
}

/// Trusts what the browser says of itself, then the exact origin; a program that is no browser sends neither, and
/// has no cookies that were not given to it on purpose.
fn is_cross_site(headers: &HeaderMap, origins: &[String]) -> bool {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let origin = text(header::ORIGIN);
    let is_listed =
        origin.is_some_and(|origin| origins.iter().any(|one| one == origin || one == "*"));
    match (
        text(header::HeaderName::from_static("sec-fetch-site")),
        origin,
    ) {
        _ if is_listed => false,
        (Some(site), _) => !["same-origin", "none"].contains(&site),
        (None, Some(origin)) => !is_same(origin, text(header::HOST)),
        (None, None) => headers.contains_key(header::COOKIE),
    }
}

fn is_same(origin: &str, host: Option<&str>) -> bool {
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    authority.is_some() && authority == host
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(said: &[(&'static str, &str)]) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert("host", "api.example.com".parse().unwrap());
        for (name, value) in said {
            headers.insert(*name, value.parse().unwrap());
        }
        is_cross_site(&headers, &["https://console.example.com".to_owned()])
    }

    #[test]
    fn a_browser_on_another_site_is_refused() {
        assert!(refused(&[("sec-fetch-site", "cross-site")]));
        assert!(refused(&[
            ("sec-fetch-site", "same-site"),
            ("origin", "https://evil.example.com")
        ]));
        assert!(refused(&[("origin", "https://evil.example")]));
        assert!(refused(&[("origin", "null")]));
        assert!(refused(&[("cookie", "a=b")]));
    }

    #[test]
    fn our_own_pages_the_console_and_programs_pass() {
        assert!(!refused(&[
            ("sec-fetch-site", "same-origin"),
            ("cookie", "a=b")
        ]));
        assert!(!refused(&[("sec-fetch-site", "none")]));
        assert!(!refused(&[
            ("sec-fetch-site", "same-site"),
            ("origin", "https://console.example.com")
        ]));
        assert!(!refused(&[("origin", "https://api.example.com")]));
        assert!(!refused(&[]));
    }
}
