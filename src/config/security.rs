//! The keys that seal and sign, and which secrets are too weak to stand.

use serde::Deserialize;

use crate::{
    base::{Fault, Secret},
    store::seal::{KeyTooShort, Vault},
};

/// The keys that seal and sign.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Security {
    /// Seals provider credentials before they are stored.
    pub sealing_key: Secret,
    /// Earlier sealing keys: what they seal still opens and is sealed anew by the sidecar; what they chained in the
    /// audit log is still believed.
    pub previous_sealing_keys: Vec<Secret>,
    /// Seals the keys that sign the sidecar's tokens; the sealing key does when absent.
    pub jwt_key: Option<Secret>,
}

/// The fewest bytes of a secret that cannot be guessed.
const FEWEST_BYTES: usize = 32;
/// The fewest different bytes of a text that was drawn at random.
const FEWEST_DIFFERENT_BYTES: usize = 8;
/// Where a new secret comes from.
const MAKE_ONE: &str = "make one with `openssl rand -base64 48`";

/// What guessers try first, and what examples leave behind.
const WELL_KNOWN: &[&str] = &[
    "admin",
    "changeme",
    "change-me",
    "change_me",
    "default",
    "example",
    "insecure",
    "password",
    "passw0rd",
    "postgres",
    "redis",
    "secret",
    "synaxis",
    "test",
    "your-",
    "12345678",
    "00000000",
    "deadbeef",
    "0123456789abcdef",
    "abcdefghijklmnop",
];

impl Security {
    /// Returns the faults of the keys among each other, whatever the installation.
    #[must_use]
    pub fn validate(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let current = self.sealing_key.expose().trim();
        for (place, key) in self.previous_sealing_keys.iter().enumerate() {
            let text = key.expose().trim();
            let path = format!("previous_sealing_keys[{place}]");
            if text.len() < FEWEST_BYTES {
                let what =
                    format!("is shorter than {FEWEST_BYTES} bytes, so it never sealed anything");
                faults.push(Fault::new(
                    path,
                    what,
                    "give the earlier key as it was, or take it out",
                ));
            } else if text == current {
                faults.push(Fault::new(path, "is the sealing key itself", "take it out"));
            }
        }
        faults
    }

    /// Opens the vault: it seals with the sealing key and still opens what earlier ones sealed.
    ///
    /// # Errors
    /// A key is shorter than 32 bytes.
    pub fn vault(&self) -> Result<Vault, KeyTooShort> {
        let vault = Vault::new(&self.sealing_key)?;
        let mut previous = self.previous_sealing_keys.iter();
        previous.try_fold(vault, Vault::also_opening)
    }

    /// Returns the faults that no installation but a developer's may have.
    #[must_use]
    pub fn weaknesses(&self) -> Vec<Fault> {
        let sealing = match self.sealing_key.is_empty() {
            true => Some(Fault::new("sealing_key", "is not set", MAKE_ONE)),
            false => weakness("sealing_key", &self.sealing_key),
        };
        let signing = self
            .jwt_key
            .as_ref()
            .and_then(|key| weakness("jwt_key", key));
        sealing.into_iter().chain(signing).collect()
    }
}

/// Returns what makes `secret` guessable.
fn weakness(path: &str, secret: &Secret) -> Option<Fault> {
    let text = secret.expose();
    let what = if text.len() < FEWEST_BYTES {
        format!("is shorter than {FEWEST_BYTES} bytes")
    } else if is_well_known(text) {
        "is well known or repeats itself".to_owned()
    } else {
        return None;
    };
    Some(Fault::new(path, what, MAKE_ONE))
}

/// Says whether a guesser would try `text`, alone or repeated.
#[must_use]
pub fn is_well_known(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let mut different: Vec<u8> = text.bytes().collect();
    different.sort_unstable();
    different.dedup();
    let is_mostly_known = WELL_KNOWN.iter().any(|known| {
        let rest = text.replace(known, "");
        rest.len() * 2 <= text.len()
    });
    is_mostly_known || (FEWEST_BYTES <= text.len() && different.len() < FEWEST_DIFFERENT_BYTES)
}

#[cfg(test)]
mod tests {
    use super::{Security, is_well_known};
    use crate::base::Secret;

    #[test]
    fn a_guessable_sealing_key_is_a_weakness() {
        let whats = |key: &str| {
            let security = Security {
                sealing_key: Secret::new(key.to_owned()),
                ..Security::default()
            };
            let faults = security.weaknesses();
            faults.first().map(|fault| fault.what.clone())
        };

        assert_eq!(whats("").as_deref(), Some("is not set"));
        assert_eq!(whats("short").as_deref(), Some("is shorter than 32 bytes"));
        assert_eq!(
            whats("changemechangemechangemechangeme").as_deref(),
            Some("is well known or repeats itself")
        );
        assert_eq!(
            whats("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa").as_deref(),
            Some("is well known or repeats itself")
        );
        assert_eq!(whats("k2V9bq0yGdRr8mXnT4sLwZ7uPfHcJ1aEoQ5iB3tN6vY"), None);
    }

    #[test]
    fn an_earlier_key_is_as_long_as_a_key_and_another_one() {
        let now = "k2V9bq0yGdRr8mXnT4sLwZ7uPfHcJ1aEoQ5iB3tN6vY";
        let earlier = "Zx8wQ1nB5vC2mK7jH4gF9dS3aP6oI0uYtReWqLkJhGf";
        let security = |previous: &[&str]| Security {
            sealing_key: Secret::new(now.to_owned()),
            previous_sealing_keys: previous
                .iter()
                .map(|key| Secret::new((*key).to_owned()))
                .collect(),
            ..Security::default()
        };

        assert_eq!(security(&[earlier]).validate(), []);
        assert_eq!(security(&["short", now]).validate().len(), 2);
        assert!(security(&[earlier]).vault().is_ok());
        assert!(security(&["short"]).vault().is_err());
    }

    #[test]
    fn a_random_text_is_not_well_known() {
        assert!(is_well_known("postgres"));
        assert!(is_well_known("Password"));
        assert!(!is_well_known("b7qk20xw"));
    }
}
