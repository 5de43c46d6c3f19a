//! `synaxis limits`: the operator's switch, when limits themselves are what goes wrong.

use std::process::ExitCode;

use anyhow::Context;
use serde_json::json;

use super::{block_on, operator, settings::ConfigArgs};
use crate::{
    base::OrganizationId,
    control::enforcement,
    store::{
        Scope,
        postgres::{Postgres, Role, Settings},
    },
    tenancy::store::settings::find_settings,
};

/// What `synaxis limits` is asked.
#[derive(Debug, clap::Args)]
pub struct LimitsArgs {
    #[command(subcommand)]
    command: LimitsCommand,
}

#[derive(Debug, clap::Subcommand)]
enum LimitsCommand {
    /// Tell whether limits are enforced
    #[command(after_help = "Example: synaxis limits show --json")]
    Show {
        #[command(flatten)]
        whose: Whose,
        /// Print a JSON object
        #[arg(long)]
        json: bool,
    },
    /// Enforce limits again
    #[command(after_help = "Example: synaxis limits on --reason 'Redis is back'")]
    On(TurnArgs),
    /// Let limits only count what they would refuse
    #[command(
        after_help = "Example: synaxis limits off --organization 019aa0f0-0000-7000-8000-000000000000 --reason 'wrong budgets'"
    )]
    Off(TurnArgs),
}

#[derive(Debug, clap::Args)]
struct TurnArgs {
    #[command(flatten)]
    whose: Whose,
    /// Why, for the audit log
    #[arg(long)]
    reason: String,
}

#[derive(Debug, clap::Args)]
struct Whose {
    /// One organization's limits [default: everybody's, providers' allowances included]
    #[arg(long, value_name = "ORGANIZATION_ID")]
    organization: Option<OrganizationId>,
}

/// Runs one of the commands.
#[must_use]
pub fn run(args: &LimitsArgs, config: &ConfigArgs) -> ExitCode {
    let settings = match operator::settings(config) {
        Ok(settings) => settings,
        Err(exit) => return exit,
    };
    block_on(async {
        match &args.command {
            LimitsCommand::Show { whose, json } => show(whose, *json, &settings).await,
            LimitsCommand::On(args) => turn(args, true, &settings).await,
            LimitsCommand::Off(args) => turn(args, false, &settings).await,
        }
    })
}

async fn show(whose: &Whose, is_json: bool, settings: &Settings) -> anyhow::Result<()> {
    let postgres = operator::open(settings, Role::Admin)?;
    let is_on = match whose.organization {
        Some(organization) => is_on_for(&postgres, organization).await?,
        None => enforcement::show(&postgres).await?.is_on,
    };
    if is_json {
        return operator::print(&json!({ "is_on": is_on }).to_string());
    }
    operator::print(if is_on { "on" } else { "off" })
}

async fn is_on_for(postgres: &Postgres, organization: OrganizationId) -> anyhow::Result<bool> {
    let mut tx = postgres.begin_for(Scope::of(organization)).await?;
    let settings = find_settings(&mut tx).await?;
    Ok(settings
        .context("there is no such organization")?
        .limits_enforced)
}

async fn turn(args: &TurnArgs, is_on: bool, settings: &Settings) -> anyhow::Result<()> {
    let postgres = operator::open(settings, Role::Admin)?;
    let by = operator::by();
    let Some(organization) = args.whose.organization else {
        enforcement::set(&postgres, is_on, &args.reason, by).await?;
        return Ok(());
    };
    let mut tx = postgres.begin_for(Scope::of(organization)).await?;
    enforcement::set_for(&mut tx, is_on, &args.reason, by).await?;
    tx.commit().await?;
    Ok(())
}
