//! The process dies at the worst moment: every call it acknowledged is in the books all the same.

use std::{
    collections::HashSet,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use sqlx::Row;
use synaxis::{
    base::{RequestId, Secret, tasks::Tasks},
    store::postgres::{self, Postgres, Role},
    usage::{Entry, Finish, Flusher, Settings},
};

use super::{
    database::Database,
    entries::{entry, intent, open, segments, settings},
};

/// Names the folder to the copy of this binary that writes until it is killed.
const WRITE_TO: &str = "SYNAXIS_TEST_WRITE_TO";

async fn drain(folder: &Path, database: &Database) {
    let mut flusher = Flusher::new(open(&settings(folder)));
    flusher
        .drain(&database.proxy, &|_| {})
        .await
        .expect("everything is booked");
}

#[test]
fn a_process_of_its_own_writes_until_it_is_killed() {
    let Some(folder) = std::env::var_os(WRITE_TO) else {
        return;
    };
    let spool = open(&settings(&PathBuf::from(folder)));
    let mut acknowledged = std::io::stdout().lock();
    for number in 0.. {
        let entry = entry(number);
        spool.intend(&intent(&entry)).unwrap();
        writeln!(acknowledged, "began {}", entry.request_id).unwrap();
        // Every tenth call is still in flight when death comes.
        if number % 10 != 0 {
            spool.done(&entry).unwrap();
            writeln!(acknowledged, "ended {}", entry.request_id).unwrap();
        }
    }
}

/// Names the folder to the copy of this binary that may write short files only.
const WRITE_SHORT_TO: &str = "SYNAXIS_TEST_WRITE_SHORT_TO";

#[tokio::test(flavor = "multi_thread")]
async fn a_process_of_its_own_meets_its_limit_of_file_sizes() {
    let Some(folder) = std::env::var_os(WRITE_SHORT_TO) else {
        return;
    };
    let limit = rustix::process::Rlimit {
        current: Some(1_000_000),
        maximum: Some(1_000_000),
    };
    let spool = open(&Settings {
        segment_bytes: 64 * 1024 * 1024,
        cap_bytes: 1024 * 1024 * 1024,
        ..settings(&PathBuf::from(folder))
    });
    let nowhere = postgres::Settings {
        url: Secret::new("postgres://nobody@127.0.0.1:1/nothing".to_owned()),
        ..postgres::Settings::default()
    };
    let away = Postgres::connect(&nowhere, Role::Proxy).unwrap();
    let flusher = Flusher::new(Arc::clone(&spool));
    Tasks::default().spawn("flusher", flusher.run(away, |_| {}, std::future::pending()));
    tokio::time::sleep(Duration::from_millis(200)).await;
    rustix::process::setrlimit(rustix::process::Resource::Fsize, limit).unwrap();

    let calls: Vec<Entry> = (0..)
        .map(entry)
        .take_while(|call| spool.intend(&intent(call)).is_ok())
        .collect();
    assert!(spool.is_full());
    for call in &calls {
        spool.done(call).unwrap();
    }
    // What stands in memory is lost with this process; the intents are not.
    assert!(calls.len() > 100, "{}", calls.len());
    std::fs::write(
        spool.settings().spool_dir.join("survived"),
        calls.len().to_string(),
    )
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_file_sizes_refuses_calls_and_ends_no_process() {
    let database = Database::start().await;
    let folder = tempfile::tempdir().unwrap();

    let limited = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "usage::crash::a_process_of_its_own_meets_its_limit_of_file_sizes",
        ])
        .env(WRITE_SHORT_TO, folder.path())
        .output()
        .unwrap();

    assert!(
        limited.status.success(),
        "{}",
        String::from_utf8_lossy(&limited.stdout)
    );
    let calls = std::fs::read_to_string(folder.path().join("survived")).unwrap();
    drain(folder.path(), &database).await;
    let booked = database
        .number("select count(*) from operations.usage_entries")
        .await;
    assert_eq!(booked.to_string(), calls);
}

/// What a killed writer had acknowledged.
#[derive(Default)]
struct Acknowledged {
    began: HashSet<RequestId>,
    ended: HashSet<RequestId>,
    /// The end that no beginning came after: it may have waited for one in memory.
    ended_last: Option<RequestId>,
}

/// Starts a writer, kills it after `lines` acknowledgements, and adds up what it said until its last breath.
fn write_and_kill(folder: &Path, lines: usize, acknowledged: &mut Acknowledged) {
    let mut writer = Command::new(std::env::current_exe().expect("this binary is there"))
        .args([
            "--exact",
            "--nocapture",
            "usage::crash::a_process_of_its_own_writes_until_it_is_killed",
        ])
        .env(WRITE_TO, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the writer starts");
    let mut said = BufReader::new(writer.stdout.take().expect("its output is heard")).lines();
    let mut hear = |line: String| {
        // The test runner's own words stand before the first one.
        if let Some(at) = line.find("began ") {
            acknowledged
                .began
                .insert(line[at + 6..].parse().expect("an id"));
            acknowledged.ended.extend(acknowledged.ended_last.take());
        } else if let Some(id) = line.strip_prefix("ended ").filter(|id| id.len() == 36) {
            acknowledged.ended_last = Some(id.parse().expect("an id"));
        }
    };
    said.by_ref()
        .map_while(Result::ok)
        .take(lines)
        .for_each(&mut hear);
    writer.kill().expect("the writer can be killed");
    let mut rest: Vec<String> = said.map_while(Result::ok).collect();
    // The last line may be half a line.
    rest.retain(|line| line.len() == "began ".len() + 36);
    rest.into_iter().for_each(&mut hear);
    acknowledged.ended_last = None;
    writer.wait().expect("the writer ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_loses_no_call_it_acknowledged() {
    let database = Database::start().await;
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = Acknowledged::default();
    for lines in [3, 40, 1_000, 4_001, 9_999] {
        write_and_kill(folder.path(), lines, &mut acknowledged);
    }

    drain(folder.path(), &database).await;

    let rows = database
        .rows("select request_id, finish = 'complete' from operations.usage_entries")
        .await;
    let booked: HashSet<RequestId> = rows.iter().map(|row| RequestId(row.get(0))).collect();
    let complete: HashSet<RequestId> = rows
        .iter()
        .filter(|row| row.get(1))
        .map(|row| RequestId(row.get(0)))
        .collect();
    figure!(
        "5 processes killed: {} calls began, {} ended; {} rows, {} of them complete",
        acknowledged.began.len(),
        acknowledged.ended.len(),
        booked.len(),
        complete.len()
    );
    assert!(acknowledged.began.is_subset(&booked));
    assert!(acknowledged.ended.is_subset(&complete));
    // At most the one call per process that was written, but not yet acknowledged.
    assert!(booked.len() <= acknowledged.began.len() + 5);
    assert_eq!(rows.len(), booked.len());
    assert_eq!(database.roll_up_faults().await, Vec::<String>::new());
    assert_eq!(segments(folder.path()), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_cut_off_by_death_is_booked_as_held_until_its_truth_is_known() {
    let database = Database::start().await;
    let folder = tempfile::tempdir().unwrap();
    let call = entry(3);
    let spool = open(&settings(folder.path()));
    spool.intend(&intent(&call)).unwrap();
    drop(spool);

    drain(folder.path(), &database).await;
    let held = "select sum(cost_nano_usd)::bigint from operations.usage_entries where finish = 'abandoned' and is_estimated";
    assert_eq!(database.number(held).await, 9_000_000);

    let spool = open(&settings(folder.path()));
    spool.done(&call).unwrap();
    drop(spool);
    drain(folder.path(), &database).await;

    assert_eq!(database.number(held).await, 0);
    let cost = "select sum(cost_nano_usd)::bigint from operations.usage_hourly";
    assert_eq!(
        database.number(cost).await,
        i64::try_from(call.cost_nano_usd.0).unwrap()
    );
    assert_eq!(database.roll_up_faults().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_torn_anywhere_in_its_last_record_gives_every_call() {
    let database = Database::start().await;
    let folder = tempfile::tempdir().unwrap();
    let call = Entry {
        finish: Finish::Complete,
        ..entry(3)
    };
    let spool = open(&settings(folder.path()));
    spool.intend(&intent(&call)).unwrap();
    let intent_ends = usize::try_from(spool.bytes()).unwrap();
    spool.done(&call).unwrap();
    drop(spool);
    let path = folder.path().join(&segments(folder.path())[0]);
    let whole = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();

    for cut in (intent_ends..=whole.len()).step_by(97) {
        std::fs::write(&path, &whole[..cut]).unwrap();
        drain(folder.path(), &database).await;

        let rows = database
            .rows("select finish from operations.usage_entries")
            .await;
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].get::<String, _>(0), "abandoned", "{cut}");
        assert_eq!(segments(folder.path()), Vec::<String>::new());
    }
    std::fs::write(&path, &whole).unwrap();
    drain(folder.path(), &database).await;

    let rows = database
        .rows("select finish from operations.usage_entries")
        .await;
    assert_eq!(rows[0].get::<String, _>(0), "complete");
    assert_eq!(database.roll_up_faults().await, Vec::<String>::new());
}
