//! What a path asks for.

use http::{HeaderMap, Method, header};

use crate::dialect::Endpoint;

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A model call whose body is read and may be replayed.
    Call(Endpoint),
    /// A model call whose body streams through unread: multipart, audio.
    Raw,
    /// A WebSocket to a model.
    Realtime,
    /// The models the key may use.
    Models,
    /// One of them.
    Model(String),
    /// The key's own limits.
    Key,
    /// An object some provider keeps.
    Stored,
    /// Nothing we know.
    Unknown,
}

/// Paths of objects that live at one provider, under one account.
const STORED: [&str; 11] = [
    "files",
    "batches",
    "responses/",
    "uploads",
    "vector_stores",
    "conversations",
    "fine_tuning",
    "assistants",
    "threads",
    "containers",
    "evals",
];

impl Target {
    /// Reads the path, which may stand under `/openai`.
    pub(super) fn of(method: &Method, path: &str, headers: &HeaderMap) -> Self {
        let Some(path) = bare(path) else {
            return Self::Unknown;
        };
        if headers.contains_key(header::UPGRADE) {
            return if path == "realtime" {
                Self::Realtime
            } else {
                Self::Unknown
            };
        }
        if STORED.iter().any(|stored| path.starts_with(stored)) {
            return Self::Stored;
        }
        match *method {
            Method::GET => Self::of_get(path),
            Method::POST if is_json(headers) => Self::Call(Endpoint::of(path)),
            Method::POST => Self::Raw,
            _ => Self::Unknown,
        }
    }

    fn of_get(path: &str) -> Self {
        match path {
            "models" => Self::Models,
            "key" => Self::Key,
            _ => path
                .strip_prefix("models/")
                .map_or(Self::Unknown, |id| Self::Model(decoded(id))),
        }
    }

    /// Says whether a provider is asked: everything but what is answered here.
    pub(super) const fn reaches_a_provider(&self) -> bool {
        matches!(self, Self::Call(_) | Self::Raw | Self::Realtime)
    }

    /// Returns the endpoint whose manners answers follow.
    pub(super) fn endpoint(&self) -> Endpoint {
        match self {
            Self::Call(endpoint) => *endpoint,
            _ => Endpoint::Other,
        }
    }
}

/// Returns what stands behind `/v1/`, without the trailing slash some clients send.
pub(super) fn bare(path: &str) -> Option<&str> {
    let path = path.strip_prefix("/openai").unwrap_or(path);
    path.strip_prefix("/v1/")
        .map(|rest| rest.strip_suffix('/').unwrap_or(rest))
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(header::CONTENT_TYPE) else {
        return true;
    };
    let kind = kind.to_str().unwrap_or_default().trim_start();
    let is = |prefix: &str| {
        kind.get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    !is("multipart/") && !is("audio/") && !is("application/octet-stream")
}

/// Undoes the escapes SDKs put into a model's id (`%2F`, `%3A`).
pub(super) fn decoded(id: &str) -> String {
    let mut bytes = Vec::with_capacity(id.len());
    let mut rest = id.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = after
            .get(..2)
            .filter(|_| *first == b'%')
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() {
            after.get(2..).unwrap_or_default()
        } else {
            after
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_understood_with_and_without_the_openai_prefix() {
        let none = HeaderMap::new();
        for (method, path, target) in [
            (
                Method::POST,
                "/v1/chat/completions",
                Target::Call(Endpoint::ChatCompletions),
            ),
            (
                Method::POST,
                "/openai/v1/embeddings/",
                Target::Call(Endpoint::Embeddings),
            ),
            (Method::GET, "/v1/models", Target::Models),
            (
                Method::GET,
                "/v1/models/a%2Fb:free",
                Target::Model("a/b:free".into()),
            ),
            (Method::GET, "/v1/models/a/b", Target::Model("a/b".into())),
            (Method::GET, "/v1/key", Target::Key),
            (Method::GET, "/v1/responses/resp_1", Target::Stored),
            (Method::DELETE, "/v1/models/a", Target::Unknown),
            (Method::POST, "/chat/completions", Target::Unknown),
        ] {
            assert_eq!(Target::of(&method, path, &none), target, "{path}");
        }
    }

    #[test]
    fn a_multipart_body_is_never_read_whole() {
        let multipart = HeaderMap::from_iter([(
            header::CONTENT_TYPE,
            "Multipart/form-data; boundary=x".parse().unwrap(),
        )]);

        assert_eq!(
            Target::of(&Method::POST, "/v1/audio/transcriptions", &multipart),
            Target::Raw
        );
    }

    #[test]
    fn a_key_can_be_scoped_for_every_endpoint() {
        let names = [
            Endpoint::ChatCompletions,
            Endpoint::Completions,
            Endpoint::Embeddings,
            Endpoint::Responses,
            Endpoint::Messages,
            Endpoint::Other,
        ]
        .map(Endpoint::name);

        assert_eq!(
            crate::keys::KeyScope::ALL.map(|scope| scope.as_str()),
            names
        );
    }
}
