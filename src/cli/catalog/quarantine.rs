//! `synaxis catalog quarantine`: the word that prices which look wrong wait for.

use serde_json::json;
use uuid::Uuid;

use crate::{
    base::{OrganizationId, page::Paging},
    catalog::{
        Sought,
        store::quarantine::{Fate, QuarantinedPrice, list},
    },
    cli::operator,
    config::Config,
    control::catalog::quarantine::{reject, release},
    store::postgres::Role,
};

/// What is asked.
#[derive(Debug, clap::Args)]
pub(super) struct QuarantineArgs {
    #[command(subcommand)]
    command: QuarantineCommand,
    /// Whose prices [default: the platform's]
    #[arg(long, value_name = "ID", global = true)]
    organization: Option<OrganizationId>,
}

#[derive(Debug, clap::Subcommand)]
enum QuarantineCommand {
    /// List the prices that wait
    List {
        /// Print a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Let a price count after all
    Release {
        /// Which price in quarantine
        id: Uuid,
    },
    /// Throw a price away; the one in force stays
    Reject {
        /// Which price in quarantine
        id: Uuid,
    },
}

/// Runs one of the commands.
pub(super) async fn run(args: &QuarantineArgs, config: &Config) -> anyhow::Result<()> {
    let postgres = operator::open(&config.database, Role::Admin)?;
    let mut tx = postgres.begin_for_owner(args.organization).await?;
    match &args.command {
        QuarantineCommand::List { json } => {
            let most = Paging {
                limit: Paging::MOST,
                ..Paging::default()
            };
            let sought = Sought::page(most);
            let held = list(&mut tx, args.organization, &sought, Some(Fate::Held)).await?;
            let rows: Vec<_> = held.iter().map(row).collect();
            operator::print_rows(&rows, &["id", "offer", "reason", "price", "since"], *json)
        }
        QuarantineCommand::Release { id } => {
            release(&mut tx, *id, operator::by()).await?;
            Ok(tx.commit().await?)
        }
        QuarantineCommand::Reject { id } => {
            reject(&mut tx, *id, operator::by()).await?;
            Ok(tx.commit().await?)
        }
    }
}

fn row(price: &QuarantinedPrice) -> serde_json::Value {
    json!({
        "id": price.id, "offer": price.offer, "reason": price.reason, "price": price.entry.quote.to_string(),
        "since": operator::timestamp(price.created_at),
    })
}
