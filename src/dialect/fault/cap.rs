//! Which allowance a refusal names: what it counts and over which time.

use crate::dialect::allowance_headers::{Counted, Per};

/// The allowance a 429 says is used up; what it does not say is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cap {
    /// What it counts.
    pub counted: Option<Counted>,
    /// Over which time.
    pub per: Option<Per>,
}

/// Longer stretches first: who names a day often names the minute it was noticed in, too.
const PERS: [(Per, &[&str]); 4] = [
    (
        Per::Month,
        &["per month", "permonth", "per-month", "monthly"],
    ),
    (
        Per::Day,
        &[
            "per day",
            "perday",
            "per-day",
            "(rpd)",
            "(tpd)",
            "daily",
            "requests/day",
            "tokens/day",
        ],
    ),
    (
        Per::Hour,
        &["per hour", "perhour", "per-hour", "(rph)", "(tph)"],
    ),
    (
        Per::Minute,
        &[
            "per minute",
            "perminute",
            "per-minute",
            "(rpm)",
            "(tpm)",
            "per min",
        ],
    ),
];

const TOKENS: [&str; 6] = [
    "tokens per",
    "token_count",
    "tokensper",
    "(tpm)",
    "(tpd)",
    "(tph)",
];
const REQUESTS: [&str; 6] = [
    "requests per",
    "requestsper",
    "requests-per",
    "(rpm)",
    "(rpd)",
    "free-models-per",
];

/// Reads all words of an error, in lower case.
pub(super) fn cap(hints: &str) -> Cap {
    let says = |words: &[&str]| words.iter().any(|word| hints.contains(word));
    let mut pers = PERS.iter();
    let counted = match (says(&TOKENS), says(&REQUESTS)) {
        (true, false) => Some(Counted::Tokens),
        (false, true) => Some(Counted::Requests),
        _ => None,
    };
    Cap {
        counted,
        per: pers.find(|(_, words)| says(words)).map(|(per, _)| *per),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_what_is_used_up() {
        let (requests, tokens) = (Some(Counted::Requests), Some(Counted::Tokens));
        for (words, counted, per) in [
            (
                "rate limit reached for model `m` on tokens per day (tpd): limit 100000",
                tokens,
                Some(Per::Day),
            ),
            (
                "generativelanguage.googleapis.com/generate_content_free_tier_requests\n\
                 generaterequestsperdayperprojectpermodel-freetier",
                requests,
                Some(Per::Day),
            ),
            (
                "generaterequestsperminuteperprojectpermodel-freetier",
                requests,
                Some(Per::Minute),
            ),
            (
                "rate limit exceeded: free-models-per-day. add 10 credits",
                requests,
                Some(Per::Day),
            ),
            (
                "you have used up your daily free allocation of 10,000 neurons",
                None,
                Some(Per::Day),
            ),
            ("slow down", None, None),
            ("", None, None),
        ] {
            assert_eq!(cap(words), Cap { counted, per }, "{words}");
        }
    }
}
