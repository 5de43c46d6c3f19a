//! What upstreams do wrong, and what the caller and the books see of it.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::stack::{Setup, TestStack, people::chat};

/// A faulty provider that is asked first, and a sound one behind it.
async fn faulty_before_sound(fault: &str) -> TestStack {
    let stack = Setup::new()
        .offer("faulty", "tier = \"free\"\npreference = -1", QUICK)
        .offer("sound", "tier = \"free\"\npreference = 1", QUICK)
        .start()
        .await;
    stack.provider("faulty").fault(fault).await;
    stack
}

/// Deadlines a test can wait for.
const QUICK: &str =
    "deadlines = { connect_ms = 1000, first_byte_ms = 700, whole_ms = 700, gap_ms = 700 }";

#[tokio::test]
async fn whatever_fails_before_the_first_byte_is_answered_by_the_next_offer_and_booked_once() {
    for (fault, outcome) in [
        ("reset", "broken"),
        ("garbage", "garbage"),
        ("status=500", "server_error"),
        ("status=503", "server_error"),
        ("status=429,retry-after=2", "rate_limited"),
        ("status=401", "unauthorized"),
        ("cut-before", "broken"),
    ] {
        let stack = faulty_before_sound(fault).await;
        let key = stack.key().mint();

        let answer = key.chat("hello").await;

        assert_eq!(answer.status, 200, "{fault}: {}", answer.text);
        assert_eq!(answer.header("x-synaxis-provider"), "sound", "{fault}");
        assert_eq!(answer.header("x-synaxis-attempts"), "2", "{fault}");
        let rows = stack.booked(1).await;
        assert_eq!(rows[0].outcomes(), [outcome, "ok"], "{fault}");
        assert_eq!(rows[0].finish, "complete", "{fault}");
    }
}

#[tokio::test]
async fn a_stream_that_dies_before_its_first_token_is_retried_unseen() {
    for fault in ["cut-before", "reset", "status=503", "garbage", "hang"] {
        let stack = faulty_before_sound(fault).await;
        let key = stack.key().mint();

        let answer = key.stream("hello").await;

        assert_eq!(answer.status, 200, "{fault}: {}", answer.text);
        assert_eq!(answer.header("x-synaxis-provider"), "sound", "{fault}");
        assert_eq!(
            answer.events().last(),
            Some(&"[DONE]"),
            "{fault}: {}",
            answer.text
        );
        assert!(!answer.text.contains("error"), "{fault}: {}", answer.text);
        assert_eq!(stack.booked(1).await[0].outcomes().len(), 2, "{fault}");
    }
}

#[tokio::test]
async fn a_stream_that_breaks_after_its_first_token_ends_with_an_error_and_without_done() {
    let stack = faulty_before_sound("cut-after=2").await;
    let key = stack.key().mint();

    let answer = key.stream("hello").await;

    assert_eq!(answer.header("x-synaxis-provider"), "faulty");
    let last = *answer.events().last().expect("an event");
    assert!(last.contains("\"error\""), "{}", answer.text);
    assert!(!answer.text.contains("[DONE]"), "{}", answer.text);
    let rows = stack.booked(1).await;
    assert_eq!(rows[0].finish, "upstream_cut");
    assert!(rows[0].is_estimated && 0 < rows[0].output);
}

#[tokio::test]
async fn a_refused_connection_moves_on_and_the_breaker_spares_the_next_callers() {
    let mut stack = faulty_before_sound("none").await;
    stack.providers[0].stop();
    let key = stack.key().mint();

    for _ in 0..8 {
        assert_eq!(key.chat("hello").await.status, 200);
    }

    let rows = stack.booked(8).await;
    assert_eq!(rows[0].outcomes(), ["connect", "ok"]);
    assert_eq!(rows[7].outcomes(), ["ok"], "the breaker is open by now");
}

#[tokio::test]
async fn a_whole_reply_that_times_out_is_not_tried_again() {
    let stack = faulty_before_sound("hang").await;
    let key = stack.key().mint();

    let began = Instant::now();
    let answer = key.chat("hello").await;

    assert_eq!(
        (answer.status, answer.code().as_str()),
        (504, "upstream_timeout")
    );
    assert!(began.elapsed() < Duration::from_secs(3));
    let rows = stack.booked(1).await;
    assert_eq!(
        (rows[0].finish.as_str(), rows[0].outcomes()),
        ("failed", vec!["timeout"])
    );
    assert_eq!(stack.provider("sound").calls(), 0);
}

#[tokio::test]
async fn a_rate_limited_offer_rests_for_as_long_as_it_says() {
    let stack = faulty_before_sound("status=429,retry-after=2,count=1").await;
    let key = stack.key().mint();

    let first = key.chat("hello").await;
    let second = key.chat("hello").await;
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    let third = key.chat("hello").await;

    assert_eq!(first.header("x-synaxis-provider"), "sound");
    assert_eq!(
        second.header("x-synaxis-attempts"),
        "1",
        "nobody asks an offer that rests"
    );
    assert_eq!(third.header("x-synaxis-provider"), "faulty");
}

#[tokio::test]
async fn when_every_provider_is_limited_the_caller_hears_when_to_come_back() {
    let stack = Setup::new().free("only").start().await;
    stack
        .provider("only")
        .fault("status=429,retry-after=7")
        .await;
    let key = stack.key().mint();

    let answer = key.chat("hello").await;

    assert_eq!(
        (answer.status, answer.code().as_str()),
        (429, "rate_limit_exceeded")
    );
    assert_eq!(answer.header("retry-after"), "7");
    assert_eq!(stack.booked(1).await[0].finish, "failed");
}

#[tokio::test]
async fn a_call_the_upstream_finds_invalid_is_returned_and_not_retried() {
    let stack = faulty_before_sound("status=422").await;
    let key = stack.key().mint();

    let answer = key.chat("hello").await;

    assert_eq!(answer.status, 422);
    assert!(answer.json()["error"]["message"].is_string());
    assert_eq!(stack.booked(1).await[0].finish, "refused_upstream");
    assert_eq!(stack.provider("sound").calls(), 0);
}

#[tokio::test]
async fn a_compressed_answer_is_read_although_nobody_asked_for_it() {
    let stack = Setup::new().free("packed").start().await;
    stack.provider("packed").fault("gzip").await;
    let key = stack.key().mint();

    let whole = key.chat("hello").await;
    let stream = key.stream("hello").await;

    assert!(whole.json()["choices"].is_array());
    assert_eq!(stream.events().last(), Some(&"[DONE]"), "{}", stream.text);
    assert!(stack.booked(2).await.iter().all(|row| !row.is_estimated));
}

#[tokio::test]
async fn an_answer_without_usage_is_estimated_and_says_so() {
    let stack = Setup::new().free("silent").start().await;
    stack.provider("silent").fault("usage=none").await;
    let key = stack.key().mint();

    key.chat("hello").await;
    key.stream("hello").await;

    for row in stack.booked(2).await {
        assert!(
            row.is_estimated && 0 < row.input && 0 < row.output,
            "{row:?}"
        );
    }
}

#[tokio::test]
async fn a_caller_that_leaves_stops_the_upstream_within_a_second_and_is_booked() {
    let stack = Setup::new().free("slow").start().await;
    stack.provider("slow").fault("gap=200").await;
    let key = stack.key().mint();
    let mut body = chat("hello");
    body["stream"] = json!(true);

    let mut answer = key
        .send("/chat/completions", &body)
        .await
        .expect("a stream");
    answer.chunk().await.expect("a piece");
    drop(answer);
    let left = Instant::now();

    let rows = stack.booked(1).await;
    assert_eq!(rows[0].finish, "client_gone");
    assert!(rows[0].is_estimated);
    let ended = stack.provider("slow").wait_for_end(1).await;
    assert!(
        left.elapsed() < Duration::from_secs(3),
        "the books and the log came too late"
    );
    assert_eq!(ended[0]["end"], "client_gone", "{ended:?}");
}

#[tokio::test]
async fn when_all_are_down_and_one_comes_back_calls_recover_within_five_seconds() {
    let stack = Setup::new().free("lone").start().await;
    let key = stack.key().mint();
    stack.provider("lone").fault("status=500").await;
    for _ in 0..8 {
        assert!(500 <= key.chat("hello").await.status);
    }

    stack.provider("lone").fault("none").await;
    let back = Instant::now();
    while key.chat("hello").await.status != 200 {
        assert!(back.elapsed() < Duration::from_secs(5), "no recovery");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn an_error_that_calls_itself_a_success_is_another_offers_chance() {
    for (fault, is_stream) in [
        ("error-200", false),
        ("error-200", true),
        ("error-after=0", true),
    ] {
        let stack = faulty_before_sound(fault).await;
        let key = stack.key().mint();

        let answer = match is_stream {
            true => key.stream("hello").await,
            false => key.chat("hello").await,
        };

        assert_eq!(answer.status, 200, "{fault}: {}", answer.text);
        assert_eq!(answer.header("x-synaxis-provider"), "sound", "{fault}");
        assert!(!answer.text.contains("\"error\""), "{}", answer.text);
        let rows = stack.booked(1).await;
        assert_eq!(rows[0].outcomes(), ["server_error", "ok"], "{fault}");
    }
}

#[tokio::test]
async fn an_error_after_the_first_token_is_told_once_in_our_words_and_nothing_follows_it() {
    let stack = faulty_before_sound("error-after=3").await;
    let key = stack.key().mint();

    let answer = key.stream("hello").await;

    let errors = answer
        .events()
        .iter()
        .filter(|event| event.contains("\"error\""))
        .count();
    let last = *answer.events().last().expect("an event");
    assert_eq!(errors, 1, "{}", answer.text);
    assert!(last.contains("\"code\":\"upstream_error\""), "{last}");
    let rows = stack.booked(1).await;
    assert_eq!(rows[0].finish, "upstream_cut");
    assert_eq!(rows[0].outcomes(), ["broken_stream"]);
}

#[tokio::test]
async fn a_dead_provider_with_many_credentials_does_not_use_up_the_attempts() {
    let more = |name: &str| {
        format!(
            "[[credentials]]\nprovider = \"faulty\"\nname = \"{name}\"\ncredential = \"sk-{name}-0123456789\"\n\n"
        )
    };
    let mut stack = Setup::new()
        .aliases(&(more("second") + &more("third")))
        .offer("faulty", "tier = \"free\"\npreference = -1", QUICK)
        .offer("sound", "tier = \"free\"\npreference = 1", QUICK)
        .start()
        .await;
    stack.providers[0].stop();
    let key = stack.key().mint();

    let answer = key.chat("hello").await;

    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(stack.booked(1).await[0].outcomes(), ["connect", "ok"]);
}

#[tokio::test]
async fn a_whole_reply_that_drips_ends_at_the_total_deadline() {
    let manners = "deadlines = { whole_ms = 60000, gap_ms = 60000, total_ms = 1500 }";
    let stack = Setup::new()
        .offer("slow", "tier = \"free\"", manners)
        .start()
        .await;
    stack.provider("slow").fault("stall-after=3").await;
    let key = stack.key().mint();

    let began = Instant::now();
    let answer = key.chat("hello").await;

    assert_eq!(answer.code(), "upstream_timeout", "{}", answer.text);
    assert!(began.elapsed() < Duration::from_secs(4));
    assert_eq!(stack.booked(1).await[0].outcomes(), ["timeout"]);
}

#[tokio::test]
async fn a_failed_call_is_charged_once_for_what_it_may_have_read() {
    let stack = Setup::new()
        .offer(
            "slow",
            "tier = \"paid\"\nprice = { input = \"1\", output = \"1\" }",
            QUICK,
        )
        .start()
        .await;
    stack.provider("slow").fault("hang").await;
    let key = stack.key().with("tpm", 100_000).mint();

    assert_eq!(key.chat(&"word ".repeat(700)).await.status, 504);

    let booked = stack.booked(1).await[0].input;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let own = key.get("/key").await.json();
    let left = own["limits"][0]["remaining"].as_i64().expect("a number");
    assert!(0 < booked);
    assert_eq!(100_000 - left, booked, "{own}");
}
