//! `synaxis admin`: the sidecar.

use std::{process::ExitCode, time::Duration};

use anyhow::Context;
use tokio::sync::watch;

use super::{audit_key, settings::ConfigArgs, stop::Stop};
use crate::{
    admin::{Listeners, Metrics, Plane, serve},
    config::Config,
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
    let _lines = telemetry::logs::start(&config.telemetry)?;
    let listeners = Listeners::bind(&config.admin)
        .await
        .context("cannot listen")?;
    let told = Stop::watch().context("signals cannot be watched")?;
    let (stop, stopping) = watch::channel(false);
    let postgres = Postgres::connect(&config.database, Role::Admin)?;
    let vault = Vault::new(&config.security.sealing_key)?;
    let plane = Plane::new(
        config.admin.clone(),
        postgres,
        vault,
        Metrics::new()?,
        stopping,
    );
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
