//! The keys that sign: one at a time; those before it still verify, the next is published before it signs.

use std::{fmt, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::{SigningKey as Ed25519, pkcs8::EncodePrivateKey};
use jsonwebtoken::{DecodingKey, EncodingKey};
use serde::Serialize;

use super::token::{LEEWAY_S, LONGEST};
use crate::{
    base::{Moment, Secret, SigningKeyId},
    store::{
        Vault,
        seal::{NotSealed, Place, Sealed},
    },
};

/// How long a key is published before it signs: longer than anybody keeps an old key set.
pub const LEAD: Duration = Duration::from_secs(300);
/// How long a key verifies after it signed last: the longest token, and what clocks may differ.
pub const TAIL: Duration = Duration::from_secs(LONGEST.as_secs() + LEEWAY_S + 60);

/// A key as the books keep it.
#[derive(Clone, Debug)]
pub struct KeptKey {
    /// Its id: the `kid` of its tokens.
    pub id: SigningKeyId,
    /// What others verify with.
    pub public_key: [u8; 32],
    /// What signs, sealed.
    pub sealed: Sealed,
    /// When it begins to sign.
    pub signs_from: Moment,
    /// When it stops to verify.
    pub retires_at: Option<Moment>,
    /// When it was made.
    pub created_at: Moment,
}

impl KeptKey {
    /// Makes a key that signs from `signs_from` on.
    ///
    /// # Errors
    /// When it cannot be sealed.
    pub fn make(vault: &Vault, now: Moment, signs_from: Moment) -> Result<Self, NotSealed> {
        let seed = zeroize::Zeroizing::new(rand::random::<[u8; 32]>());
        let id = SigningKeyId::new(now);
        let text = Secret::new(URL_SAFE_NO_PAD.encode(*seed));
        Ok(Self {
            id,
            public_key: Ed25519::from_bytes(&seed).verifying_key().to_bytes(),
            sealed: vault.seal(&text, place(id))?,
            signs_from,
            retires_at: None,
            created_at: now,
        })
    }
}

/// Returns where the private part of a signing key is sealed.
#[must_use]
pub fn place(id: SigningKeyId) -> Place<'static> {
    Place {
        table: "platform.signing_keys",
        row: id.uuid(),
        organization: None,
        column: "sealed_secret",
        audience: "",
    }
}

/// A key in memory.
pub(super) struct Key {
    pub(super) id: SigningKeyId,
    /// Absent when this process cannot open it: then it only verifies.
    pub(super) encoding: Option<EncodingKey>,
    pub(super) decoding: DecodingKey,
    public_key: [u8; 32],
    signs_from: Moment,
    retires_at: Option<Moment>,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.id)
    }
}

/// All keys that are not retired.
#[derive(Debug, Default)]
pub(super) struct Ring {
    keys: Vec<Key>,
}

impl Ring {
    pub(super) fn of(kept: Vec<KeptKey>, vault: &Vault) -> Self {
        let keys = kept.into_iter().map(|key| Key {
            id: key.id,
            encoding: open(&key, vault),
            decoding: DecodingKey::from_ed_der(&key.public_key),
            public_key: key.public_key,
            signs_from: key.signs_from,
            retires_at: key.retires_at,
        });
        Self {
            keys: keys.collect(),
        }
    }

    /// Returns the youngest key that may sign at `now`.
    pub(super) fn signing(&self, now: Moment) -> Option<&Key> {
        let able = self
            .keys
            .iter()
            .filter(|key| key.encoding.is_some() && key.signs_from <= now && key.is_live(now));
        able.max_by_key(|key| (key.signs_from, key.id))
    }

    pub(super) fn verifying(&self, id: SigningKeyId, now: Moment) -> Option<&Key> {
        self.keys
            .iter()
            .find(|key| key.id == id && key.is_live(now))
    }

    pub(super) fn published(&self, now: Moment) -> Vec<Jwk> {
        let live = self.keys.iter().filter(|key| key.is_live(now));
        live.map(Jwk::of).collect()
    }
}

impl Key {
    fn is_live(&self, now: Moment) -> bool {
        self.retires_at.is_none_or(|retires_at| now < retires_at)
    }
}

fn open(key: &KeptKey, vault: &Vault) -> Option<EncodingKey> {
    let opened = vault.open(&key.sealed, place(key.id));
    let opened = opened.inspect_err(|error| {
        tracing::warn!(key = %key.id, %error, "a signing key cannot be opened and only verifies");
    });
    let seed = URL_SAFE_NO_PAD.decode(opened.ok()?.expose()).ok()?;
    let seed = zeroize::Zeroizing::new(<[u8; 32]>::try_from(seed).ok()?);
    let der = Ed25519::from_bytes(&seed).to_pkcs8_der().ok()?;
    Some(EncodingKey::from_ed_der(der.as_bytes()))
}

/// A public key as it is published (RFC 7517, RFC 8037).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Jwk {
    /// Always `OKP`.
    pub kty: &'static str,
    /// Always `Ed25519`.
    pub crv: &'static str,
    /// Always `EdDSA`.
    pub alg: &'static str,
    /// Always `sig`.
    #[serde(rename = "use")]
    pub usage: &'static str,
    /// The key's id, as tokens name it.
    pub kid: String,
    /// The key.
    pub x: String,
}

impl Jwk {
    fn of(key: &Key) -> Self {
        Self {
            kty: "OKP",
            crv: "Ed25519",
            alg: "EdDSA",
            usage: "sig",
            kid: key.id.to_string(),
            x: URL_SAFE_NO_PAD.encode(key.public_key),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault() -> Vault {
        Vault::new(&Secret::new("k2V9bq0yGdRr8mXnT4sLwZ7uPfHcJ1aE".to_owned())).unwrap()
    }

    fn at(seconds: i64) -> Moment {
        Moment::from_millis(seconds * 1_000)
    }

    #[test]
    fn the_next_key_is_published_before_it_signs_and_the_last_verifies_after() {
        let old = KeptKey::make(&vault(), at(0), at(0)).unwrap();
        let next = KeptKey::make(&vault(), at(1_000), at(1_300)).unwrap();
        let (old_id, next_id) = (old.id, next.id);
        let old = KeptKey {
            retires_at: Some(at(5_000)),
            ..old
        };
        let ring = Ring::of(vec![old, next], &vault());
        let signing = |seconds| ring.signing(at(seconds)).map(|key| key.id);

        assert_eq!(signing(1_200), Some(old_id));
        assert_eq!(ring.published(at(1_200)).len(), 2);
        assert_eq!(signing(1_300), Some(next_id));
        assert!(ring.verifying(old_id, at(4_999)).is_some());
        assert!(ring.verifying(old_id, at(5_000)).is_none());
        assert_eq!(ring.published(at(5_000)).len(), 1);
    }

    #[test]
    fn a_key_sealed_with_another_secret_does_not_sign() {
        let key = KeptKey::make(&vault(), at(0), at(0)).unwrap();
        let other =
            Vault::new(&Secret::new("another-sealing-key-of-32-bytes!".to_owned())).unwrap();

        let ring = Ring::of(vec![key], &other);

        assert!(ring.signing(at(1)).is_none());
        assert_eq!(ring.published(at(1)).len(), 1);
    }
}
