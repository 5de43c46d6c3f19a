//! Passwords of people: what is good enough, the hash that is kept, and the check against it.

use argon2::{
    Algorithm, Argon2, Params, PasswordHash, PasswordHasher, PasswordVerifier, Version,
    password_hash,
};
use rand::RngExt;

use super::common;
use crate::base::Secret;

/// The shortest password, in characters, where no organization says otherwise.
pub const SHORTEST: usize = 15;
/// The longest, in bytes: hashing is work anybody may ask for.
pub const LONGEST: usize = 1_024;
/// Memory in KiB, passes and lanes: the least OWASP accepts, 22 ms and 19 MiB each.
const COST: (u32, u32, u32) = (19_456, 2, 1);
/// What nobody's password hashes to, at today's cost: checked where there is no hash to check.
const NOBODYS: &str = "$argon2id$v=19$m=19456,t=2,p=1$b3RoaW5nIHRvIHNlZSE$M2kTbYV0pTtnGo5GsTkGgqFpQ6WB4BnVfYHoQn1bT1I";

/// Why a password cannot be kept.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PasswordRefused {
    /// It can be guessed.
    #[error("the password has fewer than {shortest} characters")]
    TooShort {
        /// The fewest it may have.
        shortest: usize,
    },
    /// It is no password.
    #[error("the password has more than {LONGEST} bytes")]
    TooLong,
    /// Guessers try it first.
    #[error("the password is among those that guessers try first")]
    Common,
    /// It was the person's password before.
    #[error("the password was used before")]
    Used,
    /// Hashing failed.
    #[error("the password could not be hashed")]
    NotHashed,
}

/// Says whether a password is good enough for somebody with this address.
///
/// # Errors
/// It is too short, too long, or what guessers try first.
pub fn judge(password: &Secret, shortest: usize, email: &str) -> Result<(), PasswordRefused> {
    let text = password.expose();
    if text.chars().count() < shortest {
        return Err(PasswordRefused::TooShort { shortest });
    }
    if LONGEST < text.len() {
        return Err(PasswordRefused::TooLong);
    }
    if common::is_common(text, email) {
        return Err(PasswordRefused::Common);
    }
    Ok(())
}

/// Judges by the usual rules and returns the Argon2id hash to keep.
///
/// Takes tens of milliseconds: not for a thread that serves others.
///
/// # Errors
/// When the password is not good enough.
pub fn hash(password: &Secret) -> Result<Secret, PasswordRefused> {
    judge(password, SHORTEST, "")?;
    hash_unjudged(password)
}

/// Returns the Argon2id hash to keep of a password that was judged. Takes as long as [`hash`].
///
/// # Errors
/// When hashing fails, which it does not.
pub fn hash_unjudged(password: &Secret) -> Result<Secret, PasswordRefused> {
    let salt = rand::rng().random::<[u8; 16]>();
    let hashed: Result<PasswordHash, password_hash::Error> = hasher()
        .and_then(|hasher| hasher.hash_password_with_salt(password.expose().as_bytes(), &salt));
    let hashed = hashed.map_err(|_| PasswordRefused::NotHashed)?;
    Ok(Secret::new(hashed.to_string()))
}

/// Says whether `password` is the one behind `kept`. Without one it takes as long and says no.
#[must_use]
pub fn verify(password: &Secret, kept: Option<&Secret>) -> bool {
    let text = kept.map_or(NOBODYS, Secret::expose);
    let Ok(parsed) = PasswordHash::new(text) else {
        return false;
    };
    let given = password.expose().as_bytes();
    let is_right = given.len() <= LONGEST && {
        let checked: Result<(), password_hash::Error> =
            Argon2::default().verify_password(given, &parsed);
        checked.is_ok()
    };
    is_right && kept.is_some()
}

/// Says whether `kept` was made at a lower cost than is asked for today.
#[must_use]
pub fn is_outdated(kept: &Secret) -> bool {
    let params = PasswordHash::new(kept.expose())
        .ok()
        .and_then(|hash| Params::try_from(&hash).ok());
    let (memory, passes, _) = COST;
    params.is_none_or(|params| params.m_cost() < memory || params.t_cost() < passes)
}

fn hasher() -> Result<Argon2<'static>, password_hash::Error> {
    let (memory, passes, lanes) = COST;
    let params = Params::new(memory, passes, lanes, None)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }

    #[test]
    fn a_hash_proves_its_password_and_no_other() {
        let kept = hash(&secret("correct horse battery")).expect("it is long enough");

        assert!(verify(&secret("correct horse battery"), Some(&kept)));
        assert!(!verify(&secret("correct horse batterz"), Some(&kept)));
        assert!(kept.expose().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(!is_outdated(&kept));
    }

    #[test]
    fn nobodys_password_takes_as_long_to_check() {
        let kept = hash(&secret("correct horse battery")).unwrap();
        let time = |kept: Option<&Secret>| {
            let began = Instant::now();
            assert!(!verify(&secret("wrong horse battery"), kept));
            began.elapsed()
        };

        let (known, unknown) = (time(Some(&kept)), time(None));

        assert!(
            known < unknown * 4 && unknown < known * 4,
            "{known:?} {unknown:?}"
        );
    }

    #[test]
    fn a_hash_of_a_lower_cost_is_outdated() {
        let params = Params::new(8_192, 1, 1, None).unwrap();
        let cheap: PasswordHash = Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_with_salt(b"correct horse battery", b"0123456789abcdef")
            .unwrap();
        let cheap = Secret::new(cheap.to_string());

        assert!(is_outdated(&cheap));
        assert!(verify(&secret("correct horse battery"), Some(&cheap)));
    }

    #[test]
    fn a_short_long_or_common_password_is_refused() {
        let refusal = |text: &str| judge(&secret(text), SHORTEST, "ada@example.com").err();

        let shortest = SHORTEST;
        assert_eq!(
            refusal("hunter2"),
            Some(PasswordRefused::TooShort { shortest })
        );
        assert_eq!(refusal(&"xk4%".repeat(300)), Some(PasswordRefused::TooLong));
        assert_eq!(refusal("passwordpassword"), Some(PasswordRefused::Common));
        assert_eq!(refusal("correct horse battery"), None);
    }
}
