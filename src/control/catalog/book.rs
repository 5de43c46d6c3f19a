//! The name of a price book: what it says, hashed.

use sha2::{Digest, Sha256};

use crate::catalog::Quote;

/// The same prices give the same hash, in whatever order they are listed.
pub(super) fn content_hash<'a>(prices: impl Iterator<Item = (String, &'a Quote)>) -> [u8; 32] {
    let line = |(offer, quote): (String, &Quote)| {
        let quote = serde_json::to_string(quote).unwrap_or_default();
        format!("{offer}\t{quote}\n")
    };
    let mut lines: Vec<String> = prices.map(line).collect();
    lines.sort_unstable();
    Sha256::digest(lines.concat()).into()
}
