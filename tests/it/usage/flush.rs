//! From the spool into the books: everything, once, and the disk is given back.

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use synaxis::{
    base::{NanoUsd, RequestId, tasks::Tasks},
    store::postgres::{Postgres, Role},
    usage::{Entry, Flusher, Settings, Spool},
};
use tokio::sync::watch;

use super::{
    database::Database,
    entries::{entry, intent, open, segments, settings},
};
use crate::stack::{relay::Relay, within};

const COUNT: &str = "select count(*) from operations.usage_entries";
const COST: &str = "select sum(cost_nano_usd)::bigint from operations.usage_entries";

fn ignore(_: RequestId) {}

/// Empties a folder as a process that has just started would.
async fn drain(folder: &Path, postgres: &Postgres) {
    let mut flusher = Flusher::new(open(&settings(folder)));
    flusher
        .drain(postgres, &ignore)
        .await
        .expect("everything is booked");
}

/// A flusher that runs until it is told to stop.
struct Running {
    stop: watch::Sender<bool>,
    tasks: Tasks,
    booked: Arc<Mutex<Vec<RequestId>>>,
}

impl Running {
    fn start(spool: &Arc<Spool>, postgres: Postgres) -> Self {
        let (stop, mut stopped) = watch::channel(false);
        let tasks = Tasks::default();
        let booked = Arc::new(Mutex::new(Vec::new()));
        let flusher = Flusher::new(Arc::clone(spool));
        let seen = Arc::clone(&booked);
        tasks.spawn("flusher", async move {
            let shutdown = async move {
                let _ = stopped.wait_for(|stop| *stop).await;
            };
            let note = move |id| seen.lock().expect("nobody panicked").push(id);
            flusher.run(postgres, note, shutdown).await;
        });
        Self {
            stop,
            tasks,
            booked,
        }
    }

    async fn stop(self) -> Vec<RequestId> {
        self.stop.send_replace(true);
        assert!(self.tasks.wait(Duration::from_secs(20)).await);
        std::mem::take(&mut self.booked.lock().expect("nobody panicked"))
    }
}

/// Lets `count` calls begin and end; returns them.
fn call(spool: &Spool, count: u64) -> Vec<Entry> {
    let entries: Vec<Entry> = (0..count).map(entry).collect();
    for entry in &entries {
        spool.intend(&intent(entry)).expect("the spool takes it");
    }
    for entry in &entries {
        spool.done(entry).expect("the spool takes it");
    }
    entries
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_is_booked_within_half_a_second_and_told() {
    let database = Database::start().await;
    let folder = tempfile::tempdir().unwrap();
    let spool = open(&Settings {
        flush_ms: 500,
        ..settings(folder.path())
    });
    let running = Running::start(&spool, database.open(Role::Proxy));
    // The first connection and its migrations' check are not what is measured.
    spool.done(&entry(1)).unwrap();
    within(Duration::from_secs(10), async || {
        database.number(COUNT).await == 1
    })
    .await;

    let entries = call(&spool, 50);
    let waited = within(Duration::from_secs(10), async || {
        database.number(COUNT).await == 51
    })
    .await;
    let mut booked = running.stop().await;

    figure!("50 calls were in the books after {waited:?}");
    assert!(waited < Duration::from_millis(1_000), "{waited:?}");
    booked.sort_unstable();
    let mut told: Vec<RequestId> = entries.iter().map(|entry| entry.request_id).collect();
    told.sort_unstable();
    assert_eq!(booked.len(), 51);
    assert!(told.iter().all(|id| booked.binary_search(id).is_ok()));
    assert_eq!(database.roll_up_faults().await, Vec::<String>::new());
    drop(spool);
    assert_eq!(segments(folder.path()), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn segments_go_when_they_are_booked_and_an_idle_spool_shrinks_to_nothing() {
    let database = Database::start().await;
    let folder = tempfile::tempdir().unwrap();
    let spool = open(&settings(folder.path()));
    let running = Running::start(&spool, database.open(Role::Proxy));

    for _ in 0..5 {
        call(&spool, 500);
    }

    within(Duration::from_secs(20), async || spool.bytes() == 0).await;
    assert_eq!(database.number(COUNT).await, 2_500);
    assert_eq!(segments(folder.path()).len(), 1);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_long_call_keeps_no_segment_and_is_not_forgotten() {
    let database = Database::start().await;
    let folder = tempfile::tempdir().unwrap();
    let spool = open(&settings(folder.path()));
    let long = entry(1);
    spool.intend(&intent(&long)).unwrap();
    let running = Running::start(&spool, database.open(Role::Proxy));

    for _ in 0..5 {
        call(&spool, 500);
    }
    within(Duration::from_secs(20), async || {
        segments(folder.path()).len() == 1
    })
    .await;
    assert_eq!(database.number(COUNT).await, 2_500);

    running.stop().await;
    drop(spool);
    drain(folder.path(), &database.proxy).await;
    assert_eq!(
        database
            .number("select count(*) from operations.usage_entries where finish = 'abandoned'")
            .await,
        1
    );
    assert_eq!(segments(folder.path()), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_tries_several_offers_keeps_no_segment_once_it_has_ended() {
    let database = Database::start().await;
    let folder = tempfile::tempdir().unwrap();
    let spool = open(&settings(folder.path()));
    let running = Running::start(&spool, database.open(Role::Proxy));
    let trying: Vec<Entry> = (0..10).map(entry).collect();

    for _ in 0..3 {
        for entry in &trying {
            spool.intend(&intent(entry)).unwrap();
        }
        call(&spool, 300);
    }
    for entry in &trying {
        spool.done(entry).unwrap();
    }

    within(Duration::from_secs(20), async || spool.bytes() == 0).await;
    assert_eq!(database.number(COUNT).await, 910);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_away_slows_no_call_and_loses_none() {
    let database = Database::start().await;
    let relay = Relay::start(database.test_database().server().await).await;
    let far = database.test_database().settings_over(relay.address());
    let folder = tempfile::tempdir().unwrap();
    let spool = open(&settings(folder.path()));
    let running = Running::start(&spool, Postgres::connect(&far, Role::Proxy).unwrap());
    call(&spool, 100);
    within(Duration::from_secs(10), async || {
        database.number(COUNT).await == 100
    })
    .await;

    relay.cut();
    let mut slowest = Duration::ZERO;
    for _ in 0..20 {
        let began = Instant::now();
        call(&spool, 100);
        slowest = slowest.max(began.elapsed() / 200);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(database.number(COUNT).await, 100);
    relay.mend();
    let waited = within(Duration::from_secs(10), async || {
        database.number(COUNT).await == 2_100
    })
    .await;

    figure!("slowest write {slowest:?}; all booked {waited:?} after Postgres came back");
    assert!(slowest < Duration::from_millis(5), "{slowest:?}");
    running.stop().await;
    assert_eq!(database.roll_up_faults().await, Vec::<String>::new());
}

/// How long the replay is left alone between two kills while it gets on.
const SHORTEST_PAUSE_MS: u64 = 30;

#[tokio::test(flavor = "multi_thread")]
async fn connections_killed_during_the_replay_change_nothing() {
    let database = Database::start().await;
    let folder = tempfile::tempdir().unwrap();
    let spool = open(&settings(folder.path()));
    let entries = call(&spool, 10_000);
    drop(spool);
    let spool = open(&Settings {
        batch: 100,
        ..settings(folder.path())
    });
    let running = Running::start(&spool, database.open(Role::Proxy));

    let kills = AtomicUsize::new(0);
    let (booked, pause) = (AtomicI64::new(0), AtomicU64::new(SHORTEST_PAUSE_MS));
    within(Duration::from_secs(200), async || {
        let killed = database
            .number(
                "select count(pg_terminate_backend(pid)) from pg_stat_activity
                 where datname = current_database() and pid <> pg_backend_pid()",
            )
            .await;
        kills.fetch_add(usize::try_from(killed).unwrap(), Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(pause.load(Ordering::Relaxed))).await;
        let now = database.number(COUNT).await;
        // On a busy machine no batch ends within the shortest pause, and nothing would be replayed but kills.
        let is_stuck = booked.swap(now, Ordering::Relaxed) == now;
        let next = if is_stuck {
            pause.load(Ordering::Relaxed) * 2
        } else {
            SHORTEST_PAUSE_MS
        };
        pause.store(next.min(1_000), Ordering::Relaxed);
        now == 10_000
    })
    .await;

    running.stop().await;
    figure!("{} connections killed", kills.load(Ordering::Relaxed));
    assert!(10 <= kills.load(Ordering::Relaxed), "{kills:?}");
    let cost: u64 = entries.iter().map(|entry| entry.cost_nano_usd.0).sum();
    assert_eq!(database.number(COST).await, i64::try_from(cost).unwrap());
    assert_eq!(database.roll_up_faults().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_poisoned_entry_in_a_thousand_is_kept_aside_and_the_others_are_booked() {
    let database = Database::start().await;
    let folder = tempfile::tempdir().unwrap();
    let spool = open(&settings(folder.path()));
    let dear = Entry {
        cost_nano_usd: NanoUsd(u64::MAX),
        ..entry(500)
    };
    for number in 0..999 {
        spool.done(&entry(number)).unwrap();
        if number == 500 {
            spool.done(&dear).unwrap();
        }
    }

    let mut flusher = Flusher::new(Arc::clone(&spool));
    let told = Mutex::new(Vec::new());
    flusher
        .drain(&database.proxy, &|id| told.lock().unwrap().push(id))
        .await
        .unwrap();

    assert_eq!(database.number(COUNT).await, 999);
    assert_eq!(told.lock().unwrap().len(), 999);
    assert_eq!(spool.counters().dead_letters.load(Ordering::Relaxed), 1);
    let letters = std::fs::read_to_string(folder.path().join("dead-letters.jsonl")).unwrap();
    assert_eq!(letters.lines().count(), 1);
    assert!(letters.contains(&dear.request_id.to_string()));
    assert_eq!(spool.bytes(), 0);
    assert_eq!(database.roll_up_faults().await, Vec::<String>::new());
}

/// Copies dead segments under other boots' names: the order in which a flusher meets them changes.
fn copy_shuffled(from: &Path, to: &Path) {
    let boots: std::collections::BTreeMap<String, String> = segments(from)
        .iter()
        .map(|name| name.split('-').next().expect("a name").to_owned())
        .map(|boot| {
            (
                boot,
                uuid::Uuid::from_u128(rand::random()).simple().to_string(),
            )
        })
        .collect();
    for name in segments(from) {
        let (boot, number) = name.split_once('-').expect("a name");
        std::fs::copy(
            from.join(&name),
            to.join(format!("{}-{number}", boots[boot])),
        )
        .expect("the segment can be copied");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn four_flushers_with_the_same_segments_in_any_order_book_each_call_once() {
    const BOOTS: usize = 8;
    let database = Database::start().await;
    let original = tempfile::tempdir().unwrap();
    let mut entries = Vec::new();
    for _ in 0..BOOTS {
        let spool = open(&settings(original.path()));
        entries.extend(call(&spool, 700));
        // Calls that were cut off: the others know how they ended.
        let cut = entry(9);
        spool.intend(&intent(&cut)).unwrap();
        drop(spool);
        let other = open(&settings(original.path()));
        other.done(&cut).unwrap();
        entries.push(cut);
    }
    let copies: Vec<_> = (0..4).map(|_| tempfile::tempdir().unwrap()).collect();
    for copy in &copies {
        copy_shuffled(original.path(), copy.path());
    }

    let began = Instant::now();
    let flushing = copies.iter().enumerate().map(|(number, copy)| {
        let postgres = database.open(Role::Proxy);
        let spool = open(&Settings {
            batch: 100 + 300 * number,
            ..settings(copy.path())
        });
        async move {
            let mut flusher = Flusher::new(spool);
            flusher.drain(&postgres, &ignore).await.unwrap();
        }
    });
    futures::future::join_all(flushing).await;
    let elapsed = began.elapsed();

    let count = i64::try_from(entries.len()).unwrap();
    let cost: u64 = entries.iter().map(|entry| entry.cost_nano_usd.0).sum();
    figure!(
        "{} entries offered four times in {elapsed:?}",
        entries.len()
    );
    assert_eq!(database.number(COUNT).await, count);
    assert_eq!(database.number(COST).await, i64::try_from(cost).unwrap());
    assert_eq!(
        database
            .number("select sum(requests)::bigint from operations.usage_hourly")
            .await,
        count
    );
    assert_eq!(database.roll_up_faults().await, Vec::<String>::new());
    assert_eq!(
        database
            .number("select deadlocks from pg_stat_database where datname = current_database()")
            .await,
        0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn four_flushers_on_one_folder_share_what_dead_processes_left_and_touch_no_living_one() {
    let database = Database::start().await;
    let folder = tempfile::tempdir().unwrap();
    let mut count = 0;
    for _ in 0..6 {
        let spool = open(&settings(folder.path()));
        count += call(&spool, 600).len();
    }
    let living = open(&settings(folder.path()));
    let open_call = entry(1);
    living.intend(&intent(&open_call)).unwrap();

    let flushing = (0..4).map(|_| {
        let postgres = database.open(Role::Proxy);
        let spool = open(&settings(folder.path()));
        let folder = folder.path();
        async move {
            let mut flusher = Flusher::new(spool);
            within(Duration::from_secs(20), async || {
                flusher.drain(&postgres, &ignore).await.unwrap();
                segments(folder).len() <= 5
            })
            .await;
        }
    });
    futures::future::join_all(flushing).await;

    assert_eq!(database.number(COUNT).await, i64::try_from(count).unwrap());
    living.done(&open_call).unwrap();
    let mut flusher = Flusher::new(living);
    flusher.drain(&database.proxy, &ignore).await.unwrap();
    assert_eq!(
        database
            .number("select count(*) from operations.usage_entries where finish = 'abandoned'")
            .await,
        0
    );
    assert_eq!(database.roll_up_faults().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_just_written_is_not_read_back_from_the_disk() {
    let database = Database::start().await;
    let folder = tempfile::tempdir().unwrap();
    let spool = open(&settings(folder.path()));
    let segment = folder.path().join(&segments(folder.path())[0]);
    call(&spool, 50);
    within(Duration::from_secs(5), async || 50_000 < spool.bytes()).await;

    let length = std::fs::metadata(&segment).unwrap().len();
    std::fs::write(&segment, vec![0; usize::try_from(length).unwrap()]).unwrap();
    let mut flusher = Flusher::new(Arc::clone(&spool));
    flusher.drain(&database.proxy, &ignore).await.unwrap();

    assert_eq!(database.number(COUNT).await, 50);
    assert_eq!(spool.counters().damaged.load(Ordering::Relaxed), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_memory_has_no_room_for_is_read_back_from_the_disk() {
    const CALLS: u64 = 3_000;
    let database = Database::start().await;
    let folder = tempfile::tempdir().unwrap();
    let spool = open(&Settings {
        segment_bytes: 24 * 1024 * 1024,
        cap_bytes: 1024 * 1024 * 1024,
        ..settings(folder.path())
    });
    let long = |number| Entry {
        tags: serde_json::json!({"note": "x".repeat(8_000)}),
        ..entry(number)
    };
    let mut flusher = Flusher::new(Arc::clone(&spool));

    for _ in 0..2 {
        let entries: Vec<Entry> = (0..CALLS).map(long).collect();
        for entry in &entries {
            spool.intend(&intent(entry)).unwrap();
            spool.done(entry).unwrap();
        }
        assert!(40_000_000 < spool.bytes(), "{}", spool.bytes());
        flusher.drain(&database.proxy, &ignore).await.unwrap();
    }

    assert_eq!(
        database.number(COUNT).await,
        i64::try_from(2 * CALLS).unwrap()
    );
    assert_eq!(spool.counters().damaged.load(Ordering::Relaxed), 0);
    assert_eq!(spool.bytes(), 0);
    assert_eq!(database.roll_up_faults().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_are_drained_by_the_ten_thousand_a_second() {
    const ENTRIES: u64 = 40_000;
    let database = Database::start().await;
    let folder = tempfile::tempdir().unwrap();
    let spool = open(&Settings {
        segment_bytes: 64 * 1024 * 1024,
        cap_bytes: 1024 * 1024 * 1024,
        ..settings(folder.path())
    });
    for number in 0..ENTRIES {
        spool.done(&entry(number)).unwrap();
    }

    let began = Instant::now();
    let mut flusher = Flusher::new(spool);
    flusher.drain(&database.proxy, &ignore).await.unwrap();
    let elapsed = began.elapsed();

    let rate = u128::from(ENTRIES) * 1_000 / elapsed.as_millis().max(1);
    figure!("{rate} rows/s drained into Postgres");
    assert_eq!(
        database.number(COUNT).await,
        i64::try_from(ENTRIES).unwrap()
    );
    assert!(rate > 2_000, "{rate} rows/s");
}
