//! Seals secrets before they are stored, and opens them in memory.
//!
//! Each secret is sealed under a key of its own (XChaCha20-Poly1305), which is wrapped by the sealing key. Both are
//! bound to their table, row, owner and column, and to whom the secret may be shown: a ciphertext that was moved
//! elsewhere, or whose audience has changed, does not open.

use std::fmt;

use chacha20poly1305::{
    Key, XChaCha20Poly1305, XNonce,
    aead::{Aead, Generate, KeyInit, Payload},
};
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::base::{OrganizationId, Secret};

/// The fewest bytes of a sealing key.
pub const FEWEST_BYTES: usize = 32;
/// How many bytes stand before each ciphertext.
const NONCE_BYTES: usize = 24;
/// Stands for the sealing key where a secret is bound to its place only, so that it outlives the key around its own.
const ANY_KEY: &str = "";

/// The sealing keys of one installation: one that seals, and all that still open.
pub struct Vault {
    current: SealingKey,
    previous: Vec<SealingKey>,
}

struct SealingKey {
    id: String,
    digests: Hmac<Sha256>,
    cipher: XChaCha20Poly1305,
}

/// Where a sealed value lives; it opens nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The table, with its schema.
    pub table: &'a str,
    /// The row.
    pub row: Uuid,
    /// Whose row; `None` is the platform's.
    pub organization: Option<OrganizationId>,
    /// The column.
    pub column: &'a str,
    /// Whom the secret may be shown to: an origin such as `https://api.example.com`, or nothing.
    pub audience: &'a str,
}

/// A secret at rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Names the sealing key, without telling anything of it.
    pub sealing_key_id: String,
    /// The secret's own key, wrapped.
    pub sealed_key: Vec<u8>,
    /// The secret.
    pub sealed_secret: Vec<u8>,
}

/// The sealing key can be guessed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the sealing key is shorter than {FEWEST_BYTES} bytes")]
pub struct KeyTooShort;

/// A sealed value does not open.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NotOpened {
    /// It was sealed with a key this process was not given.
    #[error("sealed with the key {0}, which is not configured")]
    OtherKey(String),
    /// It was changed, or moved from where it was sealed.
    #[error("the sealed value was changed or moved")]
    Broken,
}

/// The random source of the machine failed, or the value is too long.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the value cannot be sealed")]
pub struct NotSealed;

/// A sealed value could not be sealed under another key.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NotRewrapped {
    /// It does not open.
    #[error(transparent)]
    NotOpened(#[from] NotOpened),
    /// It could not be sealed.
    #[error(transparent)]
    NotSealed(#[from] NotSealed),
}

impl Vault {
    /// Makes a vault that seals with `sealing_key`: any text of at least 32 bytes, best made by
    /// `openssl rand -base64 48`. White space around it does not count.
    ///
    /// # Errors
    /// The text is shorter.
    pub fn new(sealing_key: &Secret) -> Result<Self, KeyTooShort> {
        Ok(Self {
            current: SealingKey::of(sealing_key)?,
            previous: Vec::new(),
        })
    }

    /// Lets the vault also open what was sealed with an earlier key.
    ///
    /// # Errors
    /// The text is shorter than 32 bytes.
    pub fn also_opening(mut self, earlier: &Secret) -> Result<Self, KeyTooShort> {
        self.previous.push(SealingKey::of(earlier)?);
        Ok(self)
    }

    /// Returns the name of the key that seals.
    #[must_use]
    pub fn sealing_key_id(&self) -> &str {
        &self.current.id
    }

    /// Says whether what the key of this name sealed opens here.
    #[must_use]
    pub fn opens(&self, sealing_key_id: &str) -> bool {
        let mut keys = std::iter::once(&self.current).chain(&self.previous);
        keys.any(|key| key.id == sealing_key_id)
    }

    /// Returns a digest of `parts` that nobody makes without the sealing key. `label` keeps purposes apart.
    #[must_use]
    pub fn digest(&self, label: &str, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = self.current.digests.clone();
        for part in std::iter::once(&label.as_bytes()).chain(parts) {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }

    /// Seals `plaintext` for one place.
    ///
    /// # Errors
    /// The machine gives no random bytes.
    pub fn seal(&self, plaintext: &Secret, place: Place<'_>) -> Result<Sealed, NotSealed> {
        let mut own_key = Key::try_generate().map_err(|_| NotSealed)?;
        let own = XChaCha20Poly1305::new(&own_key);
        let secret = place.bound_to(ANY_KEY, "secret");
        let key = place.bound_to(&self.current.id, "key");
        let sealed_secret = encrypt(&own, plaintext.expose().as_bytes(), &secret)?;
        let sealed_key = encrypt(&self.current.cipher, &own_key, &key);
        zeroize::Zeroize::zeroize(own_key.as_mut_slice());
        Ok(Sealed {
            sealing_key_id: self.current.id.clone(),
            sealed_key: sealed_key?,
            sealed_secret,
        })
    }

    /// Opens what was sealed for `place`.
    ///
    /// # Errors
    /// It was sealed elsewhere, with a key that is not here, or was changed.
    pub fn open(&self, sealed: &Sealed, place: Place<'_>) -> Result<Secret, NotOpened> {
        let own_key = self.own_key(sealed, place)?;
        let own = XChaCha20Poly1305::new_from_slice(&own_key).map_err(|_| NotOpened::Broken)?;
        let mut plaintext = decrypt(
            &own,
            &sealed.sealed_secret,
            &place.bound_to(ANY_KEY, "secret"),
        )
        .or_else(|_| {
            let first_form = place.bound_to(&sealed.sealing_key_id, "secret");
            decrypt(&own, &sealed.sealed_secret, &first_form)
        })?;
        let text = String::from_utf8(std::mem::take(&mut *plaintext));
        text.map(Secret::new).map_err(|_| NotOpened::Broken)
    }

    /// Wraps the own key of a sealed value with the key that seals now; the secret stays as it is sealed.
    ///
    /// # Errors
    /// It does not open, or the machine gives no random bytes.
    pub fn rewrap(&self, sealed: &Sealed, place: Place<'_>) -> Result<Sealed, NotRewrapped> {
        let own_key = self.own_key(sealed, place)?;
        let own = XChaCha20Poly1305::new_from_slice(&own_key).map_err(|_| NotOpened::Broken)?;
        let bound = place.bound_to(ANY_KEY, "secret");
        let sealed_secret = match decrypt(&own, &sealed.sealed_secret, &bound) {
            Ok(_) => sealed.sealed_secret.clone(),
            // The first form bound the secret to the sealing key too, which must not be needed any more.
            Err(_) => {
                let plaintext = self.open(sealed, place)?;
                encrypt(&own, plaintext.expose().as_bytes(), &bound)?
            }
        };
        let key = place.bound_to(&self.current.id, "key");
        Ok(Sealed {
            sealing_key_id: self.current.id.clone(),
            sealed_key: encrypt(&self.current.cipher, &own_key, &key)?,
            sealed_secret,
        })
    }

    fn own_key(&self, sealed: &Sealed, place: Place<'_>) -> Result<Zeroizing<Vec<u8>>, NotOpened> {
        let mut keys = std::iter::once(&self.current).chain(&self.previous);
        let id = &sealed.sealing_key_id;
        let sealing = keys
            .find(|key| key.id == *id)
            .ok_or_else(|| NotOpened::OtherKey(id.clone()))?;
        let bound = place.bound_to(id, "key");
        decrypt(&sealing.cipher, &sealed.sealed_key, &bound)
    }
}

impl SealingKey {
    fn of(text: &Secret) -> Result<Self, KeyTooShort> {
        let text = text.expose().trim();
        if text.len() < FEWEST_BYTES {
            return Err(KeyTooShort);
        }
        let key = digest(&[b"synaxis sealing key", text.as_bytes()]);
        let name = digest(&[b"synaxis sealing key id", &*key]);
        let id = name.iter().take(8).map(|byte| format!("{byte:02x}"));
        let digests = digest(&[b"synaxis digest key", text.as_bytes()]);
        let mut block = Zeroizing::new([0; 64]);
        let (first, _) = block.split_at_mut(digests.len());
        first.copy_from_slice(&*digests);
        Ok(Self {
            id: id.collect(),
            digests: Hmac::new((&*block).into()),
            cipher: XChaCha20Poly1305::new(&Key::from(*key)),
        })
    }
}

impl Place<'_> {
    /// Spells the place out unambiguously: every part with its length before it.
    fn bound_to(&self, sealing_key_id: &str, what: &str) -> Vec<u8> {
        let organization = self.organization.map(OrganizationId::uuid);
        let organization = organization.as_ref().map_or(&[][..], |id| id.as_bytes());
        let parts = [
            b"synaxis v1",
            self.table.as_bytes(),
            self.row.as_bytes(),
            organization,
            self.column.as_bytes(),
            self.audience.as_bytes(),
            sealing_key_id.as_bytes(),
            what.as_bytes(),
        ];
        let spell = |part: &&[u8]| [&(part.len() as u64).to_le_bytes()[..], part].concat();
        parts.iter().flat_map(spell).collect()
    }
}

fn digest(parts: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    let hasher = parts.iter().fold(Sha256::new(), |hasher, part| {
        hasher
            .chain_update((part.len() as u64).to_le_bytes())
            .chain_update(part)
    });
    Zeroizing::new(hasher.finalize().into())
}

fn encrypt(cipher: &XChaCha20Poly1305, msg: &[u8], aad: &[u8]) -> Result<Vec<u8>, NotSealed> {
    let nonce = XNonce::try_generate().map_err(|_| NotSealed)?;
    let payload = Payload { msg, aad };
    let ciphertext = cipher.encrypt(&nonce, payload).map_err(|_| NotSealed)?;
    Ok([nonce.as_slice(), &ciphertext].concat())
}

fn decrypt(
    cipher: &XChaCha20Poly1305,
    sealed: &[u8],
    aad: &[u8],
) -> Result<Zeroizing<Vec<u8>>, NotOpened> {
    let (nonce, msg) = sealed
        .split_at_checked(NONCE_BYTES)
        .ok_or(NotOpened::Broken)?;
    let nonce = XNonce::try_from(nonce).map_err(|_| NotOpened::Broken)?;
    let plaintext = cipher.decrypt(&nonce, Payload { msg, aad });
    plaintext.map(Zeroizing::new).map_err(|_| NotOpened::Broken)
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vault({})", self.current.id)
    }
}

#[cfg(test)]
mod tests;
