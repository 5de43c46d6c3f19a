//! What pictures, sound and documents count in tokens: by the documented rules, never by their bytes as text.

/// A picture asked for in low detail (OpenAI's rule: a flat number).
const IMAGE_LOW: u64 = 85;

/// A picture otherwise: the larger of OpenAI's 85 + 8 tiles × 170 and Anthropic's 1 568 px² / 750, rounded up.
const IMAGE: u64 = 1_600;

/// A document whose size we cannot see: Anthropic's 3 000 tokens a page, for its 100 pages.
const DOCUMENT: u64 = 300_000;

/// One page of a document.
const PAGE: u64 = 3_000;

/// Bytes of sound that take one token: 32 tokens a second (the dearest documented rate) of the thinnest common sound,
/// 4 000 bytes a second.
const SOUND_BYTES: u64 = 125;

/// Returns the tokens of one picture.
pub(super) const fn of_image(is_low_detail: bool) -> u64 {
    if is_low_detail { IMAGE_LOW } else { IMAGE }
}

/// Returns the tokens of sound given as `base64` characters.
pub(super) const fn of_sound(base64: u64) -> u64 {
    decoded(base64).div_ceil(SOUND_BYTES)
}

/// Returns the tokens of a document given as `base64` characters, or of one that lies elsewhere.
pub(super) fn of_document(base64: Option<u64>) -> u64 {
    base64.map_or(DOCUMENT, |length| decoded(length).clamp(PAGE, DOCUMENT))
}

const fn decoded(base64: u64) -> u64 {
    base64 / 4 * 3 + 3
}
