//! Whose key opens the door, and how a closed one sounds.

use std::time::{Duration, Instant};

use crate::stack::{Setup, TestStack};

#[tokio::test]
async fn an_unknown_key_and_a_wrong_secret_sound_the_same() {
    let stack = TestStack::start().await;
    let key = stack.key().mint();
    let stranger = "synaxis_build_0123456789abcdef_nonsense";

    let wrong_form = key.but(stranger).chat("hello").await;
    let no_key = key.but("").chat("hello").await;

    for answer in [&wrong_form, &no_key] {
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (401, "invalid_api_key")
        );
    }
    assert_eq!(wrong_form.json()["error"], no_key.json()["error"]);
    assert_eq!(stack.provider("gratis").calls(), 0);
}

#[tokio::test]
async fn who_guesses_keys_is_not_looked_up_for_any_more_and_known_callers_are_served_all_the_same()
{
    let stack = Setup::new()
        .free("gratis")
        .setting("KEYS__GUESSES_PER_MINUTE", 20)
        .start()
        .await;
    let (known, late) = (stack.key().mint(), stack.key().mint());
    assert_eq!(known.chat("hello").await.status, 200);

    let mut answers = Vec::new();
    for _ in 0..20 {
        let (guess, ..) = synaxis::keys::token::mint();
        answers.push(known.but(guess.expose()).chat("hello").await);
    }
    answers.push(late.chat("hello").await);

    for answer in &answers {
        assert_eq!(answer.status, 401);
        assert_eq!(answer.json()["error"], answers[0].json()["error"]);
    }
    assert_eq!(known.chat("hello").await.status, 200);
    assert_eq!(stack.provider("gratis").calls(), 2);
}

#[tokio::test]
async fn a_revoked_key_is_refused_within_a_second() {
    let stack = TestStack::start().await;
    let key = stack.key().mint();
    assert_eq!(key.chat("hello").await.status, 200);

    stack.run(&[
        "keys",
        "revoke",
        &key.id,
        "--organization",
        &stack.organization,
    ]);
    let revoked = Instant::now();
    let refused = loop {
        let answer = key.chat("hello").await;
        if answer.status != 200 {
            break answer;
        }
        assert!(
            revoked.elapsed() < Duration::from_secs(1),
            "still open after a second"
        );
    };

    assert_eq!(
        (refused.status, refused.code().as_str()),
        (401, "revoked_api_key")
    );
}

#[tokio::test]
async fn a_key_asks_only_for_the_models_and_from_the_addresses_it_may() {
    let stack = TestStack::start().await;
    let other_model = stack.key().with("models", "another").mint();
    let elsewhere = stack.key().with("cidrs", "10.0.0.0/8").mint();
    let here = stack
        .key()
        .with("cidrs", "127.0.0.0/8")
        .with("models", "swift")
        .mint();

    let denied = other_model.chat("hello").await;
    let away = elsewhere.chat("hello").await;

    assert_eq!(
        (denied.status, denied.code().as_str()),
        (403, "model_access_denied")
    );
    assert_eq!(
        (away.status, away.code().as_str()),
        (403, "address_not_allowed")
    );
    assert_eq!(here.chat("hello").await.status, 200);
}

#[tokio::test]
async fn a_trusted_proxy_tells_the_true_address_and_a_stranger_does_not() {
    let trusting = Setup::new()
        .free("gratis")
        .setting("PROXY__TRUSTED_PROXIES", "127.0.0.1/32")
        .start()
        .await;
    let doubting = TestStack::start().await;

    for (stack, status) in [(&trusting, 403), (&doubting, 200)] {
        let key = stack.key().with("cidrs", "127.0.0.0/8").mint();
        let url = format!("{}/chat/completions", stack.proxy().base_url());
        let sent = crate::stack::people::client()
            .post(url)
            .bearer_auth(&key.text)
            .header("x-forwarded-for", "203.0.113.9")
            .json(&crate::stack::people::chat("hello"))
            .send();

        assert_eq!(sent.await.expect("an answer").status().as_u16(), status);
    }
}

#[tokio::test]
async fn a_key_learns_its_own_limits_and_models() {
    let stack = TestStack::start().await;
    let key = stack.key().with("rpm", 5).mint();
    key.chat("hello").await;

    let own = key.get("/key").await.json();
    let models = key.get("/models").await.json();
    let one = key.get("/models/swift").await;
    let none = key.get("/models/nobody").await;

    assert_eq!(own["limits"][0]["limit"], 5);
    assert_eq!(own["limits"][0]["remaining"], 4);
    assert_eq!(models["data"][0]["id"], "swift");
    assert_eq!(one.json()["object"], "model");
    assert_eq!(
        (none.status, none.code().as_str()),
        (404, "model_not_found")
    );
}

#[tokio::test]
async fn a_known_caller_is_served_and_a_stranger_hears_503_while_postgres_is_away() {
    let stack = TestStack::start().await;
    let known = stack.key().mint();
    let unseen = stack.key().mint();
    assert_eq!(known.chat("hello").await.status, 200);
    stack.booked(1).await;

    stack.database.cut_off().await;

    assert_eq!(known.chat("hello").await.status, 200);
    let answer = unseen.chat("hello").await;
    assert_eq!(answer.status, 503, "{}", answer.text);
    stack.database.let_in().await;
    stack.booked(2).await;
}
