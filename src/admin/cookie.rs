//! The refresh token as a cookie: for the console, whose scripts must not be able to read it.
//!
//! `__Host-` binds it to this very host, over TLS; `SameSite=Strict` keeps other sites from sending it.

use std::time::Duration;

use axum::{
    http::{HeaderMap, HeaderValue, header},
    response::Response,
};

use crate::base::Secret;

/// The name of the cookie.
pub const NAME: &str = "__Host-synaxis_refresh";
/// What every cookie of ours is.
const MANNERS: &str = "Path=/; Secure; HttpOnly; SameSite=Strict";

/// Returns the refresh token a browser sent along.
#[must_use]
pub fn refresh_token(headers: &HeaderMap) -> Option<Secret> {
    find(headers, NAME).map(|text| Secret::new(text.to_owned()))
}

/// Finds a cookie by its name.
pub(super) fn find<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(header::COOKIE).iter();
    let cookies = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'));
    let mut found = cookies.filter_map(|cookie| cookie.trim().split_once('='));
    found.find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// Adds the refresh token to an answer.
#[must_use]
pub fn setting(response: Response, token: &Secret, lifetime: Duration) -> Response {
    with(response, NAME, token.expose(), lifetime, MANNERS)
}

/// Takes the refresh token back.
#[must_use]
pub fn clearing(response: Response) -> Response {
    with(response, NAME, "", Duration::ZERO, MANNERS)
}

/// Adds a cookie to an answer.
pub(super) fn with(
    mut response: Response,
    name: &str,
    value: &str,
    lifetime: Duration,
    manners: &str,
) -> Response {
    let text = format!("{name}={value}; Max-Age={}; {manners}", lifetime.as_secs());
    if let Ok(value) = HeaderValue::from_str(&text) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_found_among_other_cookies() {
        let mut headers = HeaderMap::new();
        headers.insert(
            "cookie",
            "a=b; __Host-synaxis_refresh=abc; c=d".parse().unwrap(),
        );

        assert_eq!(refresh_token(&headers).unwrap().expose(), "abc");
        assert!(refresh_token(&HeaderMap::new()).is_none());
    }
}
