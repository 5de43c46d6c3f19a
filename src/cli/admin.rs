//! `synaxis admin`: the sidecar.

use std::{process::ExitCode, time::Duration};

use anyhow::Context;
use tokio::sync::watch;

use super::{audit_key, settings::ConfigArgs, stop::Stop};
use crate::{
    admin::{Listeners, Metrics, Plane, serve},
    base::tasks::Tasks,
    config::{Config, Security},
    control::identity::{Door, upkeep},
    store::{
        Vault,
        postgres::{Postgres, Role},
    },
    telemetry,
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
    telemetry::logs::start(&config.telemetry)?;
    let listeners = Listeners::bind(&config.admin)
        .await
        .context("cannot listen")?;
    let told = Stop::watch().context("signals cannot be watched")?;
    let (stop, stopping) = watch::channel(false);
    let postgres = Postgres::connect(&config.database, Role::Admin)?;
    let door = Door::open(
        config.identity.clone(),
        &config.mail,
        signing_vault(&config.security)?,
        postgres,
        &Tasks::default(),
    )?;
    let vault = Vault::new(&config.security.sealing_key)?;
    let plane = Plane::new(config.admin.clone(), door, vault, Metrics::new()?, stopping);
    upkeep::start(plane.door.clone(), &plane.tasks);
    let drain = Duration::from_secs(config.admin.drain_s);
    tracing::info!(listen = %config.admin.listen, "the sidecar serves");
    let stopped = async {
        told.told().await;
        stop.send_replace(true);
        std::future::pending().await
    };
    tokio::select! {
        ended = serve(listeners, plane, drain) => Ok(ended?),
        () = stopped => Ok(()),
    }
}

/// What seals signing keys: a key that proxies need not know where there is one, else the one that seals all.
fn signing_vault(security: &Security) -> anyhow::Result<Vault> {
    let sealing = &security.sealing_key;
    let vault = match &security.jwt_key {
        Some(own) if sealing.is_empty() => Vault::new(own)?,
        Some(own) => Vault::new(own)?.also_opening(sealing)?,
        None => Vault::new(sealing).context("security.sealing_key is needed to sign people in")?,
    };
    Ok(vault)
}
