//! The written form of a key: `synaxis_build_<16>_<43><6>`. Parsed strictly and without I/O.

use rand::RngExt;
use sha2::{Digest, Sha256};

use crate::base::Secret;

/// What every key begins with; secret scanners look for it.
pub const PREFIX: &str = "synaxis_build_";

/// Matches every key and nothing else, for secret scanners.
pub const PATTERN: &str = "synaxis_build_[0-9A-Za-z]{16}_[0-9A-Za-z]{49}";

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const PUBLIC_ID: usize = 16;
const SECRET: usize = 43;
const CHECKSUM: usize = 6;
/// Everything the checksum covers.
const COVERED: usize = PREFIX.len() + PUBLIC_ID + 1 + SECRET;
const LENGTH: usize = COVERED + CHECKSUM;

/// A well-formed key, as hashes only: the text itself is not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presented {
    /// The 16 characters callers see.
    pub public_id: String,
    /// SHA-256 of the 43 secret characters, as the books keep it.
    pub secret_hash: [u8; 32],
    /// SHA-256 of the whole text, as caches keep it.
    pub whole_hash: [u8; 32],
}

/// Reads a key, or `None` when its length, alphabet or checksum is wrong.
#[must_use]
pub fn parse(text: &str) -> Option<Presented> {
    let (public_id, secret) = parts(text)?;
    Some(Presented {
        public_id: public_id.to_owned(),
        secret_hash: sha256(secret),
        whole_hash: sha256(text),
    })
}

/// Returns the hash caches keep of a well-formed key. Allocates nothing.
#[must_use]
pub fn whole_hash(text: &str) -> Option<[u8; 32]> {
    parts(text).map(|_| sha256(text))
}

/// Makes a fresh key: its text (the only moment it exists), its public id, and the hash for the books.
#[must_use]
pub fn mint() -> (Secret, String, [u8; 32]) {
    let public_id = random_text(PUBLIC_ID);
    let secret = random_text(SECRET);
    let mut text = format!("{PREFIX}{public_id}_{secret}");
    let checksum = checksum(&text);
    text.extend(checksum.iter().map(|digit| char::from(*digit)));
    let secret_hash = sha256(&secret);
    (Secret::new(text), public_id, secret_hash)
}

/// Returns the public id and the secret of a well-formed key.
fn parts(text: &str) -> Option<(&str, &str)> {
    if text.len() != LENGTH {
        return None;
    }
    let (covered, checksum_given) = text.split_at_checked(COVERED)?;
    let rest = covered.strip_prefix(PREFIX)?;
    let (public_id, rest) = rest.split_at_checked(PUBLIC_ID)?;
    let secret = rest.strip_prefix('_')?;
    let is_base62 = |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let is_ours = is_base62(public_id)
        && is_base62(secret)
        && checksum(covered).as_slice() == checksum_given.as_bytes();
    is_ours.then_some((public_id, secret))
}

/// CRC-32/ISO-HDLC as six base62 digits, the highest first.
fn checksum(covered: &str) -> [u8; CHECKSUM] {
    let mut rest = crc32fast::hash(covered.as_bytes());
    let mut digits = [b'0'; CHECKSUM];
    for digit in digits.iter_mut().rev() {
        *digit = base62(rest % 62);
        rest /= 62;
    }
    digits
}

fn base62(value: u32) -> u8 {
    usize::try_from(value)
        .ok()
        .and_then(|place| ALPHABET.get(place).copied())
        .unwrap_or(b'0')
}

fn random_text(length: usize) -> String {
    let mut random = rand::rng();
    (0..length)
        .map(|_| char::from(base62(random.random_range(0..62))))
        .collect()
}

fn sha256(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minted_key_is_read_back() {
        let (api_key, public_id, secret_hash) = mint();

        let presented = parse(api_key.expose()).expect("a minted key is well formed");

        assert_eq!(presented.public_id, public_id);
        assert_eq!(presented.secret_hash, secret_hash);
        assert_eq!(whole_hash(api_key.expose()), Some(presented.whole_hash));
    }

    #[test]
    fn the_checksum_is_the_published_one() {
        // CRC-32/ISO-HDLC of "123456789" is 0xcbf43926 = 3421780262.
        assert_eq!(&checksum("123456789"), b"3jZRME");
        assert_eq!(&checksum(""), b"000000");
    }

    #[test]
    fn one_wrong_character_anywhere_is_no_key() {
        let (api_key, ..) = mint();
        let text = api_key.expose();

        for place in 0..text.len() {
            let mut bytes = text.as_bytes().to_vec();
            bytes[place] = if bytes[place] == b'a' { b'b' } else { b'a' };
            let spoiled = String::from_utf8(bytes).expect("ASCII");
            assert_eq!(parse(&spoiled), None, "{place}");
        }
    }

    #[test]
    fn what_is_not_written_like_a_key_is_no_key() {
        let (api_key, ..) = mint();
        let text = api_key.expose();
        let long = "a".repeat(8_192);
        let strangers = [
            "",
            "sk-1234",
            "synaxis_build_",
            &long,
            &text[1..],
            &text[..text.len() - 1],
            &format!("{text}0"),
            &format!(" {text}"),
            &text.replace("build", "BUILD"),
            &text.replace('_', "-"),
            &format!("{}é{}", &text[..20], &text[22..]),
            &format!("{}\0{}", &text[..20], &text[21..]),
            &format!("{}'{}", &text[..20], &text[21..]),
            &format!("{}%{}", &text[..40], &text[41..]),
        ];

        for stranger in strangers {
            assert_eq!(parse(stranger), None, "{stranger:?}");
        }
    }

    #[test]
    fn no_two_keys_are_alike() {
        let ids: std::collections::HashSet<String> = (0..1_000).map(|_| mint().1).collect();

        assert_eq!(ids.len(), 1_000);
    }
}
