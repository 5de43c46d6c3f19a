//! `synaxis keys`: the operator's doorway to keys. A key's text is printed once, when it is made.

use std::{process::ExitCode, time::Duration};

use anyhow::Context;
use ipnet::IpNet;
use serde_json::{Value, json};

use super::{
    block_on,
    operator::{self, Ending},
    settings::ConfigArgs,
};
use crate::{
    base::{Clock, GroupId, Moment, NanoUsd, OrganizationId, UserId},
    control::{
        keys::{self, CreatedKey, NewKey},
        limits::Terms,
    },
    keys::{ApiKey, store::find_owner},
    quota::limit::{Meter, Window},
    store::{
        OrgTx, Scope,
        postgres::{Role, Settings},
    },
};

/// Keys read at once.
const BATCH: i64 = 1_000;

/// What `synaxis keys` is asked.
#[derive(Debug, clap::Args)]
pub struct KeysArgs {
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Debug, clap::Subcommand)]
enum KeysCommand {
    /// Make a key and print it: it is not shown again
    #[command(
        after_help = "Example: synaxis keys create --organization 019aa0f0-0000-7000-8000-000000000000 --name ci --rpm 60 --budget-month-usd 25 --json"
    )]
    Create(Box<CreateArgs>),
    /// List an organization's keys, newest first
    #[command(
        after_help = "Example: synaxis keys list --organization 019aa0f0-0000-7000-8000-000000000000"
    )]
    List(ListArgs),
    /// Take a key back, at once and for good
    #[command(
        after_help = "Example: synaxis keys revoke a1B2c3D4e5F6g7H8 --reason 'found in a public repository'"
    )]
    Revoke(RevokeArgs),
    /// Make a key that takes over from another with the same rights and limits
    #[command(after_help = "Example: synaxis keys rotate a1B2c3D4e5F6g7H8 --grace 24h --json")]
    Rotate(RotateArgs),
}

#[derive(Debug, clap::Args)]
struct CreateArgs {
    /// Whose key it is
    #[arg(long, value_name = "ID")]
    organization: OrganizationId,
    /// What it is for
    #[arg(long, default_value = "key")]
    name: String,
    /// The group it counts for
    #[arg(long, value_name = "ID")]
    group: Option<GroupId>,
    /// The member it counts for
    #[arg(long, value_name = "ID")]
    user: Option<UserId>,
    /// The models it may ask for [default: all]
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    models: Option<Vec<String>>,
    /// The networks it may come from [default: all]
    #[arg(long, value_delimiter = ',', value_name = "CIDR,…")]
    cidrs: Option<Vec<IpNet>>,
    /// When it stops: 90d, or 2027-01-31T00:00:00Z [default: never]
    #[arg(long, value_name = "WHEN", value_parser = operator::ending)]
    expires: Option<Ending>,
    #[command(flatten)]
    limits: LimitArgs,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct LimitArgs {
    /// Calls per minute
    #[arg(long)]
    rpm: Option<u64>,
    /// Tokens per minute
    #[arg(long)]
    tpm: Option<u64>,
    /// Calls per day (UTC)
    #[arg(long)]
    rpd: Option<u64>,
    /// Tokens per day (UTC)
    #[arg(long)]
    tpd: Option<u64>,
    /// Calls in flight at once
    #[arg(long)]
    concurrent: Option<u64>,
    /// Dollars per calendar month (UTC), such as 25 or 0.50
    #[arg(long, value_name = "USD")]
    budget_month_usd: Option<NanoUsd>,
    /// Dollars per day (UTC)
    #[arg(long, value_name = "USD")]
    budget_day_usd: Option<NanoUsd>,
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// Whose keys
    #[arg(long, value_name = "ID")]
    organization: OrganizationId,
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct RevokeArgs {
    /// The key's id or public id, with or without what stands around it
    key: String,
    /// Whose key it is [default: looked up]
    #[arg(long, value_name = "ID")]
    organization: Option<OrganizationId>,
    /// Why, for the audit log
    #[arg(long)]
    reason: Option<String>,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct RotateArgs {
    /// The key's id or public id
    key: String,
    /// Whose key it is [default: looked up]
    #[arg(long, value_name = "ID")]
    organization: Option<OrganizationId>,
    /// How long the old key still works
    #[arg(long, default_value = "24h", value_parser = operator::duration)]
    grace: Duration,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

impl LimitArgs {
    fn terms(&self) -> Vec<Terms> {
        let money = |amount: Option<NanoUsd>| amount.map(|amount| amount.0);
        let limits = [
            (Meter::Requests, Window::Minute, self.rpm),
            (Meter::TotalTokens, Window::Minute, self.tpm),
            (Meter::Requests, Window::Day, self.rpd),
            (Meter::TotalTokens, Window::Day, self.tpd),
            (Meter::Concurrent, Window::Instant, self.concurrent),
            (Meter::NanoUsd, Window::Month, money(self.budget_month_usd)),
            (Meter::NanoUsd, Window::Day, money(self.budget_day_usd)),
        ];
        let given = limits.into_iter();
        given
            .filter_map(|(meter, window, amount)| Some(Terms::usual(meter, window, amount?)))
            .collect()
    }
}

/// Runs one of the commands.
#[must_use]
pub fn run(args: &KeysArgs, config: &ConfigArgs) -> ExitCode {
    let settings = match operator::settings(config) {
        Ok(settings) => settings,
        Err(exit) => return exit,
    };
    block_on(async {
        match &args.command {
            KeysCommand::Create(args) => create(args, &settings).await,
            KeysCommand::List(args) => list(args, &settings).await,
            KeysCommand::Revoke(args) => revoke(args, &settings).await,
            KeysCommand::Rotate(args) => rotate(args, &settings).await,
        }
    })
}

async fn create(args: &CreateArgs, settings: &Settings) -> anyhow::Result<()> {
    let by = operator::by();
    let mut tx = begin(settings, args.organization).await?;
    let new = NewKey {
        name: args.name.clone(),
        group_id: args.group,
        user_id: args.user,
        allowed_models: args.models.clone(),
        allowed_cidrs: args.cidrs.clone(),
        scopes: Vec::new(),
        expires_at: args.expires.map(|ending| ending.from(by.now)),
        limits: args.limits.terms(),
    };
    let created = keys::create(&mut tx, new, by).await?;
    tx.commit().await?;
    show(&created, args.json)
}

async fn list(args: &ListArgs, settings: &Settings) -> anyhow::Result<()> {
    let mut tx = begin(settings, args.organization).await?;
    let all = operator::everything(async |last: Option<&ApiKey>| {
        keys::list(&mut tx, last.map(|last| last.id), BATCH).await
    })
    .await?;
    let now = Clock::default().now();
    let rows: Vec<Value> = all.iter().map(|key| row(key, now)).collect();
    let columns = [
        "id",
        "public_id",
        "name",
        "state",
        "created_at",
        "expires_at",
        "last_used_at",
    ];
    operator::print_rows(&rows, &columns, args.json)
}

async fn revoke(args: &RevokeArgs, settings: &Settings) -> anyhow::Result<()> {
    let organization = owner(&args.key, args.organization, settings).await?;
    let mut tx = begin(settings, organization).await?;
    let key = keys::revoke(&mut tx, &args.key, args.reason.as_deref(), operator::by()).await?;
    tx.commit().await?;
    if args.json {
        let revoked =
            json!({ "id": key.id, "public_id": key.public_id, "organization_id": organization });
        return operator::print(&revoked.to_string());
    }
    operator::print(&format!("revoked {} ({})", key.public_id, key.name))
}

async fn rotate(args: &RotateArgs, settings: &Settings) -> anyhow::Result<()> {
    let organization = owner(&args.key, args.organization, settings).await?;
    let mut tx = begin(settings, organization).await?;
    let created = keys::rotate(&mut tx, &args.key, args.grace, operator::by()).await?;
    tx.commit().await?;
    show(&created, args.json)
}

async fn begin(settings: &Settings, organization: OrganizationId) -> anyhow::Result<OrgTx> {
    let postgres = operator::open(settings, Role::Admin)?;
    Ok(postgres.begin_for(Scope::of(organization)).await?)
}

/// Returns whose key it is; without being told, only the schema's owner can find out.
async fn owner(
    key: &str,
    told: Option<OrganizationId>,
    settings: &Settings,
) -> anyhow::Result<OrganizationId> {
    if let Some(organization) = told {
        return Ok(organization);
    }
    let postgres = operator::open(settings, Role::Owner)?;
    let mut conn = postgres.acquire().await?;
    let found = find_owner(&mut conn, keys::name_of(key)).await?;
    found.context("there is no such key")
}

fn show(created: &CreatedKey, is_json: bool) -> anyhow::Result<()> {
    let api_key = created.api_key.expose();
    if is_json {
        let shown = json!({ "id": created.id, "public_id": created.public_id, "api_key": api_key });
        return operator::print(&shown.to_string());
    }
    operator::print(&format!(
        "id         {}\npublic id  {}\napi key    {api_key}  (shown once)",
        created.id, created.public_id
    ))
}

fn row(key: &ApiKey, now: Moment) -> Value {
    json!({
        "id": key.id,
        "public_id": key.public_id,
        "name": key.name,
        "state": key.state(now),
        "group_id": key.group_id,
        "user_id": key.user_id,
        "allowed_models": key.allowed_models,
        "allowed_cidrs": key.allowed_cidrs,
        "created_at": operator::timestamp(key.created_at),
        "expires_at": key.expires_at.map(operator::timestamp),
        "revoked_at": key.revoked_at.map(operator::timestamp),
        "last_used_at": key.last_used_at.map(operator::timestamp),
        "rotated_from": key.rotated_from,
    })
}
