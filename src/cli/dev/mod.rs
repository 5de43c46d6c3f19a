//! `synaxis dev`: everything on this machine, nothing else needed.

pub mod demo;
pub mod fleet;
pub mod machine;
pub mod planes;
pub mod postgres_server;
pub mod process;
pub mod redis_server;
pub mod report;
pub mod state;
pub mod tenant;

use std::{io::Write, net::SocketAddr, path::PathBuf, process::ExitCode, time::Instant};

use anyhow::Context;

use self::{
    demo::Demo,
    planes::{Planes, Setting},
    process::Processes,
    report::Report,
    state::{Kept, StateFolder},
};
use super::{
    failed,
    settings::{ConfigArgs, EXIT_CONFIG},
    stop::Stop,
};
use crate::{
    audit::AuditKeys,
    base::Secret,
    config::{self, Config, Source},
};

/// What `synaxis dev` is asked.
#[derive(Clone, Debug, clap::Args)]
pub struct DevArgs {
    /// Where everything is kept between starts
    #[arg(long, value_name = "FOLDER", default_value = ".synaxis")]
    pub state_dir: PathBuf,
    /// Forget what earlier starts kept; servers given by URL are left as they are
    #[arg(long)]
    pub fresh: bool,
    /// Use this Postgres instead of a private one; migrations and the demo tenant go into it
    #[arg(long, value_name = "URL")]
    pub database_url: Option<String>,
    /// Use this Redis instead of a private one
    #[arg(long, value_name = "URL")]
    pub redis_url: Option<String>,
    /// Where calls come in [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    pub proxy_addr: Option<SocketAddr>,
    /// Where the API and the console answer [default: 127.0.0.1:8081]
    #[arg(long, value_name = "ADDRESS")]
    pub admin_addr: Option<SocketAddr>,
    /// Where the proxy's metrics answer [default: 127.0.0.1:9464]
    #[arg(long, value_name = "ADDRESS")]
    pub metrics_addr: Option<SocketAddr>,
    /// Where the sidecar's metrics answer [default: 127.0.0.1:9465, or any free port when that is taken]
    #[arg(long, value_name = "ADDRESS")]
    pub admin_metrics_addr: Option<SocketAddr>,
}

/// Brings everything up, waits for Ctrl-C, takes everything down.
#[must_use]
pub fn run(args: &DevArgs, config_args: &ConfigArgs) -> ExitCode {
    let config = match development(config_args) {
        Ok(config) => config,
        Err(faults) => {
            let _ = writeln!(std::io::stderr(), "{faults}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    // One thread: the kernel tells a process that the *thread* which started it has ended.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let ended = runtime
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(dev(args, config_args, &config)));
    ended.map_or_else(|error| failed(&error), |()| ExitCode::SUCCESS)
}

/// Reads the configuration as a developer's; servers and secrets are not asked for: they are made.
fn development(config_args: &ConfigArgs) -> Result<Config, config::Faults> {
    let mut flags = config_args.settings.clone();
    for (path, value) in [
        ("environment", "development"),
        ("database.url", "postgres://made.below/synaxis"),
        ("redis.url", "redis://made.below"),
    ] {
        flags.push((path.to_owned(), value.to_owned()));
    }
    let source = Source::of_process(config_args.config.clone(), flags);
    config::read(&source).accept(&[])
}

async fn dev(args: &DevArgs, config_args: &ConfigArgs, config: &Config) -> anyhow::Result<()> {
    let begun = Instant::now();
    // From here on a signal ends us in order.
    let stop = Stop::watch().context("signals cannot be watched")?;
    let folder = StateFolder::open(&args.state_dir)?;
    let pids_file = folder.path("pids");
    process::end_leftovers(&pids_file).await?;
    if args.fresh {
        postgres_server::wipe(&folder)?;
        folder.wipe()?;
    }
    let mut processes = Processes::new(folder.private_folder("log")?, pids_file);
    let ended = tokio::select! {
        () = stop.told() => Ok(()),
        failed = live(&folder, args, config_args, config, &mut processes, begun) => failed,
    };
    let removed = folder.remove("dev.json");
    processes.stop().await;
    ended.and(removed)
}

/// Starts everything in order, tells how to use it, and returns only when something fails.
async fn live(
    folder: &StateFolder,
    args: &DevArgs,
    config_args: &ConfigArgs,
    config: &Config,
    processes: &mut Processes,
    begun: Instant,
) -> anyhow::Result<()> {
    let mut kept = folder.kept()?;
    let mut planes = Planes::choose(args, config)?;
    let demo = Demo::start(folder, &mut kept, processes)?;
    let servers = start_servers(folder, args, &mut kept, processes).await?;
    folder.keep(&kept)?;
    AuditKeys::new(&Secret::new(kept.sealing_key.clone()))?.install();
    tenant::ensure(folder, &servers, &mut kept).await?;
    folder.keep(&kept)?;
    demo.import(folder, config, &servers, &kept).await?;
    let setting = Setting {
        folder,
        config_args,
        config,
        servers: &servers,
        kept: &kept,
    };
    planes.start(&setting, processes)?;
    let ready = async {
        demo.ready().await?;
        planes.ready().await
    };
    tokio::select! {
        ready = ready => ready?,
        death = processes.first_death() => return Err(death),
    }
    let report = Report::of(&planes, &servers, &kept, &demo, processes);
    folder.write_private("dev.json", &serde_json::to_vec_pretty(&report)?)?;
    report.print(folder, begun.elapsed());
    Err(processes.first_death().await)
}

/// Where Postgres and Redis are, and as whom the planes come to them.
#[derive(Debug)]
pub struct Servers {
    /// As the superuser, or as whom `--database-url` names.
    pub database_url: String,
    pub proxy_database_url: String,
    pub admin_database_url: String,
    /// With which background work comes to our own Postgres.
    pub agent_password: Option<String>,
    pub redis_url: String,
}

/// Starts what was not given by URL, side by side, and brings the database to this binary's schema.
async fn start_servers(
    folder: &StateFolder,
    args: &DevArgs,
    kept: &mut Kept,
    processes: &mut Processes,
) -> anyhow::Result<Servers> {
    let redis_url = match &args.redis_url {
        Some(url) => url.clone(),
        None => redis_server::start(folder, kept, processes)?,
    };
    let servers = match &args.database_url {
        Some(url) => postgres_server::given(url, redis_url).await?,
        None => postgres_server::private(folder, kept, processes, redis_url).await?,
    };
    if args.redis_url.is_none() {
        tokio::select! {
            ready = redis_server::ready(kept) => ready?,
            death = processes.first_death() => return Err(death),
        }
    }
    Ok(servers)
}
