//! The second factor: codes of six digits from an app (RFC 6238), and recovery codes for when the phone is gone.

use totp_rs::{Builder, Secret as Seed, Totp};

use super::opaque::{self, Hash};
use crate::base::{Moment, Secret};

/// How many recovery codes there are.
const RECOVERY_CODES: usize = 10;
/// The letters of a recovery code: no two look alike.
const LETTERS: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz023456789";
/// Letters of a recovery code, five bits each, in groups of four.
const CODE_LETTERS: usize = 16;
/// Bytes of a shared secret: what RFC 4226 recommends.
const SEED_BYTES: usize = 20;

/// Makes a secret to share with an app, in base 32.
#[must_use]
pub fn new_seed() -> Secret {
    let seed = Seed::new(Box::new(rand::random::<[u8; SEED_BYTES]>()));
    Secret::new(seed.to_base32())
}

/// Returns what an app reads from a picture.
#[must_use]
pub fn enrolment_url(seed: &Secret, email: &str) -> String {
    let label = |text: &str| -> String {
        url::form_urlencoded::byte_serialize(text.as_bytes())
            .map(|part| part.replace('+', "%20"))
            .collect()
    };
    format!(
        "otpauth://totp/Synaxis:{}?secret={}&issuer=Synaxis&algorithm=SHA1&digits=6&period=30",
        label(email),
        seed.expose()
    )
}

/// Returns the time step whose code this is, now or one step beside; a step that was taken before must be refused.
#[must_use]
pub fn step_of(seed: &Secret, code: &str, now: Moment) -> Option<i64> {
    let seconds = u64::try_from(now.millis() / 1_000).ok()?;
    let step = generator(seed)?.check(code, seconds)?;
    i64::try_from(step).ok()
}

fn generator(seed: &Secret) -> Option<Totp> {
    let seed = Seed::try_from_base32(seed.expose()).ok()?;
    Builder::new()
        .with_secret(seed)
        .with_digits(6)
        .with_skew(1)
        .with_step_duration(30)
        .build()
        .ok()
}

/// A recovery code that was just made: shown once.
#[derive(Clone, Debug)]
pub struct RecoveryCode {
    /// What its holder writes down.
    pub text: Secret,
    /// What the books keep.
    pub hash: Hash,
}

/// Makes a set of recovery codes.
#[must_use]
pub fn new_recovery_codes() -> Vec<RecoveryCode> {
    (0..RECOVERY_CODES).map(|_| new_recovery_code()).collect()
}

fn new_recovery_code() -> RecoveryCode {
    let letters = rand::random::<[u8; CODE_LETTERS]>();
    let letter = |byte: &u8| LETTERS.get(usize::from(byte % 32)).copied().map(char::from);
    let groups = letters.chunks(4);
    let text = groups.map(|group| group.iter().filter_map(letter).collect::<String>());
    let text = text.collect::<Vec<_>>().join("-");
    RecoveryCode {
        hash: opaque::hash(&text),
        text: Secret::new(text),
    }
}

/// Returns what the books keep of a recovery code, however it was typed.
#[must_use]
pub fn recovery_hash(text: &Secret) -> Option<Hash> {
    let letters = text.expose().to_lowercase();
    let letters: Vec<char> = letters
        .chars()
        .filter(|letter| letter.is_alphanumeric())
        .collect();
    if letters.len() != CODE_LETTERS {
        return None;
    }
    let groups = letters
        .chunks(4)
        .map(|group| group.iter().collect::<String>());
    Some(opaque::hash(&groups.collect::<Vec<_>>().join("-")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_counts_in_its_own_step_and_one_beside() {
        // The secret and the first moment of RFC 6238's own table.
        let seed = Secret::new("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ".to_owned());
        let at = |seconds: i64| Moment::from_millis(seconds * 1_000);

        assert_eq!(step_of(&seed, "287082", at(59)), Some(1));
        assert_eq!(step_of(&seed, "287082", at(29)), Some(1));
        assert_eq!(step_of(&seed, "287082", at(89)), Some(1));
        assert_eq!(step_of(&seed, "287082", at(91)), None);
        assert_eq!(step_of(&seed, "287083", at(59)), None);
        assert_eq!(step_of(&seed, "+87082", at(59)), None);
    }

    #[test]
    fn a_recovery_code_is_found_however_it_is_typed() {
        let codes = new_recovery_codes();
        let code = &codes[0];
        let typed = code.text.expose().to_uppercase().replace('-', " ");

        assert_eq!(codes.len(), 10);
        assert_eq!(recovery_hash(&Secret::new(typed)), Some(code.hash));
        assert_eq!(recovery_hash(&Secret::new("abcd".to_owned())), None);
    }

    #[test]
    fn an_app_reads_whose_secret_it_is() {
        let seed = new_seed();
        let url = enrolment_url(&seed, "ada+x@example.com");

        assert_eq!(seed.expose().len(), 32);
        assert!(url.starts_with("otpauth://totp/Synaxis:ada%2Bx%40example.com?secret="));
    }
}
