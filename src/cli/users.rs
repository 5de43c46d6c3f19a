//! `synaxis users`: the operator's doorway to people, such as the first owner.

use std::{
    io::{self, Read},
    process::ExitCode,
};

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::{block_on, operator, settings::ConfigArgs};
use crate::{
    base::{OrganizationId, Secret, UserId},
    control::{
        organizations,
        users::{self, Reach},
    },
    store::{
        Scope,
        postgres::{Postgres, Role, Settings},
    },
    tenancy::{Rank, User, store::all_users},
};

/// People read at once.
const BATCH: i32 = 1_000;

/// What `synaxis users` is asked.
#[derive(Debug, clap::Args)]
pub struct UsersArgs {
    #[command(subcommand)]
    command: UsersCommand,
}

#[derive(Debug, clap::Subcommand)]
enum UsersCommand {
    /// Make a person; the password comes from standard input
    #[command(
        after_help = "Example: pwgen -s 24 1 | tee /dev/tty | synaxis users create --email ada@example.com --password-stdin --platform-admin"
    )]
    Create(CreateArgs),
    /// List everybody, oldest first
    #[command(after_help = "Example: synaxis users list --json")]
    List {
        /// Print a JSON array
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, clap::Args)]
struct CreateArgs {
    /// Where mail reaches them
    #[arg(long)]
    email: String,
    /// Read the password (15 characters or more) from standard input
    #[arg(long, required = true)]
    password_stdin: bool,
    /// Let them change the platform itself
    #[arg(long)]
    platform_admin: bool,
    /// Make them a member of this organization
    #[arg(long, value_name = "ID")]
    organization: Option<OrganizationId>,
    /// What they may do there
    #[arg(long, default_value = "owner", requires = "organization")]
    role: Rank,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

/// Runs one of the commands.
#[must_use]
pub fn run(args: &UsersArgs, config: &ConfigArgs) -> ExitCode {
    let settings = match operator::settings(config) {
        Ok(settings) => settings,
        Err(exit) => return exit,
    };
    block_on(async {
        match &args.command {
            UsersCommand::Create(args) => create(args, &settings).await,
            UsersCommand::List { json } => list(*json, &settings).await,
        }
    })
}

async fn create(args: &CreateArgs, settings: &Settings) -> anyhow::Result<()> {
    let password = password()?;
    let postgres = operator::open(settings, Role::Owner)?;
    let reach = if args.platform_admin {
        Reach::Platform
    } else {
        Reach::Tenant
    };
    let id = users::create(&postgres, &args.email, password, reach, operator::by()).await?;
    if let Some(organization) = args.organization {
        join(&postgres, id, organization, args.role).await?;
    }
    if args.json {
        return operator::print(&json!({ "id": id, "email": args.email }).to_string());
    }
    operator::print(&format!("id     {id}\nemail  {}", args.email))
}

async fn join(
    postgres: &Postgres,
    user: UserId,
    organization: OrganizationId,
    rank: Rank,
) -> anyhow::Result<()> {
    let mut tx = postgres.begin_for(Scope::of(organization)).await?;
    organizations::join(&mut tx, user, rank, operator::by()).await?;
    Ok(tx.commit().await?)
}

/// Reads one line; what a shell adds at its end is no part of the password.
fn password() -> anyhow::Result<Secret> {
    let mut text = String::new();
    io::stdin()
        .take(4_096)
        .read_to_string(&mut text)
        .context("reading the password from standard input")?;
    let line = text.trim_end_matches(['\r', '\n']);
    if line.contains('\n') {
        bail!("the password is one line");
    }
    Ok(Secret::new(line.to_owned()))
}

async fn list(is_json: bool, settings: &Settings) -> anyhow::Result<()> {
    let postgres = operator::open(settings, Role::Owner)?;
    let mut conn = postgres.acquire().await?;
    let all = operator::everything(async |last: Option<&User>| {
        all_users(&mut conn, last.map(|last| last.id), BATCH).await
    })
    .await?;
    let rows: Vec<Value> = all.iter().map(row).collect();
    operator::print_rows(
        &rows,
        &["id", "email", "status", "is_platform_admin", "created_at"],
        is_json,
    )
}

fn row(user: &User) -> Value {
    json!({
        "id": user.id,
        "email": user.email,
        "status": user.status,
        "is_platform_admin": user.is_platform_admin,
        "created_at": operator::timestamp(user.created_at),
    })
}
