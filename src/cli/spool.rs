//! `synaxis spool`: what a proxy of this machine could not book.

use std::process::ExitCode;

use anyhow::Context;
use serde_json::json;

use super::{block_on, operator, settings::ConfigArgs};
use crate::{config::Config, store::postgres::Role, usage::letters};

/// The sections these commands read.
const SECTIONS: &[&str] = &["database", "usage"];

/// What is asked of the spool in `usage.spool_dir`.
#[derive(Debug, clap::Args)]
pub struct SpoolArgs {
    #[command(subcommand)]
    command: SpoolCommand,
}

#[derive(Debug, clap::Subcommand)]
enum SpoolCommand {
    /// Show the entries the books refused, and why, and what of the spool was damaged
    #[command(after_help = "Example: synaxis spool letters --json")]
    Letters {
        /// Print a JSON object
        #[arg(long)]
        json: bool,
    },
    /// Book again what was refused, once the cause is gone; the proxy may run on
    #[command(after_help = "Example: synaxis spool retry")]
    Retry {
        /// Print a JSON object
        #[arg(long)]
        json: bool,
    },
}

/// Runs one of the commands.
#[must_use]
pub fn run(args: &SpoolArgs, config: &ConfigArgs) -> ExitCode {
    let config = match config.load(SECTIONS) {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    block_on(async {
        match args.command {
            SpoolCommand::Letters { json } => show(json, &config),
            SpoolCommand::Retry { json } => retry(json, &config).await,
        }
    })
}

fn show(json: bool, config: &Config) -> anyhow::Result<()> {
    let folder = &config.usage.spool_dir;
    let found =
        letters::read(folder).with_context(|| format!("{} cannot be read", folder.display()))?;
    if json {
        return operator::print(&json!(found).to_string());
    }
    for letter in &found.letters {
        let id = letter.request_id.map(|id| id.to_string());
        let id = id.unwrap_or_else(|| "(no id)".to_owned());
        operator::print(&format!("{id}  {}", letter.reason))?;
    }
    for path in &found.damaged {
        operator::print(&format!("damaged: {}", path.display()))?;
    }
    Ok(())
}

async fn retry(json: bool, config: &Config) -> anyhow::Result<()> {
    let postgres = operator::open(&config.database, Role::Proxy)?;
    let retried = letters::retry(&config.usage.spool_dir, &postgres).await?;
    if json {
        return operator::print(&json!(retried).to_string());
    }
    operator::print(&format!(
        "{} booked, {} refused still",
        retried.booked, retried.refused
    ))
}
