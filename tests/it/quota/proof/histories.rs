//! Ten thousand histories: the scripts answer as the model does, word for word, and the model passes no limit.

use std::cell::RefCell;

use proptest::test_runner::{Config, TestCaseError, TestRunner};

use super::{
    bench::{Bench, Texts},
    op::Op,
    step::{Tale, tales},
    world::{self, Turn, World},
};
use crate::stack::redis::OwnRedis;

const HISTORIES: u32 = 10_000;
/// Each with a Redis of its own.
const WORKERS: u32 = 3;

/// Plays histories until the scripts and the model differ; returns where, told as shortly as can be.
pub fn differ(url: &str, texts: &Texts, histories: u32, shrinks: u32) -> Option<String> {
    let bench = RefCell::new(Bench::new(url, texts));
    let played = RefCell::new(0_u64);
    let mut runner = TestRunner::new(Config {
        cases: histories,
        failure_persistence: None,
        max_shrink_iters: shrinks,
        ..Config::default()
    });
    let result = runner.run(&tales(), |tale| {
        let number = *played.borrow();
        *played.borrow_mut() += 1;
        one(&mut bench.borrow_mut(), number, &tale)
    });
    result.err().map(|failure| failure.to_string())
}

fn one(bench: &mut Bench, number: u64, tale: &Tale) -> Result<(), TestCaseError> {
    let prefix = format!("{number}:");
    let world = world::play(&prefix, tale);
    let told = |what: &str| TestCaseError::fail(format!("{what}\n{}", story(&world)));
    if let Some(broken) = &world.broken {
        return Err(told(broken));
    }
    let checked = bench.check(&prefix, &world);
    checked.map_err(|difference| told(&difference.0))
}

/// What was said, one word a line, for whoever looks for the reason.
fn story(world: &World) -> String {
    let begin = world.turns.first().map_or(0, |turn| turn.now);
    let line = |turn: &Turn| {
        let said = match &turn.op {
            Op::Admit(admit) => {
                let bids = admit.bids.iter().map(|bid| (&bid.tenant, &bid.own));
                format!("admit {} {:?}", admit.record, bids.collect::<Vec<_>>())
            }
            other => format!("{other:?}"),
        };
        format!("{:>9} {said} -> {:?}", turn.now - begin, turn.reply)
    };
    let lines: Vec<String> = world.turns.iter().map(line).collect();
    lines.join("\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_thousand_histories_end_as_the_model_says() {
    let workers = (0..WORKERS).map(|_| async {
        let redis = OwnRedis::start().await;
        let url = redis.url();
        let work = move || differ(&url, &Texts::shipped(), HISTORIES.div_ceil(WORKERS), 2_000);
        let differed = tokio::task::spawn_blocking(work).await.expect("a worker");
        drop(redis);
        differed
    });
    let differences = futures::future::join_all(workers).await;

    let first = differences.into_iter().flatten().next();
    assert!(first.is_none(), "{}", first.unwrap_or_default());
}
