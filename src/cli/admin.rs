//! `synaxis admin`: the sidecar.

use std::{process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context;
use tokio::sync::watch;

use super::{audit_key, settings::ConfigArgs, stop::Stop};
use crate::{
    admin::{Listeners, Metrics, Plane, serve},
    base::Clock,
    config::Config,
    control::catalog::sealing::{NotSealing, Round, rewrap},
    egress::Guard,
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
    telemetry::logs::start(&config.telemetry)?;
    let listeners = Listeners::bind(&config.admin)
        .await
        .context("cannot listen")?;
    let told = Stop::watch().context("signals cannot be watched")?;
    let (stop, stopping) = watch::channel(false);
    let postgres = Postgres::connect(&config.database, Role::Admin)?;
    let vault = config.security.vault()?;
    let guard = Guard::new(config.egress.clone(), Clock::System);
    let plane = Plane::new(
        config.admin.clone(),
        postgres,
        vault,
        guard,
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
    let (postgres, vault) = (plane.postgres.clone(), Arc::clone(&plane.vault));
    tokio::select! {
        ended = serve(listeners, plane, drain) => Ok(ended?),
        retired = keep_sealed(&postgres, &vault) => Err(retired.into()),
        () = stopped => Ok(()),
    }
}

/// How often what earlier keys seal is sealed anew.
const SEALING_EVERY: Duration = Duration::from_secs(60);

/// Seals anew what earlier keys seal, again and again; ends when this process was given a key that was retired.
async fn keep_sealed(postgres: &Postgres, vault: &Vault) -> NotSealing {
    loop {
        match rewrap(postgres, vault).await {
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
