//! The API's documentation in a browser: our own page over `/api/openapi.json`, nothing from anywhere else.

use axum::{
    Router,
    http::{HeaderName, header},
    response::Redirect,
    routing::get,
};

use super::Plane;

/// A file of the page, with what it is.
type File = ([(HeaderName, &'static str); 2], &'static str);

/// Returns the page and its two files.
pub fn pages() -> Router<Plane> {
    Router::new()
        .route("/api/docs", get(async || PAGE))
        .route("/api/docs/docs.css", get(async || STYLE))
        .route("/api/docs/docs.js", get(async || SCRIPT))
        .route("/api/docs/", get(async || Redirect::permanent("/api/docs")))
}

const PAGE: File = file("text/html; charset=utf-8", include_str!("page.html"));
const STYLE: File = file("text/css; charset=utf-8", include_str!("docs.css"));
const SCRIPT: File = file("text/javascript; charset=utf-8", include_str!("docs.js"));

const fn file(kind: &'static str, text: &'static str) -> File {
    // The page follows the binary: a browser asks again each time.
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, text)
}
