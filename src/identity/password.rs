//! Passwords of people: what is long enough, and the hash that is kept.

use argon2::{
    Algorithm, Argon2, Params, PasswordHasher, Version,
    password_hash::{Error as HashError, SaltString},
};
use rand::RngExt;

use crate::base::Secret;

/// The shortest password, in characters.
const SHORTEST: usize = 15;
/// The longest, in bytes: hashing is work anybody may ask for.
const LONGEST: usize = 1_024;
/// Memory in KiB, passes and lanes: the least OWASP accepts, 22 ms and 19 MiB each.
const COST: (u32, u32, u32) = (19_456, 2, 1);

/// Why a password cannot be kept.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PasswordRefused {
    /// It can be guessed.
    #[error("the password has fewer than {SHORTEST} characters")]
    TooShort,
    /// It is no password.
    #[error("the password has more than {LONGEST} bytes")]
    TooLong,
    /// Hashing failed.
    #[error("the password could not be hashed")]
    NotHashed(#[source] HashError),
}

/// Returns the Argon2id hash to keep. Takes tens of milliseconds: not for a thread that serves others.
///
/// # Errors
/// When the password is too short or too long.
pub fn hash(password: &Secret) -> Result<Secret, PasswordRefused> {
    let text = password.expose();
    if text.chars().count() < SHORTEST {
        return Err(PasswordRefused::TooShort);
    }
    if text.len() > LONGEST {
        return Err(PasswordRefused::TooLong);
    }
    let salt = SaltString::encode_b64(&rand::rng().random::<[u8; 16]>());
    let hashed = salt.and_then(|salt| {
        let hasher = hasher()?;
        let hash = hasher.hash_password(text.as_bytes(), &salt)?;
        Ok(hash.to_string())
    });
    hashed.map(Secret::new).map_err(PasswordRefused::NotHashed)
}

fn hasher() -> Result<Argon2<'static>, HashError> {
    let (memory, passes, lanes) = COST;
    let params = Params::new(memory, passes, lanes, None)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

#[cfg(test)]
mod tests {
    use argon2::{PasswordHash, PasswordVerifier};

    use super::*;

    #[test]
    fn a_hash_proves_its_password_and_no_other() {
        let password = Secret::new("correct horse battery".to_owned());

        let kept = hash(&password).expect("it is long enough");

        let parsed = PasswordHash::new(kept.expose()).expect("PHC text");
        let verify = |text: &str| Argon2::default().verify_password(text.as_bytes(), &parsed);
        assert!(verify("correct horse battery").is_ok());
        assert!(verify("correct horse batterz").is_err());
        assert!(kept.expose().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
    }

    #[test]
    fn a_short_password_is_refused() {
        let short = Secret::new("hunter2".to_owned());

        assert_eq!(hash(&short).err(), Some(PasswordRefused::TooShort));
    }
}
