//! `synaxis admin`: the sidecar.

use std::{process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context;
use tokio::sync::watch;

use super::{audit_key, settings::ConfigArgs, stop::Stop};
use crate::{
    admin::{Listeners, Metrics, Plane, serve},
    agents::{
        Agent, cost::CostOptimization, discovery::ModelDiscovery, driver::Driver,
        health::HealthMonitoring, maintenance::Maintenance, security::SecurityAudit,
    },
    base::{Clock, tasks::Tasks},
    catalog::told,
    config::{Config, Environment, Security},
    control::{
        catalog::sealing::{NotSealing, Round, rewrap},
        identity::{Door, reseal, upkeep},
        retention::Keeper,
    },
    egress::Guard,
    identity::mail::{Outbox, Transport},
    store::{
        Vault, nodes,
        postgres::{self, Postgres, Role},
        redis::Redis,
    },
    telemetry,
    usage::{accounts, rollup},
};

/// The sections the sidecar reads.
const SECTIONS: &[&str] = &[
    "database",
    "redis",
    "security",
    "identity",
    "mail",
    "admin",
    "egress",
    "agents",
    "retention",
    "telemetry",
];

/// Serves until a signal to stop, then lets open requests end.
#[must_use]
pub fn run(config_args: &ConfigArgs) -> ExitCode {
    let config = match config_args.load(SECTIONS) {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    super::block_on(admin(config))
}

async fn admin(config: Config) -> anyhow::Result<()> {
    audit_key::install(&config).await;
    let _lines = telemetry::logs::start(&config.telemetry)?;
    let listeners = Listeners::bind(&config.admin)
        .await
        .context("cannot listen")?;
    let told = Stop::watch().context("signals cannot be watched")?;
    let (stop, stopping) = watch::channel(false);
    let postgres = Postgres::connect(&config.database, Role::Admin)?;
    let signing = signing_vault(&config.security)?;
    let door = Door::open(config.identity.clone(), signing, postgres);
    let vault = config.security.vault()?;
    let guard = Guard::new(config.egress.clone(), Clock::System);
    let admin = config.admin.clone();
    let plane = Plane::new(admin, door, vault, guard, Metrics::new()?, stopping);
    upkeep::start(plane.door.clone(), &plane.tasks);
    let tasks = Tasks::default();
    work(&plane, &tasks);
    post(&config, &plane, &tasks)?;
    keep(&config, &plane, &tasks)?;
    wake(&config, &plane, &tasks)?;
    learn(&config, &plane, &tasks)?;
    if config.environment == Environment::Production && config.mail.transport == Transport::File {
        let folder = config.mail.folder.display();
        tracing::warn!(%folder, "mail is written to a folder and reaches nobody: set mail.transport");
    }
    let drain = Duration::from_secs(config.admin.drain_s);
    tracing::info!(listen = %config.admin.listen, "the sidecar serves");
    let stopped = async {
        told.told().await;
        stop.send_replace(true);
        std::future::pending().await
    };
    let (door, vault) = (plane.door.clone(), Arc::clone(&plane.vault));
    let served = tokio::select! {
        ended = serve(listeners, plane, drain) => ended,
        retired = keep_sealed(&door, &vault) => return Err(retired.into()),
        () = stopped => Ok(()),
    };
    if !tasks.wait(LAST_WORDS).await {
        tracing::warn!("background work did not end in time");
    }
    Ok(served?)
}

/// How long background work may take to say its last words.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Starts what runs beside the API until the sidecar stops.
fn work(plane: &Plane, tasks: &Tasks) {
    let (postgres, clock) = (plane.postgres.clone(), plane.clock.clone());
    let (metrics, compared) = (plane.metrics.clone(), Arc::clone(&plane.compared));
    let note = move |comparison| {
        metrics.compared(comparison);
        compared.send_replace(Some(comparison));
    };
    let beat = nodes::beat(
        postgres.clone(),
        clock.clone(),
        nodes::Kind::Admin,
        || None,
        stopped(plane),
    );
    let metrics = plane.metrics.clone();
    let checked = move |faults| metrics.checked(faults);
    let ledger = accounts::keep(postgres.clone(), clock.clone(), checked, stopped(plane));
    tasks.spawn("ledger", ledger);
    tasks.spawn(
        "roll-ups",
        rollup::keep(postgres, clock, note, stopped(plane)),
    );
    tasks.spawn("beat", beat);
}

/// Starts to send the letters that wait.
fn post(config: &Config, plane: &Plane, tasks: &Tasks) -> anyhow::Result<()> {
    let mailer = &plane.door.mailer;
    let outbox = Outbox::open(&config.mail, mailer, plane.postgres.clone())?;
    let metrics = plane.metrics.clone();
    let tell = move |news| metrics.mailed(news);
    tasks.spawn("mail", outbox.keep(tell, stopped(plane)));
    Ok(())
}

/// Starts to write down what providers say of their allowances.
fn learn(config: &Config, plane: &Plane, tasks: &Tasks) -> anyhow::Result<()> {
    let told = told::Outbox::new(Redis::connect(&config.redis)?);
    let (postgres, clock) = (plane.postgres.clone(), plane.clock.clone());
    tasks.spawn(
        "allowances",
        told::keep(told, postgres, clock, stopped(plane)),
    );
    Ok(())
}

/// Ends when the sidecar is told to stop.
fn stopped(plane: &Plane) -> impl Future<Output = ()> + Send + 'static {
    let mut stopping = plane.stopping.clone();
    async move {
        // A plane that is gone has stopped.
        let _stopped = stopping.wait_for(|stopping| *stopping).await.is_ok();
    }
}

/// Starts what makes months, drops them past their retention, and keeps checkpoints of the audit log.
fn keep(config: &Config, plane: &Plane, tasks: &Tasks) -> anyhow::Result<()> {
    let few = postgres::Settings {
        max_connections: AGENT_CONNECTIONS,
        ..config.database.clone()
    };
    let keeper = Keeper {
        postgres: Postgres::connect(&few, Role::Agent)?,
        clock: plane.clock.clone(),
        settings: config.retention.clone(),
    };
    tasks.spawn("retention", keeper.run(stopped(plane)));
    Ok(())
}

/// Starts what wakes the agents, here or in another sidecar.
fn wake(config: &Config, plane: &Plane, tasks: &Tasks) -> anyhow::Result<()> {
    let open = |max_connections| {
        let few = postgres::Settings {
            max_connections,
            ..config.database.clone()
        };
        Postgres::connect(&few, Role::Agent)
    };
    let metrics = plane.metrics.clone();
    let driver = Driver {
        own: open(DRIVER_CONNECTIONS)?,
        postgres: open(AGENT_CONNECTIONS)?,
        clock: plane.clock.clone(),
        agents: agents(config, plane),
        tasks: tasks.clone(),
        tell: Arc::new(move |news| metrics.woken(news)),
    };
    tasks.spawn("agents", driver.run(stopped(plane)));
    Ok(())
}

/// Everybody who is woken.
fn agents(config: &Config, plane: &Plane) -> Vec<Arc<dyn Agent>> {
    let (vault, guard) = (Arc::clone(&plane.vault), Arc::clone(&plane.egress));
    let health = HealthMonitoring {
        vault: Arc::clone(&vault),
        guard: Arc::clone(&guard),
    };
    let discovery = ModelDiscovery {
        vault: Arc::clone(&vault),
        guard,
        settings: config.agents.clone(),
    };
    let maintenance = Maintenance {
        retention: config.retention.clone(),
        attempts_kept: Duration::from_secs(config.identity.attempts_kept_days * 86_400),
    };
    let security = SecurityAudit {
        weak_secrets: config.security.weaknesses(),
    };
    vec![
        Arc::new(health),
        Arc::new(CostOptimization { vault }),
        Arc::new(discovery),
        Arc::new(security),
        Arc::new(maintenance),
    ]
}

/// Connections of what wakes agents: one renews the lease, one looks, one notes how wakings end.
const DRIVER_CONNECTIONS: u32 = 3;
/// Connections of background work: one holds the lock, one works, one writes checkpoints.
const AGENT_CONNECTIONS: u32 = 4;

/// What seals signing keys: a key that proxies need not know where there is one, else the one that seals all.
fn signing_vault(security: &Security) -> anyhow::Result<Vault> {
    let sealing = &security.sealing_key;
    let vault = match &security.jwt_key {
        Some(own) if sealing.is_empty() => Vault::new(own)?,
        Some(own) => Vault::new(own)?.also_opening(sealing)?,
        None => Vault::new(sealing).context("security.sealing_key is needed to sign people in")?,
    };
    let mut earlier = security.previous_sealing_keys.iter();
    Ok(earlier.try_fold(vault, Vault::also_opening)?)
}

/// How often what earlier keys seal is sealed anew.
const SEALING_EVERY: Duration = Duration::from_secs(60);

/// Seals anew what earlier keys seal, again and again; ends when this process was given a key that was retired.
async fn keep_sealed(door: &Door, vault: &Vault) -> NotSealing {
    loop {
        // First: a key is retired once it seals nothing at all.
        match reseal::all(door).await {
            Ok(round) if round == reseal::Round::default() => {}
            Ok(reseal::Round { resealed, stuck }) => {
                tracing::info!(resealed, stuck, "sealed anew what signs people in");
            }
            Err(error) => tracing::warn!(%error, "what signs people in cannot be sealed anew now"),
        }
        match rewrap(&door.postgres, vault).await {
            Ok(round) if round == Round::default() => {}
            Ok(Round {
                rewrapped,
                stuck,
                retired,
            }) => tracing::info!(
                rewrapped,
                stuck,
                ?retired,
                "sealed anew what earlier keys sealed"
            ),
            Err(retired @ NotSealing::Retired) => return retired,
            Err(NotSealing::Store(error)) => {
                tracing::warn!(error = %error, "what earlier keys seal cannot be read");
            }
        }
        tokio::time::sleep(SEALING_EVERY).await;
    }
}
