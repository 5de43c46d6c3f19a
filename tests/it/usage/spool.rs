//! What the spool takes, what it refuses, and what it costs.

use std::time::{Duration, Instant};

use synaxis::{
    base::Clock,
    usage::{Entry, Intent, Settings, Spool, SpoolError},
};

use super::entries::{entry, intent, open, segments, settings};
use crate::stack::within;

#[test]
fn a_folder_that_cannot_be_made_is_an_error_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "in the way").unwrap();

    let refused = Spool::open(&settings(&file.join("spool")), &Clock::System);

    assert!(
        matches!(refused, Err(SpoolError::NotWritable { .. })),
        "{refused:?}"
    );
}

#[test]
fn a_spool_left_empty_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();

    drop(open(&settings(folder.path())));

    assert_eq!(segments(folder.path()), Vec::<String>::new());
}

#[test]
fn nobody_else_may_read_what_callers_attached() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("spool");
    let spool = open(&settings(&inner));
    spool.done(&entry(1)).unwrap();

    let mode =
        |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;

    assert_eq!(mode(&inner), 0o700);
    assert_eq!(mode(&inner.join(&segments(&inner)[0])), 0o600);
}

/// Writes intents until one is refused; returns the calls that were taken.
fn fill(spool: &Spool) -> Vec<Entry> {
    let mut taken = Vec::new();
    loop {
        let entry = entry(taken.len() as u64);
        match spool.intend(&intent(&entry)) {
            Ok(()) => taken.push(entry),
            Err(SpoolError::Full) => return taken,
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn a_full_spool_takes_no_intent_but_the_end_of_every_call_in_flight() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        cap_bytes: 1024 * 1024,
        ..settings(folder.path())
    };
    let spool = open(&settings);

    let calls = fill(&spool);

    assert!(spool.is_full());
    assert!(calls.len() > 500, "{}", calls.len());
    assert!(spool.bytes() < settings.cap_bytes);
    for call in &calls[..90] {
        spool.done(call).unwrap();
    }
    assert_eq!(
        spool
            .counters()
            .lost
            .load(std::sync::atomic::Ordering::Relaxed),
        0
    );
}

#[test]
fn an_entry_longer_than_a_record_may_be_loses_what_its_caller_attached() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(&settings(folder.path()));
    let long = Entry {
        tags: serde_json::json!({"note": "x".repeat(2 * 1024 * 1024)}),
        ..entry(1)
    };

    spool.intend(&Intent(long.clone())).unwrap();
    spool.done(&long).unwrap();

    assert!(spool.bytes() < 4_096, "{}", spool.bytes());
}

#[tokio::test]
async fn the_end_of_a_call_is_written_within_milliseconds_though_nobody_calls() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(&settings(folder.path()));

    for number in 0..3 {
        let before = spool.bytes();
        spool.done(&entry(number)).unwrap();
        let waited = within(Duration::from_secs(5), async || before < spool.bytes()).await;
        assert!(waited < Duration::from_millis(500), "{waited:?}");
        // Long enough for the thread that writes to fall asleep.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn the_beginning_of_a_call_takes_the_ends_before_it_along() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(&settings(folder.path()));
    let segment = folder.path().join(&segments(folder.path())[0]);
    let ended: Vec<Entry> = (0..20).map(entry).collect();
    for entry in &ended {
        spool.done(entry).unwrap();
    }

    let next = entry(20);
    spool.intend(&intent(&next)).unwrap();

    let written = std::fs::read(segment).unwrap();
    let text = String::from_utf8_lossy(&written);
    let places: Vec<_> = ended
        .iter()
        .chain([&next])
        .map(|entry| text.find(&entry.request_id.to_string()))
        .collect();
    assert!(places.iter().all(Option::is_some), "{places:?}");
    assert!(places.is_sorted(), "{places:?}");
}

#[tokio::test]
async fn a_disk_that_is_full_for_a_while_refuses_intents_and_recovers_alone() {
    let Some(disk) = small_disk::mount() else {
        return;
    };
    let spool = open(&settings(&disk.folder().join("spool")));
    spool.intend(&intent(&entry(1))).unwrap();
    let block = disk.folder().join("block");
    disk.fill(&block);

    let calls = fill(&spool);
    assert!(spool.is_full());
    for call in &calls {
        spool.done(call).unwrap();
    }
    for number in 0..2_000 {
        spool.done(&entry(number)).unwrap();
    }
    assert!(spool.is_full());

    std::fs::remove_file(block).unwrap();
    let next = intent(&entry(2));
    within(Duration::from_secs(5), async || spool.intend(&next).is_ok()).await;
    assert!(!spool.is_full());
}

/// A disk of four megabytes, where the test may mount one.
pub mod small_disk {
    use std::{io::Write, path::Path, process::Command};

    pub struct Disk(tempfile::TempDir);

    pub fn mount() -> Option<Disk> {
        let folder = tempfile::tempdir().expect("a folder");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"])
            .arg(folder.path())
            .output()
            .is_ok_and(|output| output.status.success());
        mounted.then_some(Disk(folder))
    }

    impl Disk {
        pub fn folder(&self) -> &Path {
            self.0.path()
        }

        /// Takes every byte that is left.
        pub fn fill(&self, block: &Path) {
            let mut file = std::fs::File::create(block).expect("the disk takes a file");
            for size in [64 * 1024, 4 * 1024] {
                while file.write_all(&vec![1; size]).is_ok() {}
            }
        }
    }

    impl Drop for Disk {
        fn drop(&mut self) {
            let _ = Command::new("umount").arg("-l").arg(self.0.path()).output();
        }
    }
}

#[test]
fn writing_a_call_down_costs_microseconds() {
    const CALLS: u32 = 20_000;
    let folder = tempfile::tempdir().unwrap();
    let spool = open(&Settings {
        segment_bytes: 64 * 1024 * 1024,
        cap_bytes: 1024 * 1024 * 1024,
        sync_ms: 100,
        ..settings(folder.path())
    });
    let entry = entry(1);

    let began = Instant::now();
    for _ in 0..CALLS {
        spool.done(&entry).unwrap();
    }
    let writing = began.elapsed() / CALLS;

    figure!("the end of a call: {writing:?}");
    assert!(writing < Duration::from_micros(500), "{writing:?}");
}
