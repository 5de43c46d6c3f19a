//! Tokens that mean nothing: 256 random bits, of which the books keep only the hash.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rand::RngExt;
use sha2::{Digest, Sha256};

use crate::base::Secret;

/// What the books keep of a token.
pub type Hash = [u8; 32];

/// The longest text that can be a token.
const LONGEST: usize = 64;

/// A token that was just made: shown once.
#[derive(Clone, Debug)]
pub struct Opaque {
    /// What its holder sends.
    pub text: Secret,
    /// What the books keep.
    pub hash: Hash,
}

impl Opaque {
    /// Makes a token nobody can guess.
    #[must_use]
    pub fn mint() -> Self {
        let text = URL_SAFE_NO_PAD.encode(rand::rng().random::<[u8; 32]>());
        Self {
            hash: hash(&text),
            text: Secret::new(text),
        }
    }
}

/// Returns what the books keep of `text`; `None` when it cannot be a token.
#[must_use]
pub fn hash_of(text: &Secret) -> Option<Hash> {
    let text = text.expose();
    (text.len() <= LONGEST).then(|| hash(text))
}

/// Returns the hash under which an account is guarded, whether or not it exists.
#[must_use]
pub fn account_hash(email: &str) -> Hash {
    hash(&format!("account {}", email.trim().to_lowercase()))
}

pub(super) fn hash(text: &str) -> Hash {
    Sha256::digest(text.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_by_its_hash_and_made_once() {
        let (one, other) = (Opaque::mint(), Opaque::mint());

        assert_eq!(hash_of(&one.text), Some(one.hash));
        assert_ne!(one.hash, other.hash);
        assert_eq!(hash_of(&Secret::new("x".repeat(65))), None);
    }

    #[test]
    fn an_account_is_one_however_its_address_is_written() {
        assert_eq!(
            account_hash(" Ada@Example.com "),
            account_hash("ada@example.com")
        );
    }
}
