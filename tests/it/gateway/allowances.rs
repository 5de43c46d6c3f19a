//! What providers say of their allowances, and what becomes of it: on every proxy, in the books, on the metrics page.

use std::time::Duration;

use crate::stack::{
    Setup, TestStack,
    admin::TestAdmin,
    people::{chat, client},
    provider::Provider,
    within,
};

/// A day of any 24 hours, so that no midnight spoils a test.
const GENEROUS: &str = "tier = \"free\"\nallowances = [{ meter = \"requests\", amount = 1000, window = \"day\", \
                        rolling = true, shared = true }]";
const TELLS: &str = "quirks = { header_family = \"suffix-window\" }";

async fn with_free(flags: &[&str], terms: &str) -> TestStack {
    let free = Provider::start_with("gratis", flags);
    Setup::new()
        .with(free, terms, TELLS)
        .paid("dear", "1", "1")
        .proxies(2)
        .start()
        .await
}

/// Somebody else calls with the same provider's key.
async fn call_aside(provider: &Provider) -> u16 {
    let sent = client()
        .post(format!("http://{}/v1/chat/completions", provider.address))
        .bearer_auth(format!("sk-{}-0123456789", provider.name))
        .json(&{
            let mut body = chat("aside");
            body["model"] = format!("swift-{}", provider.name).into();
            body
        })
        .send()
        .await;
    sent.expect("an answer").status().as_u16()
}

#[tokio::test]
async fn what_a_provider_says_is_left_counts_on_every_proxy_and_nobody_is_refused() {
    let stack = with_free(&["--rpd", "6"], GENEROUS).await;
    let free = stack.provider("gratis");
    for _ in 0..4 {
        assert_eq!(call_aside(free).await, 200);
    }
    let key = stack.key().mint();
    let other = key.at(&stack.proxies[1]);

    assert_eq!(key.chat("one").await.header("x-synaxis-provider"), "gratis");
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(
        other.chat("two").await.header("x-synaxis-provider"),
        "gratis"
    );
    for caller in [&key, &other] {
        let answer = caller.chat("three").await;
        assert_eq!(answer.header("x-synaxis-provider"), "dear");
        assert_eq!(
            answer.header("x-synaxis-attempts"),
            "1",
            "deselected, not failed"
        );
    }

    assert_eq!(free.wait_for_end(6).await.len(), 6, "never asked in vain");
    within(Duration::from_secs(8), async || {
        let left = stack.proxy().get("/metrics").await.expect("metrics").1;
        left.contains("synaxis_free_allowance_remaining{provider=\"gratis\",unit=\"requests\"} 0")
    })
    .await;
}

#[tokio::test]
async fn how_much_an_allowance_is_comes_into_the_books_and_counts_from_then_on() {
    let stack = with_free(&["--rpd", "500", "--rpm", "70"], GENEROUS).await;
    let _sidecar = TestAdmin::beside(&stack).await;
    let key = stack.key().mint();

    assert_eq!(
        key.chat("hello").await.header("x-synaxis-provider"),
        "gratis"
    );

    within(Duration::from_secs(25), async || {
        let day = "select coalesce(sum(told_amount), 0)::int8 from platform.provider_allowances
            where time_window = 'day' and origin = 'published' and amount = 1000";
        let minute = "select coalesce(sum(told_amount), 0)::int8 from platform.provider_allowances
            where time_window = 'minute' and origin = 'learned' and deleted_at is null";
        (stack.number(day).await, stack.number(minute).await) == (500, 70)
    })
    .await;
}

#[tokio::test]
async fn the_next_key_goes_on_where_the_allowance_of_the_first_ends() {
    const TWO: &str = "tier = \"free\"\nallowances = [{ meter = \"requests\", amount = 2, window = \"day\", \
                       rolling = true, shared = true }]";
    let stack = Setup::new()
        .offer("gratis", TWO, "")
        .paid("dear", "1", "1")
        .aliases(
            "[[credentials]]\nprovider = \"gratis\"\nname = \"second\"\nposition = 1\n\
             credential = \"tk-another-9876543210\"\n\n",
        )
        .start()
        .await;
    let key = stack.key().mint();

    let mut answered = Vec::new();
    for _ in 0..5 {
        let answer = key.chat("hello").await;
        assert_eq!(answer.header("x-synaxis-attempts"), "1");
        answered.push(answer.header("x-synaxis-provider").to_owned());
    }

    assert_eq!(answered, ["gratis", "gratis", "gratis", "gratis", "dear"]);
    let log = stack.provider("gratis").wait_for_end(4).await;
    let keys: Vec<&str> = log
        .iter()
        .filter_map(|line| line["credential"].as_str())
        .collect();
    assert_eq!(keys[0], keys[1]);
    assert_eq!(keys[2], keys[3]);
    assert_ne!(keys[1], keys[2]);
}
