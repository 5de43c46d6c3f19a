//! What a call did not cost.

use crate::{
    base::{NanoUsd, Usage},
    catalog::Price,
};

/// Returns how much more `usage` would have cost at the cheapest paid alternative; zero without one.
#[must_use]
pub fn saved(cost: NanoUsd, alternative: Option<&Price>, usage: &Usage) -> NanoUsd {
    alternative.map_or(NanoUsd::ZERO, |price| price.of(usage).less(cost))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Tokens;

    #[test]
    fn savings_are_the_paid_price_less_what_was_paid_and_never_negative() {
        let price = Price {
            input: NanoUsd(1_000_000),
            ..Price::default()
        };
        let usage = Usage {
            input: Tokens(100),
            ..Usage::default()
        };

        assert_eq!(saved(NanoUsd::ZERO, Some(&price), &usage), NanoUsd(100));
        assert_eq!(saved(NanoUsd(30), Some(&price), &usage), NanoUsd(70));
        assert_eq!(saved(NanoUsd(300), Some(&price), &usage), NanoUsd::ZERO);
        assert_eq!(saved(NanoUsd::ZERO, None, &usage), NanoUsd::ZERO);
    }
}
