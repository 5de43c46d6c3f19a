//! What the books refuse and what the disk spoilt is kept, told, and tried again when an operator says so.

use std::{
    process::{Command, Output},
    sync::{Arc, atomic::Ordering},
};

use serde_json::Value;
use synaxis::{
    base::NanoUsd,
    usage::{Entry, Flusher, letters},
};

use super::{
    database::Database,
    entries::{entry, intent, open, segments, settings},
};
use crate::stack::SYNAXIS;

const COUNT: &str = "select count(*) from operations.usage_entries";

/// Empties a folder as a process that has just started would; returns how many stretches were damaged.
async fn drain(folder: &std::path::Path, database: &Database) -> u64 {
    let spool = open(&settings(folder));
    let mut flusher = Flusher::new(Arc::clone(&spool));
    flusher
        .drain(&database.proxy, &|_| {})
        .await
        .expect("everything is booked");
    spool.counters().damaged.load(Ordering::Relaxed)
}

/// Runs the operator's command on a folder.
fn spool(folder: &std::path::Path, database: &Database, command: &str) -> Value {
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(SYNAXIS)
        .args(["spool", command, "--json"])
        .env_clear()
        .env("SYNAXIS__DATABASE__URL", database.test_database().url())
        .env("SYNAXIS__USAGE__SPOOL_DIR", folder)
        .current_dir(folder)
        .output()
        .expect("to run");
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    serde_json::from_slice(&stdout).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_was_spoilt_costs_itself_alone_and_is_kept_for_a_look() {
    let database = Database::start().await;
    let folder = tempfile::tempdir().unwrap();
    let spool = open(&settings(folder.path()));
    let calls: Vec<Entry> = (0..50).map(entry).collect();
    for call in &calls {
        spool.intend(&intent(call)).unwrap();
        spool.done(call).unwrap();
    }
    drop(spool);
    let segment = folder.path().join(&segments(folder.path())[0]);
    let mut bytes = std::fs::read(&segment).unwrap();
    let spoilt = [7, 31].map(|number: usize| {
        let id = calls[number].request_id.to_string();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        // The end of the call stands behind its beginning.
        text.rfind(&id).unwrap() + 60
    });
    for at in spoilt {
        bytes[at] ^= 0x55;
    }
    std::fs::write(&segment, &bytes).unwrap();

    let damaged = drain(folder.path(), &database).await;

    assert_eq!(damaged, 2);
    assert_eq!(database.number(COUNT).await, 50);
    let abandoned = "select count(*) from operations.usage_entries where finish = 'abandoned'";
    assert_eq!(database.number(abandoned).await, 2);
    assert_eq!(database.roll_up_faults().await, Vec::<String>::new());
    let told = self::spool(folder.path(), &database, "letters");
    let kept = told["damaged"].as_array().unwrap();
    assert_eq!(kept.len(), 2);
    let copy = std::fs::read(kept[0].as_str().unwrap()).unwrap();
    let id = calls[7].request_id.to_string();
    assert!(String::from_utf8_lossy(&copy).contains(&id));
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_are_told_and_booked_once_their_cause_is_gone() {
    let database = Database::start().await;
    let folder = tempfile::tempdir().unwrap();
    let spool = open(&settings(folder.path()));
    let calls: Vec<Entry> = (0..40).map(entry).collect();
    // The books have no room for so much money in one hour, until the first of them is gone.
    let dear = |number| Entry {
        cost_nano_usd: NanoUsd(6_000_000_000_000_000_000),
        held_nano_usd: NanoUsd::ZERO,
        ..entry(number)
    };
    let (first, second) = (dear(100), dear(100));
    for call in calls.iter().chain([&first]) {
        spool.done(call).unwrap();
    }
    drop(spool);
    drain(folder.path(), &database).await;
    let spool = open(&settings(folder.path()));
    spool.done(&second).unwrap();
    drop(spool);
    drain(folder.path(), &database).await;
    assert_eq!(database.number(COUNT).await, 41);

    let told = self::spool(folder.path(), &database, "letters");
    let still = self::spool(folder.path(), &database, "retry");
    let mut superuser = database.superuser().await;
    sqlx::raw_sql(
        "delete from operations.usage_entries where cost_nano_usd > 1000000000;
         delete from operations.usage_hourly where cost_nano_usd > 1000000000;
         delete from operations.usage_moves; delete from operations.ledger_moves;
         delete from operations.ledger_postings where upstream_cost_nano_usd > 1000000000",
    )
    .execute(&mut superuser)
    .await
    .unwrap();
    let booked = self::spool(folder.path(), &database, "retry");

    let letters = told["letters"].as_array().unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0]["request_id"], second.request_id.to_string());
    assert_eq!(letters[0]["entry"]["requested_model"], "house/fast");
    assert!(
        letters[0]["reason"]
            .as_str()
            .unwrap()
            .contains("out of range"),
        "{letters:?}"
    );
    assert_eq!(
        (&still["booked"], &still["refused"]),
        (&0.into(), &1.into())
    );
    assert_eq!(
        (&booked["booked"], &booked["refused"]),
        (&1.into(), &0.into())
    );
    assert_eq!(database.number(COUNT).await, 41);
    assert_eq!(letters::read(folder.path()).unwrap().letters, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_that_come_while_others_are_tried_again_are_not_lost() {
    let database = Database::start().await;
    let folder = tempfile::tempdir().unwrap();
    let spool = open(&settings(folder.path()));
    let poison = |number| Entry {
        cost_nano_usd: NanoUsd(u64::MAX),
        ..entry(number)
    };
    let mut flusher = Flusher::new(Arc::clone(&spool));
    let retrying = async {
        let mut tries = 0;
        while tries < 40 {
            letters::retry(folder.path(), &database.proxy)
                .await
                .unwrap();
            tries += 1;
        }
    };
    let flushing = async {
        for number in 0..40 {
            spool.done(&poison(number)).unwrap();
            flusher.drain(&database.proxy, &|_| {}).await.unwrap();
        }
    };

    tokio::join!(retrying, flushing);

    assert_eq!(letters::read(folder.path()).unwrap().letters.len(), 40);
    assert_eq!(database.number(COUNT).await, 0);
}
