//! The whole run: everything up, round by round, the tables, the checks, everything down.

use std::{
    fs::Permissions, os::unix::fs::PermissionsExt, path::Path, process::ExitCode, time::Duration,
};

use anyhow::Context;

use crate::{
    RunArgs, accounts,
    cores::Cores,
    half,
    load::{Load, Pace},
    peers::{self, Peer},
    redis, rounds,
    scenario::{self, Scenario},
    synaxis::Synaxis,
    table,
    target::{BARE, DIRECT, SYNAXIS, Target},
};

/// Scenarios that are measured at half load too.
const AT_HALF_LOAD: &[&str] = &["small", "stream"];

/// Runs as asked; says so when wrk is missing.
pub(crate) fn run(args: &RunArgs) -> anyhow::Result<ExitCode> {
    // Postgres may run as another user and must pass through.
    let folder = tempfile::Builder::new()
        .prefix("side_by_side")
        .permissions(Permissions::from_mode(0o711))
        .tempdir()?;
    // One thread: the kernel tells a process that the *thread* which started it has ended.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let stop = synaxis::cli::stop::Stop::watch()?;
        tokio::select! {
            () = stop.told() => {
                println!("stopped");
                Ok(ExitCode::FAILURE)
            }
            ended = measure(args, folder.path()) => ended,
        }
    })
}

async fn measure(args: &RunArgs, folder: &Path) -> anyhow::Result<ExitCode> {
    let cores = Cores::divide();
    let Some(load) = Load::find(folder, &cores)? else {
        println!("side_by_side needs wrk (Debian: apt-get install wrk); nothing was measured");
        return Ok(ExitCode::SUCCESS);
    };
    let mut field = Field::start(args, folder, &cores).await?;
    println!(
        "targets on core {}, wrk on {}, provider and servers on {}; {} rounds of {} s, {} connections",
        cores.target, cores.load, cores.servers, args.rounds, args.seconds, args.connections
    );
    if args.hold {
        field.show();
        return std::future::pending().await;
    }
    let redis_before = field.redis_commands()?;
    let mut failed = 0;
    for scenario in scenario::chosen(&args.scenarios) {
        failed += field.play(&load, &scenario, args).await?;
    }
    let is_exact = field.accounts_agree(&load, &redis_before).await?;
    if failed != 0 {
        println!("\n{failed} calls failed: the figures count for nothing");
    }
    Ok(match failed == 0 && is_exact {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// Leaves a peer out that is installed and does not run: it is a courtesy.
fn unless_broken(peer: anyhow::Result<Option<Peer>>) -> Option<Peer> {
    peer.unwrap_or_else(|error| {
        println!("left out: {error:#}");
        None
    })
}

/// Everything that runs. Stopped in this order.
struct Field {
    synaxis: Option<Synaxis>,
    _peers: Vec<Peer>,
    upstream: Peer,
    targets: Vec<Target>,
}

impl Field {
    async fn start(args: &RunArgs, folder: &Path, cores: &Cores) -> anyhow::Result<Self> {
        let is_wanted = |name: &str| {
            args.targets.is_empty()
                || args
                    .targets
                    .iter()
                    .any(|wanted| wanted.eq_ignore_ascii_case(name))
        };
        let upstream = peers::upstream(folder, cores).await?;
        let provider = upstream.target.address;
        let mut peers = vec![peers::bare(folder, cores, provider).await.context(BARE)?];
        if is_wanted("nginx") {
            peers.extend(unless_broken(peers::nginx(folder, cores, provider).await));
        }
        if is_wanted("haproxy") {
            peers.extend(unless_broken(peers::haproxy(folder, cores, provider).await));
        }
        let synaxis = match is_wanted(SYNAXIS) {
            true => Some(
                Synaxis::start(folder, cores, provider)
                    .await
                    .context(SYNAXIS)?,
            ),
            false => None,
        };
        let mut targets: Vec<Target> = peers.iter().map(|peer| peer.target.clone()).collect();
        targets.extend(synaxis.iter().map(|synaxis| synaxis.target.clone()));
        if is_wanted(DIRECT) {
            targets.push(upstream.target.clone());
        }
        Ok(Self {
            synaxis,
            _peers: peers,
            upstream,
            targets,
        })
    }

    /// Plays one scenario and prints its tables; returns how many calls failed.
    async fn play(&self, load: &Load, scenario: &Scenario, args: &RunArgs) -> anyhow::Result<u64> {
        let pace = Pace {
            connections: args.connections,
            time: Duration::from_secs(args.seconds),
            pause_ms: 0,
        };
        let rows = rounds::run(load, scenario, &self.targets, args, pace).await?;
        table::print(scenario.title, &rows);
        let mut failed: u64 = rows.iter().map(table::failed).sum();
        if AT_HALF_LOAD.contains(&scenario.name) {
            let half = half::run(load, scenario, &self.targets, args, &rows).await?;
            table::print_half(scenario.title, &half);
            failed += half.iter().map(table::failed).sum::<u64>();
        }
        Ok(failed)
    }

    fn redis_commands(&self) -> anyhow::Result<redis::Commands> {
        let Some(synaxis) = &self.synaxis else {
            return Ok(redis::Commands::new());
        };
        redis::commands(&synaxis.tenant.redis_url)
    }

    async fn accounts_agree(
        &mut self,
        load: &Load,
        before: &redis::Commands,
    ) -> anyhow::Result<bool> {
        let Some(synaxis) = &mut self.synaxis else {
            return Ok(true);
        };
        synaxis.still_runs()?;
        let provider = self.upstream.target.address;
        accounts::settle(&synaxis.tenant, before, load.sent(SYNAXIS), provider).await
    }

    /// Says where everything is, for a profiler or a load of one's own.
    fn show(&self) {
        for target in &self.targets {
            println!(
                "{:<14} pid {:?}  {}  key {}",
                target.name,
                target.pids,
                target.url(),
                target.api_key
            );
        }
        if let Some(synaxis) = &self.synaxis {
            println!("metrics        http://{}/metrics", synaxis.operations);
            println!("database       {}", synaxis.tenant.database_url);
            println!("redis          {}", synaxis.tenant.redis_url);
        }
    }
}
