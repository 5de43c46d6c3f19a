//! What each family of headers says, as the providers write it.

use super::*;

const NOW: Moment = Moment::from_millis(1_795_000_000_000);

fn learned(family: &str, headers: &[(&str, &str)]) -> Learned {
    read(family, headers.iter().copied(), NOW)
}

#[test]
fn durations_are_read_as_providers_write_them() {
    for (text, millis) in [
        ("1s", 1_000),
        ("6m0s", 360_000),
        ("12ms", 12),
        ("1.5s", 1_500),
        ("2h3m4s", 7_384_000),
        ("1d", 86_400_000),
        ("20", 20_000),
        ("0.25", 250),
        ("7m12.345s", 432_345),
    ] {
        assert_eq!(
            duration(text),
            Some(Duration::from_millis(millis)),
            "{text}"
        );
    }
    for text in ["", "-1s", "soon", "1x", "s", "99999999999999999999d"] {
        assert_eq!(duration(text), None, "{text}");
    }
}

#[test]
fn the_same_names_mean_a_day_at_groq() {
    let headers = [
        ("X-RateLimit-Limit-Requests", "14400"),
        ("x-ratelimit-remaining-requests", "14370"),
        ("x-ratelimit-reset-requests", "2m59.56s"),
        ("x-ratelimit-remaining-tokens", "17997"),
    ];

    let requests = *learned("groq", &headers)
        .find_tightest(Counted::Requests)
        .unwrap();
    assert_eq!(requests.per, Per::Day);
    assert_eq!(
        (requests.limit, requests.remaining),
        (Some(14_400), Some(14_370))
    );
    assert_eq!(requests.reset, Some(Duration::from_millis(179_560)));
    assert_eq!(
        learned("openai", &headers)
            .find_tightest(Counted::Requests)
            .unwrap()
            .per,
        Per::Minute
    );
}

#[test]
fn windows_stand_in_names_and_dates_in_values() {
    let cerebras = learned(
        "suffix-window",
        &[
            ("x-ratelimit-remaining-requests-day", "10"),
            ("x-ratelimit-remaining-tokens-minute", "500"),
        ],
    );
    assert_eq!(
        cerebras.find_tightest(Counted::Requests).map(|one| one.per),
        Some(Per::Day)
    );
    assert_eq!(
        cerebras.find_tightest(Counted::Tokens).map(|one| one.per),
        Some(Per::Minute)
    );

    let mistral = learned(
        "mistral",
        &[
            ("x-ratelimit-remaining-req-minute", "3"),
            ("x-ratelimit-limit-tokens-month", "1000000"),
        ],
    );
    assert_eq!(
        mistral
            .find_tightest(Counted::Requests)
            .and_then(|one| one.remaining),
        Some(3)
    );
    assert_eq!(
        mistral.find_tightest(Counted::Tokens).map(|one| one.per),
        Some(Per::Month)
    );

    let at = NOW.plus(Duration::from_secs(30)).utc().to_rfc3339();
    let anthropic = learned(
        "anthropic",
        &[("anthropic-ratelimit-input-tokens-reset", &at)],
    );
    assert_eq!(
        anthropic.allowed.first().and_then(|one| one.reset),
        Some(Duration::from_secs(30))
    );

    let openrouter = learned(
        "openrouter",
        &[
            ("x-ratelimit-reset", "1795000060000"),
            ("x-ratelimit-limit", "20"),
        ],
    );
    assert_eq!(
        openrouter.allowed.first().and_then(|one| one.reset),
        Some(Duration::from_secs(60))
    );
}

#[test]
fn what_makes_no_sense_is_ignored_and_zero_is_kept() {
    let told = learned(
        "openai",
        &[
            ("x-ratelimit-remaining-requests", "-1"),
            ("x-ratelimit-remaining-tokens", "many"),
            ("x-ratelimit-limit-tokens", "0"),
            ("retry-after", "-3"),
        ],
    );

    assert_eq!(told.allowed.len(), 1);
    assert_eq!(
        told.find_tightest(Counted::Tokens)
            .and_then(|one| one.limit),
        Some(0)
    );
    assert_eq!(told.retry_after, None);
}

#[test]
fn the_finer_retry_after_wins() {
    assert_eq!(
        learned("none", &[("retry-after", "2")]).retry_after,
        Some(Duration::from_secs(2))
    );
    let both = [("retry-after-ms", "1500"), ("retry-after", "2")];
    assert_eq!(
        learned("openai", &both).retry_after,
        Some(Duration::from_millis(1_500))
    );
    let date = "Wed, 18 Nov 2026 10:27:40 GMT";
    let wait = learned("openai", &[("retry-after", date)]).retry_after;
    assert!(wait.is_some(), "{wait:?}");
}

/// One family's headers and what they say: counted, per, limit, remaining, milliseconds to the reset.
type Said<'a> = (Counted, Per, Option<u64>, Option<u64>, Option<u64>);

fn said(family: &str, headers: &[(&str, &str)], expected: &[Said<'_>]) {
    let told = learned(family, headers);
    let told: Vec<Said<'_>> = told
        .allowed
        .iter()
        .map(|one| {
            let reset = one
                .reset
                .map(|reset| u64::try_from(reset.as_millis()).unwrap());
            (one.counted, one.per, one.limit, one.remaining, reset)
        })
        .collect();
    assert_eq!(told, expected, "{family}");
}

#[test]
fn openai_counts_minutes_and_writes_durations() {
    said(
        "openai",
        &[
            ("x-ratelimit-limit-requests", "60"),
            ("x-ratelimit-limit-tokens", "150000"),
            ("x-ratelimit-remaining-requests", "59"),
            ("x-ratelimit-remaining-tokens", "149984"),
            ("x-ratelimit-reset-requests", "1s"),
            ("x-ratelimit-reset-tokens", "6m0s"),
        ],
        &[
            (
                Counted::Requests,
                Per::Minute,
                Some(60),
                Some(59),
                Some(1_000),
            ),
            (
                Counted::Tokens,
                Per::Minute,
                Some(150_000),
                Some(149_984),
                Some(360_000),
            ),
        ],
    );
}

#[test]
fn groq_counts_requests_by_the_day_and_tokens_by_the_minute() {
    said(
        "groq",
        &[
            ("x-ratelimit-limit-requests", "14400"),
            ("x-ratelimit-limit-tokens", "18000"),
            ("x-ratelimit-remaining-requests", "14370"),
            ("x-ratelimit-remaining-tokens", "17997"),
            ("x-ratelimit-reset-requests", "2m59.56s"),
            ("x-ratelimit-reset-tokens", "7.66s"),
        ],
        &[
            (
                Counted::Requests,
                Per::Day,
                Some(14_400),
                Some(14_370),
                Some(179_560),
            ),
            (
                Counted::Tokens,
                Per::Minute,
                Some(18_000),
                Some(17_997),
                Some(7_660),
            ),
        ],
    );
}

#[test]
fn suffixes_name_the_window() {
    said(
        "suffix-window",
        &[
            ("x-ratelimit-limit-requests-day", "1440000000"),
            ("x-ratelimit-limit-tokens-minute", "275000"),
            ("x-ratelimit-remaining-requests-day", "1439997696"),
            ("x-ratelimit-remaining-tokens-minute", "272476"),
            ("x-ratelimit-reset-requests-day", "33011.382867097855"),
            ("x-ratelimit-reset-tokens-minute", "11.382867097854614"),
            ("x-ratelimit-remaining-requests-hour", "-1"),
        ],
        &[
            (
                Counted::Requests,
                Per::Day,
                Some(1_440_000_000),
                Some(1_439_997_696),
                Some(33_011_382),
            ),
            (
                Counted::Tokens,
                Per::Minute,
                Some(275_000),
                Some(272_476),
                Some(11_382),
            ),
        ],
    );
}

#[test]
fn mistral_counts_requests_by_the_minute_and_tokens_by_the_month_and_may_give_none() {
    said(
        "mistral",
        &[
            ("x-ratelimit-limit-req-minute", "0"),
            ("x-ratelimit-remaining-req-minute", "0"),
            ("x-ratelimit-limit-tokens-month", "1000000000"),
            ("x-ratelimit-remaining-tokens-month", "999999000"),
        ],
        &[
            (Counted::Requests, Per::Minute, Some(0), Some(0), None),
            (
                Counted::Tokens,
                Per::Month,
                Some(1_000_000_000),
                Some(999_999_000),
                None,
            ),
        ],
    );
}

#[test]
fn openrouter_names_no_window_and_its_reset_tells() {
    for (reset, per, wait) in [
        ("1795000030000", Per::Minute, 30_000),
        ("1795040000000", Per::Day, 40_000_000),
    ] {
        said(
            "openrouter",
            &[
                ("X-RateLimit-Limit", "20"),
                ("X-RateLimit-Remaining", "0"),
                ("X-RateLimit-Reset", reset),
            ],
            &[(Counted::Requests, per, Some(20), Some(0), Some(wait))],
        );
    }
}

#[test]
fn anthropic_writes_dates_and_counts_what_is_read_and_written_apart() {
    let at = NOW.plus(Duration::from_secs(42)).utc().to_rfc3339();
    said(
        "anthropic",
        &[
            ("anthropic-ratelimit-requests-limit", "50"),
            ("anthropic-ratelimit-requests-remaining", "49"),
            ("anthropic-ratelimit-requests-reset", &at),
            ("anthropic-ratelimit-input-tokens-remaining", "30000"),
            ("anthropic-ratelimit-output-tokens-remaining", "8000"),
        ],
        &[
            (
                Counted::Requests,
                Per::Minute,
                Some(50),
                Some(49),
                Some(42_000),
            ),
            (Counted::InputTokens, Per::Minute, None, Some(30_000), None),
            (Counted::OutputTokens, Per::Minute, None, Some(8_000), None),
        ],
    );
}

#[test]
fn a_family_without_headers_says_nothing_but_when_to_come_again() {
    let told = learned(
        "none",
        &[
            ("x-ratelimit-remaining-requests", "3"),
            ("retry-after", "7"),
        ],
    );
    assert_eq!(told.allowed, []);
    assert_eq!(told.retry_after, Some(Duration::from_secs(7)));

    let body = br#"[{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","message":"You exceeded your current quota.",
        "details":[{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{
            "quotaMetric":"generativelanguage.googleapis.com/generate_content_free_tier_requests",
            "quotaId":"GenerateRequestsPerDayPerProjectPerModel-FreeTier","quotaValue":"20"}]},
        {"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"34s"}]}}]"#;
    let fault = crate::dialect::fault::upstream(429, body);
    assert_eq!(fault.kind, crate::dialect::fault::Kind::DailyCap);
    assert_eq!(fault.retry_after, Some(Duration::from_secs(34)));
    assert_eq!(fault.cap.per, Some(Per::Day));
    assert_eq!(fault.cap.counted, Some(Counted::Requests));
}

proptest::proptest! {
    #[test]
    fn rubbish_never_panics_and_says_nothing_negative(
        family in "(openai|groq|suffix-window|mistral|openrouter|anthropic|github|none|[a-z]{0,6})",
        headers in proptest::collection::vec(
            (
                "(?i)(x-ratelimit-|anthropic-ratelimit-|ratelimit|x-rate-limit-|retry-after|)\\PC{0,30}",
                "(-?[0-9]{0,25}(\\.[0-9]{0,12})?(ms|s|m|h|d|ns)?){0,3}|\\PC{0,40}",
            ),
            0..12,
        ),
        now in 0_i64..4_000_000_000_000,
    ) {
        let pairs = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let told = read(&family, pairs, Moment::from_millis(now));
        for one in told.allowed {
            let is_said = one.limit.is_some() || one.remaining.is_some() || one.reset.is_some();
            proptest::prop_assert!(is_said);
        }
    }

    #[test]
    fn rubbish_in_a_refusal_never_panics(status in 0_u16..1_000, body in ".{0,400}") {
        let fault = crate::dialect::fault::upstream(status, body.as_bytes());
        proptest::prop_assert!(!fault.message.contains('\n'));
    }
}
