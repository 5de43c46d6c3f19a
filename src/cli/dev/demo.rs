//! The simulated providers of the demo: started, and entered into the books.

use std::{net::Ipv4Addr, time::Duration};

use anyhow::Context;
use tokio::net::TcpStream;

use super::{
    Servers,
    fleet::{ALIAS, FLEET, FREE_MODEL, PAID_MODEL, catalog, fleet},
    machine::Held,
    process::{Order, Processes, stop_signal},
    report::{Models, Upstream},
    state::{Kept, StateFolder, random_text},
};
use crate::{
    base::{Clock, Fault, Secret},
    catalog::{Vault, file},
    cli::operator,
    config::Config,
    control::catalog::{Import, ImportRefused, import},
    egress::Guard,
    store::postgres::{Role, Settings},
};

/// How long the providers may take to listen.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often they are looked at.
const GLANCE: Duration = Duration::from_millis(10);

/// What the demo offers.
#[derive(Clone, Debug)]
pub struct Demo {
    pub models: Models,
    pub upstreams: Vec<Upstream>,
}

impl Demo {
    /// Starts the simulated providers in one process; where they stood before when that is free.
    ///
    /// # Errors
    ///
    /// When the process cannot be started.
    pub fn start(
        folder: &StateFolder,
        kept: &mut Kept,
        processes: &mut Processes,
    ) -> anyhow::Result<Self> {
        kept.simulator_ports = simulator_ports(&kept.simulator_ports)?;
        kept.simulator_keys.resize_with(FLEET.len(), random_text);
        let upstreams = upstreams(folder, kept);
        folder.write_private("fleet.toml", fleet(kept, &upstreams)?.as_bytes())?;
        processes.start(Order {
            name: "simulate",
            program: std::env::current_exe().context("this binary cannot be found")?,
            args: [
                "simulate",
                "--fleet",
                &folder.path("fleet.toml").display().to_string(),
            ]
            .map(str::to_owned)
            .into(),
            variables: Vec::new(),
            account: None,
            stop: stop_signal("simulate"),
            is_ours: true,
        })?;
        let [free, paid, alias] = [FREE_MODEL, PAID_MODEL, ALIAS].map(str::to_owned);
        Ok(Self {
            models: Models { free, paid, alias },
            upstreams,
        })
    }

    /// Waits until every provider listens.
    ///
    /// # Errors
    ///
    /// When one does not in time.
    pub async fn ready(&self) -> anyhow::Result<()> {
        for upstream in &self.upstreams {
            let address = upstream.url.trim_start_matches("http://");
            let listening = async {
                while TcpStream::connect(address).await.is_err() {
                    tokio::time::sleep(GLANCE).await;
                }
            };
            let ready = tokio::time::timeout(PATIENCE, listening).await;
            ready.with_context(|| format!("the simulated {} does not listen", upstream.name))?;
        }
        Ok(())
    }

    /// Makes the books of `servers` say what the providers sell.
    ///
    /// # Errors
    ///
    /// When the books do not take it.
    pub async fn import(
        &self,
        folder: &StateFolder,
        config: &Config,
        servers: &Servers,
        kept: &Kept,
    ) -> anyhow::Result<()> {
        let text = catalog(kept, &self.upstreams)?;
        folder.write_private("catalog.toml", text.as_bytes())?;
        let file = file::parse(&text, &|_| None).map_err(|faults| unfit(&faults))?;
        let vault = Vault::new(&Secret::new(kept.sealing_key.clone()))?;
        let settings = Settings {
            url: Secret::new(servers.database_url.clone()),
            ..Settings::default()
        };
        let postgres = operator::open(&settings, Role::Admin)?;
        let guard = Guard::new(super::planes::egress_of(config), Clock::default());
        let order = Import {
            file: &file,
            source: "synaxis dev",
            vault: Some(&vault),
            guard: &guard,
            is_pruning: false,
        };
        let mut tx = postgres.begin_for_owner(None).await?;
        match import(&mut tx, &order, operator::by()).await {
            Ok(_) => tx.commit().await?,
            Err(ImportRefused::Faulty(faults)) => return Err(unfit(&faults)),
            Err(refused) => return Err(refused.into()),
        }
        Ok(())
    }
}

/// Returns a port for each provider: the one it had, or another where that is taken.
fn simulator_ports(earlier: &[u16]) -> anyhow::Result<Vec<u16>> {
    let earlier = earlier.iter().copied().chain(std::iter::repeat(0));
    let hold = |port: u16| {
        let taken = Held::take((Ipv4Addr::LOCALHOST, port).into(), "");
        taken.or_else(|_| Held::take((Ipv4Addr::LOCALHOST, 0).into(), "a free port"))
    };
    // All are held at once, so that no two get the same.
    let held = FLEET
        .iter()
        .zip(earlier)
        .map(|(_, port)| hold(port))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(held.iter().map(|held| held.address.port()).collect())
}

fn unfit(faults: &[Fault]) -> anyhow::Error {
    let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
    anyhow::anyhow!("the demo catalog does not fit: {}", told.join("; "))
}

fn upstreams(folder: &StateFolder, kept: &Kept) -> Vec<Upstream> {
    let ports = kept.simulator_ports.iter();
    FLEET
        .iter()
        .zip(ports)
        .map(|(one, port)| Upstream {
            name: one.name.to_owned(),
            url: format!("http://127.0.0.1:{port}"),
            log: folder
                .path(&format!("log/upstream-{}.jsonl", one.name))
                .display()
                .to_string(),
        })
        .collect()
}
