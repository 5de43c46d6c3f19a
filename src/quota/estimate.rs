//! How many tokens a call may read and write at most, and how many it probably will. Pure; asks no tokenizer.

use crate::base::Tokens;

/// Tokens a dialect may add around each message.
const PER_MESSAGE: u64 = 16;

/// Tokens a dialect may add around the whole call.
const PER_CALL: u64 = 64;

/// What an answer is expected to have when nothing is known of the caller's use of the model.
pub const USUAL_OUTPUT: Tokens = Tokens(512);

/// Returns how many tokens a call can read at most.
///
/// Byte-level encodings never make more tokens than bytes. `text_bytes` are all strings, tool schemas included;
/// `media` is what images and audio cost by their documented rules, never their bytes.
#[must_use]
pub const fn bound_input(text_bytes: u64, messages: u64, media: Tokens) -> Tokens {
    Tokens(
        text_bytes
            .saturating_add(messages.saturating_mul(PER_MESSAGE))
            .saturating_add(PER_CALL)
            .saturating_add(media.0),
    )
}

/// Returns how many tokens a call probably reads: one per 3.5 bytes, rounded up.
#[must_use]
pub const fn expected_input(text_bytes: u64, media: Tokens) -> Tokens {
    Tokens(
        text_bytes
            .saturating_mul(2)
            .div_ceil(7)
            .saturating_add(media.0),
    )
}

/// Returns how many tokens `choices` answers of at most `output_limit` can have.
#[must_use]
pub const fn bound_output(choices: u64, output_limit: Tokens) -> Tokens {
    Tokens(choices.saturating_mul(output_limit.0))
}

/// Returns how many tokens the answers probably have, never more than `bound`.
///
/// `seen` is what 95 of 100 answers of this key and model stayed under, when known; per answer.
#[must_use]
pub fn expected_output(choices: u64, seen: Option<Tokens>, bound: Option<Tokens>) -> Tokens {
    let expected = choices.saturating_mul(seen.unwrap_or(USUAL_OUTPUT).0);
    Tokens(bound.map_or(expected, |bound| expected.min(bound.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_expected_never_passes_the_bound() {
        for bytes in [0, 1, 3, 4, 7, 1_000, u64::MAX] {
            let media = Tokens(85);
            assert!(
                expected_input(bytes, media) <= bound_input(bytes, 0, media),
                "{bytes}"
            );
        }
        assert_eq!(expected_output(2, None, Some(Tokens(10))), Tokens(10));
        assert_eq!(
            expected_output(2, Some(Tokens(3)), Some(Tokens(10))),
            Tokens(6)
        );
        assert_eq!(expected_output(1, None, None), USUAL_OUTPUT);
    }

    #[test]
    fn text_counts_by_bytes_and_media_by_its_own_rule() {
        assert_eq!(bound_input(100, 2, Tokens(85)), Tokens(100 + 32 + 64 + 85));
        assert_eq!(expected_input(35, Tokens(85)), Tokens(10 + 85));
        assert_eq!(bound_output(3, Tokens(100)), Tokens(300));
    }
}
