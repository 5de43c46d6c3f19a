//! One call at a time for each `Idempotency-Key` of a caller, on all proxies together.
//!
//! It is a limit of one call in flight: held with the others in the same script, and freed when the call is over or
//! its proxy is dead. No answer is kept: the key says that a second call meanwhile is a mistake, nothing more.

use chrono_tz::Tz;
use http::HeaderMap;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::head;
use crate::{
    base::ApiKeyId,
    quota::{Enforcement, Limit, Meter, Mode, Subject, Window},
};

/// Returns the limit that a caller's `Idempotency-Key` asks for.
pub(super) fn of(headers: &HeaderMap, api_key: ApiKeyId) -> Option<Limit> {
    let word = headers.get(&head::IDEMPOTENCY_KEY)?;
    Some(Limit {
        id: id(api_key, word.as_bytes()),
        subject: Subject::Key(api_key),
        meter: Meter::Concurrent,
        window: Window::Instant,
        amount: 1,
        enforcement: Enforcement::Hard,
        mode: Mode::Enforce,
        zone: Tz::UTC,
    })
}

/// Two callers who choose the same word do not meet.
fn id(api_key: ApiKeyId, word: &[u8]) -> Uuid {
    let hash = Sha256::new()
        .chain_update(api_key.uuid())
        .chain_update(word)
        .finalize();
    let mut bytes = uuid::Bytes::default();
    bytes
        .iter_mut()
        .zip(hash)
        .for_each(|(byte, from)| *byte = from);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn limit(api_key: u128, word: &'static str) -> Option<Limit> {
        let mut headers = HeaderMap::new();
        headers.insert(&head::IDEMPOTENCY_KEY, HeaderValue::from_static(word));
        of(&headers, ApiKeyId(Uuid::from_u128(api_key)))
    }

    #[test]
    fn the_same_word_of_the_same_key_is_the_same_limit_and_no_other_is() {
        assert_eq!(limit(1, "a"), limit(1, "a"));
        assert_ne!(limit(1, "a"), limit(1, "b"));
        assert_ne!(limit(1, "a"), limit(2, "a"));
        assert_eq!(of(&HeaderMap::new(), ApiKeyId(Uuid::nil())), None);
    }
}
