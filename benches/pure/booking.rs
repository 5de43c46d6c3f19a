//! What writing a call down costs the whole process: the spool, the flusher behind it, and the line of the log.
//!
//! Times here are CPU of all threads, not of the clock on the wall. `SYNAXIS_BENCH_DATABASE_URL` names a migrated
//! database, as its owner, to measure the way into the books as well.

use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use criterion::{BenchmarkGroup, Criterion, SamplingMode, measurement::WallTime};
use synaxis::{
    base::{
        ApiKeyId, Clock, ModelId, NanoUsd, OfferId, OrganizationId, ProviderId, RequestId, Secret,
        Tokens, Usage, tasks::Tasks,
    },
    store::postgres::{self, Postgres, Role},
    telemetry,
    usage::{AttemptRecord, Entry, Finish, Flusher, Intent, Settings, Spool},
};
use tempfile::TempDir;
use tokio::{runtime::Runtime, sync::watch};
use uuid::Uuid;

/// How many calls come at once, and how often: ten thousand a second.
const BURST: usize = 20;
const EVERY: Duration = Duration::from_millis(2);

/// How many calls make one measurement: two seconds of calling.
const CALLS: u32 = 20_000;

/// Returns how long all threads of this process have been on a core.
fn cpu() -> Duration {
    let tasks = fs::read_dir("/proc/self/task").expect("threads are listed");
    let nanos = tasks.filter_map(|task| {
        let said = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        said.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}

fn intent() -> Intent {
    let id =
        |number: u64| Uuid::from_u64_pair(0x0190_0000_0000_7000, 0x8000_0000_0000_0000 | number);
    Intent(Entry {
        request_id: RequestId::new(Clock::System.now()),
        organization_id: OrganizationId(id(1)),
        group_id: None,
        user_id: None,
        api_key_id: ApiKeyId(id(2)),
        client_request_id: None,
        tags: serde_json::Value::Null,
        requested_model: "demo-chat".to_owned(),
        model_id: Some(ModelId(id(3))),
        offer_id: Some(OfferId(id(4))),
        provider_id: Some(ProviderId(id(5))),
        status: 0,
        finish: Finish::Abandoned,
        is_estimated: true,
        is_stream: false,
        usage: Usage {
            input: Tokens(150),
            output: Tokens(512),
            ..Usage::default()
        },
        held_nano_usd: NanoUsd(1_234_000),
        cost_nano_usd: NanoUsd(1_234_000),
        saved_nano_usd: NanoUsd::ZERO,
        price_book: "2026-10-01".to_owned(),
        alternative: None,
        decision: synaxis::usage::Decision::default(),
        first_byte_ms: None,
        duration_ms: 0,
        attempts: Vec::new(),
    })
}

fn entry(intent: &Intent) -> Entry {
    Entry {
        status: 200,
        finish: Finish::Complete,
        is_estimated: false,
        usage: Usage {
            input: Tokens(143),
            output: Tokens(27),
            ..Usage::default()
        },
        cost_nano_usd: NanoUsd(234_000),
        first_byte_ms: Some(12),
        duration_ms: 13,
        attempts: vec![AttemptRecord {
            offer_id: OfferId(Uuid::from_u128(4)),
            provider: "alpha".to_owned(),
            outcome: "ok".to_owned(),
            status: Some(200),
            ms: 12,
            cost_nano_usd: NanoUsd::ZERO,
            charged: None,
        }],
        ..intent.0.clone()
    }
}

/// Both records of each call, made beforehand: making them is not what is measured.
fn calls() -> Vec<(Intent, Entry)> {
    let call = |_| {
        let intent = intent();
        let entry = entry(&intent);
        (intent, entry)
    };
    (0..CALLS).map(call).collect()
}

fn spool(folder: &Path) -> Arc<Spool> {
    let settings = Settings {
        spool_dir: folder.to_owned(),
        cap_bytes: 16 * 1024 * 1024 * 1024,
        ..Settings::default()
    };
    Spool::open(&settings, &Clock::System).expect("a spool")
}

fn write_down(spool: &Spool, calls: &[(Intent, Entry)]) {
    for (intent, _) in calls {
        spool.intend(intent).expect("there is room");
    }
    for (_, entry) in calls {
        spool.done(entry).expect("there is room");
    }
}

/// Does something with each burst of calls at the pace of a busy proxy.
fn at_pace(calls: &[(Intent, Entry)], mut each: impl FnMut(&[(Intent, Entry)])) {
    let mut due = Instant::now();
    for burst in calls.chunks(BURST) {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        due += EVERY;
        each(burst);
    }
}

/// Measures the CPU of `work` on the calls of one measurement, for `count` of them; waking up is not counted.
fn measure(count: u64, work: impl FnOnce(&[(Intent, Entry)])) -> Duration {
    let calls = calls();
    let begun = cpu();
    at_pace(&calls, |_| {});
    let waking = cpu() - begun;
    let begun = cpu();
    work(&calls);
    let working = (cpu() - begun).saturating_sub(waking);
    working * u32::try_from(count).expect("criterion asks for few") / CALLS
}

/// Every sample is a measurement of its own, however many calls criterion asks for.
fn brief(group: &mut BenchmarkGroup<'_, WallTime>) {
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.warm_up_time(Duration::from_nanos(1));
    group.measurement_time(Duration::from_nanos(1));
}

/// Both records of a call: with nobody who books it, and into the books.
pub(crate) fn spooling(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("booking");
    brief(&mut group);
    group.bench_function("spool", |bencher| {
        let folder = tempfile::tempdir().expect("a folder");
        let spool = spool(folder.path());
        let write = |burst: &[(Intent, Entry)]| write_down(&spool, burst);
        bencher.iter_custom(|count| measure(count, |calls| at_pace(calls, write)));
    });
    if let Some(url) = std::env::var_os("SYNAXIS_BENCH_DATABASE_URL") {
        let books = Books::start(&url.into_string().expect("an address"));
        group.bench_function("spool and books", |bencher| {
            bencher.iter_custom(|count| measure(count, |calls| books.carry(calls)));
        });
        books.end();
    }
    group.finish();
}

/// A spool with its flusher and the books behind it.
struct Books {
    spool: Arc<Spool>,
    stop: watch::Sender<bool>,
    tasks: Tasks,
    runtime: Runtime,
    _folder: TempDir,
}

impl Books {
    fn start(url: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let runtime = Runtime::new().expect("a runtime");
        let inside = runtime.enter();
        let settings = postgres::Settings {
            url: Secret::new(url.to_owned()),
            ..postgres::Settings::default()
        };
        let postgres = Postgres::connect(&settings, Role::Proxy).expect("an address");
        let spool = spool(folder.path());
        let (stop, mut stopped) = watch::channel(false);
        let shutdown = async move {
            let _gone = stopped.wait_for(|stop| *stop).await.is_ok();
        };
        let tasks = Tasks::default();
        let flusher = Flusher::new(Arc::clone(&spool));
        tasks.spawn("flusher", flusher.run(postgres, |_| {}, shutdown));
        drop(inside);
        let books = Self {
            spool,
            stop,
            tasks,
            runtime,
            _folder: folder,
        };
        // Connections and statements are made once.
        books.carry(&calls());
        books
    }

    /// Writes calls down and waits until they are in the books.
    fn carry(&self, calls: &[(Intent, Entry)]) {
        at_pace(calls, |burst| write_down(&self.spool, burst));
        std::thread::sleep(Duration::from_secs(1));
    }

    fn end(self) {
        self.stop.send_replace(true);
        let patience = Duration::from_secs(20);
        assert!(self.runtime.block_on(self.tasks.wait(patience)));
    }
}

/// The one line of a call. Standard error should be a file.
pub(crate) fn logging(criterion: &mut Criterion) {
    let _lines = telemetry::logs::start(&telemetry::Settings::default());
    let mut group = criterion.benchmark_group("logging");
    brief(&mut group);
    group.bench_function("exchange over", |bencher| {
        let id = intent().0.request_id.to_string();
        let speak = |_: &(Intent, Entry)| {
            tracing::info!(
                exchange.id = id,
                status = 200,
                ms = 13,
                path = "/v1/chat/completions",
                "exchange over"
            );
        };
        let lines = |burst: &[(Intent, Entry)]| burst.iter().for_each(speak);
        bencher.iter_custom(|count| measure(count, |calls| at_pace(calls, lines)));
    });
    group.finish();
}
