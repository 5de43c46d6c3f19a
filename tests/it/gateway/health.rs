//! Sick upstreams under load, seen by callers of two proxies: whoever is well answers, and whoever is back is found.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use synaxis::base::tasks::Tasks;

use crate::stack::{Setup, TestStack, people::Key};

/// One answer: when, the status, and who gave it.
type Seen = (Instant, u16, String);

/// Calls at both proxies again and again, each so often a second.
struct Load {
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<Vec<Seen>>>,
    callers: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    fn start(stack: &TestStack, key: &Key, callers: usize, pause: Duration) -> Self {
        let (stop, seen) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let callers = (0..callers).map(|number| {
            let key = key.at(&stack.proxies[number % stack.proxies.len()]);
            let (stop, seen): (_, Arc<Mutex<Vec<Seen>>>) = (Arc::clone(&stop), Arc::clone(&seen));
            Tasks::default().spawn("caller", async move {
                while !stop.load(Ordering::Relaxed) {
                    let answer = key.chat("hello").await;
                    let provider = answer.header("x-synaxis-provider").to_owned();
                    let one = (Instant::now(), answer.status, provider);
                    seen.lock().expect("what was seen").push(one);
                    tokio::time::sleep(pause).await;
                }
            })
        });
        let callers = callers.collect();
        Self {
            stop,
            seen,
            callers,
        }
    }

    async fn end(self) -> Vec<Seen> {
        self.stop.store(true, Ordering::Relaxed);
        for caller in self.callers {
            caller.await.expect("a caller");
        }
        let mut seen = std::mem::take(&mut *self.seen.lock().expect("what was seen"));
        seen.sort_by_key(|one| one.0);
        seen
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cheapest_failing_half_its_calls_is_left_alone_without_flapping() {
    let stack = Setup::new()
        .paid("cheap", "1", "1")
        .paid("middling", "2", "2")
        .paid("dear", "9", "9")
        .proxies(2)
        // Several pauses of the breaker go by in the test.
        .setting("ROUTING__PAUSE_MS", 4_000)
        .start()
        .await;
    stack.provider("cheap").fault("status=500,p=0.5").await;
    let key = stack.key().mint();

    let load = Load::start(&stack, &key, 6, Duration::from_millis(40));
    tokio::time::sleep(Duration::from_secs(24)).await;
    let seen = load.end().await;

    let failed = seen.iter().filter(|(_, status, _)| *status != 200).count();
    // Who answered most in each second; a change of that is a switch.
    let mut seconds: BTreeMap<u64, BTreeMap<&str, usize>> = BTreeMap::new();
    for (at, _, provider) in &seen {
        let second = at.duration_since(seen[0].0).as_secs();
        *seconds
            .entry(second)
            .or_default()
            .entry(provider)
            .or_default() += 1;
    }
    let leaders = seconds.values().map(|second| {
        let most = second.iter().max_by_key(|(_, count)| **count);
        *most.expect("an answer").0
    });
    let leaders: Vec<&str> = leaders.collect();
    let switches = leaders.windows(2).filter(|pair| pair[0] != pair[1]).count();
    let by_cheap = seen
        .iter()
        .filter(|(_, _, provider)| provider == "cheap")
        .count();
    #[expect(clippy::print_stdout, reason = "the figures of the test")]
    {
        println!(
            "{} calls, {failed} failed, {by_cheap} answered by the failing one, {switches} switches in {} s: {leaders:?}",
            seen.len(),
            leaders.len()
        );
    }
    assert!(failed * 100 < seen.len(), "{failed} of {}", seen.len());
    assert!(by_cheap * 4 < seen.len(), "{by_cheap} of {}", seen.len());
    assert!(switches <= 4, "{leaders:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_were_down_one_that_is_back_is_found_soon_with_one_trial_at_a_time() {
    let stack = Setup::new()
        .paid("first", "1", "1")
        .paid("second", "2", "2")
        .paid("third", "3", "3")
        .proxies(2)
        .start()
        .await;
    for provider in &stack.providers {
        provider.fault("status=503").await;
    }
    let key = stack.key().mint();
    let load = Load::start(&stack, &key, 6, Duration::from_millis(50));
    tokio::time::sleep(Duration::from_secs(3)).await;
    let before = stack.provider("second").calls();
    let began = Instant::now();
    tokio::time::sleep(Duration::from_secs(6)).await;
    let trials = stack.provider("second").calls() - before;
    let elapsed = began.elapsed().as_secs_f64();

    stack.provider("second").fault("none").await;
    let back = Instant::now();
    tokio::time::sleep(Duration::from_secs(8)).await;
    let seen = load.end().await;

    // Recovered: from then on every call is answered.
    let last_refused = seen
        .iter()
        .filter(|(_, status, _)| *status != 200)
        .map(|one| one.0)
        .max();
    let recovered = last_refused
        .expect("refusals")
        .saturating_duration_since(back);
    let first = seen
        .iter()
        .find(|(at, status, _)| back < *at && *status == 200);
    let first = first.expect("an answer").0.duration_since(back);
    #[expect(clippy::print_stdout, reason = "the figures of the test")]
    {
        println!(
            "{trials} trials in {elapsed:.1} s; first answer after {first:?}, all answered after {recovered:?}"
        );
    }
    // One a second, and one more for where the seconds were cut.
    assert!(trials <= 7, "{trials} trials in {elapsed:.1} s");
    assert!(2 <= trials, "{trials} trials in {elapsed:.1} s");
    assert!(recovered <= Duration::from_secs(5), "{recovered:?}");
}
