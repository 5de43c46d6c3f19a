//! `synaxis simulate`: one simulated provider, or a fleet of them.

use std::{
    io::{Write, stdout},
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context;
use futures::future::try_join_all;
use tokio::sync::watch;

use super::stop::Stop;
use crate::{
    base::Secret,
    simulate::{Faults, Settings, fleet, serve},
};

/// What `synaxis simulate` is asked.
#[derive(Clone, Debug, clap::Args)]
pub struct SimulateArgs {
    /// Where it listens; port 0 is any free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9001")]
    pub listen: SocketAddr,
    /// What it is called in its log and in the list of models
    #[arg(long, default_value = "simulated")]
    pub name: String,
    /// Append a line of JSON for each request, when it ends
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// What goes wrong (the words stand below); `PUT /__fault` changes it at run time
    #[arg(long, value_name = "SPEC", default_value = "none")]
    pub fault: Faults,
    /// Think so long before the first byte
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub latency_ms: u64,
    /// Write so fast; 0 is as fast as it can
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub tokens_per_second: u64,
    /// Write so many tokens when the caller does not say; a message may ask for more: `tokens=200`
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    pub output_tokens: u64,
    /// Take so many requests in any 60 seconds from one credential, refuse more with 429
    #[arg(long, value_name = "NUMBER")]
    pub rpm: Option<u64>,
    /// Take so many tokens in any 60 seconds from one credential
    #[arg(long, value_name = "NUMBER")]
    pub tpm: Option<u64>,
    /// Take so many requests in any 24 hours from one credential
    #[arg(long, value_name = "NUMBER")]
    pub rpd: Option<u64>,
    /// Have these models only
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub models: Vec<String>,
    /// Take calls with this key only; may be given again
    #[arg(long = "require-key", value_name = "KEY")]
    pub require_keys: Vec<String>,
    /// Run the providers of this TOML file instead: `[[provider]]` with the names above, in snake case
    #[arg(long, value_name = "FILE")]
    pub fleet: Option<PathBuf>,
}

/// Serves until a signal to stop.
#[must_use]
pub fn run(args: SimulateArgs) -> ExitCode {
    super::block_on(simulate(args))
}

async fn simulate(args: SimulateArgs) -> anyhow::Result<()> {
    let providers = providers(args)?;
    let told = Stop::watch().context("signals cannot be watched")?;
    let (stop, stopping) = watch::channel(false);
    let mut serving = Vec::new();
    for settings in providers {
        let listener = TcpListener::bind(settings.listen)
            .with_context(|| format!("{} cannot listen on {}", settings.name, settings.listen))?;
        writeln!(
            stdout(),
            "{} serves http://{}/v1",
            settings.name,
            listener.local_addr()?
        )?;
        let mut stopping = stopping.clone();
        serving.push(serve(listener, settings, async move {
            let _ = stopping.wait_for(|is_stopping| *is_stopping).await;
        }));
    }
    let stopped = async {
        told.told().await;
        stop.send_replace(true);
    };
    let mut served = std::pin::pin!(try_join_all(serving));
    tokio::select! {
        failed = &mut served => drop(failed?),
        () = stopped => drop(served.await?),
    }
    Ok(())
}

/// Returns what the arguments, or the file they name, say of each provider.
fn providers(args: SimulateArgs) -> anyhow::Result<Vec<Settings>> {
    if let Some(path) = &args.fleet {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("{} cannot be read", path.display()))?;
        return fleet::parse(&text).with_context(|| format!("{} is no fleet", path.display()));
    }
    Ok(vec![Settings {
        name: args.name,
        listen: args.listen,
        log: args.log,
        fault: args.fault,
        latency_ms: args.latency_ms,
        tokens_per_second: args.tokens_per_second,
        output_tokens: args.output_tokens,
        rpm: args.rpm,
        tpm: args.tpm,
        rpd: args.rpd,
        models: args.models,
        require_keys: args.require_keys.into_iter().map(Secret::new).collect(),
    }])
}
