//! Requests whose framing or path two servers could read differently: refused, never repaired.

use http::{Method, header};
use pingora::{http::RequestHeader, protocols::http::ServerSession};

use super::refuse::Refusal;

/// How many header lines a request may have (security.md).
const MAX_HEADERS: usize = 100;

/// Byte sequences that one server resolves and another passes on.
const AMBIGUOUS_IN_PATHS: [&str; 7] = ["..", "//", "\\", "%5c", "%00", "%2e%2e", ";"];

/// Refuses a request that is not unambiguous HTTP/1.1 or HTTP/2.
pub(super) fn check(session: &ServerSession) -> Result<(), Refusal> {
    let head = session.req_header();
    check_raw(session)?;
    check_headers(head)?;
    check_path(head)
}

/// Looks at what the parser already forgot: lone line feeds, and a length beside a transfer coding.
fn check_raw(session: &ServerSession) -> Result<(), Refusal> {
    let Some(session) = session.as_http1() else {
        return Ok(());
    };
    let raw = session.get_headers_raw_bytes();
    let has_bare_line_feed = memchr::memchr_iter(b'\n', &raw)
        .any(|at| at.checked_sub(1).and_then(|before| raw.get(before)) != Some(&b'\r'));
    if has_bare_line_feed {
        return Err(Refusal::malformed(
            "a header line ends with a bare line feed",
        ));
    }
    let headers = &session.req_header().headers;
    let names = |name: &str| raw_names(&raw, name);
    if headers.contains_key(header::TRANSFER_ENCODING) {
        let is_chunked = headers
            .get(header::TRANSFER_ENCODING)
            .is_some_and(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"));
        if !is_chunked || names("content-length") != 0 || names("transfer-encoding") != 1 {
            return Err(Refusal::malformed(
                "transfer-encoding must be `chunked` and stand alone",
            ));
        }
    }
    Ok(())
}

/// Counts the header lines of this name in a raw block.
fn raw_names(raw: &[u8], name: &str) -> usize {
    raw.split(|byte| *byte == b'\n')
        .skip(1)
        .filter_map(|line| line.split(|byte| *byte == b':').next())
        .filter(|written| written.eq_ignore_ascii_case(name.as_bytes()))
        .count()
}

fn check_headers(head: &RequestHeader) -> Result<(), Refusal> {
    let headers = &head.headers;
    if MAX_HEADERS < headers.len() {
        return Err(Refusal::malformed("too many header lines"));
    }
    let is_http1 = head.version < http::Version::HTTP_2;
    if is_http1 && headers.get_all(header::HOST).iter().count() != 1 {
        return Err(Refusal::malformed("exactly one Host header is needed"));
    }
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let length = lengths.next();
    if lengths.next().is_some()
        || length.is_some_and(|length| !length.as_bytes().iter().all(u8::is_ascii_digit))
    {
        return Err(Refusal::malformed("content-length must be one number"));
    }
    if headers.keys().any(|name| name.as_str().contains('_')) {
        return Err(Refusal::malformed(
            "header names with an underscore are not accepted",
        ));
    }
    let expects = headers.get(header::EXPECT);
    if expects.is_some_and(|what| !what.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
        return Err(Refusal::malformed(
            "the only expectation met is 100-continue",
        ));
    }
    let is_coded = headers
        .get(header::CONTENT_ENCODING)
        .is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"));
    if is_coded {
        return Err(Refusal::UnsupportedEncoding);
    }
    Ok(())
}

/// Says whether nothing of what makes a path ambiguous begins in this one.
fn is_plain(path: &[u8]) -> bool {
    let begins = |byte: &u8| matches!(byte, b'.' | b'\\' | b'%' | b';');
    !path.iter().any(begins) && !path.windows(2).any(|pair| pair == b"//")
}

fn check_path(head: &RequestHeader) -> Result<(), Refusal> {
    let raw = head.raw_path();
    let Ok(path) = std::str::from_utf8(raw) else {
        return Err(Refusal::malformed("the path is not ASCII"));
    };
    let path = path.split(['?', '#']).next().unwrap_or_default();
    if head.version < http::Version::HTTP_2 && !path.starts_with('/') {
        return Err(Refusal::malformed("the request target must be a path"));
    }
    if is_plain(path.as_bytes()) {
        return Ok(());
    }
    let lower = path.to_ascii_lowercase();
    let names_a_model = lower.contains("/models/") && head.method == Method::GET;
    let is_ambiguous = AMBIGUOUS_IN_PATHS.iter().any(|part| lower.contains(part))
        || (lower.contains("%2f") && !names_a_model);
    if is_ambiguous {
        return Err(Refusal::malformed("the path is ambiguous"));
    }
    Ok(())
}
