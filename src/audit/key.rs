//! The keys of the audit log, drawn from the sealing key: they live in processes, never in Postgres.
//!
//! A process is given them once, at its start: it writes to one installation's log only, and a change that had to be
//! handed the key could also be made without it.

use std::{fmt, sync::OnceLock};

use ed25519_dalek::SigningKey;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::base::Secret;

/// What the hash of a row, of a beginning and of a checkpoint's key are each made with.
type Hash = Hmac<Sha256>;

/// The fewest bytes of a sealing key.
const FEWEST_BYTES: usize = 32;
/// How many bytes of a key's digest name it.
const ID_BYTES: usize = 8;

/// The keys of this process.
static KEYS: OnceLock<AuditKeys> = OnceLock::new();

/// The sealing key can be guessed, so nothing can be chained with it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("security.sealing_key is shorter than {FEWEST_BYTES} bytes")]
pub struct SealingKeyTooShort;

/// The keys of one installation's audit log: one that writes, and all that are still believed.
#[derive(Clone)]
pub struct AuditKeys {
    current: Key,
    earlier: Vec<Key>,
}

/// What is drawn from one sealing key.
#[derive(Clone)]
pub(super) struct Key {
    id: String,
    chain: Hash,
    signing: SigningKey,
}

impl AuditKeys {
    /// Draws the keys from the sealing key. White space around it does not count.
    ///
    /// # Errors
    /// When it is shorter than 32 bytes.
    pub fn new(sealing_key: &Secret) -> Result<Self, SealingKeyTooShort> {
        Ok(Self {
            current: Key::of(sealing_key)?,
            earlier: Vec::new(),
        })
    }

    /// Also believes what was written with an earlier sealing key.
    ///
    /// # Errors
    /// When it is shorter than 32 bytes.
    pub fn also_believing(mut self, earlier: &Secret) -> Result<Self, SealingKeyTooShort> {
        self.earlier.push(Key::of(earlier)?);
        Ok(self)
    }

    /// Gives this process its keys; later ones are not taken.
    pub fn install(self) {
        let _was_installed_before = KEYS.set(self);
    }

    /// Returns the keys of this process.
    #[must_use]
    pub fn installed() -> Option<&'static Self> {
        KEYS.get()
    }

    /// Returns the key that writes.
    pub(super) const fn current(&self) -> &Key {
        &self.current
    }

    /// Finds the key with this name.
    pub(super) fn find(&self, id: &str) -> Option<&Key> {
        self.all().find(|key| key.id == id)
    }

    /// Goes through every key that is believed.
    pub(super) fn all(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.current).chain(&self.earlier)
    }
}

impl fmt::Debug for AuditKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AuditKeys({}, …)", self.current.id)
    }
}

impl Key {
    fn of(sealing_key: &Secret) -> Result<Self, SealingKeyTooShort> {
        let text = sealing_key.expose().trim();
        if text.len() < FEWEST_BYTES {
            return Err(SealingKeyTooShort);
        }
        let chain = drawn(text, "chain")?;
        let signing = drawn(text, "checkpoint")?;
        let name = drawn(text, "name")?;
        Ok(Self {
            id: hex(name.get(..ID_BYTES).unwrap_or_default()),
            chain: Hash::new_from_slice(&*chain).map_err(|_| SealingKeyTooShort)?,
            signing: SigningKey::from_bytes(&signing),
        })
    }

    /// Returns the key's name, which tells nothing of it.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Begins a hash.
    pub(super) fn hash(&self) -> Hash {
        self.chain.clone()
    }

    /// Returns what signs checkpoints.
    pub(super) const fn signing(&self) -> &SigningKey {
        &self.signing
    }
}

/// Draws one of several independent keys from the sealing key.
fn drawn(sealing_key: &str, purpose: &str) -> Result<Zeroizing<[u8; 32]>, SealingKeyTooShort> {
    let mut hash = Hash::new_from_slice(sealing_key.as_bytes()).map_err(|_| SealingKeyTooShort)?;
    hash.update(b"synaxis audit 1 ");
    hash.update(purpose.as_bytes());
    Ok(Zeroizing::new(hash.finalize().into_bytes().into()))
}

/// Writes bytes as hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::AuditKeys;
    use crate::base::Secret;

    fn keys(text: &str) -> AuditKeys {
        AuditKeys::new(&Secret::new(text.to_owned())).expect("long enough")
    }

    #[test]
    fn keys_are_drawn_from_the_sealing_key_and_each_for_one_purpose() {
        let sealing = "k2V9bq0yGdRr8mXnT4sLwZ7uPfHcJ1aE";
        let (one, same, other) = (
            keys(sealing),
            keys(&format!(" {sealing}\n")),
            keys(&"x".repeat(32)),
        );

        assert_eq!(one.current().id(), same.current().id());
        assert_ne!(one.current().id(), other.current().id());
        assert_eq!(one.current().signing(), same.current().signing());
        assert!(!format!("{one:?}").contains(sealing));
        assert!(AuditKeys::new(&Secret::new("short".to_owned())).is_err());
    }

    #[test]
    fn an_earlier_key_is_still_found() {
        let (old, new) = ("o".repeat(32), "n".repeat(32));
        let both = keys(&new)
            .also_believing(&Secret::new(old.clone()))
            .expect("long enough");

        assert!(both.find(keys(&old).current().id()).is_some());
        assert_eq!(both.current().id(), keys(&new).current().id());
        assert!(both.find("0000000000000000").is_none());
    }
}
