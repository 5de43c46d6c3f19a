//! A receipt is what the data path booked, computed again.

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::{
    base::{Moment, RequestId, Tokens},
    usage::{Alternative, Charged, Finish},
};

fn offer(number: u128) -> OfferId {
    OfferId(Uuid::from_u128(number))
}

fn line(number: u128, tier: Tier, rate: u64) -> Line {
    Line {
        id: LineId {
            offer_id: offer(number),
            price_book: "book".to_owned(),
        },
        tier,
        price: Price {
            input: NanoUsd(rate),
            cached_input: Some(NanoUsd(rate / 3)),
            output: NanoUsd(rate * 2 + 1),
            per_request: NanoUsd(rate % 7),
            ..Price::default()
        },
    }
}

/// A call as the data path books it: one attempt that failed after it was read, then an answer.
fn booked(failed: &Line, answered: &Line, alternative: &Line, usage: Usage, read: u64) -> Entry {
    let charged = failed.cost(&Usage {
        input: Tokens(read),
        ..Usage::default()
    });
    let cost = charged + answered.cost(&usage);
    Entry {
        request_id: RequestId::new(Moment::from_millis(1_795_000_000_000)),
        organization_id: Uuid::nil().into(),
        group_id: None,
        user_id: None,
        api_key_id: Uuid::nil().into(),
        client_request_id: None,
        tags: serde_json::Value::Null,
        requested_model: "m".to_owned(),
        model_id: None,
        offer_id: Some(answered.id.offer_id),
        provider_id: None,
        status: 200,
        finish: Finish::Complete,
        is_estimated: false,
        is_stream: false,
        usage,
        held_nano_usd: cost,
        cost_nano_usd: cost,
        saved_nano_usd: savings::saved(cost, Some(&alternative.price), &usage),
        price_book: answered.id.price_book.clone(),
        alternative: Some(Alternative {
            offer_id: alternative.id.offer_id,
            price_book: alternative.id.price_book.clone(),
        }),
        decision: crate::usage::Decision::default(),
        first_byte_ms: None,
        duration_ms: 1,
        attempts: vec![AttemptRecord {
            offer_id: failed.id.offer_id,
            provider: "p".to_owned(),
            outcome: "timeout".to_owned(),
            status: None,
            ms: 1,
            cost_nano_usd: charged,
            charged: Some(Charged {
                in_entry: false,
                input_tokens: Tokens(read),
                price_book: failed.id.price_book.clone(),
            }),
        }],
    }
}

proptest! {
    #[test]
    fn the_books_say_what_was_booked_and_notice_a_single_nano_dollar(
        rates in prop::array::uniform3(0_u64..50_000_000_000), is_free in any::<bool>(),
        input in 0_u64..200_000, cached in 0_u64..200_000, output in 0_u64..50_000, read in 0_u64..200_000,
    ) {
        let tier = if is_free { Tier::Free } else { Tier::Paid };
        let [failed, answered, alternative] = [
            line(1, Tier::Paid, rates[0]), line(2, tier, rates[1]), line(3, Tier::Paid, rates[2]),
        ];
        let usage = Usage {
            input: Tokens(input), cached: Tokens(cached.min(input)), output: Tokens(output), ..Usage::default()
        };
        let entry = booked(&failed, &answered, &alternative, usage, read);
        let lines: Lines = [failed, answered, alternative].into_iter().collect();

        let dearer = Entry { cost_nano_usd: entry.cost_nano_usd + NanoUsd(1), ..entry.clone() };
        let saving = Entry { saved_nano_usd: entry.saved_nano_usd + NanoUsd(1), ..entry.clone() };

        prop_assert!(matches!(check(&entry, &lines), Finding::Agrees(_)));
        prop_assert!(matches!(check(&dearer, &lines), Finding::Differs(_)));
        prop_assert!(matches!(check(&saving, &lines), Finding::Differs(_)));
    }
}

#[test]
fn without_a_line_the_books_cannot_say() {
    let [failed, answered, alternative] =
        [1, 2, 3].map(|number| line(number, Tier::Paid, 1_000_000));
    let entry = booked(&failed, &answered, &alternative, Usage::default(), 5);
    let lines: Lines = [failed, answered].into_iter().collect();

    assert_eq!(
        check(&entry, &lines),
        Finding::Unknown(Some(alternative.id))
    );
}

#[test]
fn an_entry_that_does_not_tell_what_it_was_measured_against_is_not_judged() {
    let [failed, answered, alternative] =
        [1, 2, 3].map(|number| line(number, Tier::Paid, u64::from(number == 3) * 1_000_000_000));
    let usage = Usage {
        input: Tokens(10),
        ..Usage::default()
    };
    let entry = Entry {
        alternative: None,
        ..booked(&failed, &answered, &alternative, usage, 0)
    };
    let lines: Lines = [failed, answered].into_iter().collect();

    assert_ne!(entry.saved_nano_usd, NanoUsd::ZERO);
    assert_eq!(check(&entry, &lines), Finding::Unknown(None));
}
