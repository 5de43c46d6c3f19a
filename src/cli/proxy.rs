//! `synaxis proxy`: the data plane.

use std::{
    fs::DirBuilder, net::SocketAddr, os::unix::fs::DirBuilderExt, path::Path, process::ExitCode,
    sync::Arc, time::Duration,
};

use anyhow::Context;
use async_trait::async_trait;
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit,
};
use tokio::{
    net::TcpListener,
    signal::unix::{Signal as Signals, SignalKind, signal},
    sync::watch,
};

use super::{settings::ConfigArgs, stop::Stop};
use crate::{
    base::{Clock, tasks::Tasks},
    catalog::told::Outbox,
    config::Config,
    egress::Guard,
    gateway::{
        Drain, Gateway, Metrics, Parts,
        handover::{self, Listeners, Promise},
        listen::Edge,
        operations::Operations,
    },
    keys::Keys,
    quota::{Actual, Ledger, PostgresBooks},
    routing::{Health, Sharing},
    snapshot::{self, LastGood, Source, View},
    store::{
        feed::Feed,
        nodes,
        postgres::{Postgres, Role},
        proxies::Proxies,
        redis::Redis,
    },
    telemetry::{self, Registry},
    usage::{Flusher, Holds, Leases, Lost, NotEnded, Spool, Sweeper},
};

/// The sections the proxy reads.
const SECTIONS: &[&str] = &[
    "database",
    "redis",
    "security",
    "proxy",
    "keys",
    "routing",
    "quota",
    "usage",
    "egress",
    "telemetry",
];

/// How long idle connections are given to bring a last request, after a successor has taken over.
const LAST_REQUESTS_AT_UPGRADE: Duration = Duration::from_secs(5);

/// How long idle connections are given to bring a last request, at a stop.
const LAST_REQUESTS_AT_STOP: Duration = Duration::from_millis(200);

/// How long background work may take to say its last words.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// Descriptors a connection needs: its own, and its share of the upstream's.
const DESCRIPTORS_PER_CONNECTION: u64 = 2;

/// What `synaxis proxy` is told.
#[derive(Debug, clap::Args)]
pub struct ProxyArgs {
    /// Take the listeners from the running proxy, over `proxy.upgrade_socket`
    #[arg(long)]
    pub upgrade: bool,
}

/// Serves until a signal to stop, then lets open calls end.
#[must_use]
pub fn run(args: &ProxyArgs, config_args: &ConfigArgs) -> ExitCode {
    let config = match config_args.load(SECTIONS) {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if config.proxy.threads != 0 {
        builder.worker_threads(config.proxy.threads);
    }
    super::block_on_with(&mut builder, proxy(config, args.upgrade))
}

async fn proxy(config: Config, upgrade: bool) -> anyhow::Result<()> {
    let _lines = telemetry::logs::start(&config.telemetry)?;
    harden(config.proxy.max_connections);
    let (listeners, promise) = open(&config, upgrade).await?;
    private_folder(&config.proxy.state_dir)?;
    let plane = Plane::start(&config, Clock::System).await?;
    let served = plane.serve(listeners, promise, &config).await;
    plane.end().await;
    served
}

/// Keeps secrets out of core dumps, and makes sure there are descriptors for every connection.
fn harden(max_connections: usize) {
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(error = %error, "core dumps could not be turned off");
    }
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let _as_it_was = setrlimit(Resource::Nofile, raised);
    let connections = u64::try_from(max_connections).unwrap_or(u64::MAX);
    let needed = connections.saturating_mul(DESCRIPTORS_PER_CONNECTION);
    let given = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    if given < needed {
        tracing::warn!(
            given,
            needed,
            "fewer descriptors than proxy.max_connections may need"
        );
    }
}

/// Makes the folder that keeps grants and the catalog, for nobody else to read.
fn private_folder(path: &Path) -> anyhow::Result<()> {
    let mut builder = DirBuilder::new();
    let made = builder.recursive(true).mode(0o700).create(path);
    made.with_context(|| format!("cannot make {}", path.display()))
}

/// Binds the listeners, or takes them from the running proxy.
async fn open(config: &Config, upgrade: bool) -> anyhow::Result<(Listeners, Option<Promise>)> {
    if upgrade {
        let socket = config
            .proxy
            .upgrade_socket
            .clone()
            .context("proxy.upgrade_socket is not set")?;
        let taken = tokio::task::spawn_blocking(move || handover::take(&socket)).await?;
        let (listeners, promise) = taken.context("no proxy hands over its listeners")?;
        return Ok((listeners, Some(promise)));
    }
    let traffic = bind(config.proxy.listen)?;
    let operations = bind(config.proxy.operations_listen)?;
    Ok((
        Listeners {
            traffic,
            operations,
        },
        None,
    ))
}

fn bind(address: SocketAddr) -> anyhow::Result<std::net::TcpListener> {
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(address),
        socket2::Type::STREAM,
        Some(socket2::Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket
        .bind(&address.into())
        .with_context(|| format!("cannot listen on {address}"))?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Connections the kernel keeps for us between two accepts.
const BACKLOG: i32 = 4_096;

/// Everything the data plane uses.
struct Plane {
    operations: Arc<Operations>,
    edge: Arc<Edge>,
    drain: Arc<Drain>,
    tasks: Tasks,
    /// Callers' connections and what asks us: they end by themselves, or with the process.
    connections: Tasks,
    stop: watch::Sender<bool>,
}

impl Plane {
    /// Puts the plane together and starts what runs in its background. Postgres and Redis may be away.
    async fn start(config: &Config, clock: Clock) -> anyhow::Result<Self> {
        let (tasks, connections, drain) = (Tasks::default(), Tasks::default(), Drain::new());
        let postgres = Postgres::connect(&config.database, Role::Proxy)?;
        let feed = Feed::start(&postgres, clock.clone(), &Tasks::default());
        let keys = Keys::new(key_settings(config), postgres.clone(), clock.clone());
        keys.recall();
        let (key_news, catalog_news) = (feed.subscribe(), feed.subscribe());
        let switch_news = feed.subscribe();
        let source = source(config, &postgres, &clock)?;
        let view = snapshot::open(&source).await;
        let books = Arc::new(PostgresBooks::new(postgres.clone()));
        let redis = Redis::connect(&config.redis)?;
        let parts = Parts {
            settings: config.proxy.clone(),
            clock: clock.clone(),
            keys: Arc::clone(&keys),
            view: Arc::clone(&view),
            health: Arc::clone(&source.health),
            egress: Arc::new(Guard::new(config.egress.clone(), clock.clone())),
            ledger: Ledger::new(config.quota.clone(), redis.clone(), books),
            spool: Spool::open(&config.usage, &clock)?,
            metrics: Metrics::new(&Registry::new())?,
            drain: Arc::clone(&drain),
        };
        let health = Arc::clone(&parts.health);
        let (ledger, spool) = (Arc::clone(&parts.ledger), Arc::clone(&parts.spool));
        let beats = (postgres.clone(), clock, Arc::clone(&view));
        let operations = Arc::new(Operations::of(&parts));
        let (gateway, learner) = Gateway::new(parts);
        let close_unused = gateway.close_unused();
        let plane = Self {
            operations,
            edge: Arc::new(Edge::new(gateway, connections.clone())),
            drain,
            tasks,
            connections,
            stop: watch::Sender::new(false),
        };
        plane.until_stopped("catalog", snapshot::follow(view, source, catalog_news));
        plane.until_stopped("keys", Arc::clone(&keys).follow(key_news));
        let switch = Arc::clone(&ledger).follow_switch(postgres.clone(), switch_news);
        plane.until_stopped("limits switch", switch);
        plane.until_stopped("pool", close_unused);
        let outbox = Outbox::new(redis.clone());
        let sharing = Sharing::new(health, redis.clone(), spool.boot());
        plane.tasks.spawn("health", sharing.run(plane.stopped()));
        plane.until_stopped("allowances", learner.run(outbox));
        plane.keep_news(feed, keys);
        plane.keep_books(ledger, spool, postgres, redis);
        plane.beat(beats);
        Ok(plane)
    }

    /// Runs `work` in the background until the plane stops.
    fn until_stopped(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let stopped = self.stopped();
        self.tasks.spawn(name, async move {
            tokio::select! {
                () = work => {}
                () = stopped => {}
            }
        });
    }

    /// Keeps the feed until the plane stops; then what was learnt of keys is written down.
    fn keep_news(&self, feed: Feed, keys: Arc<Keys>) {
        let stopped = self.stopped();
        self.tasks.spawn("feed", async move {
            stopped.await;
            drop(feed);
            keys.remember().await;
        });
    }
}

/// Where the catalog comes from.
fn source(config: &Config, postgres: &Postgres, clock: &Clock) -> anyhow::Result<Source> {
    let kept = config.proxy.state_dir.join("last-good-snapshot.json");
    Ok(Source {
        postgres: postgres.clone(),
        vault: Arc::new(config.security.vault()?),
        last_good: Some(LastGood::at(kept)),
        health: Arc::new(Health::new(config.routing.clone())),
        clock: clock.clone(),
    })
}

fn key_settings(config: &Config) -> crate::keys::Settings {
    let mut settings = config.keys.clone();
    settings
        .seen_file
        .get_or_insert_with(|| config.proxy.state_dir.join("seen-keys.json"));
    settings
}

impl Plane {
    /// Tells the books that this proxy is alive, and how old its view of the catalog is.
    fn beat(&self, (postgres, clock, view): (Postgres, Clock, View)) {
        let seen = move || {
            let snapshot = view.load();
            snapshot.is_loaded().then(|| nodes::Seen {
                seq: snapshot.seq,
                taken_at: snapshot.taken_at,
            })
        };
        let beat = nodes::beat(postgres, clock, nodes::Kind::Proxy, seen, self.stopped());
        self.tasks.spawn("beat", beat);
    }

    fn keep_books(&self, ledger: Arc<Ledger>, spool: Arc<Spool>, postgres: Postgres, redis: Redis) {
        let booked = Arc::clone(&ledger);
        let holds: Arc<dyn Holds> = Arc::new(HeldBy(Arc::clone(&ledger)));
        let proxies = Arc::new(Proxies::new(redis.clone()));
        let leases = Leases::new(redis);
        let process = spool.boot();
        let sweeper = Sweeper::new(
            Arc::clone(&spool),
            leases.clone(),
            Arc::clone(&proxies),
            Arc::clone(&holds),
        );
        self.tasks
            .spawn("sweeper", sweeper.run(postgres.clone(), self.stopped()));
        let flusher = Flusher::new(spool).with_leases(leases, Arc::clone(&proxies), holds);
        let on_booked = move |id| booked.booked(id);
        self.tasks
            .spawn("flusher", flusher.run(postgres, on_booked, self.stopped()));
        self.tasks.spawn(
            "reconciler",
            Arc::clone(&ledger).reconcile(process, Arc::clone(&proxies), self.stopped()),
        );
        let stopped = self.stopped();
        self.tasks.spawn("ledger", async move {
            Arc::clone(&ledger).run(stopped).await;
            ledger.leave(process, &proxies).await;
        });
    }

    fn stopped(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut stop = self.stop.subscribe();
        async move {
            // A plane that is gone has stopped.
            let _stopped = stop.wait_for(|stopped| *stopped).await.is_ok();
        }
    }

    /// Serves until told to stop or a successor has taken over, then lets open calls end.
    async fn serve(
        &self,
        listeners: Listeners,
        promise: Option<Promise>,
        config: &Config,
    ) -> anyhow::Result<()> {
        let (stop, upgrade) = (Stop::watch()?, signal(SignalKind::quit())?);
        let traffic = listener(&listeners.traffic)?;
        let operations = listener(&listeners.operations)?;
        let asked = Arc::clone(&self.operations).serve(operations, self.connections.clone());
        let mut asked = self.connections.spawn("operations", asked);
        tracing::info!(listen = %traffic.local_addr()?, "the proxy serves");
        if let Some(promise) = promise {
            self.operations.ready().await;
            promise.keep()?;
        }
        let taken = self.await_successor(listeners, config)?;
        let last_requests = tokio::select! {
            () = self.edge.accept(&traffic) => LAST_REQUESTS_AT_STOP,
            () = told_to_stop(stop, upgrade) => {
                // The thread behind the upgrade socket has the listener too: dropping ours would not close it.
                rustix::net::shutdown(&traffic, rustix::net::Shutdown::Both)?;
                LAST_REQUESTS_AT_STOP
            }
            _ = taken => LAST_REQUESTS_AT_UPGRADE,
            _ = &mut asked => anyhow::bail!("the operations listener ended"),
        };
        drop(traffic);
        tracing::info!(in_flight = self.drain.in_flight(), "draining");
        self.drain
            .drain(Duration::from_secs(config.proxy.drain_s))
            .await;
        tokio::time::sleep(last_requests).await;
        self.edge.close_idle().await;
        asked.abort();
        Ok(())
    }

    /// Waits, on a thread of its own, behind the upgrade socket; without one, forever.
    fn await_successor(
        &self,
        listeners: Listeners,
        config: &Config,
    ) -> anyhow::Result<tokio::sync::oneshot::Receiver<()>> {
        let (told, taken) = tokio::sync::oneshot::channel();
        let Some(socket) = config.proxy.upgrade_socket.clone() else {
            // Kept by the task, so that `taken` never comes.
            self.connections.spawn("no successor", async move {
                let _told = told;
                std::future::pending::<()>().await;
            });
            return Ok(taken);
        };
        if let Some(folder) = socket.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::thread::Builder::new()
            .name("handover".to_owned())
            .spawn(move || match handover::give(&socket, &listeners) {
                Ok(()) => {
                    tracing::info!("a successor serves");
                    let _plane_is_gone = told.send(());
                }
                Err(error) => {
                    tracing::error!(error = %error, "no upgrade is possible");
                    std::mem::forget(told);
                }
            })?;
        Ok(taken)
    }

    /// Lets background work say its last words.
    async fn end(self) {
        self.stop.send_replace(true);
        if !self.tasks.wait(LAST_WORDS).await {
            tracing::warn!("background work did not end in time");
        }
    }
}

/// The ledger, as the books' own people know it.
struct HeldBy(Arc<Ledger>);

impl std::fmt::Debug for HeldBy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HeldBy")
    }
}

#[async_trait]
impl Holds for HeldBy {
    async fn end(&self, calls: &[Lost]) -> Result<(), NotEnded> {
        let calls = calls.iter().map(|call| {
            let used = Actual {
                requests: 1,
                input: call.input.0,
                output: call.output.0,
                cost_nano_usd: call.cost.0,
                list_nano_usd: call.cost.0,
            };
            (call.organization, call.id, used)
        });
        let ended = self.0.end_lost(calls).await;
        ended.map_err(|error| NotEnded(error.into()))
    }
}

/// Waits for SIGTERM or SIGINT. SIGQUIT announces a successor: the proxy serves until it has come.
async fn told_to_stop(stop: Stop, mut upgrade: Signals) {
    let mut told = std::pin::pin!(stop.told());
    loop {
        tokio::select! {
            () = &mut told => return,
            _ = upgrade.recv() => {
                tracing::info!("a successor is expected behind proxy.upgrade_socket");
            }
        }
    }
}

/// Opens a listener of this runtime; the one it is made from stays, to be handed over.
fn listener(given: &std::net::TcpListener) -> anyhow::Result<TcpListener> {
    let own = given.try_clone()?;
    own.set_nonblocking(true)?;
    Ok(TcpListener::from_std(own)?)
}
