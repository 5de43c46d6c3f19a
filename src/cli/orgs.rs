//! `synaxis orgs`: the operator's doorway to tenants.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::{block_on, operator, settings::ConfigArgs};
use crate::{
    base::{Cursor, Order, Paging, UserId},
    control::organizations::{self, NewOrganization, Start},
    store::postgres::{Role, Settings},
    tenancy::{
        Tenant,
        store::organizations::{TenantFilter, find_tenants},
    },
};

/// Organizations read at once.
const BATCH: u32 = 1_000;

/// What `synaxis orgs` is asked.
#[derive(Debug, clap::Args)]
pub struct OrgsArgs {
    #[command(subcommand)]
    command: OrgsCommand,
}

#[derive(Debug, clap::Subcommand)]
enum OrgsCommand {
    /// Make an organization with its default group and the limits a new one starts with
    #[command(after_help = "Example: synaxis orgs create --name 'Acme GmbH' --json")]
    Create(CreateArgs),
    /// List every organization, oldest first
    #[command(after_help = "Example: synaxis orgs list --json")]
    List {
        /// Print a JSON array
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, clap::Args)]
struct CreateArgs {
    /// The name people read
    #[arg(long)]
    name: String,
    /// The short name in addresses [default: made from the name]
    #[arg(long)]
    slug: Option<String>,
    /// The user who owns it
    #[arg(long, value_name = "USER_ID")]
    owner: Option<UserId>,
    /// Start without limits instead of 60 calls and 100 000 tokens a minute
    #[arg(long)]
    unlimited: bool,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

/// Runs one of the commands.
#[must_use]
pub fn run(args: &OrgsArgs, config: &ConfigArgs) -> ExitCode {
    let settings = match operator::settings(config) {
        Ok(settings) => settings,
        Err(exit) => return exit,
    };
    block_on(async {
        match &args.command {
            OrgsCommand::Create(args) => create(args, &settings).await,
            OrgsCommand::List { json } => list(*json, &settings).await,
        }
    })
}

async fn create(args: &CreateArgs, settings: &Settings) -> anyhow::Result<()> {
    let postgres = operator::open(settings, Role::Admin)?;
    let new = NewOrganization {
        name: args.name.clone(),
        slug: args.slug.clone(),
        start: if args.unlimited {
            Start::Unlimited
        } else {
            Start::Seeded
        },
        owner: args.owner,
    };
    let made = organizations::create(&postgres, new, operator::by()).await?;
    if args.json {
        let made =
            json!({ "id": made.id, "slug": made.slug, "default_group_id": made.default_group_id });
        return operator::print(&made.to_string());
    }
    operator::print(&format!("id    {}\nslug  {}", made.id, made.slug))
}

async fn list(is_json: bool, settings: &Settings) -> anyhow::Result<()> {
    let postgres = operator::open(settings, Role::Admin)?;
    let mut conn = postgres.acquire().await?;
    let all = operator::everything(async |last: Option<&Tenant>| {
        let paging = Paging {
            limit: BATCH,
            after: last.map(|last| Cursor {
                at: last.created_at,
                id: last.id.uuid(),
            }),
            order: Order::Asc,
        };
        let page = find_tenants(&mut conn, TenantFilter::default(), paging).await?;
        Ok(page.rows)
    })
    .await?;
    let rows: Vec<Value> = all.iter().map(row).collect();
    operator::print_rows(
        &rows,
        &["id", "slug", "name", "status", "created_at"],
        is_json,
    )
}

fn row(organization: &Tenant) -> Value {
    json!({
        "id": organization.id,
        "slug": organization.slug,
        "name": organization.display_name,
        "status": organization.status,
        "plan_tier": organization.plan_tier,
        "created_at": operator::timestamp(organization.created_at),
    })
}
