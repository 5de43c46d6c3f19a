//! A signed statement of where every chain ends: kept outside the database, it shows that a tail was cut.
//!
//! It is written as a compact JWS (`EdDSA` over Ed25519), so that anybody with the public key can check it.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::{Signature, Signer, Verifier};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{
    key::{AuditKeys, Key, hex},
    store::End,
    verify::Marks,
};
use crate::{base::Moment, store::Whose};

/// What a checkpoint says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// When it was made, in milliseconds since 1970.
    pub at_ms: i64,
    /// The SHA-256 of the checkpoint before it in the same file, as hexadecimal digits.
    pub previous: Option<String>,
    /// The end of every chain something was written to.
    pub heads: Vec<CheckpointHead>,
}

/// The end of one chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointHead {
    /// Whose chain; null is the platform's.
    pub organization_id: Option<Uuid>,
    /// The last row's place.
    pub seq: i64,
    /// Its hash, as hexadecimal digits; null while the chain has none.
    pub hash: Option<String>,
}

/// The text is no checkpoint of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotOurs {
    /// It is no compact JWS of a checkpoint.
    #[error("it is no checkpoint")]
    Unreadable,
    /// It was signed with a key this process was not given.
    #[error("it is signed with a key that is not ours")]
    OtherKey,
    /// The signature is not that of its text.
    #[error("its signature does not hold")]
    Forged,
}

/// What a signed text says of itself.
#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    kid: String,
    typ: String,
}

const ALGORITHM: &str = "EdDSA";
const KIND: &str = "synaxis-checkpoint";

impl Checkpoint {
    /// States where the chains end.
    #[must_use]
    pub fn of(ends: &[End], at: Moment, previous: Option<String>) -> Self {
        let heads = ends
            .iter()
            .filter(|end| end.seq > 0)
            .map(|end| CheckpointHead {
                organization_id: end.whose.organization(),
                seq: end.seq,
                hash: end.hash.as_deref().map(hex),
            });
        Self {
            at_ms: at.millis(),
            previous,
            heads: heads.collect(),
        }
    }

    /// Signs it; one line of text.
    ///
    /// # Errors
    /// Never for a checkpoint of ours; the encoder says so in its type.
    pub fn sign(&self, keys: &AuditKeys) -> Result<String, serde_json::Error> {
        let key = keys.current();
        let header = Header {
            alg: ALGORITHM.to_owned(),
            kid: key.id().to_owned(),
            typ: KIND.to_owned(),
        };
        let text = format!("{}.{}", encoded(&header)?, encoded(self)?);
        let signature = key.signing().sign(text.as_bytes());
        Ok(format!(
            "{text}.{}",
            URL_SAFE_NO_PAD.encode(signature.to_bytes())
        ))
    }

    /// Reads what [`Self::sign`] wrote.
    ///
    /// # Errors
    /// When it is not ours.
    pub fn read(line: &str, keys: &AuditKeys) -> Result<Self, NotOurs> {
        let (text, signature) = line.rsplit_once('.').ok_or(NotOurs::Unreadable)?;
        let (header, body) = text.split_once('.').ok_or(NotOurs::Unreadable)?;
        let header: Header = decoded(header).ok_or(NotOurs::Unreadable)?;
        if header.alg != ALGORITHM || header.typ != KIND {
            return Err(NotOurs::Unreadable);
        }
        let key = keys.find(&header.kid).ok_or(NotOurs::OtherKey)?;
        is_signed(key, text, signature).ok_or(NotOurs::Forged)?;
        decoded(body).ok_or(NotOurs::Unreadable)
    }
}

/// The public half of what signs, as a JWK.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PublicKey {
    /// Its name: the `kid` of what it signed.
    pub kid: String,
    /// Always `OKP`.
    pub kty: &'static str,
    /// Always `Ed25519`.
    pub crv: &'static str,
    /// The key, base64url.
    pub x: String,
}

impl AuditKeys {
    /// Returns the public half of every key that is believed, the one that signs first.
    #[must_use]
    pub fn public_keys(&self) -> Vec<PublicKey> {
        let public = |key: &Key| PublicKey {
            kid: key.id().to_owned(),
            kty: "OKP",
            crv: "Ed25519",
            x: URL_SAFE_NO_PAD.encode(key.signing().verifying_key().as_bytes()),
        };
        self.all().map(public).collect()
    }
}

/// Returns what the next checkpoint of a file names as the one before it.
#[must_use]
pub fn digest(line: &str) -> String {
    hex(&Sha256::digest(line.as_bytes()))
}

/// Gathers what checkpoints vouch for, chain by chain.
#[must_use]
pub fn marks(checkpoints: &[Checkpoint]) -> BTreeMap<Whose, Marks> {
    let mut all: BTreeMap<Whose, Marks> = BTreeMap::new();
    for head in checkpoints.iter().flat_map(|checkpoint| &checkpoint.heads) {
        let marks = all.entry(head.organization_id.into()).or_default();
        let hash = head.hash.as_deref().map(bytes);
        marks.entry(head.seq).or_default().insert(hash);
    }
    all
}

/// Reads hexadecimal digits; anything else becomes bytes that equal no hash.
fn bytes(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2);
    let byte = |pair: &[u8]| {
        let text = std::str::from_utf8(pair).ok()?;
        u8::from_str_radix(text, 16).ok()
    };
    pairs.map(byte).collect::<Option<_>>().unwrap_or_default()
}

fn encoded(value: &impl Serialize) -> Result<String, serde_json::Error> {
    Ok(URL_SAFE_NO_PAD.encode(serde_json::to_vec(value)?))
}

fn decoded<T: for<'de> Deserialize<'de>>(text: &str) -> Option<T> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    serde_json::from_slice(&bytes).ok()
}

fn is_signed(key: &Key, text: &str, signature: &str) -> Option<()> {
    let bytes = URL_SAFE_NO_PAD.decode(signature).ok()?;
    let signature = Signature::from_slice(&bytes).ok()?;
    key.signing()
        .verifying_key()
        .verify(text.as_bytes(), &signature)
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Secret;

    fn keys(letter: &str) -> AuditKeys {
        AuditKeys::new(&Secret::new(letter.repeat(32))).expect("long enough")
    }

    fn checkpoint() -> Checkpoint {
        let end = |whose, seq, hash| End { whose, seq, hash };
        let organization = Whose::Organization(Uuid::from_u128(7).into());
        let ends = [
            end(Whose::Platform, 3, Some(vec![1; 32])),
            end(organization, 0, None),
            end(organization, 9, Some(vec![2; 32])),
        ];
        Checkpoint::of(&ends, Moment::from_millis(1_000), None)
    }

    #[test]
    fn what_is_signed_is_read_again_and_says_what_it_vouches_for() {
        let line = checkpoint().sign(&keys("k")).expect("a line");

        let read = Checkpoint::read(&line, &keys("k")).expect("ours");

        assert_eq!(read, checkpoint());
        let marks = marks(&[read]);
        assert_eq!(marks.len(), 2);
        let of_platform = marks.get(&Whose::Platform).and_then(|marks| marks.get(&3));
        assert!(of_platform.is_some_and(|seen| seen.contains(&Some(vec![1; 32]))));
    }

    #[test]
    fn a_changed_letter_another_key_or_another_algorithm_is_refused() {
        let line = checkpoint().sign(&keys("k")).expect("a line");

        assert_eq!(Checkpoint::read(&line, &keys("x")), Err(NotOurs::OtherKey));
        assert_eq!(Checkpoint::read("", &keys("k")), Err(NotOurs::Unreadable));
        let (head, _) = line.rsplit_once('.').expect("three parts");
        let unsigned = format!("{head}.");
        assert_eq!(
            Checkpoint::read(&unsigned, &keys("k")),
            Err(NotOurs::Forged)
        );
        let mut later = checkpoint();
        later.at_ms += 1;
        let other = later.sign(&keys("k")).expect("a line");
        let (_, body) = other.split_once('.').expect("three parts");
        let (body, _) = body.split_once('.').expect("three parts");
        let (header, rest) = line.split_once('.').expect("three parts");
        let (_, signature) = rest.split_once('.').expect("three parts");
        let forged = format!("{header}.{body}.{signature}");
        assert_eq!(Checkpoint::read(&forged, &keys("k")), Err(NotOurs::Forged));
        let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","kid":"x","typ":"synaxis-checkpoint"}"#);
        let unsigned = format!("{none}.{body}.");
        assert_eq!(
            Checkpoint::read(&unsigned, &keys("k")),
            Err(NotOurs::Unreadable)
        );
    }
}
