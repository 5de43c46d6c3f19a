//! What an offer costs: exact, in nano-dollars, rounded up.

use serde::{Deserialize, Serialize};

use crate::base::{NanoUsd, Tokens, Usage};

/// The price of one offer, per million tokens unless said otherwise.
///
/// A price that is not known is no `Price` at all: the offer carries `None`. Zero is a price.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    /// A million tokens read.
    pub input: NanoUsd,
    /// A million tokens read from the provider's cache; as `input` when absent.
    pub cached_input: Option<NanoUsd>,
    /// A million tokens written to the provider's cache; as `input` when absent.
    pub cache_write: Option<NanoUsd>,
    /// A million tokens written.
    pub output: NanoUsd,
    /// A million reasoning tokens; as `output` when absent.
    pub reasoning: Option<NanoUsd>,
    /// One call, whatever it reads and writes.
    pub per_request: NanoUsd,
}

impl Price {
    /// Returns what `usage` costs, rounded up once over the whole call.
    #[must_use]
    pub fn of(&self, usage: &Usage) -> NanoUsd {
        let plain_input = usage.input.less(usage.cached).less(usage.cache_write);
        let plain_output = usage.output.less(usage.reasoning);
        let parts = [
            (plain_input, self.input),
            (usage.cached, self.cached_input.unwrap_or(self.input)),
            (usage.cache_write, self.cache_write.unwrap_or(self.input)),
            (plain_output, self.output),
            (usage.reasoning, self.reasoning.unwrap_or(self.output)),
        ];
        let millionths: u128 = parts
            .iter()
            .map(|(tokens, price)| u128::from(tokens.0) * u128::from(price.0))
            .sum();
        let tokens_cost = u64::try_from(millionths.div_ceil(1_000_000)).unwrap_or(u64::MAX);
        NanoUsd(tokens_cost) + self.per_request
    }

    /// Returns the most a call of at most `input` and `output` tokens can cost, whatever is cached or reasoned.
    #[must_use]
    pub fn bound(&self, input: Tokens, output: Tokens) -> NanoUsd {
        let dearest = |base: NanoUsd, others: &[Option<NanoUsd>]| {
            others.iter().flatten().copied().fold(base, NanoUsd::max)
        };
        let flat = Self {
            input: dearest(self.input, &[self.cached_input, self.cache_write]),
            output: dearest(self.output, &[self.reasoning]),
            per_request: self.per_request,
            ..Self::default()
        };
        flat.of(&Usage {
            input,
            output,
            ..Usage::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cached_and_reasoning_tokens_are_priced_once() {
        let price = Price {
            input: NanoUsd(1_000_000),
            cached_input: Some(NanoUsd(100_000)),
            output: NanoUsd(2_000_000),
            reasoning: Some(NanoUsd(3_000_000)),
            ..Price::default()
        };
        let usage = Usage {
            input: Tokens(100),
            cached: Tokens(40),
            output: Tokens(10),
            reasoning: Tokens(4),
            ..Usage::default()
        };

        assert_eq!(price.of(&usage), NanoUsd(60 + 4 + 12 + 12));
    }

    #[test]
    fn a_fraction_of_a_nano_dollar_is_rounded_up_once() {
        let price = Price {
            input: NanoUsd(37_500_000),
            output: NanoUsd(1),
            ..Price::default()
        };
        let usage = Usage {
            input: Tokens(1),
            output: Tokens(1),
            ..Usage::default()
        };

        assert_eq!(price.of(&usage), NanoUsd(38));
    }

    proptest::proptest! {
        #[test]
        fn no_split_of_the_tokens_costs_more_than_the_bound(
            input in 0_u64..1_000_000, cached in 0_u64..1_000_000, output in 0_u64..1_000_000,
            reasoning in 0_u64..1_000_000, rates in proptest::array::uniform5(0_u64..100_000_000_000),
        ) {
            let [a, b, c, d, e] = rates.map(NanoUsd);
            let price = Price {
                input: a, cached_input: Some(b), cache_write: Some(c), output: d, reasoning: Some(e),
                per_request: NanoUsd(7),
            };
            let usage = Usage {
                input: Tokens(input), cached: Tokens(cached.min(input)), output: Tokens(output),
                reasoning: Tokens(reasoning.min(output)), ..Usage::default()
            };
            proptest::prop_assert!(price.of(&usage) <= price.bound(Tokens(input), Tokens(output)));
        }
    }
}
