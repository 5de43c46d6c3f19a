//! What is left alone, for how long, and who may try again.

use std::time::Duration;

use uuid::Uuid;

use super::*;

const NOW: Moment = Moment::from_millis(1_795_000_000_000);

fn offer(number: u128) -> OfferId {
    OfferId(Uuid::from_u128(number))
}

fn key(number: u128) -> Option<CredentialId> {
    Some(CredentialId(Uuid::from_u128(number)))
}

fn after(seconds: u64) -> Moment {
    NOW.plus(Duration::from_secs(seconds))
}

#[test]
fn a_cool_down_holds_for_exactly_what_was_limited() {
    let health = Health::default();
    let cases = [
        (
            Cool::OfferCredential(offer(1), key(1)),
            [true, false, false, false],
        ),
        (
            Cool::Credential(key(1).unwrap()),
            [true, false, true, false],
        ),
        (Cool::Offer(offer(1)), [true, true, false, false]),
    ];

    for (what, expected) in cases {
        let health = Health::new(health.settings().clone());
        health.cool(what, after(60));
        let pairs = [(1, 1), (1, 2), (2, 1), (2, 2)];
        let out = pairs.map(|(one, other)| health.is_open(offer(one), key(other), after(59)));
        let later = pairs.map(|(one, other)| health.is_open(offer(one), key(other), after(60)));

        assert_eq!(out, expected, "{what:?}");
        assert_eq!(later, [false; 4], "{what:?}");
    }
}

#[test]
fn a_shorter_pause_does_not_end_a_longer_one() {
    let health = Health::default();
    health.cool(Cool::Offer(offer(1)), after(60));

    health.cool(Cool::Offer(offer(1)), after(5));

    assert!(health.is_open(offer(1), None, after(30)));
}

#[test]
fn a_breaker_of_one_credential_leaves_the_other_alone() {
    let health = Health::default();

    for _ in 0..5 {
        health.failed(offer(1), key(1), Failure::Server, NOW);
    }

    assert_eq!(
        health.availability(offer(1), key(1), NOW),
        Availability::Failing(after(30))
    );
    assert_eq!(
        health.availability(offer(1), key(1), after(30)),
        Availability::OnTrial
    );
    assert_eq!(
        health.availability(offer(1), key(2), NOW),
        Availability::Ready
    );
    assert_eq!(health.failing(NOW).len(), 1);
}

#[test]
fn one_trial_and_one_probe_are_given_per_second() {
    let health = Health::default();
    for _ in 0..5 {
        health.failed(offer(1), None, Failure::Timeout, NOW);
    }
    let model = ModelId(Uuid::from_u128(9));

    for second in 30..33 {
        let now = after(second);
        assert!(health.look().may_try(offer(1), None, now));
        assert!(!health.look().may_try(offer(1), None, now));
        assert!(health.may_probe(model, now));
        assert!(!health.may_probe(model, now.plus(Duration::from_millis(999))));
    }
    assert!(
        health.may_probe(model, NOW),
        "a clock put back locks nobody out"
    );
}

#[test]
fn a_replaced_secret_starts_with_a_clean_record() {
    let health = Health::default();
    health.cool(Cool::Credential(key(1).unwrap()), after(3_600));
    health.cool(Cool::OfferCredential(offer(1), key(1)), after(3_600));

    health.forgive(key(1).unwrap());

    assert!(!health.is_open(offer(1), key(1), NOW));
}

#[test]
fn latency_is_an_average_that_follows_slowly() {
    let health = Health::default();
    assert_eq!(health.latency_ms(offer(1)), None);

    health.succeeded(offer(1), None, 800, NOW);
    assert_eq!(health.latency_ms(offer(1)), Some(800));
    health.succeeded(offer(1), None, 0, NOW);
    assert_eq!(health.latency_ms(offer(1)), Some(700));
    for _ in 0..100 {
        health.succeeded(offer(1), None, 100, NOW);
    }
    assert_eq!(health.latency_ms(offer(1)), Some(100));
}
